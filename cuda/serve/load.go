package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/hfconfig"
	"github.com/inference-pio/inference-pio/cuda/hfgguf"
	"github.com/inference-pio/inference-pio/cuda/hfquant"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
)

// load.go opens checkpoints: config.json to a model, tensors to its weights, both to a layer table.

const maxConfigBytes = 4 << 20 // the largest published one is under 100 KB

// opened is a model with its weights mapped and nothing computed yet.
type opened struct {
	model    Model
	shape    Shape
	bound    *nn.Bound
	source   weights.Source
	numerics sdk.Numerics
	quantise string     // cuda.Q8, cuda.Q4 or ""
	cache    cuda.DType // of keys, values and latents
	config   []byte     // config.json, or what stands for it
	close    func() error

	checkpoint *weights.Checkpoint // nil if the weights are invented
	head       int64               // bytes of the header of a GGUF file, which has the tokenizer; 0: it is a folder
}

// misfit says that a checkpoint is of another family: not an error to Inspect.
type misfit struct{ reason string }

func (m *misfit) Error() string { return m.reason }

// readSettings reads one of a checkpoint's JSON files. That it is absent is fs.ErrNotExist.
func readSettings(dir, name string) ([]byte, error) {
	text, err := regular.Read(filepath.Join(dir, name), maxConfigBytes)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	return text, nil
}

// belongs says whether a checkpoint is of the family: a *misfit is one that is not.
func (f Family) belongs(path string) error {
	if !regular.IsGGUF(path) {
		_, err := f.readConfig(path)
		return err
	}
	file, err := f.openGGUF(path)
	if err != nil {
		return err
	}
	return file.Checkpoint.Close()
}

// openGGUF maps a GGUF file of the family.
func (f Family) openGGUF(path string) (*hfgguf.Model, error) {
	if f.GGUF == nil {
		return nil, &misfit{fmt.Sprintf("%s: %s does not read GGUF files", path, f.Name)}
	}
	file, err := f.GGUF.Open(path)
	var other *hfgguf.ErrOther
	switch {
	case errors.As(err, &other):
		return nil, &misfit{fmt.Sprintf("%v; %s runs %s", other, f.Name, strings.Join(f.Architectures, ", "))}
	case errors.Is(err, fs.ErrNotExist):
		return nil, sdk.Errorf(sdk.ReasonNotFound, "%w", err)
	case err != nil:
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	return file, nil
}

// readConfig reads config.json and checks that the family runs it.
func (f Family) readConfig(dir string) ([]byte, error) {
	if err := regular.Folder(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, sdk.Errorf(sdk.ReasonNotFound, "%w", err)
	} else if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	text, err := readSettings(dir, "config.json")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "config.json")
	classes, err := hfconfig.Architectures(text)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", path, err)
	}
	if !slices.ContainsFunc(classes, func(a string) bool { return slices.Contains(f.Architectures, a) }) {
		return nil, &misfit{fmt.Sprintf("%s: architectures is %q; %s runs %s", path, classes, f.Name, strings.Join(f.Architectures, ", "))}
	}
	if text, err = hfquant.WithSettings(text, func(name string) ([]byte, error) { return readSettings(dir, name) }); err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", dir, err)
	}
	return text, nil
}

// describe opens the model of a checkpoint whose tensors are known, without binding them. preprocessor is what a GGUF file says of pictures.
func (f Family) describe(req sdk.InspectRequest, config, preprocessor []byte, src weights.Source) (Model, error) {
	m, err := f.Open(config, OpenOptions{Layers: req.Layers, Has: tensorsOf(src)})
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", configOf(req.Path), err)
	}
	if s, ok := m.(Seer); ok {
		if preprocessor != nil {
			err = s.ReadPreprocessor(preprocessor)
		} else {
			err = readPreprocessor(s, req.Path)
		}
		if err != nil {
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", req.Path, err)
		}
	}
	if c := m.Shape().Context; req.Context > c {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "a context of %d positions was asked for; the checkpoint has %d: set context to at most that, or leave it out", req.Context, c)
	}
	return m, nil
}

// configOf is where a checkpoint's config is.
func configOf(path string) string {
	if regular.IsGGUF(path) {
		return path
	}
	return filepath.Join(path, "config.json")
}

