package main

// editor_test.go looks at the editor through a terminal: paper obeys the few sequences that are used, and knows how wide
// characters are from another source than the editor does, Unicode's tables in x/text.

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/width"
	"pgregory.net/rapid"
)

// paper is the screen of a terminal, endless to below.
type paper struct {
	t           rapid.TB
	width       int
	rows        [][]string // a cell for each column; "" is the right half of a wide character
	row, column int        // of the cursor; column == width: the next character begins a row
}

func newPaper(t rapid.TB, width int) *paper {
	return &paper{t: t, width: width, rows: make([][]string, 1)}
}

func columns(r rune) int {
	switch kind := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func (p *paper) Write(b []byte) (int, error) {
	for s := string(b); s != ""; {
		r := []rune(s)[0]
		switch {
		case strings.HasPrefix(s, "\x1b["):
			s = p.obey(s[2:])
			continue
		case r == '\r':
			p.column = 0
		case r == '\n':
			p.row++
		case r == '\a':
		case unicode.IsControl(r):
			p.t.Fatalf("the editor writes %q", r)
		default:
			p.put(r)
		}
		s = s[len(string(r)):]
	}
	return len(b), nil
}

func (p *paper) obey(s string) (rest string) {
	n := 0
	end := strings.IndexFunc(s, unicode.IsLetter)
	fmt.Sscan(s[:end], &n)
	switch s[end] {
	case 'A':
		if p.row -= n; p.row < 0 {
			p.t.Fatalf("the cursor goes %d rows above the paper", -p.row)
		}
	case 'C':
		p.column = min(p.column+n, p.width-1)
	case 'J':
		p.at()
		p.rows = p.rows[:p.row+1]
		p.rows[p.row] = p.rows[p.row][:min(p.column, len(p.rows[p.row]))]
	default:
		p.t.Fatalf("the editor writes the sequence %q", s[:end+1])
	}
	return s[end+1:]
}

func (p *paper) at() {
	for len(p.rows) <= p.row {
		p.rows = append(p.rows, nil)
	}
}

func (p *paper) put(r rune) {
	w := columns(r)
	if w > 0 && p.column+w > p.width {
		p.row, p.column = p.row+1, 0
	}
	p.at()
	line := p.rows[p.row]
	for len(line) < p.column+w {
		line = append(line, " ")
	}
	if w == 0 {
		for i := p.column - 1; i >= 0; i-- {
			if line[i] != "" {
				line[i] += string(r)
				break
			}
		}
		return
	}
	line[p.column] = string(r)
	if w == 2 {
		line[p.column+1] = ""
	}
	p.rows[p.row] = line
	p.column += w
}

func (p *paper) String() string {
	var b strings.Builder
	for _, r := range p.rows {
		b.WriteString(strings.TrimRight(strings.Join(r, ""), " ") + "\n")
	}
	return b.String()
}

// editing is an editor at a terminal of that width, in which prompt is shown.
func editing(t rapid.TB, columns int, earlier ...string) (*editor, *paper) {
	p := newPaper(t, columns)
	e := &editor{keys: typing(), out: p, history: &history{lines: earlier}, complete: complete, width: columns, height: 1000}
	e.begin("> ")
	return e, p
}

func press(e *editor, bytes string) {
	for k := typing(bytes); ; {
		typed, text, err := k.next()
		if err != nil {
			return
		}
		e.typed(typed, text, nil)
	}
}

func TestEditing(t *testing.T) {
	const left, right, up, down = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B"
	for _, c := range []struct {
		name, keys, line string
		column           int // of the cursor, behind "> "
	}{
		{"Chinese", "你好世界", "你好世界", 8},
		{"left of a wide character", "你好世界" + left + left, "你好世界", 4},
		{"a character between wide ones", "你好世界" + left + left + "a", "你好a世界", 5},
		{"a wide character is deleted whole", "你好世界" + left + "\x7f", "你好界", 4},
		{"forward", "你好" + left + left + "\x1b[3~", "好", 0},
		{"a letter and its accents are one", "cafe\u0301\u0323s" + left + left + "\x7f", "cae\u0301\u0323s", 2},
		{"an accent that comes later", "e\u0301" + "\u0323", "e\u0301\u0323", 1},
		{"an accent before a letter", "x\u0301" + "\x1b[H" + "e", "ex\u0301", 1},
		{"Korean", "한국어" + left + "\x17", "어", 0},
		{"words", "one two 三四 " + "\x1bb\x1bb" + "\x0b", "one ", 4},
		{"word by word", "one two" + "\x1b[1;5D\x1b[1;5D\x1b[1;5C", "one two", 3},
		{"from the beginning", "你好" + "\x01" + "\x15" + right + "\x15", "好", 0},
		{"history", "new" + up + up + up + down, "earlier 二", 10},
		{"history and back", "new" + up + down + down, "new", 3},
		{"a command", "/ex\t", "/exit", 5},
		{"cleared", "你好\x03ab", "ab", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, p := editing(t, 80, "first", "earlier 二")
			press(e, c.keys)
			if e.line != c.line || p.String() != strings.TrimRight("> "+c.line, " ")+"\n" || p.column != 2+c.column {
				t.Errorf("line %q, column %d; on the screen\n%s", e.line, p.column-2, p)
			}
		})
	}
}

