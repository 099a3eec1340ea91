// names.go is strings that a key may not be, beside an automaton that all keys share: so what is known of the automaton holds for all of them.

package grammar

import (
	"encoding/json"
	"slices"
	"strings"
)

// names is a trie of what stands between the quotes. Node 0 is before the opening one, node 1 behind it.
type names struct {
	nodes []nameNode
	ends  []bool // by node: a name ends here
}

// nameNode has the next nodes by their byte, ascending.
type nameNode struct {
	bytes []byte
	to    []int32
}

// elsewhere is where a string is that is the beginning of no name.
const elsewhere = -1

func newNames(list []string) *names {
	if len(list) == 0 {
		return nil
	}
	n := &names{nodes: make([]nameNode, 1), ends: make([]bool, 1)}
	for _, name := range list {
		at := int32(0)
		quoted := quote(name)
		for i := range len(quoted) - 1 {
			at = n.grow(at, quoted[i])
		}
		n.ends[at] = true
	}
	return n
}

// quote is a name as automaton.Text.Quoted spells it.
func quote(name string) string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(name); err != nil {
		return `""` // no string fails
	}
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(out.String(), "\n"))
}

func (n *names) grow(at int32, c byte) int32 {
	node := &n.nodes[at]
	i, known := slices.BinarySearch(node.bytes, c)
	if known {
		return node.to[i]
	}
	to := int32(len(n.nodes))
	node.bytes, node.to = slices.Insert(node.bytes, i, c), slices.Insert(node.to, i, to)
	n.nodes, n.ends = append(n.nodes, nameNode{}), append(n.ends, false)
	return to
}

// step is where a byte leads from a node.
func (n *names) step(at int32, c byte) int32 {
	if at == elsewhere {
		return elsewhere
	}
	if i, known := slices.BinarySearch(n.nodes[at].bytes, c); known {
		return n.nodes[at].to[i]
	}
	return elsewhere
}

// closed calls found with the nodes of the vocabulary's trie, below at, that end a name with its closing quote.
func (n *names) closed(v *Vocabulary, name, at int32, found func(at int32)) {
	if n.ends[name] {
		if quote := v.child(at, '"'); quote >= 0 {
			found(quote)
		}
	}
	for i, c := range n.nodes[name].bytes {
		if to := v.child(at, c); to >= 0 {
			n.closed(v, n.nodes[name].to[i], to, found)
		}
	}
}
