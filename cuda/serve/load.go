package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// load.go opens checkpoints: config.json to a model, tensors to its weights, both to a layer table.

const maxConfigBytes = 4 << 20 // the largest published one is under 100 KB

// opened is a model with its weights mapped and nothing computed yet.
type opened struct {
	model  Model
	shape  Shape
	bound  *nn.Bound
	source weights.Source
	close  func() error
}

// misfit says that a checkpoint is of another family: not an error to Inspect.
type misfit struct{ reason string }

func (m *misfit) Error() string { return m.reason }

// readConfig reads config.json and checks that the family runs it.
func (f Family) readConfig(dir string) ([]byte, error) {
	path := filepath.Join(dir, "config.json")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sdk.Errorf(sdk.ReasonNotFound, "%s: there is no config.json; a checkpoint is a folder as Hugging Face publishes it", dir)
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigBytes {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: not a regular file of at most %d bytes", path, maxConfigBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	var head struct {
		Architectures []string `json:"architectures"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", path, err)
	}
	if !slices.ContainsFunc(head.Architectures, func(a string) bool { return slices.Contains(f.Architectures, a) }) {
		return nil, &misfit{fmt.Sprintf("%s: architectures is %q; %s runs %s", path, head.Architectures, f.Name, strings.Join(f.Architectures, ", "))}
	}
	return text, nil
}

// describe opens the model without weights.
func (f Family) describe(req sdk.InspectRequest) (Model, error) {
	if err := supported(req); err != nil {
		return nil, err
	}
	text, err := f.readConfig(req.Path)
	if err != nil {
		return nil, err
	}
	m, err := f.Open(text, OpenOptions{Layers: req.Layers})
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", filepath.Join(req.Path, "config.json"), err)
	}
	if c := m.Shape().Context; req.Context > c {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "a context of %d positions was asked for; the checkpoint has %d", req.Context, c)
	}
	return m, nil
}

// supported refuses what this library does not have, by name.
func supported(req sdk.InspectRequest) error {
	switch {
	case req.Numerics != "" && req.Numerics != sdk.NumericsExact:
		return sdk.Errorf(sdk.ReasonInvalid, "numerics %q does not exist yet; use %q", req.Numerics, sdk.NumericsExact)
	case req.Quantize != "":
		return sdk.Errorf(sdk.ReasonInvalid, "quantize %q does not exist yet; leave it out to use the checkpoint's own weights", req.Quantize)
	case req.Weights != "" && req.Weights != "file" && req.Weights != "dummy":
		return sdk.Errorf(sdk.ReasonInvalid, "weights %q is neither \"file\" nor \"dummy\"", req.Weights)
	}
	return nil
}

// open maps the weights and binds them to the model.
func (f Family) open(req sdk.InspectRequest) (*opened, error) {
	m, err := f.describe(req)
	if err != nil {
		return nil, err
	}
	o := &opened{model: m, shape: m.Shape(), close: func() error { return nil }}
	if req.Weights == "dummy" {
		o.source = weights.Dummy(1, cuda.BF16)
	} else {
		c, err := weights.Open(req.Path)
		if err != nil {
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
		}
		o.source, o.close = c, c.Close
	}
	ignore := m.IgnoreTensor
	if req.Layers > 0 {
		ignore = func(name string) bool { return m.IgnoreTensor(name) || beyond(name, req.Layers) }
	}
	o.bound, err = nn.Bind(m, o.source, nn.BindOptions{Prefix: "model.", Ignore: ignore})
	if err != nil {
		return nil, errors.Join(sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", req.Path, err), o.close())
	}
	return o, nil
}

// beyond says that a tensor belongs to a layer that the layers override cuts off.
func beyond(name string, layers int) bool {
	_, rest, ok := strings.Cut(name, "layers.")
	var n int
	if _, err := fmt.Sscanf(rest, "%d.", &n); !ok || err != nil {
		return false
	}
	return n >= layers
}

// table is what the model takes, for a context.
func (o *opened) table(context int) sdk.LayerTable {
	return layerTable(o.model, o.bound, context, func(m *cuda.Module) (bytes, matrices int64) {
		for _, w := range m.Weights {
			if len(w.Shape) > 1 {
				matrices += int64(w.Host().Len())
			}
		}
		return m.WeightBytes(), matrices
	})
}

// layerTable lists the modules; size gives the bytes of one and the elements of its matrices.
func layerTable(m Model, bound *nn.Bound, context int, size func(*cuda.Module) (bytes, matrices int64)) sdk.LayerTable {
	t := sdk.LayerTable{Parameters: bound.Parameters, Context: context, VocabSize: m.Shape().Vocab}
	caches := m.Caches()
	tied := !slices.ContainsFunc(bound.Modules, func(m *cuda.Module) bool { return m.ID == "lm_head" })
	for _, mod := range bound.Modules {
		bytes, matrices := size(mod)
		row := sdk.Module{ID: mod.ID, WeightBytes: bytes, ActiveBytesToken: bytes, FLOPsToken: 2 * float64(matrices)}
		if mod.ID == "embed_tokens" && !tied { // one row is looked up
			row.ActiveBytesToken /= int64(max(1, t.VocabSize))
			row.FLOPsToken = 0
		}
		if mod.Layer >= 0 && mod.Layer < len(caches) {
			row.StateBytesToken, row.StateBytesSeq = caches[mod.Layer].PositionBytes(), caches[mod.Layer].SequenceBytes()
		}
		t.Modules = append(t.Modules, row)
	}
	return t
}

// inspect answers Inspect from the headers: weights are mapped, not read.
func (f Family) inspect(req sdk.InspectRequest) (sdk.Inspection, error) {
	var other *misfit
	m, err := f.describe(req)
	if errors.As(err, &other) {
		return sdk.Inspection{Reason: other.reason}, nil
	}
	if err != nil {
		return sdk.Inspection{}, err
	}
	answer := sdk.Inspection{Fit: sdk.FitExact}
	if shape := m.Shape(); !shape.Published {
		answer.Fit, answer.Reason = sdk.FitFamily, "the architecture, with other dimensions than the published model"
	}
	if req.Weights == "dummy" {
		answer.Table, err = outline(m, contextOf(req, m))
		return answer, err
	}
	o, err := f.open(req)
	if err != nil {
		return sdk.Inspection{}, err
	}
	answer.Table = o.table(contextOf(req, m))
	return answer, o.close()
}

// outline is the table of a model whose weights would be invented: bf16, and not made just to be counted.
func outline(m Model, context int) (sdk.LayerTable, error) {
	bound, elements, err := nn.Outline(m, "model.")
	if err != nil {
		return sdk.LayerTable{}, err
	}
	return layerTable(m, bound, context, func(mod *cuda.Module) (bytes, matrices int64) {
		n := elements[mod.ID]
		return 2 * n, n // the few elements of norms are counted as if they were multiplied
	}), nil
}

func contextOf(req sdk.InspectRequest, m Model) int {
	if req.Context > 0 {
		return req.Context
	}
	return m.Shape().Context
}
