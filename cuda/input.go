package cuda

import (
	"fmt"
	"math"
)

// input.go brings into a step what comes from the host: numbers, and integers that look something up, which are checked here, once, and
// which ops trust.

// Input brings integers into the step that count or look up something, so none may be below 0; the largest is noted, and ops check it
// against what they look up. They last as long as what is made at that point. Without a shape the tensor has one dimension.
func (s *Step) Input(data []int32, shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	most := int32(0)
	for i, n := range data {
		if n < 0 || n == math.MaxInt32 {
			s.fail(fmt.Errorf("input: %d (at %d)", n, i))
			return Tensor{}
		}
		most = max(most, n)
	}
	t := s.input(I32, len(data), shape)
	t.below = most + 1
	if !s.measuring && s.err == nil {
		copy(t.I32(), data)
	}
	return t
}

// InputF32 brings values (pixels, features) into the step: they last as long as what is made at that point. Without a shape
// the tensor has one dimension. While measuring data may be nil; the shape says how much there will be.
func (s *Step) InputF32(data []float32, shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	n := len(data)
	if s.measuring && data == nil {
		n = -1
	}
	t := s.input(F32, n, shape)
	if !s.measuring && s.err == nil {
		copy(t.F32(), data)
	}
	return t
}

// input makes room for n elements from the host; n is -1 if the shape alone says how many.
func (s *Step) input(d DType, n int, shape []int) Tensor {
	t := Tensor{dtype: d, nd: 1}
	t.dim[0] = int32(n)
	if len(shape) > 0 {
		if err := t.setShape(shape); err != nil {
			s.fail(fmt.Errorf("input: %w", err))
			return Tensor{}
		}
	}
	if n >= 0 && t.Len() != n {
		s.fail(fmt.Errorf("input: %d elements do not fill the shape %v", n, append([]int(nil), shape...)))
		return Tensor{}
	}
	return s.make(0, d, t.nd, t.dim)
}

// Pages says where the rows of a batch have their positions in paged caches, which all have blocks of one size. What it says was checked
// when it came in: every block that positions 0..positions[r] of a row lie in exists.
type Pages struct {
	Positions Tensor // (rows) i32, from 0
	Seqs      Tensor // (rows) i32: which row of Tables is the sequence's
	Tables    Tensor // (sequences, width) i32: the cache blocks of each sequence, in order of its positions

	size int32
	upto []int32 // by sequence: how many of its positions were checked
}

// Pages brings into the step which blocks rows have: row r is position positions[r] of sequence seqs[r], whose positions p lie in blocks
// tables[seqs[r]·width + p div size], each below a number of blocks. What stands in a table behind those is not looked at.
func (s *Step) Pages(positions, seqs, tables []int32, width, blocks, size int) Pages {
	if s.err != nil {
		return Pages{}
	}
	if width <= 0 || size <= 0 || len(positions) != len(seqs) || len(tables)%width != 0 {
		s.fail(fmt.Errorf("input: %d positions, %d sequences, %d blocks in tables of %d, blocks of %d positions", len(positions), len(seqs), len(tables), width, size))
		return Pages{}
	}
	p := Pages{size: int32(size)}
	s.upto = append(s.upto, make([]int32, len(tables)/width)...)
	if p.upto = s.upto[len(s.upto)-len(tables)/width:]; !s.measuring {
		if err := checkPages(p.upto, positions, seqs, tables, width, blocks, size); err != nil {
			s.fail(fmt.Errorf("input: %w", err))
			return Pages{}
		}
	}
	p.Positions, p.Seqs = s.Input(positions), s.Input(seqs)
	p.Tables = s.input(I32, len(tables), []int{len(tables) / width, width})
	p.Tables.below = int32(blocks)
	if !s.measuring && s.err == nil {
		copy(p.Tables.I32(), tables)
	}
	return p
}

func checkPages(upto, positions, seqs, tables []int32, width, blocks, size int) error {
	for r, p := range positions {
		q := seqs[r]
		if p < 0 || q < 0 || int(q) >= len(upto) || int(p)/size >= width {
			return fmt.Errorf("row %d: position %d of sequence %d is outside %d tables of %d blocks of %d", r, p, q, len(upto), width, size)
		}
		for b := (int(upto[q]) + size - 1) / size; b <= int(p)/size; b++ {
			if id := tables[int(q)*width+b]; id < 0 || int(id) >= blocks {
				return fmt.Errorf("row %d: block %d of sequence %d is %d of %d", r, b, q, id, blocks)
			}
		}
		upto[q] = max(upto[q], p+1)
	}
	return nil
}

// Rows is the pages of the rows from, from+1, .. to-1.
func (p Pages) Rows(from, to int) Pages {
	p.Positions, p.Seqs = p.Positions.Slice(from, to), p.Seqs.Slice(from, to)
	return p
}

// addresses says whether the pages are of the rows of x, in a cache.
func (p Pages) addresses(x, cache Tensor) bool {
	return cache.nd == 4 && p.Positions.dim[0] == x.dim[0] && p.Seqs.dim[0] == x.dim[0] && p.Positions.dtype == I32 && p.Seqs.dtype == I32 &&
		p.Seqs.Indexes(p.Tables.Rows()) && p.Tables.Indexes(int(cache.dim[0])) && p.size == cache.dim[2]
}
