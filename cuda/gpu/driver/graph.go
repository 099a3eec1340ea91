//go:build cuda && cgo

package driver

// #cgo nocallback pio_capture
// #cgo nocallback pio_update
// #include "calls.h"
import "C"

import (
	"errors"
	"fmt"
)

// Graph is a list that the device was told once and that is launched as one command. What it was given (addresses, shapes, parameters)
// is as it was then.
type Graph struct {
	context *Context
	c       C.CUgraphExec
}

// Capture makes a graph of a list. The stream stands for any: nothing may be in it that another goroutine adds meanwhile, nothing of it is
// run. An event that the list waits for must be recorded in it before.
func (s *Stream) Capture(l *List) (*Graph, error) {
	graph, err := s.capture(l)
	if err != nil {
		return nil, err
	}
	defer C.pio_graph_destroy(s.context.c, graph)
	g := &Graph{context: s.context}
	if err := failed("cuGraphInstantiate", C.pio_instantiate(s.context.c, graph, &g.c)); err != nil {
		return nil, err
	}
	return g, nil
}

func (s *Stream) capture(l *List) (C.CUgraph, error) {
	if l.Len() == 0 {
		return nil, errors.New("cuda: a graph of no commands")
	}
	var done C.size_t
	var graph C.CUgraph
	result := C.pio_capture(s.context.c, s.c, l.c(), C.size_t(l.Len()), l.params(), &done, &graph)
	if int(done) == l.Len() {
		return graph, failed("cuStreamEndCapture", result)
	}
	return nil, l.failed(result, int(done))
}

// Update gives a graph the parameters of another list with the same commands in the same order, which costs less than a new graph. False
// says that the driver cannot do it: capture anew. The stream is as for Capture; launches from now on have the new ones.
func (g *Graph) Update(s *Stream, l *List) (bool, error) {
	graph, err := s.capture(l)
	if err != nil {
		return false, err
	}
	defer C.pio_graph_destroy(s.context.c, graph)
	var how C.int
	switch result := C.pio_update(g.context.c, g.c, graph, &how); result {
	case 0:
		return how == 0, nil
	case codeUpdateFailure:
		return false, nil
	default:
		return false, fmt.Errorf("%w (update result %d)", failed("cuGraphExecUpdate", result), int(how))
	}
}

// Close frees the graph; where it is launched it is finished still.
func (g *Graph) Close() error {
	return failed("cuGraphExecDestroy", C.pio_exec_destroy(g.context.c, g.c))
}
