package wire

// load.go: Describe, Inspect and Load.

import (
	"math"
	"path/filepath"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// DescriptionToPB is the answer to Describe.
func DescriptionToPB(d sdk.Description) *pb.DescribeResponse {
	return &pb.DescribeResponse{
		Name: d.Name, Version: d.Version, SdkVersion: d.SDKVersion, Architectures: d.Architectures, Majors: int64s(d.Majors),
		Capabilities: texts(d.Capabilities), Kernels: d.Kernels, Numerics: texts(d.Numerics), Devices: d.Devices,
	}
}

// Description reads the answer to Describe.
func Description(m *pb.DescribeResponse) (sdk.Description, error) {
	d := sdk.Description{
		Name: name(m.GetName()), Version: name(m.GetVersion()), SDKVersion: name(m.GetSdkVersion()), Architectures: names(m.GetArchitectures()),
		Majors: ints(m.GetMajors()), Capabilities: textsAs[sdk.Capability](names(m.GetCapabilities())), Kernels: name(m.GetKernels()),
		Numerics: textsAs[sdk.Numerics](names(m.GetNumerics())), Devices: names(m.GetDevices()),
	}
	if d.Name == "" {
		return d, sdk.Errorf(sdk.ReasonInternal, "the plugin's description has no name")
	}
	return d, nil
}

// InspectRequestToPB and InspectRequest: see Checkpoint in plugin.proto.
func InspectRequestToPB(r sdk.InspectRequest) *pb.InspectRequest {
	m := &pb.InspectRequest{Checkpoint: checkpointToPB(r), MaxSequences: int64(r.MaxSequences), StepTokens: int64(r.StepTokens)}
	if r.Measure != nil {
		m.Measure = &pb.Measurement{Devices: each(r.Measure.Devices, deviceToPB), Threads: int64(r.Measure.Threads)}
	}
	return m
}

// InspectRequest reads what InspectRequestToPB wrote.
func InspectRequest(m *pb.InspectRequest) (sdk.InspectRequest, error) {
	var c checks
	r := c.checkpoint(m.GetCheckpoint())
	c.sizes(&r, m)
	if measure := m.GetMeasure(); measure != nil {
		c.count("measure.threads", measure.GetThreads())
		r.Measure = &sdk.Measurement{Devices: each(measure.GetDevices(), c.device), Threads: int(measure.GetThreads())}
		c.first(r.Measure.Devices)
	}
	return r, c.error()
}

func checkpointToPB(r sdk.InspectRequest) *pb.Checkpoint {
	return &pb.Checkpoint{
		Path: r.Path, Context: int64(r.Context), Quantize: r.Quantize, Numerics: string(r.Numerics), Layers: int64(r.Layers),
		Weights: r.Weights, KvCache: r.KVCache,
	}
}

func (c *checks) checkpoint(m *pb.Checkpoint) sdk.InspectRequest {
	if m.GetPath() == "" {
		c.fail("checkpoint.path", "is empty")
	}
	c.count("checkpoint.context", m.GetContext())
	c.count("checkpoint.layers", m.GetLayers())
	return sdk.InspectRequest{
		Path: m.GetPath(), Context: int(m.GetContext()), Quantize: m.GetQuantize(), Numerics: sdk.Numerics(m.GetNumerics()),
		Layers: int(m.GetLayers()), Weights: m.GetWeights(), KVCache: m.GetKvCache(),
	}
}

// sizes reads what Inspect and Load both ask for besides the checkpoint.
func (c *checks) sizes(r *sdk.InspectRequest, m interface {
	GetMaxSequences() int64
	GetStepTokens() int64
}) {
	c.count("max_sequences", m.GetMaxSequences())
	c.count("step_tokens", m.GetStepTokens())
	r.MaxSequences, r.StepTokens = int(m.GetMaxSequences()), int(m.GetStepTokens())
}

// InspectionToPB is the answer to Inspect.
func InspectionToPB(i sdk.Inspection) *pb.InspectResponse {
	m := &pb.InspectResponse{Fit: pb.Fit(i.Fit) + pb.Fit_FIT_NONE, Reason: i.Reason}
	if i.Fit != sdk.FitNone {
		m.Table = layerTableToPB(i.Table)
	}
	return m
}

// Inspection reads the answer to Inspect.
func Inspection(m *pb.InspectResponse) (sdk.Inspection, error) {
	if m.GetFit() < pb.Fit_FIT_NONE || m.GetFit() > pb.Fit_FIT_EXACT {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInternal, "the plugin's inspection has the unknown fit %d", m.GetFit())
	}
	out := sdk.Inspection{Fit: sdk.Fit(m.GetFit() - pb.Fit_FIT_NONE), Reason: Printable(m.GetReason())}
	if out.Fit == sdk.FitNone {
		return out, nil
	}
	var err error
	out.Table, err = LayerTable(m.GetTable())
	return out, err
}

