// json.go holds what the listing commands print with --json: one document on stdout, for programs. Names are only ever added,
// lists are never null, sizes are in bytes. A document that says what is wrong comes with an exit code other than 0, and the
// same words on stderr.
package main

import (
	"encoding/json"

	"github.com/spf13/pflag"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/contents"
	"github.com/inference-pio/inference-pio/host/internal/devices"
	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/conformance"
)

// modelsDocument is that of `models`.
type modelsDocument struct {
	Host    string      `json:"host"`    // the configured address, or that of --host
	Running bool        `json:"running"` // a host answers there
	Models  []modelLine `json:"models"`  // in the order of models.toml

	KeptIn string     `json:"kept_in"` // the folder of quantised weights; "": nothing is kept, or of a host elsewhere
	Kept   []keptLine `json:"kept"`    // the one used last first
}

// devicesDocument is that of `devices`.
type devicesDocument struct {
	CPU   cpuDevice     `json:"cpu"`
	GPUs  []devices.GPU `json:"gpus"`
	NoGPU string        `json:"no_gpu"` // why there is none; "" where there are
}

// cpuDevice is the machine itself.
type cpuDevice struct {
	Cores  int   `json:"cores"`
	Usable int64 `json:"usable"` // bytes that models may have; 0: the system does not tell
}

// modelLine is an entry of models.toml and how it stands in the running host.
type modelLine struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases"`
	Path    string   `json:"path"`    // "": of a host elsewhere
	Plugin  string   `json:"plugin"`  // "": the one that claims the checkpoint, or of a host elsewhere
	State   string   `json:"state"`   // "": no host has it
	Reason  string   `json:"reason"`  // why it is not ready, or ""
	Context int      `json:"context"` // positions; 0: not known before it is loaded

	RetryAt  string `json:"retry_at"`  // when it is started again, if nothing happens before; RFC 3339, or ""
	WaitsFor string `json:"waits_for"` // in words, or ""

	Quantize string `json:"quantize"` // "": not, or of a host elsewhere
	Numerics string `json:"numerics"` // exact or fast; "": of a host elsewhere
	KVCache  string `json:"kv_cache"` // "": what goes with numerics, or of a host elsewhere

	Cores int `json:"cores"` // that its process may use now; 0: it has none, or its plugin takes what it likes
}

// pluginsDocument is that of `plugin list` and `plugin lock`.
type pluginsDocument struct {
	Plugins  []pluginLine `json:"plugins"`
	Problems []string     `json:"problems"` // files that are not used, a sentence each
}

type pluginLine struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Path    string `json:"path"`
	SHA256  string `json:"sha256"`
	Locked  bool   `json:"locked"` // a pio.lock lists it
}

func pluginLines(plugins []catalog.Plugin) []pluginLine {
	lines := []pluginLine{}
	for _, p := range plugins {
		lines = append(lines, pluginLine{p.Name, p.Version, p.Path, p.SHA256, p.Locked})
	}
	return lines
}

// inspectDocument is that of `plugin inspect`.
type inspectDocument struct {
	Plugin     *describedPlugin     `json:"plugin"`     // null without a plugin
	File       *contents.File       `json:"file"`       // null without --model, and of a folder with a plugin
	Checkpoint *describedCheckpoint `json:"checkpoint"` // null without --model, or if no plugin takes it
	Taken      *takenBy             `json:"taken"`      // null with a plugin
}

// takenBy is which of the plugins takes a checkpoint.
type takenBy struct {
	Plugin string   `json:"plugin"` // "": none
	Others []string `json:"others"` // that would take it as well
	Reason string   `json:"reason"` // why none does
}

type describedPlugin struct {
	sdk.Description
	SHA256 string `json:"sha256"`
}

func describe(d sdk.Description, sum string) *describedPlugin {
	d.Architectures, d.Majors, d.Capabilities = list(d.Architectures), list(d.Majors), list(d.Capabilities)
	d.Numerics, d.Devices = list(d.Numerics), list(d.Devices)
	return &describedPlugin{d, sum}
}

type describedCheckpoint struct {
	Path       string       `json:"path"`
	Fit        string       `json:"fit"` // exact, family or no
	Reason     string       `json:"reason"`
	Parameters int64        `json:"parameters"`
	Context    int          `json:"context"`
	Vocabulary int          `json:"vocabulary"`
	Modules    []moduleLine `json:"modules"` // in the order of the forward pass

	Quantize string `json:"quantize"` // as asked
	Numerics string `json:"numerics"` // that go with it
	Weights  int64  `json:"weights"`
	KVCache  string `json:"kv_cache"` // as asked; "": what goes with numerics
	Position int64  `json:"position"` // of the cache
}

type moduleLine struct {
	ID               string  `json:"id"`
	WeightBytes      int64   `json:"weight_bytes"`
	StateBytesToken  int64   `json:"state_bytes_token"`
	StateBytesSeq    int64   `json:"state_bytes_sequence"`
	FLOPsToken       float64 `json:"flops_token"`
	ActiveBytesToken int64   `json:"active_bytes_token"`
}

