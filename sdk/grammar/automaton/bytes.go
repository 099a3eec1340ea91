// bytes.go spells a set of texts out in bytes: as it is, or as the JSON string that holds it.

package automaton

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Bytes is an automaton over bytes. It never changes; from each of its states there is a way to the end. State 0 is the start.
type Bytes struct {
	class  [256]uint8
	width  int
	next   []int32
	accept []bool
	more   []bool  // by state: a byte may follow
	only   []int16 // by state: the one byte that may follow; -1: none, or several
	degree []int16 // by state: how many bytes may follow
	counts int32   // the state in which the next character begins, for those who count; -1: none
}

// Step is the state behind a byte, below 0 if there is none.
func (b *Bytes) Step(state int32, c byte) int32 {
	return b.next[int(state)*b.width+int(b.class[c])]
}

// Accepts says that a text may end in the state.
func (b *Bytes) Accepts(state int32) bool { return b.accept[state] }

// GoesOn says that a byte may follow in the state.
func (b *Bytes) GoesOn(state int32) bool { return b.more[state] }

// Only is the byte that follows in the state if there is but one.
func (b *Bytes) Only(state int32) (c byte, ok bool) { return byte(b.only[state]), b.only[state] >= 0 }

// Bytes is how many bytes may follow in the state.
func (b *Bytes) Bytes(state int32) int { return int(b.degree[state]) }

// Has says that a text is in the set.
func (b *Bytes) Has(text string) bool {
	state := int32(0)
	for i := 0; i < len(text) && state >= 0; i++ {
		state = b.Step(state, text[i])
	}
	return !b.Empty() && state >= 0 && b.accept[state]
}

// Texts is how many texts are in the set, or most if there are more.
func (b *Bytes) Texts(most int) int {
	if b.Empty() {
		return 0
	}
	known := make([]int, len(b.accept)) // and 1; 0: not yet; below 0: under way
	var count func(state int32) int
	count = func(state int32) int {
		switch {
		case known[state] > 0:
			return known[state] - 1
		case known[state] < 0: // it leads to itself, and from there to the end
			return most
		}
		known[state] = -1
		n := 0
		if b.accept[state] {
			n++
		}
		for c := 0; c < 256 && n < most; c++ {
			if to := b.Step(state, byte(c)); to >= 0 {
				n += count(to)
			}
		}
		known[state] = min(n, most) + 1
		return min(n, most)
	}
	return count(0)
}

// Counts says that a character begins with a byte that leads from the state to another. It is known of String alone.
func (b *Bytes) Counts(state int32, c byte) bool { return state == b.counts && c != '"' }

// Counted says that Counts knows.
func (b *Bytes) Counted() bool { return b.counts >= 0 }

// States is the size of the automaton.
func (b *Bytes) States() int { return len(b.accept) }

// Empty says that no text is in the set.
func (b *Bytes) Empty() bool { return len(b.accept) == 0 }

type span struct{ lo, hi byte }

// route is bytes that lead to a state.
type route struct {
	spans []span
	to    int32
}

// Edge is bytes that lead from one state to another.
type Edge struct {
	Lo, Hi byte
	To     int32
}

// Of is the automaton with a row of edges for each state, ascending, and of those in which a text may end. From each there is a way to the end.
func Of(rows [][]Edge, accept []bool) *Bytes {
	s := &speller{rows: rows}
	return s.finish(accept)
}

// Cut marks the first of the bytes from each on which are treated alike.
func (b *Bytes) Cut(first *[257]bool) {
	for c := 1; c < 256; c++ {
		if b.class[c] != b.class[c-1] {
			first[c] = true
		}
	}
}

// speller makes the automaton: first a state for each of the text's, then those within characters.
type speller struct {
	rows  [][]Edge
	known map[string]int32
}

// Plain is the set in UTF-8.
func (t *Text) Plain() (*Bytes, error) {
	s := &speller{known: map[string]int32{}}
	s.rows = make([][]Edge, t.States())
	for state := range int32(t.States()) {
		var routes []route
		t.each(state, func(lo, hi rune, to int32) { routes = appendRunes(routes, lo, hi, to) })
		if err := s.fill(state, routes); err != nil {
			return nil, err
		}
	}
	return s.finish(t.accept), nil
}

// Quoted are the JSON strings that hold the texts. Characters stand for themselves; those that JSON escapes have their shortest escape.
func (t *Text) Quoted() (*Bytes, error) {
	if t.Empty() {
		return t.Plain()
	}
	n := int32(t.States())
	s := &speller{known: map[string]int32{}}
	s.rows = make([][]Edge, n+2)
	s.rows[0] = []Edge{{'"', '"', 1}}
	end, accept := n+1, make([]bool, n+2)
	accept[end] = true
	for state := range n {
		var routes []route
		t.each(state, func(lo, hi rune, to int32) { routes = appendQuoted(routes, lo, hi, to+1) })
		if t.accept[state] {
			routes = append(routes, route{[]span{{'"', '"'}}, end})
		}
		if err := s.fill(state+1, routes); err != nil {
			return nil, err
		}
	}
	return s.finish(accept), nil
}

// each goes through the characters that lead on from a state, neighbours with one aim together.
func (t *Text) each(state int32, f func(lo, hi rune, to int32)) {
	row := t.row(state)
	for class := 0; class < len(row); {
		last := class
		for last+1 < len(row) && row[last+1] == row[class] {
			last++
		}
		if row[class] != dead {
			f(t.bounds[class], t.bounds[last+1]-1, row[class])
		}
		class = last + 1
	}
}

