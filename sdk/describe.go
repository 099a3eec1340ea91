package sdk

import "time"

// ProtocolMajor is the protocol this sdk speaks; the host and the plugin agree on the highest one both know.
const ProtocolMajor = 1

// Description is what a plugin says of itself. It is the plugin's only identity: there is no manifest beside the binary.
// `BIN describe` prints it as JSON under the names of the tags.
type Description struct {
	Name          string       `json:"name"`          // lower case, digits and underscores: the name models.toml uses
	Version       string       `json:"version"`       // semantic version of the plugin
	SDKVersion    string       `json:"sdk_version"`   // filled by the sdk
	Architectures []string     `json:"architectures"` // the class names in config.json it can run
	Majors        []int        `json:"majors"`        // protocol majors; filled by the sdk
	Capabilities  []Capability `json:"capabilities"`  // filled by the sdk from the interfaces
	// Kernels names the arithmetic: "cpu/avx2", "cpu/portable". Two processes with equal Kernels on the same kind of
	// device compute the same bits.
	Kernels  string     `json:"kernels"`
	Numerics []Numerics `json:"numerics"` // modes that Load accepts
	Devices  []string   `json:"devices"`  // kinds of device it can place modules on besides "cpu": "far", "cuda"
}

// Numerics is the arithmetic a model is run in. With [Description].Kernels it decides the bits of an answer.
type Numerics string

// The modes of arithmetic.
const (
	NumericsExact Numerics = "exact" // f32 activations and cache: what is compared with the reference
	NumericsFast  Numerics = "fast"  // 16- or 8-bit activations and cache, each with a stated bound
)

// Fit says how well a plugin suits a checkpoint.
type Fit int

// The degrees of Fit.
const (
	FitNone   Fit = iota // another architecture
	FitFamily            // the architecture, with other dimensions than the published model
	FitExact             // the published model's dimensions
)

func (f Fit) String() string {
	switch f {
	case FitExact:
		return "exact"
	case FitFamily:
		return "family"
	}
	return "no"
}

// InspectRequest names a checkpoint and how it would be loaded.
type InspectRequest struct {
	Path     string   // a Hugging Face directory
	Context  int      // positions; 0 means the checkpoint's
	Quantize string   // "" keeps the checkpoint's weights
	Numerics Numerics // "" is exact, or with Quantize what the plugin takes to go with it
	KVCache  string   // the form of keys and values between steps: "f32", "bf16", "q8"; "" is what the plugin takes to go with Numerics
	Layers   int      // use only the first n decoder layers; 0 means all. For tests and benchmarks.
	Weights  string   // "" or "file"; "dummy" makes random weights of the config's shapes, needing only config.json

	MaxSequences int // sequences decoded together, at most [MaxSequences]; 0 means the plugin's default
	StepTokens   int // rows per step at most, at most [MaxStepTokens]; 0 means the plugin's default

	// Measure has the table of an Inspection tell of devices; nil is no wish. Load does not see it. A plugin that does not measure leaves
	// LayerTable.Devices empty.
	Measure *Measurement
}

// Measurement is what a plan is to be made for.
type Measurement struct {
	Devices []DeviceBudget // the first is "cpu". One with a ReadRate is not looked for: the host imagines it.
	Threads int            // as in [LoadRequest]
}

// DeviceTable is what a model takes of a device besides weights and state, and how fast the device is.
type DeviceTable struct {
	Name         string
	ScratchBytes int64   // taken as soon as anything is computed there
	CopyRate     float64 // bytes per second from the host's memory; 0: not known, as of the others
	ReadRate     float64 // bytes per second its kernels read weights at
	FLOPS        float64 // f32 operations per second; multiply-adds count as two
	OpSeconds    float64 // what an op takes beside its bytes and its operations
	TurnSeconds  float64 // what it takes to have something small computed there and to learn of it
	BesideRate   float64 // bytes per second that are copied to it while the cpu reads memory as fast as it can
	BesideTakes  float64 // bytes that the cpu reads less meanwhile, for each that is copied
	StagedRate   float64 // both of copies through pinned memory, where those are of copies from where weights lie
	StagedTakes  float64
}

// What can be asked of any plugin; each may have tighter limits of its own.
const (
	MaxSequences  = 1 << 12
	MaxStepTokens = 1 << 16
)

