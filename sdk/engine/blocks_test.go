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
	empty []int32   // the next to be taken first
	kept  []int32
	keep  int
}

func (p *plainTable) take() int32 {
	if len(p.empty) == 0 {
		p.giveUp()
	}
	b := p.empty[0]
	p.acquire(b)
	return b
}

func (p *plainTable) giveUp() {
	b := p.kept[0]
	p.kept = p.kept[1:]
	p.holds[b] = nil
	p.empty = slices.Insert(p.empty, 0, b)
}

func (p *plainTable) acquire(b int32) {
	if p.refs[b] == 0 {
		is := func(f int32) bool { return f == b }
		p.empty, p.kept = slices.DeleteFunc(p.empty, is), slices.DeleteFunc(p.kept, is)
	}
	p.refs[b]++
}

func (p *plainTable) release(table []int32) {
	for _, b := range slices.Backward(table) {
		p.refs[b]--
		switch {
		case p.refs[b] > 0:
		case p.holds[b] != nil:
			p.kept = append(p.kept, b)
		default:
			p.empty = slices.Insert(p.empty, 0, b)
		}
	}
	for len(p.kept) > p.keep {
		p.giveUp()
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
		keep := rapid.IntRange(0, n).Draw(t, "keep")
		fast, plain := newBlockTable(n, keep), &plainTable{refs: make([]int, n), holds: make([][]int32, n), keep: keep}
		for b := range n {
			plain.empty = append(plain.empty, int32(b))
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
				if free := len(plain.empty) + len(plain.kept); fast.freeSize != free || fast.used() != n-free || fast.keptSize != len(plain.kept) {
					t.Fatalf("%d blocks free and %d of them kept, want %d and %d", fast.freeSize, fast.keptSize, free, len(plain.kept))
				}
			},
		})
	})
}

// Memory that was never written is taken last, so that requests that come one after the other write the same few blocks again and what
// is kept stays within its size.
func TestFreedBlocksAreTakenBeforeUntouchedOnes(t *testing.T) {
	const keep = 4
	b := newBlockTable(100, keep)
	touched := map[int32]bool{}
	for n := range 50 {
		var table []int32
		at := content(0)
		for i := range 3 {
			block := b.take()
			touched[block] = true
			table = append(table, block)
			if i < 2 {
				at = b.publish(block, at, ids(BlockSize, uint64(100*n+i)))
			}
		}
		b.release(table)
	}
	if len(touched) > keep+3 {
		t.Errorf("%d blocks were written by requests of 3 that came one by one while %d were kept", len(touched), keep)
	}
	if b.keptSize != keep || b.thrown != 2*50-keep {
		t.Errorf("%d are kept and %d were given up", b.keptSize, b.thrown)
	}
}

// A sweep names what was written and holds nothing, once.
func TestASweepNamesWhatHoldsNothing(t *testing.T) {
	b := newBlockTable(10, 10)
	table := []int32{b.take(), b.take(), b.take()}
	b.publish(table[0], 0, ids(BlockSize, 1))
	used := b.take()
	b.release(table)
	got := b.sweep(false)
	slices.Sort(got)
	if want := table[1:]; !slices.Equal(got, want) {
		t.Errorf("swept were %v, want %v", got, want)
	}
	if got := b.sweep(false); len(got) != 0 {
		t.Errorf("swept again were %v", got)
	}
	if got := b.sweep(true); !slices.Equal(got, table[:1]) {
		t.Errorf("of all that is kept swept were %v, want %v", got, table[:1])
	}
	if found, _ := b.find(ids(BlockSize, 1), nil); len(found) != 0 {
		t.Errorf("%v is found after it was given back", found)
	}
	b.release([]int32{used})
}
