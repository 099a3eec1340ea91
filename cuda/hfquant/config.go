// config.go reads what a config says of its weights.

package hfquant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// scheme is what a config says.
type scheme struct {
	method    string           // "": the weights are not of this package
	bits      []int            // that codes may have
	v2        bool             // zeros of GPTQ are as they are written, not one less
	size      int              // of a group of AWQ and GPTQ
	blockless bool             // FP8 is not in blocks
	groups    group            // of MLX
	modules   map[string]group // of MLX, by path, where they differ
}

// group is how a module of MLX is quantised.
type group struct {
	Size int    `json:"group_size"`
	Bits int    `json:"bits"`
	Mode string `json:"mode"` // "": affine
}

const (
	compressed = "compressed-tensors"
	awq        = "awq"
	gptq       = "gptq"
	modelopt   = "modelopt"
	fp8        = "fp8"
	mlx        = "mlx"
)

// Instead says for a method that is not built what to use in its place; "" for one that is, and for FP8 in blocks.
func Instead(method string) string {
	switch method {
	case compressed, awq, gptq, modelopt, fp8, mlx:
		return ""
	case "bitsandbytes":
		return "take the original checkpoint with quantize = \"q4\" or \"q8\", which makes as small weights of it"
	}
	return "take the checkpoint in bf16, in FP8, or of compressed-tensors, AWQ, GPTQ, ModelOpt or MLX, or a GGUF file"
}

// keys are those of config.json that are read here.
type keys struct {
	Quantization json.RawMessage `json:"quantization_config"`
	MLX          json.RawMessage `json:"quantization"`
	Text         struct {
		Quantization json.RawMessage `json:"quantization_config"`
	} `json:"text_config"`
	Vision json.RawMessage `json:"vision_config"`
}

// quantization is what is read of quantization_config.
type quantization struct {
	Method     string          `json:"quant_method"`
	Bits       int             `json:"bits"`
	Group      int             `json:"group_size"`
	Version    string          `json:"version"`           // AWQ
	Checkpoint string          `json:"checkpoint_format"` // GPTQ, and AWQ of the same package
	Algorithm  string          `json:"quant_algo"`        // ModelOpt
	Block      json.RawMessage `json:"weight_block_size"` // FP8
	Format     string          `json:"format"`            // compressed-tensors
	Groups     map[string]struct {
		Format  string `json:"format"`
		Weights struct {
			Bits int `json:"num_bits"`
		} `json:"weights"`
	} `json:"config_groups"`
	Sparsity struct {
		Format string `json:"format"`
	} `json:"sparsity_config"`
	Transform map[string]json.RawMessage `json:"transform_config"`
}

// null says that a key is absent or null.
func null(text json.RawMessage) bool {
	text = bytes.TrimSpace(text)
	return len(text) == 0 || bytes.Equal(text, []byte("null"))
}

// parse reads a config. What is wrong with its JSON is told by who reads it whole.
func parse(config []byte) (s scheme, k keys, err error) {
	if json.Unmarshal(config, &k) != nil {
		return s, keys{}, nil
	}
	at := "config.json: quantization_config: "
	text := k.Quantization
	if null(text) {
		text = k.Text.Quantization
	}
	if null(text) {
		at, text = "config.json: quantization: ", k.MLX
	}
	var q quantization
	if null(text) {
		return s, k, nil
	}
	if err := json.Unmarshal(text, &q); err != nil {
		return s, k, fmt.Errorf("%s%w", at, inWords(err))
	}
	if s.method = q.Method; s.method == "" && q.Group > 0 {
		s.method = mlx
	}
	read := map[string]func(quantization, json.RawMessage) error{
		compressed: s.compressed, awq: s.awq, gptq: s.gptq, modelopt: s.modelopt, fp8: s.fp8, mlx: s.mlx,
	}[s.method]
	if read == nil {
		return scheme{}, k, nil // refused, or known, where the config is read whole
	}
	if err := read(q, text); err != nil {
		return s, k, fmt.Errorf("%s%w", at, err)
	}
	return s, k, nil
}

// inWords says of a value of another type where it is and what it is.
func inWords(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return fmt.Errorf("%s is a %s, which is not what it should be", cmp.Or(wrong.Field, "all of it"), wrong.Value)
	}
	return err
}

// only refuses a value that is none of those that are built; "" is the key's absence.
func only(key, value string, built ...string) error {
	if value == "" || slices.Contains(built, value) {
		return nil
	}
	return fmt.Errorf("%s is %q, which is not built; only %q are: %s", key, value, built, Instead("other"))
}

// formats of compressed-tensors that are built.
var formats = []string{"pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized",
	"mixed-precision", "dense"}