func checkpointOf(req sdk.InspectRequest, i sdk.Inspection) *describedCheckpoint {
	c := &describedCheckpoint{
		Path: req.Path, Quantize: req.Quantize, Numerics: string(req.Numerics), KVCache: req.KVCache, Fit: i.Fit.String(), Reason: i.Reason,
		Parameters: i.Table.Parameters, Context: i.Table.Context, Vocabulary: i.Table.VocabSize, Modules: []moduleLine{},
	}
	for _, m := range i.Table.Modules {
		c.Weights += m.WeightBytes
		c.Position += m.StateBytesToken
		c.Modules = append(c.Modules, moduleLine{m.ID, m.WeightBytes, m.StateBytesToken, m.StateBytesSeq, m.FLOPsToken, m.ActiveBytesToken})
	}
	return c
}

// testDocument is that of `plugin test`.
type testDocument struct {
	Plugin string     `json:"plugin"`
	Model  string     `json:"model"`
	Passed bool       `json:"passed"`
	Cases  []testCase `json:"cases"`
}

type testCase struct {
	Name    string   `json:"name"`
	Musts   []string `json:"musts"`  // numbers of PROTOCOL.md
	Result  string   `json:"result"` // pass, fail or skip
	Seconds float64  `json:"seconds"`
	Lines   []string `json:"lines"` // what went wrong or was remarked
}

func caseOf(r conformance.Result) testCase {
	c := testCase{r.Case.Name, r.Case.Musts, "pass", r.Seconds, list(r.Lines)}
	if r.Failed {
		c.Result = "fail"
	} else if r.Skipped {
		c.Result = "skip"
	}
	return c
}

// checkDocument is that of `config check`.
type checkDocument struct {
	File     string        `json:"file"`
	OK       bool          `json:"ok"`
	Memory   checkedMemory `json:"memory"`
	Models   []checkedLine `json:"models"` // those that could be served
	Problems []problemLine `json:"problems"`
}

type checkedLine struct {
	ID      string `json:"id"`
	Plugin  string `json:"plugin"`
	Version string `json:"version"`

	Context   int       `json:"context"`   // positions it would have; 0: the plugin does not tell
	Sequences int       `json:"sequences"` // of so many positions fit at once
	Memory    takenLine `json:"memory"`
}

// checkedMemory is what there is for models.
type checkedMemory struct {
	Bytes int64  `json:"bytes"` // 0: unknown
	From  string `json:"from"`
	Taken int64  `json:"taken"` // by all models together
}

// takenLine is what a model would take of it.
type takenLine struct {
	Total   int64 `json:"total"`
	Weights int64 `json:"weights"`
	Cache   int64 `json:"cache"`
	State   int64 `json:"state"`
	Scratch int64 `json:"scratch"`
	Spill   int64 `json:"spill"` // for what caches on other devices have no room for
}

type problemLine struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: the file as a whole
	Key  string `json:"key"`  // such as "model[0].path", or ""
	Text string `json:"text"`
}

func problemLines(problems config.Problems) []problemLine {
	lines := []problemLine{}
	for _, p := range problems {
		lines = append(lines, problemLine(p))
	}
	return lines
}

// planDocument is that of `plan`.
type planDocument struct {
	File     string          `json:"file"`
	OK       bool            `json:"ok"`
	Memory   checkedMemory   `json:"memory"`
	Devices  []plannedDevice `json:"devices"` // besides the cpu
	Models   []plannedModel  `json:"models"`  // those that could be loaded
	Problems []problemLine   `json:"problems"`
}

type plannedDevice struct {
	Name     string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Taken    int64  `json:"taken"`    // by all models together
	Imagined bool   `json:"imagined"` // by --gpu
}

// plannedModel is a model as it would be loaded. Rates are tokens per second of one sequence, at best; 0: not known.
type plannedModel struct {
	ID         string          `json:"id"`
	Plugin     string          `json:"plugin"`
	Context    int             `json:"context"` // 0: the plugin does not tell
	Sequences  int             `json:"sequences"`
	Memory     takenLine       `json:"memory"` // of the cpu
	Decode     float64         `json:"decode"`
	DecodeLast float64         `json:"decode_last"` // with the whole context before it
	Prompt     float64         `json:"prompt"`
	Cores      int             `json:"cores"`   // that it computes on while it works alone
	Shared     plannedShared   `json:"shared"`  // while all models work
	Devices    []plannedPart   `json:"devices"` // the cpu first
	Modules    []plannedModule `json:"modules"` // in the order of the forward pass
	Why        []string        `json:"why"`
	Gives      []string        `json:"gives"` // what would bring more of it to devices besides the cpu, a sentence each
}

// plannedShared is what a model has of the cores beside others.
type plannedShared struct {
	Cores      int     `json:"cores"`
	With       int     `json:"with"` // others
	Decode     float64 `json:"decode"`
	DecodeLast float64 `json:"decode_last"`
}

