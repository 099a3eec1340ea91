package cpu

import "fmt"

// experts.go calls the kernels of mixtures of experts, as ops.go does the others.

// Route writes each row's experts and their weights.
func (p *Pool) Route(index []int32, weights, logits []float32, c Routing) error {
	rows := rowsOf(logits, c.Experts)
	if c.TopK < 1 || c.TopK > c.Experts {
		return fmt.Errorf("%d of %d experts", c.TopK, c.Experts)
	}
	if c.Groups > 1 && (c.Experts%c.Groups != 0 || c.Experts < 2*c.Groups || c.TopGroups > c.Groups || c.TopGroups*(c.Experts/c.Groups) < c.TopK) {
		return fmt.Errorf("%d of %d groups for %d of %d experts", c.TopGroups, c.Groups, c.TopK, c.Experts)
	}
	if c.Bias.Ptr != nil {
		if err := first(c.Bias.check(), sizes(c.Bias.Cols, c.Experts)); err != nil {
			return err
		}
	}
	err := first(sizes(len(logits), rows*c.Experts), sizes(len(index), rows*c.TopK), sizes(len(weights), rows*c.TopK))
	if err == nil {
		RefRoute(index, weights, logits, c)
	}
	return err
}

// GatherByValue copies the rows that index sends to values.
func (p *Pool) GatherByValue(y []float32, entries []int32, x []float32, index []int32, k int, values []int32) error {
	rows := rowsOf32(index, k)
	width := len(x) / max(rows, 1)
	if err := first(sizes(len(index), rows*k), sizes(len(x), rows*width), sizes(len(y), len(entries)*width)); err != nil {
		return err
	}
	if k < 1 {
		return fmt.Errorf("an index of %d values for each row", k)
	}
	if n := RefGatherByValue(y, entries, x, index, k, values); n != len(entries) {
		return fmt.Errorf("%d rows have one of the values, not %d", n, len(entries))
	}
	return nil
}

// MatMulGrouped is MatMul of consecutive groups of rows, each with its own matrix.
func (p *Pool) MatMulGrouped(y, x []float32, counts []int32, ws []Matrix) error {
	if err := sizes(len(ws), len(counts)); err != nil {
		return err
	}
	for i, n := range counts {
		in, out := int(n)*ws[i].Cols, int(n)*ws[i].Rows
		if n < 0 || in > len(x) || out > len(y) {
			return fmt.Errorf("group %d of %d rows is more than there are", i, n)
		}
		if err := p.MatMul(y[:out], x[:in], ws[i]); err != nil {
			return err
		}
		y, x = y[out:], x[in:]
	}
	return first(sizes(len(y), 0), sizes(len(x), 0))
}

// ScatterAddByIndex adds rows of x, times their weights, to rows of y.
func (p *Pool) ScatterAddByIndex(y, x []float32, entries []int32, weights []float32, width, k int) error {
	rows := rowsOf(y, width)
	err := first(checkIndex("entry", entries, len(weights)), sizes(len(y), rows*width), sizes(len(x), len(entries)*width), sizes(len(weights), rows*k))
	if err == nil {
		RefScatterAddByIndex(y, x, entries, weights, width, k)
	}
	return err
}

func rowsOf32(x []int32, width int) int { return len(x) / max(width, 1) }
