// pattern.go reads patterns: JSON Schema's, which are ECMA 262's and may match anywhere, and Go's, which must match the whole.

package automaton

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxPattern bounds a pattern, in bytes; maxInstructions what it is compiled to, in which repetitions are written out.
const (
	maxPattern      = 1 << 14
	maxInstructions = 1 << 15
)

// Search are the texts in which an ECMA 262 pattern matches somewhere. Look-around, back references and word boundaries are refused.
func Search(pattern string) (*Text, error) {
	goes, err := fromECMA(pattern)
	if err != nil {
		return nil, err
	}
	re, err := parse(goes)
	if err != nil {
		return nil, err
	}
	return compile(re, true)
}

// Match are the texts that a pattern of package regexp matches as a whole.
func Match(pattern string) (*Text, error) {
	re, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	return compile(re, false)
}

// MatchTree is Match of a pattern that is parsed already.
func MatchTree(re *syntax.Regexp) (*Text, error) { return compile(re, false) }

func parse(pattern string) (*syntax.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, ErrSize
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		var said *syntax.Error
		if errors.As(err, &said) {
			return nil, fmt.Errorf("%s: %.60q", said.Code, said.Expr)
		}
		return nil, err
	}
	return re, nil
}

// What \s is in ECMA 262, as the inside of a class, and what it is not.
const (
	ecmaSpace    = `\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	ecmaNotSpace = `\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}` +
		`\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
)

// fromECMA writes a pattern as package regexp has it.
func fromECMA(pattern string) (string, error) {
	var out strings.Builder
	class := false
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\\':
			n, text, err := ecmaEscape(pattern[i:], class)
			if err != nil {
				return "", err
			}
			out.WriteString(text)
			i += n
			continue
		case class:
			class = c != ']'
			if c == '[' { // no class of a class
				out.WriteByte('\\')
			}
		case strings.HasPrefix(pattern[i:], "[^]"):
			out.WriteString(`(?s:.)`)
			i += 3
			continue
		case c == '[':
			class = true
		case c == '.':
			out.WriteString(`[^\n\r\x{2028}\x{2029}]`)
			i++
			continue
		}
		out.WriteByte(c)
		i++
	}
	return out.String(), nil
}

