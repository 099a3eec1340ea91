package cpu

// #cgo noescape pio_matmul_grouped
// #cgo nocallback pio_matmul_grouped
// #cgo noescape pio_copy_rows
// #cgo nocallback pio_copy_rows
// #cgo noescape pio_scatter_add
// #cgo nocallback pio_scatter_add
// #cgo noescape pio_route
// #cgo nocallback pio_route
// #include "kernels.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// experts.go calls the kernels of mixtures of experts, as ops.go does the others.

// Route writes each row's experts and their weights.
func (p *Pool) Route(index []int32, weights, logits []float32, c Routing) error {
	rows := rowsOf(logits, c.Experts)
	err := first(c.check(), sizes(len(logits), rows*c.Experts), sizes(len(index), rows*c.TopK), sizes(len(weights), rows*c.TopK))
	if err != nil || rows == 0 {
		return err
	}
	a := C.pio_route_args{bias_type: C.int(c.Bias.Type), rows: C.size_t(rows), experts: C.size_t(c.Experts), k: C.size_t(c.TopK), groups: C.size_t(c.Groups),
		top_groups: C.size_t(c.TopGroups), sigmoid: flag(c.Sigmoid), by_logits: flag(c.byLogits()), normalize: flag(c.Normalize),
		epsilon: C.float(c.Epsilon), scale: C.float(c.Scale)}
	C.pio_route(p.c, p.table, ints(index), ptr(weights), ptr(logits), c.Bias.Ptr, &a)
	return nil
}

// check says why the kernel cannot choose like that.
func (c *Routing) check() error {
	if c.TopK < 1 || c.TopK > c.Experts || c.Experts > C.PIO_EXPERTS_MOST {
		return fmt.Errorf("%d of %d experts, of which there may be %d", c.TopK, c.Experts, C.PIO_EXPERTS_MOST)
	}
	if c.Groups > 1 && (c.Experts%c.Groups != 0 || c.Experts < 2*c.Groups || c.TopGroups > c.Groups || c.TopGroups*(c.Experts/c.Groups) < c.TopK) {
		return fmt.Errorf("%d of %d groups for %d of %d experts", c.TopGroups, c.Groups, c.TopK, c.Experts)
	}
	if c.Bias.Ptr != nil {
		return first(c.Bias.checkVector(), sizes(c.Bias.Cols, c.Experts))
	}
	return nil
}

// GatherByValue copies the rows that index sends to values.
func (p *Pool) GatherByValue(y []float32, entries []int32, x []float32, index []int32, k int, values []int32) error {
	rows := len(index) / max(k, 1)
	width := len(x) / max(rows, 1)
	if err := first(sizes(len(index), rows*k), sizes(len(x), rows*width), sizes(len(y), len(entries)*width)); err != nil {
		return err
	}
	if n := findByValue(entries, index, values); n != len(entries) {
		return fmt.Errorf("%d rows have one of the values, not %d", n, len(entries))
	}
	if len(y) > 0 {
		C.pio_copy_rows(p.c, ptr(y), ptr(x), ints(entries), C.size_t(len(entries)), C.size_t(width), C.size_t(k))
	}
	return nil
}

// MatMulGrouped is MatMul of consecutive groups of rows, each with its own matrix; all have one shape.
func (p *Pool) MatMulGrouped(y, x []float32, counts []int32, ws []Matrix) error {
	if len(ws) == 0 || len(ws) != len(counts) {
		return fmt.Errorf("%d groups of rows and %d matrices", len(counts), len(ws))
	}
	var few [64]C.pio_group
	groups, rows := few[:0], 0
	for i, w := range ws {
		if err := first(w.check(), sizes(w.Rows, ws[0].Rows), sizes(w.Cols, ws[0].Cols)); err != nil {
			return err
		}
		if counts[i] < 0 {
			return fmt.Errorf("a group of %d rows", counts[i])
		}
		rows += int(counts[i])
		groups = append(groups, C.pio_group{w: C.uintptr_t(uintptr(w.Ptr)), _type: C.int(w.Type), rows: C.size_t(counts[i]),
			factors: C.uintptr_t(uintptr(w.Scale.Ptr)), factor_type: C.int(w.Scale.Type), block_outs: C.size_t(w.Scale.Rows), block_ins: C.size_t(w.Scale.Cols)})
	}
	if err := first(sizes(len(x), rows*ws[0].Cols), sizes(len(y), rows*ws[0].Rows)); err != nil {
		return err
	}
	if len(y) > 0 {
		C.pio_matmul_grouped(p.c, p.table, ptr(y), ptr(x), unsafe.SliceData(groups), C.size_t(len(groups)), C.size_t(ws[0].Cols), C.size_t(ws[0].Rows))
	}
	runtime.KeepAlive(ws) // groups hold addresses that the collector does not see
	return nil
}

// ScatterAddByIndex adds rows of x, times their weights, to rows of y.
func (p *Pool) ScatterAddByIndex(y, x []float32, entries []int32, weights []float32, width, k int) error {
	rows := rowsOf(y, width)
	err := first(checkIndex("entry", entries, len(weights)), sizes(len(y), rows*width), sizes(len(x), len(entries)*width), sizes(len(weights), rows*k))
	if err == nil && len(x) > 0 {
		C.pio_scatter_add(p.c, p.table, ptr(y), ptr(x), ints(entries), ptr(weights), C.size_t(len(entries)), C.size_t(width), C.size_t(k))
	}
	return err
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
