// flat.go makes one automaton of an expression without recursion: what is told apart by its bytes (Unlike) is a set of an automaton.

package grammar

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// MaxFlat bounds the states of such an automaton.
const MaxFlat = 1 << 12

// ErrNotFlat says that an expression is not known to be a set of an automaton.
var ErrNotFlat = errors.New("it is within itself, has tokens, or is plainly too large for one automaton")

// Flat is the automaton that reads the texts of an expression. One that would be too large is automaton.ErrSize.
func (e *Expr) Flat() (*automaton.Bytes, error) {
	p := flatness{under: map[*Rule]bool{}, done: map[*Rule]bool{}}
	if !p.flat(e) {
		return nil, ErrNotFlat
	}
	g, err := e.Compile()
	if err != nil {
		return nil, err
	}
	f := &flattener{guide: g.Over(&Vocabulary{}, nil), items: map[item]uint32{}, known: map[string]int32{}}
	f.letters()
	var start reached
	start.join(f.guide.reach(spot{g.start, nil}))
	f.state(&start)
	for at := 0; at < len(f.states); at++ {
		if len(f.states) > MaxFlat {
			return nil, automaton.ErrSize
		}
		f.rows = append(f.rows, f.row(f.states[at].items))
	}
	accept := make([]bool, len(f.states))
	for i := range f.states {
		accept[i] = f.states[i].done
	}
	return automaton.Of(f.rows, accept), nil
}

// flatness looks at an expression before anything is made of it.
type flatness struct {
	under, done map[*Rule]bool
	states      int // of its parts, each counted once
}

// flat says that no rule leads to itself, that all that is read is bytes, and that the parts have no more states than the whole may have.
func (p *flatness) flat(e *Expr) bool {
	p.states++
	if e.set != nil {
		p.states += e.set.States()
	}
	if p.states > MaxFlat {
		return false
	}
	switch e.op {
	case opToken, opUnlike:
		return false
	case opRule:
		if p.done[e.rule] {
			return true
		}
		if p.under[e.rule] || e.rule.Body == nil {
			return false
		}
		p.under[e.rule] = true
		p.done[e.rule] = p.flat(e.rule.Body)
		delete(p.under, e.rule)
		return p.done[e.rule]
	}
	return !slices.ContainsFunc(e.parts, func(part *Expr) bool { return !p.flat(part) })
}

// flattener goes from one set of items to the next with each kind of byte.
type flattener struct {
	guide  *Guide
	first  []byte // the first of the bytes that all automata and literals treat alike, ascending
	items  map[item]uint32
	known  map[string]int32
	states []reached
	rows   [][]automaton.Edge
}

// letters finds the bytes that need not be told apart.
func (f *flattener) letters() {
	var cut [257]bool
	cut[0] = true
	for i := range f.guide.grammar.nodes {
		n := &f.guide.grammar.nodes[i]
		for k := range len(n.text) {
			cut[n.text[k]], cut[int(n.text[k])+1] = true, true
		}
		if n.set != nil {
			n.set.Cut(&cut)
		}
	}
	for c := range 256 {
		if cut[c] {
			f.first = append(f.first, byte(c))
		}
	}
}

// state is the number of what is reached.
func (f *flattener) state(r *reached) int32 {
	ids := make([]uint32, len(r.items))
	for i, it := range r.items {
		if _, known := f.items[it]; !known {
			f.items[it] = uint32(len(f.items))
		}
		ids[i] = f.items[it]
	}
	slices.Sort(ids)
	key := []byte{0}
	if r.done {
		key[0] = 1
	}
	for _, id := range ids {
		key = binary.LittleEndian.AppendUint32(key, id)
	}
	if at, known := f.known[string(key)]; known {
		return at
	}
	at := int32(len(f.states))
	f.known[string(key)] = at
	f.states = append(f.states, r.clone())
	return at
}

// row is where the bytes lead, neighbours with one aim together.
func (f *flattener) row(items []item) (row []automaton.Edge) {
	var next reached
	for i, c := range f.first {
		last := byte(255)
		if i+1 < len(f.first) {
			last = f.first[i+1] - 1
		}
		f.guide.step(items, c, &next)
		if len(next.items) == 0 && !next.done {
			continue
		}
		to := f.state(&next)
		if n := len(row); n > 0 && row[n-1].To == to && row[n-1].Hi == c-1 {
			row[n-1].Hi = last
		} else {
			row = append(row, automaton.Edge{Lo: c, Hi: last, To: to})
		}
	}
	return row
}