// layerTableToPB translates a layer table.
func layerTableToPB(t sdk.LayerTable) *pb.LayerTable {
	return &pb.LayerTable{
		Modules: each(t.Modules, moduleToPB), Parameters: t.Parameters, Context: int64(t.Context), VocabSize: int64(t.VocabSize),
		MaxSequences: int64(t.MaxSequences),
		Plan: each(t.Plan, func(p sdk.Placement) *pb.Placement {
			return &pb.Placement{Module: p.Module, Device: p.Device, Streamed: p.Streamed}
		}),
		ScratchBytes: t.ScratchBytes, ScratchBytesMost: t.ScratchBytesMost, CachePositions: int64(t.CachePositions),
		Snapshots: int64(t.Snapshots), Weights: t.Weights,
		Devices: each(t.Devices, func(d sdk.DeviceTable) *pb.DeviceTable {
			return &pb.DeviceTable{Name: d.Name, ScratchBytes: d.ScratchBytes, CopyRate: d.CopyRate, ReadRate: d.ReadRate, Flops: d.FLOPS,
				OpSeconds: d.OpSeconds, TurnSeconds: d.TurnSeconds, BesideRate: d.BesideRate, BesideTakes: d.BesideTakes,
				StagedRate: d.StagedRate, StagedTakes: d.StagedTakes}
		}),
	}
}

// LayerTable reads a layer table. The host plans memory with it, so a number that cannot be is an error.
func LayerTable(m *pb.LayerTable) (sdk.LayerTable, error) {
	if m == nil {
		return sdk.LayerTable{}, sdk.Errorf(sdk.ReasonInternal, "the plugin sent no layer table")
	}
	var c checks
	c.count("parameters", m.GetParameters())
	c.count("context", m.GetContext())
	c.count("vocab_size", m.GetVocabSize())
	c.count("max_sequences", m.GetMaxSequences())
	c.count("scratch_bytes", m.GetScratchBytes())
	c.count("scratch_bytes_most", m.GetScratchBytesMost())
	c.count("cache_positions", m.GetCachePositions())
	c.count("snapshots", m.GetSnapshots())
	t := sdk.LayerTable{
		Modules: each(m.GetModules(), c.module), Parameters: m.GetParameters(), Context: int(m.GetContext()),
		VocabSize: int(m.GetVocabSize()), MaxSequences: int(m.GetMaxSequences()),
		Plan: each(m.GetPlan(), func(p *pb.Placement) sdk.Placement {
			return sdk.Placement{Module: name(p.GetModule()), Device: name(p.GetDevice()), Streamed: p.GetStreamed()}
		}),
		ScratchBytes: m.GetScratchBytes(), ScratchBytesMost: m.GetScratchBytesMost(), CachePositions: int(m.GetCachePositions()),
		Snapshots: int(m.GetSnapshots()), Weights: name(m.GetWeights()), Devices: each(m.GetDevices(), c.deviceTable),
	}
	return t, c.blame("layer table")
}

func (c *checks) deviceTable(m *pb.DeviceTable) sdk.DeviceTable {
	c.count("devices.scratch_bytes", m.GetScratchBytes())
	c.rate("devices.copy_rate", m.GetCopyRate())
	c.rate("devices.read_rate", m.GetReadRate())
	c.rate("devices.flops", m.GetFlops())
	c.rate("devices.op_seconds", m.GetOpSeconds())
	c.rate("devices.turn_seconds", m.GetTurnSeconds())
	c.rate("devices.beside_rate", m.GetBesideRate())
	c.rate("devices.beside_takes", m.GetBesideTakes())
	c.rate("devices.staged_rate", m.GetStagedRate())
	c.rate("devices.staged_takes", m.GetStagedTakes())
	return sdk.DeviceTable{Name: name(m.GetName()), ScratchBytes: m.GetScratchBytes(), CopyRate: m.GetCopyRate(), ReadRate: m.GetReadRate(), FLOPS: m.GetFlops(),
		OpSeconds: m.GetOpSeconds(), TurnSeconds: m.GetTurnSeconds(), BesideRate: m.GetBesideRate(), BesideTakes: m.GetBesideTakes(),
		StagedRate: m.GetStagedRate(), StagedTakes: m.GetStagedTakes()}
}

func moduleToPB(m sdk.Module) *pb.Module {
	return &pb.Module{
		Id: m.ID, WeightBytes: m.WeightBytes, StateBytesToken: m.StateBytesToken, StateBytesSeq: m.StateBytesSeq,
		FlopsToken: m.FLOPsToken, ActiveBytesToken: m.ActiveBytesToken, DeviceBytes: m.DeviceBytes, Ops: int32(min(m.Ops, math.MaxInt32)),
	}
}