// Inspection is a plugin's answer about one checkpoint.
type Inspection struct {
	Fit    Fit
	Reason string // why it does not fit, or does only as a family
	Table  LayerTable
}

// LayerTable says what a model takes, module by module, in the order of the forward pass.
type LayerTable struct {
	Modules    []Module
	Parameters int64
	Context    int // positions the table was made for
	VocabSize  int
	// MaxSequences is how many sequences of the full context fit the state that Load has reserved; in an Inspection, how
	// many are decoded together, as asked or by default.
	MaxSequences int
	// ScratchBytes is the memory besides weights and state: activations, buffers, the tokenizer. 0 is unknown.
	ScratchBytes int64
	// ScratchBytesMost is what ScratchBytes would be with memory enough for whatever may come, such as large pictures;
	// 0 is ScratchBytes.
	ScratchBytesMost int64
	// CachePositions is the positions of cache that Load has reserved, of all sequences together; 0 in an Inspection.
	CachePositions int
	// Snapshots is how many copies of a sequence's state of fixed size are kept beside those of sequences, for prompts that begin
	// alike.
	Snapshots int
	// Weights names the very weights that were loaded: another name after a file was written to or replaced. What was begun
	// with weights of one name is not resumed with those of another. "" is not told, and in an Inspection.
	Weights string
	// Plan is where each module lies after Load, or will when it has come there: a model may be ready before. Empty in an Inspection.
	Plan []Placement
	// Devices are those that an Inspection was asked to measure, or that a Load has, in their order; empty: the plugin
	// does not measure.
	Devices []DeviceTable
}

// Module is the unit of placement: it is computed on one device at a time.
type Module struct {
	ID               string // its prefix in the checkpoint: "layers.3", "embed_tokens", "lm_head"
	WeightBytes      int64
	StateBytesToken  int64   // bytes of cache per position
	StateBytesSeq    int64   // bytes of fixed-size state per sequence
	FLOPsToken       float64 // multiply-adds count as two
	ActiveBytesToken int64   // weight bytes one decoded token reads
	DeviceBytes      int64   // what its weights take on a device that is not the CPU, where Devices of the table are told; 0: WeightBytes
	Ops              int     // of a pass, where Devices of the table are told; 0: not known
}

// Placement says where a module is computed and whether its weights stay there.
type Placement struct {
	Module   string
	Device   string
	Streamed bool // the weights are brought for each pass and given up after it
}

// LoadRequest makes a plugin load a checkpoint.
type LoadRequest struct {
	// Context 0 means here: the checkpoint's, or the most that fits the budget of the cpu.
	InspectRequest
	Devices []DeviceBudget // first is always "cpu"
	Threads int            // 0 means all cores that the process may use
	// PrefixCache is how many bytes of cache finished requests may leave filled, for prompts that begin as theirs did. 0 means the
	// plugin's default, less than that none.
	PrefixCache int64
	// KVSpill is how many bytes of the host's memory may take what a cache on other devices has no room for: keys, values and states of
	// requests that lost their place, and of the prefix cache. They count against the budget of "cpu". 0 is none.
	KVSpill int64
	// StepTime is how long a step with answers under way should take at most: longer prompts are computed in smaller pieces beside
	// them. 0 means the plugin's default, less than that no limit.
	StepTime time.Duration
	// WeightCache is where weights may be kept that Load has brought into another form; without a Folder nowhere.
	WeightCache WeightCache
}

// WeightCache is a folder for weights in the form that they are computed in, which later loads map as they are. All plugins of a user share it:
// a plugin keeps what its name and version are part of the name of.
type WeightCache struct {
	Folder string // absolute; it need not be there
	Bytes  int64  // of all files in it together; 0 means no limit but that of the disk
}

// DeviceBudget is what one process may use of one device.
type DeviceBudget struct {
	Name     string  // "cpu", "far", "gpu.0"
	Bytes    int64   // weights (also those of a mapped file), state and scratch count; 0 on "cpu" means no limit
	CopyRate float64 // bytes per second from the host's memory, for devices that simulate one; 0: measured
	ReadRate float64 // bytes per second the device's kernels read weights at; 0: measured
}

// Progress of a Load.
type Progress struct {
	Stage string // "map", "bind", "plan", "warm"
	Done  int64  // bytes
	Total int64
}
