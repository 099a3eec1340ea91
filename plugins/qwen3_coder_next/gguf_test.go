package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// What older files say and newer ones say otherwise: the kinds of layers, the projections of the delta rule, the gate of the shared expert; and
// a layer that guesses further tokens, which block_count counts.
func TestOldAndNewSpellings(t *testing.T) {
	const linear, full = linearAttention, fullAttention
	tensor := func(name string, shape ...int) gguftest.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return gguftest.F32(name, shape, make([]float32, n)...)
	}
	for _, c := range []struct {
		name    string
		keys    map[string]any
		tensors []gguftest.Tensor
		kinds   []string
		want    []string
	}{
		{"newer", map[string]any{"attention.recurrent_layers": []bool{false, true, true, false, true}, "full_attention_interval": uint32(2), "nextn_predict_layers": uint32(1)},
			[]gguftest.Tensor{tensor("blk.1.attn_qkv.weight", 6, 4), tensor("blk.1.attn_gate.weight", 2, 4), tensor("blk.0.ffn_gate_inp_shexp.weight", 1, 4),
				tensor("blk.4.attn_q.weight", 8, 4), tensor("blk.4.nextn.eh_proj.weight", 4, 8)},
			[]string{full, linear, linear, full},
			[]string{"model.layers.0.mlp.shared_expert_gate.weight [1 4]", "model.layers.1.linear_attn.in_proj_qkv.weight [6 4]", "model.layers.1.linear_attn.in_proj_z.weight [2 4]"}},
		{"older", map[string]any{"full_attention_interval": uint32(2)},
			[]gguftest.Tensor{tensor("blk.0.ssm_in.weight", 8, 4), tensor("blk.0.ffn_gate_inp_shexp.weight", 4), tensor("blk.0.ssm_conv1d.weight", 6, 4)},
			[]string{linear, full, linear, full, linear},
			[]string{"model.layers.0.linear_attn.conv1d.weight [6 1 4]", "model.layers.0.linear_attn.in_proj_qkvz.weight [8 4]", "model.layers.0.mlp.shared_expert_gate.weight [1 4]"}},
		{"newer in NVFP4", map[string]any{"attention.recurrent_layers": []bool{true, false, true, true, false}},
			[]gguftest.Tensor{{Name: "blk.0.ssm_in.weight", Type: 40, Shape: []int{8, 64}, Data: make([]byte, 8*36)}, gguftest.F32("blk.0.ssm_in.scale", []int{1}, 0.5),
				gguftest.F32("blk.0.ssm_in.input_scale", []int{1}, 2)},
			[]string{linear, full, linear, linear, full},
			[]string{"model.layers.0.linear_attn.in_proj_qkvz.weight [8 64]"}},
		{"neither", nil, nil, []string{linear, linear, linear, full, linear}, nil},
	} {
		keys := map[string]any{"general.architecture": "qwen3next"}
		for key, v := range map[string]any{"block_count": uint32(5), "embedding_length": uint32(4), "context_length": uint32(64), "attention.head_count": uint32(2),
			"attention.head_count_kv": uint32(1), "attention.key_length": uint32(4), "attention.value_length": uint32(4), "rope.dimension_count": uint32(2),
			"attention.layer_norm_rms_epsilon": float32(1e-6), "expert_count": uint32(2), "expert_used_count": uint32(1), "expert_feed_forward_length": uint32(4),
			"ssm.time_step_rank": uint32(2), "ssm.group_count": uint32(1), "ssm.state_size": uint32(2), "ssm.inner_size": uint32(2), "ssm.conv_kernel": uint32(4)} {
			keys["qwen3next."+key] = v
		}
		for key, v := range c.keys {
			keys["qwen3next."+key] = v
		}
		m, err := inGGUF.Open(gguftest.File{Keys: keys, Tensors: append(c.tensors, tensor("token_embd.weight", 5, 4))}.Write(t, "m.gguf"))
		if err != nil {
			t.Fatal(c.name, err)
		}
		defer m.Checkpoint.Close()
		var config struct {
			Kinds  []string `json:"layer_types"`
			Rotary float64  `json:"partial_rotary_factor"`
		}
		if err := json.Unmarshal(m.Config, &config); err != nil || !slices.Equal(config.Kinds, c.kinds) || config.Rotary != 0.5 {
			t.Errorf("%s: the config is %s, %v", c.name, m.Config, err)
		}
		var got []string
		for _, name := range m.Source.Names() {
			if v, _ := m.Source.Get(name, nil); name != "model.embed_tokens.weight" {
				got = append(got, fmt.Sprint(name, " ", v.Shape))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: the tensors are %q", c.name, got)
		}
	}
}

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }
