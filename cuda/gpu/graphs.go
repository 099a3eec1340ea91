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
	graphsMost  = 160 // of a queue, as many as there are lists that come again, and some more; the one that was used longest ago goes first
	graphedFrom = 16  // commands: fewer are as quick by themselves
)

// graphs are those of a queue.
type graphs struct {
	seed  maphash.Seed
	known map[uint64]*known
	clock uint64
}

// known is a list that has come before.
type known struct {
	commands, params []byte
	graph            *driver.Graph // from its second time on
	used             uint64
}

// run gives the stream a list. If it can come again it is known from now on.
func (g *graphs) run(s *driver.Stream, list *driver.List) (*known, error) {
	if list.Len() < graphedFrom || !list.Repeatable() {
		return nil, s.Run(list)
	}
	if g.known == nil {
		g.known, g.seed = map[uint64]*known{}, maphash.MakeSeed()
	}
	g.clock++
	commands, params := list.Bytes()
	sum := maphash.Bytes(g.seed, commands) ^ maphash.Bytes(g.seed, params)
	k := g.known[sum]
	switch {
	case k == nil || !bytes.Equal(k.commands, commands) || !bytes.Equal(k.params, params):
		k = &known{commands: bytes.Clone(commands), params: bytes.Clone(params), used: g.clock}
		g.remember(sum, k)
		return k, s.Run(list)
	case k.graph == nil:
		graph, err := s.Capture(list)
		if err != nil {
			return nil, err
		}
		k.graph = graph
	}
	return k, g.launch(s, k)
}

// launch gives the stream what is known, which has a graph.
func (g *graphs) launch(s *driver.Stream, k *known) error {
	g.clock++
	k.used = g.clock
	var launch driver.List
	launch.Graph(k.graph)
	return s.Run(&launch)
}

func (g *graphs) remember(sum uint64, k *known) {
	if old := g.known[sum]; old != nil {
		old.close()
	}
	if len(g.known) >= graphsMost {
		oldest := sum
		for i, k := range g.known {
			if o := g.known[oldest]; o == nil || k.used < o.used {
				oldest = i
			}
		}
		g.known[oldest].close()
		delete(g.known, oldest)
	}
	g.known[sum] = k
}

func (k *known) close() {
	if k.graph != nil {
		_ = k.graph.Close() // what is launched of it ends still
		k.graph = nil
	}
}

func (g *graphs) close() {
	for _, k := range g.known {
		k.close()
	}
	g.known = nil
}
