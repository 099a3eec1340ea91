// Experts in one tensor: transformers 5 and mlx-lm keep all experts of a layer together, and checkpoints they save have them so.

package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MaxExperts bounds what one tensor is cut into, and MaxCut what all are, because their shapes come from a file, and those without elements take none
// of its bytes. A model of 48 layers with 512 experts is cut into 73,728.
const (
	MaxExperts = 1 << 12
	MaxCut     = 1 << 18
)

// SplitExperts lets a loader find each expert's matrices under their own names where src has all of a layer in one tensor:
//
//	P.experts.gate_up_proj (experts, 2·inner, hidden)  as  P.experts.E.gate_proj.weight and P.experts.E.up_proj.weight
//	P.experts.down_proj (experts, hidden, inner)       as  P.experts.E.down_proj.weight
//	P.switch_mlp.gate_proj.weight, .up_proj, .down_proj likewise, which are those of mlx-lm
//
// and the scales beside the first two (.. _scale_inv) likewise. Nothing is copied. A source without such tensors is given back as it is,
// and a tensor that cannot be cut so keeps its name.
func SplitExperts(src Source) Source {
	s := splitExperts{Source: src, pieces: map[string]piece{}}
	for _, name := range src.Names() {
		if !s.split(name) {
			s.names = append(s.names, name)
		}
	}
	if len(s.pieces) == 0 {
		return src
	}
	s.names = slices.AppendSeq(s.names, maps.Keys(s.pieces))
	slices.Sort(s.names)
	return &s
}

type splitExperts struct {
	Source
	names  []string
	pieces map[string]piece
}

// piece is a matrix of one expert: part of parts of its rows in the joined tensor.
type piece struct {
	tensor              string
	expert, part, parts int
}

func (s *splitExperts) Names() []string { return s.names }

func (s *splitExperts) Get(name string, shape []int) (View, bool) {
	p, ok := s.pieces[name]
	if !ok {
		return s.Source.Get(name, shape)
	}
	v, ok := s.Source.Get(p.tensor, nil)
	if !ok {
		return View{}, false
	}
	rows := v.Shape[1] / p.parts
	return Cut(v, p.expert*v.Shape[1]+p.part*rows, rows, []int{rows, v.Shape[2]}), true
}

// split notes the pieces of a joined tensor, if it is one.
func (s *splitExperts) split(name string) bool {
	base, scale := strings.CutSuffix(name, "_scale_inv")
	suffix := ".weight"
	if scale {
		suffix += "_scale_inv"
	}
	prefix, matrices := joinedMatrices(base)
	if matrices == nil {
		return false
	}
	v, ok := s.Source.Get(name, nil)
	if !ok || len(v.Shape) != 3 || v.Shape[0] < 1 || v.Shape[0] > MaxExperts || v.Shape[1]%len(matrices) != 0 || len(v.Data)%(v.Shape[0]*len(matrices)) != 0 ||
		len(s.pieces)+v.Shape[0]*len(matrices) > MaxCut {
		return false
	}
	for e := range v.Shape[0] {
		for i, matrix := range matrices {
			s.pieces[fmt.Sprintf("%s.experts.%d.%s%s", prefix, e, matrix, suffix)] = piece{name, e, i, len(matrices)}
		}
	}
	return true
}

// joinedMatrices are those of an expert that a joined tensor has, one below the other, and what the names of its layer begin with; nil if it is none.
func joinedMatrices(name string) (prefix string, matrices []string) {
	if prefix, ok := strings.CutSuffix(name, ".experts.gate_up_proj"); ok {
		return prefix, []string{"gate_proj", "up_proj"}
	}
	if prefix, ok := strings.CutSuffix(name, ".experts.down_proj"); ok {
		return prefix, []string{"down_proj"}
	}
	if prefix, matrix, ok := strings.Cut(name, ".switch_mlp."); ok {
		if matrix, ok = strings.CutSuffix(matrix, ".weight"); ok {
			return prefix, []string{matrix}
		}
	}
	return "", nil
}
