//go:build cuda && cgo

package gpu

import (
	"bytes"
	"hash/maphash"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// graphs.go launches what comes again as a graph. Whoever decodes adds the same list for each token, as long as its batch and the width of
// its tables stay: same kernels, same addresses. The second time a list is seen it is captured, from the third on it is one launch.

const (
	graphsMost  = 48 // of a queue; the one that was used longest ago goes first
	graphedFrom = 16 // commands: fewer are as quick by themselves
)

// graphs are those of a queue.
type graphs struct {
	seed  maphash.Seed
	known map[uint64]*known
	clock uint64
	off   bool // the driver has no graphs

	launched, captured, direct uint64
}

// known is a list that has come before.
type known struct {
	list  []byte
	graph *driver.Graph // from its second time on
	used  uint64
}

// run gives the stream a list. whole says that nothing was sent since the queue was last empty, so that the list can come again.
func (g *graphs) run(s *driver.Stream, list *driver.List, whole bool) error {
	if !whole || g.off || list.Len() < graphedFrom || !list.Repeatable() {
		g.direct++
		return s.Submit(list)
	}
	if g.known == nil {
		g.known, g.seed = map[uint64]*known{}, maphash.MakeSeed()
	}
	g.clock++
	sum := maphash.Bytes(g.seed, list.Bytes())
	k := g.known[sum]
	switch {
	case k == nil || !bytes.Equal(k.list, list.Bytes()):
		g.remember(sum, list)
		g.direct++
		return s.Submit(list)
	case k.graph == nil:
		graph, err := s.Capture(list)
		if driver.IsMissing(err) {
			g.off = true
			return s.Submit(list)
		}
		if err != nil {
			return err
		}
		k.graph = graph
		g.captured++
	}
	k.used = g.clock
	g.launched++
	return k.graph.Launch(s)
}

func (g *graphs) remember(sum uint64, list *driver.List) {
	if old := g.known[sum]; old != nil {
		old.close()
	}
	if len(g.known) >= graphsMost {
		var oldest uint64
		for i, k := range g.known {
			if o := g.known[oldest]; o == nil || k.used < o.used {
				oldest = i
			}
		}
		g.known[oldest].close()
		delete(g.known, oldest)
	}
	g.known[sum] = &known{list: bytes.Clone(list.Bytes()), used: g.clock}
}

func (k *known) close() {
	if k.graph != nil {
		k.graph.Close()
	}
}

func (g *graphs) close() {
	for _, k := range g.known {
		k.close()
	}
	g.known = nil
}
