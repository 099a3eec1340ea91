// text.go is a set of texts as an automaton over characters, and what can be done with such sets.

package automaton

import (
	"errors"
	"slices"
	"unicode/utf8"
)

// MaxStates bounds an automaton, maxCells its table.
const (
	MaxStates = 1 << 14
	maxCells  = 1 << 21
)

// ErrSize says that an automaton would have more than MaxStates states, or more different characters than a table has room for.
var ErrSize = errors.New("it needs too large an automaton")

const dead = -1

// Text is a set of texts. It never changes. State 0 is the start, and from every state there is a way to the end of a text; without states
// the set is empty.
type Text struct {
	bounds []rune  // class i of characters is [bounds[i], bounds[i+1])
	next   []int32 // by state and class; dead: no text goes on so
	accept []bool
}

const endRune = utf8.MaxRune + 1

func (t *Text) classes() int { return len(t.bounds) - 1 }

func (t *Text) row(state int32) []int32 {
	n := t.classes()
	return t.next[int(state)*n : int(state+1)*n]
}

// Empty says that there is no text in the set.
func (t *Text) Empty() bool { return len(t.accept) == 0 }

// States is the size of the automaton.
func (t *Text) States() int { return len(t.accept) }

// Has says whether a text is in the set.
func (t *Text) Has(text string) bool {
	if t.Empty() {
		return false
	}
	state := int32(0)
	for _, r := range text {
		class, exact := slices.BinarySearch(t.bounds, r)
		if !exact {
			class--
		}
		if state = t.row(state)[class]; state == dead {
			return false
		}
	}
	return t.accept[state]
}

// And are the texts in both sets.
func (t *Text) And(o *Text) (*Text, error) {
	return product(t, o, func(a, b bool) bool { return a && b }, func(a, b int32) bool { return a != dead && b != dead })
}

// Or are the texts in either.
func (t *Text) Or(o *Text) (*Text, error) {
	return product(t, o, func(a, b bool) bool { return a || b }, func(a, b int32) bool { return a != dead || b != dead })
}

// Without are the texts of t that are not in o.
func (t *Text) Without(o *Text) (*Text, error) {
	return product(t, o, func(a, b bool) bool { return a && !b }, func(a, _ int32) bool { return a != dead })
}

// product walks two automata at once. alive tells from a pair of states if it can lead anywhere.
func product(a, b *Text, accept func(a, b bool) bool, alive func(a, b int32) bool) (*Text, error) {
	type pair struct{ a, b int32 }
	begin := pair{0, 0}
	if a.Empty() {
		begin.a = dead
	}
	if b.Empty() {
		begin.b = dead
	}
	if !alive(begin.a, begin.b) {
		return none(), nil
	}
	t := &Text{bounds: merge(a.bounds, b.bounds)}
	classesA, classesB := within(t.bounds, a.bounds), within(t.bounds, b.bounds)
	ids, list := map[pair]int32{begin: 0}, []pair{begin}
	for i := 0; i < len(list); i++ {
		at := list[i]
		t.accept = append(t.accept, accept(at.a != dead && a.accept[at.a], at.b != dead && b.accept[at.b]))
		for class := range t.classes() {
			to := pair{dead, dead}
			if at.a != dead {
				to.a = a.row(at.a)[classesA[class]]
			}
			if at.b != dead {
				to.b = b.row(at.b)[classesB[class]]
			}
			if !alive(to.a, to.b) {
				t.next = append(t.next, dead)
				continue
			}
			id, known := ids[to]
			if !known {
				id = int32(len(list))
				ids[to], list = id, append(list, to)
			}
			t.next = append(t.next, id)
		}
		if len(list) > MaxStates || len(t.next) > maxCells {
			return nil, ErrSize
		}
	}
	return t.trim(), nil
}

func none() *Text { return &Text{bounds: []rune{0, endRune}} }

