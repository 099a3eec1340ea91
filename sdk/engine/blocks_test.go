package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainTable is what a block table is, without its speed: what each block holds is the list of all ids up to its end.
type plainTable struct {
	refs  []int
	holds [][]int32 // nil: nothing another prompt could want
	free  []int32   // the next to be taken first
}

func (p *plainTable) take() int32 {
	b := p.free[0]
	p.acquire(b)
	p.holds[b] = nil
	return b
}

func (p *plainTable) acquire(b int32) {
	if p.refs[b] == 0 {
		p.free = slices.DeleteFunc(p.free, func(f int32) bool { return f == b })
	}
	p.refs[b]++
}

func (p *plainTable) release(table []int32) {
	for _, b := range slices.Backward(table) {
		p.refs[b]--
		switch {
		case p.refs[b] > 0:
		case p.holds[b] != nil:
			p.free = append(p.free, b)
		default:
			p.free = slices.Insert(p.free, 0, b)
		}
	}
}

func (p *plainTable) find(ids []int32) (table []int32) {
	for n := BlockSize; n <= len(ids); n += BlockSize {
		b := slices.IndexFunc(p.holds, func(h []int32) bool { return slices.Equal(h, ids[:n]) })
		if b < 0 {
			break
		}
		p.acquire(int32(b))
		table = append(table, int32(b))
	}
	return table
}

// Sequences come with prompts that share beginnings, take blocks, publish them, and go.
func TestBlockTableEqualsPlainOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "blocks")
		fast, plain := newBlockTable(n), &plainTable{refs: make([]int, n), holds: make([][]int32, n)}
		for b := range n {
			plain.free = append(plain.free, int32(b))
		}
		var tables [][]int32
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				var prompt []int32
				for range rapid.IntRange(0, 4).Draw(t, "prompt blocks") {
					prompt = append(prompt, slices.Repeat([]int32{rapid.Int32Range(0, 1).Draw(t, "id")}, BlockSize)...)
				}
				table, at := fast.find(prompt, nil)
				if want := plain.find(prompt); !slices.Equal(table, want) {
					t.Fatalf("found %v, want %v", table, want)
				}
				for published := len(table); fast.freeSize > 0 && len(table)*BlockSize < len(prompt)+BlockSize; {
					b := fast.take()
					if want := plain.take(); b != want {
						t.Fatalf("took block %d, want %d", b, want)
					}
					table = append(table, b)
					if end := (published + 1) * BlockSize; end <= len(prompt) {
						at = fast.publish(b, at, prompt[end-BlockSize:end])
						if !slices.ContainsFunc(plain.holds, func(h []int32) bool { return slices.Equal(h, prompt[:end]) }) {
							plain.holds[b] = prompt[:end]
						}
						published++
					}
				}
				tables = append(tables, table)
			},
			"go": func(t *rapid.T) {
				if len(tables) == 0 {
					return // nobody is there
				}
				i := rapid.IntRange(0, len(tables)-1).Draw(t, "who")
				fast.release(tables[i])
				plain.release(tables[i])
				tables = slices.Delete(tables, i, i+1)
			},
			"": func(t *rapid.T) {
				for b, refs := range plain.refs {
					if int(fast.refs[b]) != refs {
						t.Fatalf("block %d has %d references, want %d", b, fast.refs[b], refs)
					}
				}
				if fast.freeSize != len(plain.free) || fast.used() != n-len(plain.free) {
					t.Fatalf("%d blocks free, want %d", fast.freeSize, len(plain.free))
				}
			},
		})
	})
}