// expected is what a screen shows of a line, and where its cursor is: what the terminal itself makes of the text.
func expected(t rapid.TB, width int, line string, pos int) (screen string, row, column int) {
	whole, part := newPaper(t, width), newPaper(t, width)
	fmt.Fprint(whole, "> "+line)
	next := []rune(line[pos:] + " ")[0] // a wide one may not fit where the cursor would be
	fmt.Fprint(part, "> "+line[:pos]+string(next))
	return whole.String(), part.row, part.column - columns(next)
}

// Whatever is typed, the screen shows the line and the cursor stands in it where the next character will.
func TestScreenShowsTheLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(4, 12).Draw(t, "columns")
		e, p := editing(t, columns, "older 漢字", "ab")
		keys := rapid.SampledFrom([]string{"a", "b ", "漢", "字", "é", "e\u0301", "한", "\x1b[D", "\x1b[D", "\x1b[C", "\x7f", "\x1b[3~", "\x01", "\x05",
			"\x17", "\x0b", "\x1b[A", "\x1b[B", "\x1bb", pasteStart + "貼る\n漢字" + pasteEnd})
		for range rapid.IntRange(1, 40).Draw(t, "keys") {
			press(e, keys.Draw(t, "key"))
			screen, row, column := expected(t, columns, e.line, e.pos)
			if got := p.String(); strings.TrimRight(got, "\n") != strings.TrimRight(screen, "\n") || p.row != row || p.column != column {
				t.Fatalf("%q at %d of %d columns: cursor %d,%d, want %d,%d; on the screen\n%swant\n%s", e.line, e.pos, columns, p.row, p.column, row, column, got, screen)
			}
		}
	})
}

// A log line stands above the line that is edited, and the line as it was.
func TestWhatIsWrittenStandsAboveTheLine(t *testing.T) {
	e, p := editing(t, 10)
	press(e, "你好世界你好\x1b[D")
	fmt.Fprintln(e, "a log line")
	fmt.Fprint(e, "ab")
	press(e, "x")
	if got, want := p.String(), "a log line\nab\n> 你好世界\n你x好\n"; got != want || p.row != 3 || p.column != 3 {
		t.Errorf("cursor %d,%d; on the screen\n%swant\n%s", p.row, p.column, got, want)
	}
	press(e, "\r")
	fmt.Fprint(e, "An answer\nof two")
	if got, want := p.String(), "a log line\nab\n> 你好世界\n你x好\nAn answer\nof two\n"; got != want {
		t.Errorf("on the screen\n%swant\n%s", got, want)
	}
}

// A line that is higher than the screen shows the part with the cursor; sent, all of it stands there.
func TestLineHigherThanTheScreen(t *testing.T) {
	e, p := editing(t, 4)
	e.resize(4, 2)
	press(e, "abcdefghij")
	if got := strings.TrimRight(p.String(), "\n"); got != "ghij" {
		t.Errorf("on a screen of two rows\n%s", got)
	}
	press(e, "\x01")
	if got, want := p.String(), "> ab\ncdef\n"; got != want || p.row != 0 || p.column != 2 {
		t.Errorf("cursor %d,%d; on the screen\n%swant\n%s", p.row, p.column, got, want)
	}
	press(e, "\r")
	if got, want := p.String(), "> ab\ncdef\nghij\n"; got != want || p.row != 3 {
		t.Errorf("cursor in row %d; on the screen\n%swant\n%s", p.row, got, want)
	}
}

// A terminal that becomes narrower breaks the rows anew before it tells its size.
func TestTerminalThatBecomesNarrower(t *testing.T) {
	e, p := editing(t, 12)
	fmt.Fprintln(e, "above")
	press(e, "abcdefghijklmnop")
	p.width, p.rows, p.row, p.column = 6, [][]string{strings.Split("above", ""), strings.Split("> abcd", ""), strings.Split("efghij", ""), strings.Split("klmnop", "")}, 4, 0
	e.resize(6, 24)
	if got, want := strings.TrimRight(p.String(), "\n"), "above\n> abcd\nefghij\nklmnop"; got != want {
		t.Errorf("on the screen\n%s\nwant\n%s", got, want)
	}
}