// plannedPart is what a model would have of a device.
type plannedPart struct {
	Name      string  `json:"name"`
	Bytes     int64   `json:"bytes"` // that it may have
	Taken     int64   `json:"taken"`
	Buffer    int64   `json:"buffer"`     // of that, what weights are streamed through
	Experts   int     `json:"experts"`    // of a mixture, that fit at once beside the layers
	ExpertsOf int     `json:"experts_of"` // of so many
	Hits      float64 `json:"hits"`       // share of those a token needs that are there, estimated
	Through   int     `json:"through"`    // rows of a pass from which on experts that it has no room for are brought through it; 0: they never are
	Crossing  int     `json:"crossing"`   // rows of a pass from which on a layer is quicker brought there than computed on the cpu; 0: none
	Read      float64 `json:"read"`       // bytes/s; this and what follows: 0 is not known
	Copy      float64 `json:"copy"`
	FLOPS     float64 `json:"flops"`
}

type plannedModule struct {
	ID       string `json:"id"`
	Device   string `json:"device"` // where it would be computed; experts say cpu, see experts
	Streamed bool   `json:"streamed"`
}

// pullDocument is that of `pull`.
type pullDocument struct {
	Endpoint   string     `json:"endpoint"` // "": the configured one
	Repository string     `json:"repository"`
	Revision   string     `json:"revision"`
	Commit     string     `json:"commit"`
	Path       string     `json:"path"` // for models.toml
	Bytes      int64      `json:"bytes"`
	Missing    int64      `json:"missing"` // of them; 0 once it has come
	Free       int64      `json:"free"`    // where they go, before; -1: not known
	Files      []pullFile `json:"files"`
	Entry      string     `json:"entry"` // lines of models.toml; "": no plugin takes it, or it has not come
}

type pullFile struct {
	Path string `json:"path"` // in the repository
	Size int64  `json:"size"`
	Have int64  `json:"have"`
	Hash string `json:"hash"` // sha256, or git's sha1 of a small file
}

func pullDocumentOf(p *hub.Plan) pullDocument {
	d := pullDocument{Endpoint: p.Endpoint, Repository: p.Repo, Revision: p.Revision, Commit: p.Commit, Path: p.Checkpoint(),
		Bytes: p.Bytes, Missing: p.Missing, Free: p.Free, Files: []pullFile{}}
	for _, f := range p.Files {
		d.Files = append(d.Files, pullFile{f.Path, f.Size, f.Have, f.Hash})
	}
	return d
}

// benchDocument is that of `bench`. Rates are tokens per second.
type benchDocument struct {
	Model   string      `json:"model"`
	Plugin  string      `json:"plugin"`
	Version string      `json:"version"`
	Threads int         `json:"threads"`
	Context int         `json:"context"`
	Limits  benchLimits `json:"limits"`
	Peers   []benchPeer `json:"peers"`
	Cells   []benchCell `json:"cells"`
}

// benchLimits are what the machine did at best, and in each measurement.
type benchLimits struct {
	Read  float64   `json:"read"`  // bytes/s
	FLOPS float64   `json:"flops"` // in f32; 0: not known of this processor
	Reads []float64 `json:"reads"`
	Peaks []float64 `json:"peaks"`
}

type benchPeer struct {
	Name    string `json:"name"`
	Program string `json:"program"`
	Model   string `json:"model"`
	Build   string `json:"build"`
}

type benchCell struct {
	Kind    string    `json:"kind"` // prefill or decode
	Tokens  int       `json:"tokens"`
	Depth   int       `json:"depth"`
	Streams int       `json:"streams"`
	Rate    float64   `json:"rate"` // the middle of the samples
	Low     float64   `json:"low"`
	High    float64   `json:"high"`
	Samples []float64 `json:"samples"`

	BytesToken float64   `json:"bytes_token"` // what a token must read, and multiply; 0: the plugin does not tell
	FLOPsToken float64   `json:"flops_token"`
	Limits     []float64 `json:"limits"` // that each sample had
	Limit      float64   `json:"limit"`  // the middle of them
	Share      float64   `json:"share"`  // the middle of what samples reach of theirs
	Bound      string    `json:"bound"`  // read or f32: which of the limits it is

	Peers   []benchPeerCell `json:"peers"`
	Ratio   float64         `json:"ratio"`   // to the best of them; 0: none has it
	Against string          `json:"against"` // its name
}

type benchPeerCell struct {
	Name    string    `json:"name"`
	Rate    float64   `json:"rate"`
	Samples []float64 `json:"samples"`
	Ratio   float64   `json:"ratio"`
}

// list is never null in JSON.
func list[T any](l []T) []T { return append([]T{}, l...) }

// jsonFlag gives a command its --json.
func jsonFlag(flags *pflag.FlagSet) *bool {
	return flags.Bool("json", false, "print one JSON document; see piohost help json")
}

func (g *global) printJSON(document any) error {
	e := json.NewEncoder(g.std.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}
