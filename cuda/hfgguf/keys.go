package hfgguf

import (
	"fmt"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/gguf"
)

// Keys are the keys of a file and the shapes of its tensors, asked for in the words of one architecture. What is missing or impossible is
// remembered, and told by Err.
type Keys struct {
	arch string
	head *gguf.Header
	src  weights.Source
	errs []error
}

// Err is all that was wrong with what was asked for.
func (k *Keys) Err() error { return joined(k.errs) }

// Refuse remembers that something is wrong.
func (k *Keys) Refuse(wrong bool, format string, args ...any) {
	if wrong {
		k.errs = append(k.errs, fmt.Errorf(format, args...))
	}
}

// value is a key's, whose name has the architecture before it.
func (k *Keys) value(key string) (gguf.Value, bool) {
	v, ok := k.head.Keys[k.arch+"."+key]
	return v, ok
}

// Has says whether the file has a key.
func (k *Keys) Has(key string) bool {
	_, ok := k.value(key)
	return ok
}

// Int is a whole number that must be there.
func (k *Keys) Int(key string) int {
	k.Refuse(!k.Has(key), "key %s.%s is missing", k.arch, key)
	return k.IntOr(key, 0)
}

// IntOr is a whole number, or what stands for one that is not there. A list must have the same number for each layer, or 0 for those that have
// none of what it counts.
func (k *Keys) IntOr(key string, absent int) int {
	v, ok := k.value(key)
	if !ok {
		return absent
	}
	list, whole := v.Ints()
	if !whole || len(list) == 0 {
		k.Refuse(true, "key %s.%s is %v; a whole number is needed", k.arch, key, v)
		return absent
	}
	n := slices.Max(list)
	for _, x := range list {
		k.Refuse(x != n && x != 0, "key %s.%s is %d for one layer and %d for another; one number for all layers is built", k.arch, key, x, n)
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		k.Refuse(true, "key %s.%s is %d, which is impossible", k.arch, key, n)
		return absent
	}
	return int(n)
}

// Float is a number that must be there.
func (k *Keys) Float(key string) float64 {
	k.Refuse(!k.Has(key), "key %s.%s is missing", k.arch, key)
	return k.FloatOr(key, 0)
}

// FloatOr is a number, or what stands for one that is not there. It is rounded to what people write, since files have it in f32.
func (k *Keys) FloatOr(key string, absent float64) float64 {
	v, ok := k.value(key)
	if !ok {
		return absent
	}
	f, number := v.Float()
	if !number || math.IsNaN(f) || math.IsInf(f, 0) {
		k.Refuse(true, "key %s.%s is %v; a number is needed", k.arch, key, v)
		return absent
	}
	if v.Type == gguf.F32 {
		return gguf.Shortest(float32(f))
	}
	return f
}

// Bool is a truth value, or what stands for one that is not there.
func (k *Keys) Bool(key string, absent bool) bool {
	v, ok := k.value(key)
	if !ok {
		return absent
	}
	b, is := v.Bool()
	k.Refuse(!is, "key %s.%s is %v; true or false is needed", k.arch, key, v)
	return b
}

// Ints is a list of whole numbers or truth values; nil if it is not there.
func (k *Keys) Ints(key string) []int64 {
	v, ok := k.value(key)
	if !ok {
		return nil
	}
	list, is := v.Ints()
	k.Refuse(!is, "key %s.%s is %v; a list of numbers is needed", k.arch, key, v)
	return list
}

// Floats is a list of numbers that must be there.
func (k *Keys) Floats(key string) []float64 {
	v, _ := k.value(key)
	list, is := v.Floats()
	k.Refuse(!is, "key %s.%s is missing, or no list of numbers", k.arch, key)
	for i, x := range list {
		list[i] = gguf.Shortest(float32(x))
	}
	return list
}

// Token is the id of a token of the file's vocabulary.
func (k *Keys) Token(text string) (id int, ok bool) {
	k.head.Keys["tokenizer.ggml.tokens"].Texts(func(i int, token []byte) bool {
		ok = string(token) == text
		id = i
		return !ok
	})
	return id, ok
}

// Text is a string; "" if it is not there.
func (k *Keys) Text(key string) string {
	v, ok := k.value(key)
	if !ok {
		return ""
	}
	s, is := v.Text()
	k.Refuse(!is, "key %s.%s is %v; a string is needed", k.arch, key, v)
	return s
}

// Shape is that of a tensor by its name in the file; nil if there is none.
func (k *Keys) Shape(tensor string) []int {
	if v, ok := k.src.Get(tensor, nil); ok {
		return v.Shape
	}
	return nil
}

// Layers are the decoder layers to run: block_count also counts those that guess further tokens.
func (k *Keys) Layers() int { return k.Int("block_count") - k.IntOr("nextn_predict_layers", 0) }

// Config is what a config.json has.
type Config map[string]any

// Decoder is the config of a stack of layers, of what all architectures have. bias is the tensor of the first layer whose presence says that
// attention has biases.
func (k *Keys) Decoder(class, modelType string) Config {
	embed := k.Shape("token_embd.weight")
	k.Refuse(len(embed) != 2, "tensor token_embd.weight is missing, or no matrix")
	c := Config{
		"architectures": []string{class}, "model_type": modelType, "hidden_act": "silu",
		"hidden_size": k.Int("embedding_length"), "num_hidden_layers": k.Layers(),
		"num_attention_heads": k.Int("attention.head_count"), "num_key_value_heads": k.IntOr("attention.head_count_kv", k.IntOr("attention.head_count", 0)),
		"max_position_embeddings": k.Int("context_length"), "rms_norm_eps": k.Float("attention.layer_norm_rms_epsilon"),
		"rope_theta": k.FloatOr("rope.freq_base", 10000), "tie_word_embeddings": k.Shape("output.weight") == nil,
		"attention_bias": k.Shape("blk.0.attn_q.bias") != nil || k.Shape("blk.0.attn_qkv.bias") != nil,
	}
	if len(embed) == 2 {
		c["vocab_size"] = embed[0]
	}
	if k.Has("feed_forward_length") {
		c["intermediate_size"] = k.Int("feed_forward_length")
	}
	k.stretch(c)
	return c
}

// stretch reads a rope that is stretched.
func (k *Keys) stretch(c Config) {
	kind := k.Text("rope.scaling.type")
	if kind == "" || kind == "none" {
		return
	}
	k.Refuse(kind != "yarn", "key %s.rope.scaling.type is %q, which is not built; only yarn is", k.arch, kind)
	scaling := Config{"rope_type": "yarn", "factor": k.Float("rope.scaling.factor")}
	if k.Has("rope.scaling.original_context_length") {
		scaling["original_max_position_embeddings"] = k.Int("rope.scaling.original_context_length")
	}
	for key, name := range map[string]string{"rope.scaling.yarn_beta_fast": "beta_fast", "rope.scaling.yarn_beta_slow": "beta_slow", "rope.scaling.yarn_attn_factor": "attention_factor"} {
		if k.Has(key) {
			scaling[name] = k.Float(key)
		}
	}
	c["rope_scaling"] = scaling
}
