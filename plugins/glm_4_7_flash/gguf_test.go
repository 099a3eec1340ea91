package main

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// A file of GLM-4.7-Flash does not say that its router has sigmoid; the bias of its experts does. One that says softmax, or says nothing and has
// no bias, is of another model, and is refused.
func TestGatingThatIsNotTold(t *testing.T) {
	for _, c := range []struct {
		gating any
		bias   bool
		ok     bool
	}{{nil, true, true}, {nil, false, false}, {uint32(2), true, true}, {uint32(1), true, false}, {uint32(1), false, false}} {
		keys := map[string]any{"general.architecture": "deepseek2"}
		for key, v := range map[string]any{"block_count": uint32(2), "embedding_length": uint32(4), "context_length": uint32(64), "attention.head_count": uint32(2),
			"attention.layer_norm_rms_epsilon": float32(1e-5), "rope.dimension_count": uint32(2), "attention.kv_lora_rank": uint32(4), "attention.key_length_mla": uint32(6),
			"attention.value_length_mla": uint32(4), "leading_dense_block_count": uint32(1), "expert_count": uint32(2), "expert_used_count": uint32(1),
			"expert_feed_forward_length": uint32(4)} {
			keys["deepseek2."+key] = v
		}
		if c.gating != nil {
			keys["deepseek2.expert_gating_func"] = c.gating
		}
		f := gguftest.File{Keys: keys, Tensors: []gguftest.Tensor{gguftest.F32("token_embd.weight", []int{1, 4}, 1, 2, 3, 4)}}
		if c.bias {
			f.Tensors = append(f.Tensors, gguftest.F32("blk.1.exp_probs_b.bias", []int{2}, 1, 2))
		}
		m, err := inGGUF.Open(f.Write(t, "m.gguf"))
		if err == nil {
			m.Checkpoint.Close()
		}
		if c.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "scores experts by softmax") {
			t.Errorf("gating %v, bias %v: %v", c.gating, c.bias, err)
		}
	}
}

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }
