// profile.go knows what all tokens do to an automaton in one state, whatever stands around it.

package grammar

// profile tells the tokens apart that stay within the automaton from those that go beyond its end.
type profile struct {
	all   set    // tokens that the automaton reads to their end, however many characters they have
	exits []exit // places behind which tokens may go on with what follows the automaton
	// Of an automaton that counts:
	upTo    []set  // by number: the tokens within it that begin at most so many characters
	longer  []exit // further tokens within it, by the characters they begin
	closers []exit // places where the text ends
	most    int32  // characters that a token begins
}

// exit is a node of the trie, and how many characters begin on the way to it.
type exit struct{ at, count int32 }

// set is tokens, as bits or, if they are few, as a list.
type set struct {
	bits []uint32
	ids  []int32
}

// few is how many tokens are kept as a list.
const few = 512

// newSet keeps a mask in which so many tokens are.
func newSet(mask []uint32, tokens int) set {
	if tokens > few {
		return set{bits: mask}
	}
	ids := make([]int32, 0, tokens)
	for w, bits := range mask {
		for ; bits != 0; bits &= bits - 1 {
			ids = append(ids, int32(w*32+trailing(bits)))
		}
	}
	return set{ids: ids}
}

func setOf(ids []int32, words int) set {
	mask := make([]uint32, words)
	for _, id := range ids {
		mask[id>>5] |= 1 << (id & 31)
	}
	return newSet(mask, len(ids))
}

func (s *set) into(mask []uint32) {
	for i, w := range s.bits {
		mask[i] |= w
	}
	for _, id := range s.ids {
		mask[id>>5] |= 1 << (id & 31)
	}
}

func (s *set) size() int { return 4 * (len(s.bits) + len(s.ids)) }

func (p *profile) size() int {
	n := 256 + p.all.size() + 8*(len(p.exits)+len(p.longer)+len(p.closers))
	for i := range p.upTo {
		n += p.upTo[i].size()
	}
	return n
}

// separate is up to how many characters the tokens are kept as sets; hardly any have more.
const separate = 16

// walk makes a profile.
func (v *Vocabulary) walk(from place) *profile {
	p := &profile{}
	states, counts := make([]int32, v.longest+1), make([]int32, v.longest+1)
	states[0] = from.state
	auto, counted := from.set, from.set.Counted()
	all, tokens := make([]uint32, v.words), 0
	var inside [separate + 1][]int32
	for i := int32(1); i < int32(len(v.trie)); {
		n := &v.trie[i]
		before := states[n.depth-1]
		state := auto.Step(before, n.last)
		if state < 0 {
			i = n.end
			continue
		}
		count := counts[n.depth-1]
		if counted && auto.Counts(before, n.last) {
			count++
		}
		states[n.depth], counts[n.depth] = state, count
		ends := auto.Accepts(state)
		if ends && !v.leaf(i) {
			p.exits = append(p.exits, exit{i, count})
		}
		if n.here > 0 {
			ids := v.ids(n)
			tokens += len(ids)
			for _, id := range ids {
				all[id>>5] |= 1 << (id & 31)
			}
			switch {
			case !counted, ends:
			case count <= separate:
				inside[count] = append(inside[count], ids...)
			default:
				p.longer = append(p.longer, exit{i, count})
			}
		}
		if counted && ends {
			p.closers = append(p.closers, exit{i, count})
		}
		p.most = max(p.most, count)
		i++
	}
	p.all = newSet(all, tokens)
	if counted {
		var upTo []int32
		for n := range min(int(p.most), separate) + 1 {
			upTo = append(upTo, inside[n]...)
			p.upTo = append(p.upTo, setOf(upTo, v.words))
		}
	}
	return p
}