func (s *scheme) compressed(q quantization, _ json.RawMessage) error {
	if err := only("format", q.Format, formats...); err != nil {
		return err
	}
	if err := only("sparsity_config: format", q.Sparsity.Format, "dense"); err != nil {
		return err
	}
	if len(q.Transform) > 0 {
		return fmt.Errorf("transform_config has rotations of activations, which are not built: %s", Instead("other"))
	}
	for name, g := range q.Groups {
		if err := only("config_groups: "+name+": format", g.Format, formats...); err != nil {
			return err
		}
		if b := g.Weights.Bits; b > 0 && !slices.Contains(s.bits, b) {
			s.bits = append(s.bits, b)
		}
	}
	slices.Sort(s.bits)
	return nil
}

func (s *scheme) awq(q quantization, _ json.RawMessage) error {
	s.size = q.Group
	if q.Bits != 0 && q.Bits != 4 {
		return fmt.Errorf("bits is %d, which is not built for awq; only 4 is", q.Bits)
	}
	if err := only("version", strings.ToLower(q.Version), "gemm"); err != nil { // others lay codes out otherwise
		return err
	}
	return only("checkpoint_format", q.Checkpoint, "gemm", "awq")
}

func (s *scheme) gptq(q quantization, _ json.RawMessage) error {
	if !slices.Contains([]int{0, 2, 4, 8}, q.Bits) {
		return fmt.Errorf("bits is %d, which is not built for gptq; only 2, 4 and 8 are: %s", q.Bits, Instead("other"))
	}
	s.size, s.v2 = q.Group, q.Checkpoint == "gptq_v2"
	return only("checkpoint_format", q.Checkpoint, "gptq", "gptq_v2")
}

func (s *scheme) modelopt(q quantization, _ json.RawMessage) error {
	return only("quant_algo", q.Algorithm, "FP8", "NVFP4", "W4A16_NVFP4", "MIXED_PRECISION")
}

func (s *scheme) fp8(q quantization, text json.RawMessage) error {
	var has map[string]json.RawMessage
	_ = json.Unmarshal(text, &has) // it is an object
	_, given := has["weight_block_size"]
	s.blockless = given && null(q.Block)
	return nil
}

// mlx reads what is said of all modules, and of single ones by their paths.
func (s *scheme) mlx(q quantization, text json.RawMessage) error {
	if err := json.Unmarshal(text, &s.groups); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	_ = json.Unmarshal(text, &all) // it is an object
	s.modules = map[string]group{}
	for path, own := range all {
		g := group{Size: 64, Bits: 4} // what it does not say is not what is said of all, but what mlx has by itself
		if bytes.HasPrefix(own, []byte("{")) && json.Unmarshal(own, &g) == nil {
			s.modules[path] = g
		}
	}
	for _, g := range append(slices.Collect(maps.Values(s.modules)), s.groups) {
		if err := only("mode", g.Mode, "affine", "mxfp4", "mxfp8", "nvfp4"); err != nil {
			return err
		}
	}
	return nil
}

// beside are the files in which packages told of weights before config.json did, and what is read of them there.
var beside = []struct {
	file, method string
	inside       string            // the key whose object it is; "": the file's own
	names        map[string]string // what config.json calls its keys
}{
	{regular.SettingsOfCodes[0], modelopt, "quantization", nil},
	{regular.SettingsOfCodes[1], gptq, "", nil},
	{regular.SettingsOfCodes[2], awq, "", map[string]string{"w_bit": "bits", "q_group_size": "group_size"}},
}

// WithSettings is a config.json with what another file of its folder says of quantised weights, if it says nothing itself. read reads a file by its
// name; that it is not there is fs.ErrNotExist.
func WithSettings(config []byte, read func(name string) ([]byte, error)) ([]byte, error) {
	var k keys
	if json.Unmarshal(config, &k) != nil || !null(k.Quantization) || !null(k.Text.Quantization) || !null(k.MLX) {
		return config, nil
	}
	for _, b := range beside {
		text, err := read(b.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return withKeys(config, text, b.file, b.method, b.inside, b.names)
	}
	return config, nil
}

func withKeys(config, text []byte, file, method, inside string, names map[string]string) ([]byte, error) {
	said, err := object(text)
	if err == nil && inside != "" {
		said, err = object(said[inside])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for from, to := range names {
		if v, ok := said[from]; ok {
			said[to] = v
		}
	}
	said["quant_method"], _ = json.Marshal(method)
	whole, err := object(config)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if whole["quantization_config"], err = json.Marshal(said); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return json.Marshal(whole)
}

// object is the keys of one.
func object(text []byte) (keys map[string]json.RawMessage, err error) {
	if null(text) {
		return nil, errors.New("an object was expected, found none")
	}
	err = json.Unmarshal(text, &keys)
	return keys, err
}