// ecmaEscape reads what begins with a backslash: how long it is, and how package regexp has it.
func ecmaEscape(s string, class bool) (n int, text string, err error) {
	if len(s) < 2 {
		return 0, "", errors.New(`trailing \`)
	}
	switch c := s[1]; {
	case c == 's' && class:
		return 2, ecmaSpace, nil
	case c == 's':
		return 2, "[" + ecmaSpace + "]", nil
	case c == 'S' && class:
		return 2, ecmaNotSpace, nil
	case c == 'S':
		return 2, "[" + ecmaNotSpace + "]", nil
	case c == 'u':
		return ecmaUnicode(s)
	case c == 'c' && len(s) > 2 && unicode.IsLetter(rune(s[2])):
		return 3, fmt.Sprintf(`\x{%x}`, s[2]&31), nil
	case c == '0' && (len(s) == 2 || s[2] < '0' || s[2] > '9'):
		return 2, `\x00`, nil
	case c == 'b' && class:
		return 2, `\x08`, nil
	case strings.IndexByte("dDwWtnvfrpPx", c) >= 0 || c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' || c > 'z':
		return 2, s[:2], nil // the same in both
	}
	return 0, "", fmt.Errorf("escape %.2q is not supported", s)
}

func ecmaUnicode(s string) (int, string, error) {
	if rest, braces := strings.CutPrefix(s, `\u{`); braces {
		digits, _, closed := strings.Cut(rest, "}")
		if !closed || len(digits) > 6 {
			return 0, "", fmt.Errorf("invalid escape %.8q", s)
		}
		return len(digits) + 4, `\x{` + digits + `}`, nil
	}
	unit := func(s string) (rune, bool) {
		if len(s) < 6 || s[:2] != `\u` {
			return 0, false
		}
		v, err := strconv.ParseUint(s[2:6], 16, 16)
		return rune(v), err == nil
	}
	r, ok := unit(s)
	if !ok {
		return 0, "", fmt.Errorf("invalid escape %.6q", s)
	}
	if !utf16.IsSurrogate(r) {
		return 6, fmt.Sprintf(`\x{%x}`, r), nil
	}
	low, _ := unit(s[6:])
	if whole := utf16.DecodeRune(r, low); whole != unicode.ReplacementChar {
		return 12, fmt.Sprintf(`\x{%x}`, whole), nil
	}
	return 0, "", fmt.Errorf("half a character, %.6q", s)
}

// nfa is a compiled pattern, of which sets of instructions are the states.
type nfa struct {
	insts  []syntax.Inst
	ranges [][]rune // pairs, by instruction that reads a character
	start  uint32
	search bool
}

// matched stands in a set for "a match was found, and the rest is free".
const matched = ^uint32(0)

func compile(re *syntax.Regexp, search bool) (*Text, error) {
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxInstructions {
		return nil, ErrSize
	}
	n := &nfa{insts: prog.Inst, ranges: make([][]rune, len(prog.Inst)), start: uint32(prog.Start), search: search}
	bounds := []rune{0, endRune}
	for i := range n.insts {
		in := &n.insts[i]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			n.ranges[i] = rangesOf(in)
			for at, r := range n.ranges[i] {
				bounds = append(bounds, r+rune(at&1)) // the upper ones are inclusive
			}
		case syntax.InstEmptyWidth:
			if op := syntax.EmptyOp(in.Arg); op&^(syntax.EmptyBeginText|syntax.EmptyEndText) != 0 {
				return nil, errors.New(`word boundaries (\b) and anchors of lines are not supported`)
			}
		}
	}
	return n.determine(merge(bounds, nil))
}

// rangesOf are the characters that an instruction reads, as pairs of the first and the last.
func rangesOf(in *syntax.Inst) []rune {
	switch in.Op {
	case syntax.InstRuneAny:
		return []rune{0, endRune - 1}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, endRune - 1}
	}
	if len(in.Rune) > 1 {
		return in.Rune
	}
	r := in.Rune[0]
	out := []rune{r, r}
	if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			out = append(out, f, f)
		}
	}
	return out
}

// determine makes states of the sets of instructions that can be reached.
func (n *nfa) determine(bounds []rune) (*Text, error) {
	t := &Text{bounds: bounds}
	ids := map[string]int32{}
	var sets [][]uint32
	add := func(set []uint32) int32 {
		if len(set) == 0 {
			return dead
		}
		key := string(appendSet(nil, set))
		id, known := ids[key]
		if !known {
			id = int32(len(sets))
			ids[key] = id
			sets = append(sets, set)
		}
		return id
	}
	// it is no other set's state: it alone is at the beginning of the text
	sets = append(sets, n.closure([]uint32{n.start}, syntax.EmptyBeginText))
	work, same := 0, n.alike(bounds)
	for i := 0; i < len(sets); i++ {
		set, end := sets[i], syntax.EmptyEndText
		if i == 0 {
			end |= syntax.EmptyBeginText
		}
		t.accept = append(t.accept, slices.ContainsFunc(n.closure(set, end), func(pc uint32) bool { return pc == matched || n.insts[pc].Op == syntax.InstMatch }))
		row := len(t.next)
		for class, first := range same {
			if first < class {
				t.next = append(t.next, t.next[row+first])
			} else {
				t.next = append(t.next, add(n.step(set, bounds[class])))
			}
		}
		work += len(set) * t.classes()
		if len(sets) > MaxStates || len(t.next) > maxCells || work > 1<<25 {
			return nil, ErrSize
		}
	}
	return t.trim(), nil
}

// alike gives for each class the first one that the same instructions read.
func (n *nfa) alike(bounds []rune) []int {
	readers := make([][]byte, len(bounds)-1)
	for pc, list := range n.ranges {
		for i := 0; i < len(list); i += 2 {
			from, _ := slices.BinarySearch(bounds, list[i])
			for class := from; bounds[class] <= list[i+1]; class++ {
				readers[class] = append(readers[class], byte(pc), byte(pc>>8), byte(pc>>16))
			}
		}
	}
	same, first := make([]int, len(readers)), map[string]int{}
	for class, key := range readers {
		at, known := first[string(key)]
		if !known {
			at = class
			first[string(key)] = class
		}
		same[class] = at
	}
	return same
}

func appendSet(key []byte, set []uint32) []byte {
	for _, pc := range set {
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	return key
}

// step is the set behind a character.
func (n *nfa) step(set []uint32, r rune) []uint32 {
	var to []uint32
	for _, pc := range set {
		if pc == matched {
			return []uint32{matched}
		}
		list := n.ranges[pc]
		for i := 0; i < len(list); i += 2 {
			if list[i] <= r && r <= list[i+1] {
				to = append(to, n.insts[pc].Out)
				break
			}
		}
	}
	if n.search {
		to = append(to, n.start)
	}
	return n.closure(to, 0)
}

// closure are the instructions that are reached without a character, those that read one and those that wait for the text's end.
func (n *nfa) closure(from []uint32, holds syntax.EmptyOp) []uint32 {
	seen, list := map[uint32]bool{}, slices.Clone(from)
	var out []uint32
	for len(list) > 0 {
		pc := list[len(list)-1]
		list = list[:len(list)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		if pc == matched {
			return []uint32{matched}
		}
		in := &n.insts[pc]
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			list = append(list, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			list = append(list, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^holds == 0 {
				list = append(list, in.Out)
			} else if syntax.EmptyOp(in.Arg) == syntax.EmptyEndText {
				out = append(out, pc)
			}
		case syntax.InstMatch:
			if n.search {
				return []uint32{matched}
			}
			out = append(out, pc)
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	slices.Sort(out)
	return out
}
