package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/spec"
)

// attention_tiles_test.go holds attention over keys and values in bf16 to the specification where numerics are fast: a table may then multiply
// queries and weights in bf16, too, by tiles of 16 queries by 32 elements.

var tiledScenes = []sceneOf{
	{"one position", []int{1}, 1, 1, 32, 32, 64},
	{"a head of a common size over three blocks", []int{150}, 2, 2, 128, 128, 64},
	{"three sequences, whose ends fill no tile", []int{65, 3, 130}, 2, 4, 64, 32, 64},
	{"latents, whose first elements are values", []int{70, 33}, 1, 20, 192, 128, 64},
	{"values of six tiles, blocks of 16", []int{37, 20}, 3, 5, 96, 96, 16},
	{"blocks of 128", []int{200}, 1, 3, 64, 160, 128},
	{"more heads on a key than one pass takes", []int{70}, 1, 50, 32, 64, 64},
	{"parts, to their borders and over them", []int{1090, 512, 513}, 1, 2, 32, 64, 64},
	{"parts that begin within a block", []int{530}, 2, 1, 64, 64, 96},
}

// tiledScene has keys, values and queries that bf16 holds, so that it is weights alone that are rounded.
func tiledScene(c sceneOf) *scene {
	s := newScene(rand.New(rand.NewPCG(14, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
	k, v := spec.Round(s.k), spec.Round(s.v)
	s.k, s.v, s.q = spec.Widen(k), spec.Widen(v), spec.Widen(spec.Round(s.q))
	s.keys, s.values = bf16(k, c.kvHeads, c.size, c.dim), bf16(v, c.kvHeads, c.size, c.vdim)
	return s
}

// tiledBound is attentionBound and what weights lose that are rounded to bf16: 2^-9 of an average of |v| < 6.
func (s *scene) tiledBound(i int) float64 { return s.attentionBound(i) + 6.0/512 }

func TestAttentionInBF16IsNearTheSpecification(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		for _, c := range tiledScenes {
			s := tiledScene(c)
			want := make([]float32, len(s.g.Positions)*s.heads*s.vdim)
			spec.Attention(want, s.q, s.k, s.v, s.g, s.heads, s.dim, s.vdim, s.scale)
			within(t, c.name, s.rows(t, d, upTo(len(s.g.Positions))), want, s.tiledBound)
		}
	})
}

// TestAttentionInBF16IsTheSameInAnyBatch, as TestAttentionRowIsTheSameInAnyBatch.
func TestAttentionInBF16IsTheSameInAnyBatch(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(14, 2))
		for _, c := range tiledScenes {
			s := tiledScene(c)
			n, each := len(s.g.Positions), s.heads*s.vdim
			all := s.rows(t, d, upTo(n))
			for range 6 {
				some := rng.Perm(n)[:1+rng.IntN(min(n, 40))]
				got := s.rows(t, d, some)
				for i, r := range some {
					sameBits(t, fmt.Sprintf("%s: row %d in a batch of %d", c.name, r, len(some)), got[i*each:(i+1)*each], all[r*each:(r+1)*each])
				}
			}
			last := s.rows(t, d, []int{n - 1})
			sameBits(t, c.name+": the last row alone", last, all[(n-1)*each:])
		}
	})
}

// Latents are keys whose first elements are the values.
func TestLatentAttentionInBF16IsNearTheSpecification(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		for _, c := range tiledScenes {
			if c.kvHeads != 1 || c.vdim > c.dim {
				continue
			}
			s := tiledScene(c)
			want, got := make([]float32, len(s.g.Positions)*s.heads*s.vdim), make([]float32, len(s.g.Positions)*s.heads*s.vdim)
			spec.LatentAttention(want, s.q, s.k, s.g, s.heads, s.dim, s.vdim, s.scale)
			d.run(t, s.latentAttention(got, s.q, s.g))
			within(t, c.name, got, want, s.tiledBound)
		}
	})
}