func (c *checks) module(m *pb.Module) sdk.Module {
	if m.GetId() == "" {
		c.fail("module.id", "is empty")
	}
	c.count("weight_bytes", m.GetWeightBytes())
	c.count("state_bytes_token", m.GetStateBytesToken())
	c.count("state_bytes_seq", m.GetStateBytesSeq())
	c.finite("flops_token", m.GetFlopsToken())
	c.count("active_bytes_token", m.GetActiveBytesToken())
	c.count("device_bytes", m.GetDeviceBytes())
	c.count("ops", int64(m.GetOps()))
	return sdk.Module{
		ID: name(m.GetId()), WeightBytes: m.GetWeightBytes(), StateBytesToken: m.GetStateBytesToken(),
		StateBytesSeq: m.GetStateBytesSeq(), FLOPsToken: m.GetFlopsToken(), ActiveBytesToken: m.GetActiveBytesToken(), DeviceBytes: m.GetDeviceBytes(),
		Ops: int(m.GetOps()),
	}
}

// LoadRequestToPB translates the request of Load.
func LoadRequestToPB(r sdk.LoadRequest) *pb.LoadRequest {
	return &pb.LoadRequest{
		Checkpoint: checkpointToPB(r.InspectRequest),
		Devices:    each(r.Devices, deviceToPB),
		Threads:    int64(r.Threads), MaxSequences: int64(r.MaxSequences), StepTokens: int64(r.StepTokens),
		PrefixCache: r.PrefixCache, StepMilliseconds: r.StepTime.Milliseconds(), KvSpill: r.KVSpill, WeightCache: weightCacheToPB(r.WeightCache),
	}
}

func weightCacheToPB(c sdk.WeightCache) *pb.WeightCache {
	if c == (sdk.WeightCache{}) {
		return nil
	}
	return &pb.WeightCache{Folder: c.Folder, Bytes: c.Bytes}
}

func (c *checks) weightCache(m *pb.WeightCache) sdk.WeightCache {
	c.count("weight_cache.bytes", m.GetBytes())
	if m.GetFolder() != "" && !filepath.IsAbs(m.GetFolder()) {
		c.fail("weight_cache.folder", "%q is not absolute", m.GetFolder())
	}
	return sdk.WeightCache{Folder: m.GetFolder(), Bytes: m.GetBytes()}
}

// LoadRequest reads what LoadRequestToPB wrote.
func LoadRequest(m *pb.LoadRequest) (sdk.LoadRequest, error) {
	var c checks
	r := sdk.LoadRequest{
		InspectRequest: c.checkpoint(m.GetCheckpoint()), Devices: each(m.GetDevices(), c.device), Threads: int(m.GetThreads()),
	}
	c.sizes(&r.InspectRequest, m)
	c.count("threads", m.GetThreads())
	const most = int64(math.MaxInt64 / time.Millisecond)
	r.PrefixCache, r.StepTime = m.GetPrefixCache(), time.Duration(min(max(m.GetStepMilliseconds(), -most), most))*time.Millisecond
	c.count("kv_spill", m.GetKvSpill())
	r.KVSpill = m.GetKvSpill()
	r.WeightCache = c.weightCache(m.GetWeightCache())
	c.first(r.Devices)
	return r, c.error()
}

func (c *checks) first(devices []sdk.DeviceBudget) {
	if len(devices) > 0 && devices[0].Name != "cpu" {
		c.fail("devices", "begins with %q: the first must be \"cpu\"", devices[0].Name)
	}
}

func deviceToPB(d sdk.DeviceBudget) *pb.DeviceBudget {
	return &pb.DeviceBudget{Name: d.Name, Bytes: d.Bytes, CopyRate: d.CopyRate, ReadRate: d.ReadRate}
}

func (c *checks) device(m *pb.DeviceBudget) sdk.DeviceBudget {
	if m.GetName() == "" {
		c.fail("devices.name", "is empty")
	}
	c.count("devices.bytes", m.GetBytes())
	c.rate("devices.copy_rate", m.GetCopyRate())
	c.rate("devices.read_rate", m.GetReadRate())
	return sdk.DeviceBudget{Name: m.GetName(), Bytes: m.GetBytes(), CopyRate: m.GetCopyRate(), ReadRate: m.GetReadRate()}
}

func (c *checks) rate(field string, rate float64) {
	c.finite(field, rate)
	if rate < 0 {
		c.fail(field, "is %v: it cannot be negative", rate)
	}
}

// ProgressToPB and TableToPB are the two messages of Load's stream.
func ProgressToPB(p sdk.Progress) *pb.LoadResponse {
	return &pb.LoadResponse{Message: &pb.LoadResponse_Progress{
		Progress: &pb.LoadProgress{Stage: p.Stage, Done: p.Done, Total: p.Total}}}
}

// TableToPB is the last message of Load's stream.
func TableToPB(t sdk.LayerTable) *pb.LoadResponse {
	return &pb.LoadResponse{Message: &pb.LoadResponse_Table{Table: layerTableToPB(t)}}
}

// Progress reads a progress message.
func Progress(m *pb.LoadProgress) sdk.Progress {
	return sdk.Progress{Stage: name(m.GetStage()), Done: m.GetDone(), Total: m.GetTotal()}
}