// fill makes the edges of a state from what may follow it, of which none is the beginning of another.
func (s *speller) fill(state int32, routes []route) error {
	var bounds []int
	for _, r := range routes {
		bounds = append(bounds, int(r.spans[0].lo), int(r.spans[0].hi)+1)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	for i := 0; i+1 < len(bounds); i++ {
		lo, hi := byte(bounds[i]), byte(bounds[i+1]-1)
		var rest []route
		for _, r := range routes {
			if r.spans[0].lo <= lo && hi <= r.spans[0].hi {
				rest = append(rest, route{r.spans[1:], r.to})
			}
		}
		if len(rest) == 0 {
			continue
		}
		to, err := s.state(rest)
		if err != nil {
			return err
		}
		if n := len(s.rows[state]); n > 0 && s.rows[state][n-1].To == to && s.rows[state][n-1].Hi == lo-1 {
			s.rows[state][n-1].Hi = hi
		} else {
			s.rows[state] = append(s.rows[state], Edge{lo, hi, to})
		}
	}
	return nil
}

func (s *speller) state(routes []route) (int32, error) {
	if len(routes[0].spans) == 0 {
		return routes[0].to, nil
	}
	var key []byte
	for _, r := range routes {
		for _, sp := range r.spans {
			key = append(key, sp.lo, sp.hi)
		}
		key = append(binary.LittleEndian.AppendUint32(append(key, 0xff, 0), uint32(r.to)), byte(len(r.spans)))
	}
	if id, known := s.known[string(key)]; known {
		return id, nil
	}
	if len(s.rows) >= 8*MaxStates {
		return 0, ErrSize
	}
	id := int32(len(s.rows))
	s.known[string(key)] = id
	s.rows = append(s.rows, nil)
	return id, s.fill(id, routes)
}

// finish makes the table: bytes that lead to the same everywhere share a column.
func (s *speller) finish(accept []bool) *Bytes {
	b := &Bytes{counts: -1, accept: make([]bool, len(s.rows)), more: make([]bool, len(s.rows)), only: make([]int16, len(s.rows)), degree: make([]int16, len(s.rows))}
	copy(b.accept, accept)
	var starts [257]bool
	for _, row := range s.rows {
		for _, e := range row {
			starts[e.Lo], starts[int(e.Hi)+1] = true, true
		}
	}
	class := 0
	for c := range 256 {
		if c > 0 && starts[c] {
			class++
		}
		b.class[c] = uint8(class)
	}
	b.width = class + 1
	b.next = slices.Repeat([]int32{dead}, b.width*len(s.rows))
	for state, row := range s.rows {
		b.more[state], b.only[state] = len(row) > 0, -1
		if len(row) == 1 && row[0].Lo == row[0].Hi {
			b.only[state] = int16(row[0].Lo)
		}
		for _, e := range row {
			b.degree[state] += int16(e.Hi) - int16(e.Lo) + 1
			for c := int(b.class[e.Lo]); c <= int(b.class[e.Hi]); c++ {
				b.next[state*b.width+c] = e.To
			}
		}
	}
	return b
}

// appendQuoted adds what characters are in a JSON string.
func appendQuoted(routes []route, lo, hi rune, to int32) []route {
	for r := lo; r <= min(hi, '\\'); r++ {
		if r >= ' ' && r != '"' && r != '\\' {
			continue
		}
		routes = append(routes, route{literal(escape(r)), to})
	}
	for _, plain := range [][2]rune{{' ', '!'}, {'#', '['}, {']', utf8.MaxRune}} {
		if from, end := max(lo, plain[0]), min(hi, plain[1]); from <= end {
			routes = appendRunes(routes, from, end, to)
		}
	}
	return routes
}

func escape(r rune) string {
	switch r {
	case '"', '\\':
		return `\` + string(r)
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func literal(s string) []span {
	out := make([]span, len(s))
	for i := range out {
		out[i] = span{s[i], s[i]}
	}
	return out
}

// appendRunes adds the UTF-8 of a range of characters. Halves of surrogate pairs are no characters.
func appendRunes(routes []route, lo, hi rune, to int32) []route {
	for _, part := range [][2]rune{{0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, utf8.MaxRune}} {
		if from, end := max(lo, part[0]), min(hi, part[1]); from <= end {
			routes = appendEven(routes, from, end, to)
		}
	}
	return routes
}

// appendEven adds a range whose characters have equally many bytes. It is cut until every byte but the first ones has all values that
// follow another.
func appendEven(routes []route, lo, hi rune, to int32) []route {
	for shift := 6; shift <= 18; shift += 6 {
		mask := rune(1)<<shift - 1
		if lo&^mask == hi&^mask {
			break
		}
		if lo&mask != 0 {
			routes = appendEven(routes, lo, lo|mask, to)
			return appendEven(routes, (lo|mask)+1, hi, to)
		}
		if hi&mask != mask {
			routes = appendEven(routes, lo, hi&^mask-1, to)
			return appendEven(routes, hi&^mask, hi, to)
		}
	}
	var from, end [utf8.UTFMax]byte
	n := utf8.EncodeRune(from[:], lo)
	utf8.EncodeRune(end[:], hi)
	spans := make([]span, n)
	for i := range spans {
		spans[i] = span{from[i], end[i]}
	}
	return append(routes, route{spans, to})
}

// freeString are all JSON strings, with every escape that JSON has. Halves of surrogate pairs come in pairs.
const freeString = `"([^"\\\x00-\x1f]|\\(["\\/bfnrt]|u([0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|` +
	`[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})))*"`

// String is the automaton of all JSON strings. It tells where characters begin.
func String() (*Bytes, error) {
	t, err := Match(freeString)
	if err != nil {
		return nil, err
	}
	b, err := t.Plain()
	if err != nil {
		return nil, err
	}
	b.counts = b.Step(0, '"')
	return b, nil
}