// merge joins two lists of bounds.
func merge(a, b []rune) []rune {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// within gives for each class of the finer bounds the class of the coarser that holds it.
func within(fine, coarse []rune) []int {
	out, at := make([]int, len(fine)-1), 0
	for i := range out {
		for coarse[at+1] <= fine[i] {
			at++
		}
		out[i] = at
	}
	return out
}

// trim drops the states from which no text ends.
func (t *Text) trim() *Text {
	n := len(t.accept)
	from := make([][]int32, n)
	for s := range int32(n) {
		for _, to := range t.row(s) {
			if to != dead && (len(from[to]) == 0 || from[to][len(from[to])-1] != s) {
				from[to] = append(from[to], s)
			}
		}
	}
	useful, list := make([]bool, n), []int32(nil)
	for s, ends := range t.accept {
		if ends {
			useful[s], list = true, append(list, int32(s))
		}
	}
	for len(list) > 0 {
		s := list[len(list)-1]
		list = list[:len(list)-1]
		for _, f := range from[s] {
			if !useful[f] {
				useful[f], list = true, append(list, f)
			}
		}
	}
	if n == 0 || !useful[0] {
		return none()
	}
	number, count := make([]int32, n), int32(0)
	for s := range number {
		number[s] = dead
		if useful[s] {
			number[s] = count
			count++
		}
	}
	out := &Text{bounds: t.bounds, next: make([]int32, 0, int(count)*t.classes())}
	for s := range int32(n) {
		if !useful[s] {
			continue
		}
		out.accept = append(out.accept, t.accept[s])
		for _, to := range t.row(s) {
			if to != dead {
				to = number[to]
			}
			out.next = append(out.next, to)
		}
	}
	return out
}

// build makes an automaton of a function over states of any kind and the characters that it knows.
func build[S comparable](begin S, symbols string, step func(S, rune) (S, bool), accept func(S) bool) (*Text, error) {
	t, class := &Text{bounds: []rune{0, endRune}}, map[rune]int{}
	for _, r := range symbols {
		t.bounds = merge(t.bounds, []rune{r, r + 1})
	}
	for i, r := range t.bounds {
		class[r] = i
	}
	ids, list := map[S]int32{begin: 0}, []S{begin}
	for i := 0; i < len(list); i++ {
		t.accept = append(t.accept, accept(list[i]))
		row := slices.Repeat([]int32{dead}, t.classes())
		for _, r := range symbols {
			to, ok := step(list[i], r)
			if !ok {
				continue
			}
			id, known := ids[to]
			if !known {
				id = int32(len(list))
				ids[to], list = id, append(list, to)
			}
			row[class[r]] = id
		}
		t.next = append(t.next, row...)
		if len(list) > MaxStates || len(t.next) > maxCells {
			return nil, ErrSize
		}
	}
	return t.trim(), nil
}

// Length are the texts of at least least and at most most characters; most below 0 is no bound.
func Length(least, most int) (*Text, error) {
	n := max(least, most+1)
	if n >= MaxStates {
		return nil, ErrSize
	}
	t := &Text{bounds: []rune{0, endRune}}
	for i := range n + 1 {
		to := int32(i + 1)
		if i == n && most < 0 {
			to = int32(i)
		} else if i == n || most >= 0 && i >= most {
			to = dead
		}
		t.next = append(t.next, to)
		t.accept = append(t.accept, i >= least && (most < 0 || i <= most))
	}
	return t.trim(), nil
}

// Words are the texts given.
func Words(words ...string) (*Text, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(words)))
	t := &Text{bounds: []rune{0, endRune}}
	var all []rune
	for _, w := range sorted {
		for _, r := range w {
			all = append(all, r, r+1)
		}
	}
	t.bounds = merge(t.bounds, all)
	n := t.classes()
	add := func() (int32, error) {
		if len(t.accept) >= MaxStates || len(t.next)+n > maxCells {
			return 0, ErrSize
		}
		t.accept = append(t.accept, false)
		t.next = append(t.next, slices.Repeat([]int32{dead}, n)...)
		return int32(len(t.accept) - 1), nil
	}
	if len(sorted) == 0 {
		return none(), nil
	}
	if _, err := add(); err != nil {
		return nil, err
	}
	for _, w := range sorted {
		state := int32(0)
		for _, r := range w {
			class, _ := slices.BinarySearch(t.bounds, r)
			to := t.row(state)[class]
			if to == dead {
				var err error
				if to, err = add(); err != nil {
					return nil, err
				}
				t.row(state)[class] = to
			}
			state = to
		}
		t.accept[state] = true
	}
	return t, nil
}