// readPreprocessor gives a model that sees what its checkpoint says of pictures, if it says anything.
func readPreprocessor(m Seer, dir string) error {
	const name = "preprocessor_config.json"
	text, err := readSettings(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.ReadPreprocessor(text); err != nil {
		return sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

// tensorsOf answers whether a source has a tensor; one that invents them has none by name.
func tensorsOf(src weights.Source) func(string) bool {
	names := map[string]bool{}
	for _, n := range src.Names() {
		names[n] = true
	}
	return func(name string) bool { return names[name] }
}

// numerics are the modes that models are computed in.
var numerics = []sdk.Numerics{sdk.NumericsExact, sdk.NumericsFast}

// quantised are the forms that weights are quantised to.
var quantised = []string{cuda.Q8, cuda.Q4}

// numericsOf is the mode that was asked for. Whoever quantises, or takes weights that somebody has quantised, and says nothing of it wants
// speed more than the last bits.
func numericsOf(req sdk.InspectRequest) sdk.Numerics {
	switch {
	case req.Numerics != "":
		return req.Numerics
	case req.Quantize != "" || regular.InCodes(req.Path):
		return sdk.NumericsFast
	}
	return sdk.NumericsExact
}

// cacheTypes are what keys, values and latents can be kept in; a user calls them as they are called.
var cacheTypes = []cuda.DType{cuda.F32, cuda.BF16, cuda.Q8Row}

func cacheNames() (names []string) {
	for _, c := range cacheTypes {
		names = append(names, c.String())
	}
	return names
}

// cacheOf is the type that was asked for, or the one that goes with the numerics.
func cacheOf(req sdk.InspectRequest, n sdk.Numerics) cuda.DType {
	if i := slices.Index(cacheNames(), req.KVCache); i >= 0 {
		return cacheTypes[i]
	}
	if n == sdk.NumericsFast {
		return cuda.BF16
	}
	return cuda.F32
}

// caches says what each decoder layer keeps.
func (o *opened) caches() []nn.CacheSpec {
	list := slices.Clone(o.model.Caches())
	for i := range list {
		list[i].Type = o.cache
	}
	return list
}

// supported refuses what this library does not have, by name.
func supported(req sdk.InspectRequest) error {
	switch {
	case req.Numerics != "" && !slices.Contains(numerics, req.Numerics):
		return sdk.Errorf(sdk.ReasonInvalid, "numerics %q is none of %q", req.Numerics, numerics)
	case req.Quantize != "" && !slices.Contains(quantised, req.Quantize):
		return sdk.Errorf(sdk.ReasonInvalid, "quantize %q is none of %q; leave it out to use the checkpoint's own weights", req.Quantize, quantised)
	case req.KVCache != "" && !slices.Contains(cacheNames(), req.KVCache):
		return sdk.Errorf(sdk.ReasonInvalid, "kv_cache %q is none of %q; leave it out for what goes with the numerics", req.KVCache, cacheNames())
	case req.Weights != "" && req.Weights != "file" && req.Weights != "dummy":
		return sdk.Errorf(sdk.ReasonInvalid, "weights %q is neither \"file\" nor \"dummy\"", req.Weights)
	}
	return nil
}

// open maps the weights and binds them to the model.
func (f Family) open(ctx context.Context, req sdk.InspectRequest) (*opened, error) {
	return f.openWith(ctx, req, func() (weights.Source, func() error) {
		if f.Imagined.counted() {
			outline := weights.NewOutline(cuda.BF16)
			return outline, outline.Close
		}
		v := weights.Invent(1, cuda.BF16)
		return v, v.Close
	})
}

// openWith takes weights that are invented from invent.
func (f Family) openWith(ctx context.Context, req sdk.InspectRequest, invent func() (weights.Source, func() error)) (_ *opened, err error) {
	if err := supported(req); err != nil {
		return nil, err
	}
	o := &opened{quantise: req.Quantize}
	config, preprocessor, err := o.openFiles(f, req, invent)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	o.config = config
	source, err := hfquant.Open(config, o.source)
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", req.Path, err)
	}
	o.source = source
	o.numerics = numericsOf(req)
	o.cache = cacheOf(req, o.numerics)
	if o.model, err = f.describe(req, config, preprocessor, o.source); err != nil {
		return nil, err
	}
	o.shape = o.model.Shape()
	if m, ok := o.model.(Respeller); ok {
		o.source = m.Respell(o.source)
	}
	ignore := o.model.IgnoreTensor
	if req.Layers > 0 {
		ignore = func(name string) bool { return o.model.IgnoreTensor(name) || beyond(name, req.Layers) }
	}
	o.bound, err = nn.Bind(o.model, o.source,
		nn.BindOptions{Prefix: "model.", Ignore: ignore, Stop: ctx.Err, FP8Block: scaleBlock(o.model), Quantise: o.quantise, Coded: repack(req)})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", req.Path, err)
	}
	return o, nil
}

// openFiles reads the config and maps the weights, or takes invented ones.
func (o *opened) openFiles(f Family, req sdk.InspectRequest, invent func() (weights.Source, func() error)) (config, preprocessor []byte, err error) {
	if regular.IsGGUF(req.Path) {
		file, err := f.openGGUF(req.Path)
		if err != nil {
			return nil, nil, err
		}
		o.head, config, preprocessor = file.Head.Data, file.Config, file.Preprocessor
		o.source, o.checkpoint, o.close = file.Source, file.Checkpoint, file.Checkpoint.Close
	} else if config, err = f.readConfig(req.Path); err != nil {
		return nil, nil, err
	}
	switch {
	case req.Weights == "dummy":
		if o.close != nil {
			err = o.close()
		}
		o.checkpoint = nil
		o.source, o.close = invent()
	case o.checkpoint == nil:
		if o.checkpoint, err = weights.Open(req.Path); err != nil {
			return nil, nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
		}
		o.source, o.close = o.checkpoint, o.checkpoint.Close
	}
	return config, preprocessor, err
}

// scaleBlock is the block of 8-bit weights that one factor is for, {} if the model does not say.
func scaleBlock(m Model) (block [2]int) {
	if m, ok := m.(interface{ FP8Block() [2]int }); ok {
		block = m.FP8Block()
	}
	return block
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

// mapAhead has the pages mapped that every token reads while the rest of the load goes on. Experts and towers are mapped as they are read.
func (o *opened) mapAhead() {
	if o.checkpoint != nil {
		o.checkpoint.Ahead(o.everyToken())
	}
}

// everyToken is what every token reads, in the order of the forward pass.
func (o *opened) everyToken() (data [][]byte) {
	for _, m := range o.bound.Modules {
		if !isExpert(m) && !inTower(m.ID) {
			data = append(data, dataOf(m)...)
		}
	}
	return data
}

// dataOf is the weights of a module in the memory of this process.
func dataOf(m *cuda.Module) (data [][]byte) {
	for _, w := range m.Weights {
		file := w.File()
		for plane := range file.Layout.Planes {
			data = append(data, file.Plane(plane).Raw())
		}
	}
	return data
}

// table lists the modules, for a context.
func (o *opened) table(context int) sdk.LayerTable {
	caches := o.caches()
	t := sdk.LayerTable{Parameters: o.bound.Parameters, Context: context, VocabSize: o.shape.Vocab}
	tied := !slices.ContainsFunc(o.bound.Modules, func(m *cuda.Module) bool { return m.ID == "lm_head" })
	for _, m := range o.bound.Modules {
		bytes, matrices := m.WeightBytes(), 0
		for _, w := range m.Weights {
			if len(w.Shape) > 1 {
				matrices += w.Len()
			}
		}
		row := sdk.Module{ID: m.ID, WeightBytes: bytes, ActiveBytesToken: bytes, FLOPsToken: 2 * float64(matrices)}
		if m.ID == "embed_tokens" && !tied { // one row is looked up
			row.ActiveBytesToken /= int64(max(1, t.VocabSize))
			row.FLOPsToken = 0
		}
		switch {
		case inTower(m.ID): // only pictures enter it
			row.ActiveBytesToken, row.FLOPsToken = 0, 0
		case isExpert(m):
			used, all := float64(o.shape.ExpertsPerToken), float64(max(1, o.shape.Experts))
			row.ActiveBytesToken, row.FLOPsToken = int64(float64(bytes)*used/all), row.FLOPsToken*used/all
		case m.Layer >= 0 && m.Layer < len(caches):
			row.StateBytesToken, row.StateBytesSeq = caches[m.Layer].PositionBytes(), caches[m.Layer].SequenceBytes()
		}
		t.Modules = append(t.Modules, row)
	}
	return t
}

// inspect answers Inspect from the headers: weights are mapped, not read, and those that would be invented are not made.
func (f Family) inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	o, err := f.openWith(ctx, req, func() (weights.Source, func() error) {
		outline := weights.NewOutline(cuda.BF16)
		return outline, outline.Close
	})
	if err != nil {
		return misfitOr(err)
	}
	answer := fit(o.shape)
	answer.Table, err = o.taking(req, o.table(contextOf(req, o.model)))
	if err == nil && req.Measure != nil && len(req.Measure.Devices) > 0 {
		err = f.measured(o, req, &answer.Table)
	}
	return answer, errors.Join(err, o.close())
}

// misfitOr makes the answer that a checkpoint is of another family of the error that says so.
func misfitOr(err error) (sdk.Inspection, error) {
	var other *misfit
	if errors.As(err, &other) {
		return sdk.Inspection{Reason: other.reason}, nil
	}
	return sdk.Inspection{}, err
}

func fit(s Shape) sdk.Inspection {
	if s.Published {
		return sdk.Inspection{Fit: sdk.FitExact}
	}
	return sdk.Inspection{Fit: sdk.FitFamily, Reason: "the architecture, with other dimensions than the published model"}
}

func contextOf(req sdk.InspectRequest, m Model) int {
	if req.Context > 0 {
		return req.Context
	}
	return m.Shape().Context
}
