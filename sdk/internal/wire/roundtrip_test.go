package wire

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// What is sent is what arrives, through real bytes, for values of every shape the decoder accepts. Values are compared as
// JSON, which tells a nil pointer from a zero but not an empty list from none, as the wire does.
func TestEverythingArrivesAsSent(t *testing.T) {
	t.Run("description", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, descriptions().Draw(t, "d"), func(d sdk.Description) (sdk.Description, error) {
			return Description(over(t, DescriptionToPB(d)))
		})
	}))
	t.Run("inspect request", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, inspects().Draw(t, "r"), func(r sdk.InspectRequest) (sdk.InspectRequest, error) {
			return InspectRequest(over(t, InspectRequestToPB(r)))
		})
	}))
	t.Run("inspection", rapid.MakeCheck(func(t *rapid.T) {
		in := sdk.Inspection{Fit: sdk.Fit(rapid.IntRange(0, 2).Draw(t, "fit")), Reason: said.Draw(t, "reason")}
		if in.Fit != sdk.FitNone {
			in.Table = tables().Draw(t, "table")
		}
		arrives(t, in, func(i sdk.Inspection) (sdk.Inspection, error) { return Inspection(over(t, InspectionToPB(i))) })
	}))
	t.Run("load request", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, loads().Draw(t, "r"), func(r sdk.LoadRequest) (sdk.LoadRequest, error) {
			return LoadRequest(over(t, LoadRequestToPB(r)))
		})
	}))
	t.Run("generate request", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, requests().Draw(t, "r"), func(r sdk.GenerateRequest) (sdk.GenerateRequest, error) {
			return GenerateRequest(over(t, GenerateRequestToPB(r)))
		})
	}))
	t.Run("event", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, events().Draw(t, "e"), func(e sdk.Event) (sdk.Event, error) {
			m, err := EventToPB(e)
			if err != nil {
				return e, err
			}
			return Event(over(t, m))
		})
	}))
	t.Run("order", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, orders().Draw(t, "o"), func(o sdk.Order) (sdk.Order, error) {
			m, err := OrderToPB(o)
			if err != nil {
				return o, err
			}
			return Order(over(t, m))
		})
	}))
	t.Run("report", rapid.MakeCheck(func(t *rapid.T) {
		arrives(t, reports().Draw(t, "r"), func(r sdk.Report) (sdk.Report, error) { return Report(over(t, ReportToPB(r))) })
	}))
}

// over sends a message through its bytes.
func over[M proto.Message](t *rapid.T, m M) M {
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func arrives[V any](t *rapid.T, sent V, send func(V) (V, error)) {
	got, err := send(sent)
	if err != nil {
		t.Fatalf("%+v was refused: %v", sent, err)
	}
	if g, s := asJSON(t, got), asJSON(t, sent); g != s {
		t.Fatalf("got  %s\nsent %s", g, s)
	}
}

func asJSON(t *rapid.T, v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestLogitsKeepEveryBit covers what JSON cannot compare: infinities, negative zero, and the payload of a NaN.
func TestLogitsKeepEveryBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.Uint32(), 1, 40).Draw(t, "bits")
		sent := make([]float32, len(bits))
		for i, b := range bits {
			sent[i] = math.Float32frombits(b)
		}
		m, err := ForwardResultToPB(sdk.ForwardResult{Logits: sent, Vocab: len(bits), Length: 7})
		if err != nil {
			t.Fatal(err)
		}
		got, err := ForwardResult(over(t, m), 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bits {
			if math.Float32bits(got.Logits[i]) != b {
				t.Fatalf("logit %d is %08x, sent was %08x", i, math.Float32bits(got.Logits[i]), b)
			}
		}
	})
}

// draw is rapid.Custom with a shorter name.
func draw[V any](f func(*rapid.T) V) *rapid.Generator[V] { return rapid.Custom(f) }

var (
	words  = rapid.String()
	said   = rapid.Map(words, name) // what a plugin says of itself
	counts = rapid.IntRange(0, math.MaxInt)
	sizes  = rapid.Int64Range(0, math.MaxInt64)
	floats = rapid.Float64Range(-1e300, 1e300)
	rates  = rapid.Float64Range(0, 1e300)
	ids    = rapid.SliceOf(rapid.Int32Range(0, math.MaxInt32))
)

func descriptions() *rapid.Generator[sdk.Description] {
	return draw(func(t *rapid.T) sdk.Description {
		return sdk.Description{
			Name: "x" + said.Draw(t, "name"), Version: said.Draw(t, "version"), SDKVersion: said.Draw(t, "sdk"),
			Architectures: rapid.SliceOfN(said, 1, 3).Draw(t, "architectures"), Majors: rapid.SliceOfN(counts, 1, 3).Draw(t, "majors"),
			Capabilities: []sdk.Capability{sdk.CapabilityEmbed, sdk.Capability(said.Draw(t, "capability"))},
			Kernels:      said.Draw(t, "kernels"), Numerics: []sdk.Numerics{sdk.NumericsExact}, Devices: []string{"far"},
		}
	})
}

func checkpoints() *rapid.Generator[sdk.InspectRequest] {
	return draw(func(t *rapid.T) sdk.InspectRequest {
		return sdk.InspectRequest{
			Path: "/" + words.Draw(t, "path"), Context: counts.Draw(t, "context"), Quantize: words.Draw(t, "quantize"),
			Numerics: sdk.Numerics(words.Draw(t, "numerics")), Layers: counts.Draw(t, "layers"), Weights: said.Draw(t, "weights"),
			MaxSequences: counts.Draw(t, "sequences"), StepTokens: counts.Draw(t, "step"), KVCache: words.Draw(t, "cache"),
		}
	})
}

func inspects() *rapid.Generator[sdk.InspectRequest] {
	rate := rapid.Float64Range(0, 1e300)
	return draw(func(t *rapid.T) sdk.InspectRequest {
		r := checkpoints().Draw(t, "checkpoint")
		r.Measure = &sdk.Measurement{Threads: counts.Draw(t, "threads"), Devices: []sdk.DeviceBudget{{Name: "cpu"}, {
			Name: "d" + words.Draw(t, "name"), Bytes: sizes.Draw(t, "bytes"), CopyRate: rate.Draw(t, "copy"), ReadRate: rate.Draw(t, "read"),
		}}}
		return r
	})
}

func tables() *rapid.Generator[sdk.LayerTable] {
	module := draw(func(t *rapid.T) sdk.Module {
		return sdk.Module{
			ID: "m" + said.Draw(t, "id"), WeightBytes: sizes.Draw(t, "weight"), StateBytesToken: sizes.Draw(t, "token"),
			StateBytesSeq: sizes.Draw(t, "seq"), FLOPsToken: floats.Draw(t, "flops"), ActiveBytesToken: sizes.Draw(t, "active"), DeviceBytes: sizes.Draw(t, "device"),
			Ops: rapid.IntRange(0, math.MaxInt32).Draw(t, "ops"),
		}
	})
	placement := draw(func(t *rapid.T) sdk.Placement {
		return sdk.Placement{Module: said.Draw(t, "module"), Device: said.Draw(t, "device"), Streamed: rapid.Bool().Draw(t, "streamed")}
	})
	rate := rapid.Float64Range(0, 1e300)
	return draw(func(t *rapid.T) sdk.LayerTable {
		return sdk.LayerTable{
			Modules: rapid.SliceOfN(module, 1, 4).Draw(t, "modules"), Parameters: sizes.Draw(t, "parameters"),
			Context: counts.Draw(t, "context"), VocabSize: counts.Draw(t, "vocab"), MaxSequences: counts.Draw(t, "sequences"),
			ScratchBytes: sizes.Draw(t, "scratch"), ScratchBytesMost: sizes.Draw(t, "scratch most"), CachePositions: counts.Draw(t, "positions"), Snapshots: counts.Draw(t, "snapshots"),
			Weights: said.Draw(t, "weights"),
			Plan:    rapid.SliceOfN(placement, 1, 4).Draw(t, "plan"),
			Devices: []sdk.DeviceTable{{Name: said.Draw(t, "device"), ScratchBytes: sizes.Draw(t, "scratch"), CopyRate: rate.Draw(t, "copy"),
				ReadRate: rate.Draw(t, "read"), FLOPS: rate.Draw(t, "flops"), OpSeconds: rate.Draw(t, "op"), TurnSeconds: rate.Draw(t, "turn"),
				BesideRate: rate.Draw(t, "beside"), BesideTakes: rate.Draw(t, "takes"), StagedRate: rate.Draw(t, "staged"), StagedTakes: rate.Draw(t, "staged takes")}},
		}
	})
}

func loads() *rapid.Generator[sdk.LoadRequest] {
	rate := rapid.Float64Range(0, 1e300)
	return draw(func(t *rapid.T) sdk.LoadRequest {
		return sdk.LoadRequest{
			InspectRequest: checkpoints().Draw(t, "checkpoint"), Threads: counts.Draw(t, "threads"),
			PrefixCache: rapid.Int64().Draw(t, "prefix cache"), KVSpill: sizes.Draw(t, "spill"), StepTime: time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "step time")) * time.Millisecond,
			WeightCache: sdk.WeightCache{Folder: "/" + words.Draw(t, "folder"), Bytes: sizes.Draw(t, "cache")},
			Devices: []sdk.DeviceBudget{{Name: "cpu"}, {
				Name: "d" + words.Draw(t, "name"), Bytes: sizes.Draw(t, "bytes"), CopyRate: rate.Draw(t, "copy"), ReadRate: rate.Draw(t, "read"),
			}},
		}
	})
}

func samplings() *rapid.Generator[sdk.Sampling] {
	maybe := rapid.Ptr(floats, true)
	return draw(func(t *rapid.T) sdk.Sampling {
		return sdk.Sampling{
			Seed: rapid.Uint64().Draw(t, "seed"), Temperature: maybe.Draw(t, "temperature"), TopP: maybe.Draw(t, "top_p"),
			TopK: rapid.Ptr(rapid.Int(), true).Draw(t, "top_k"), MinP: maybe.Draw(t, "min_p"),
			PresencePenalty: maybe.Draw(t, "presence"), FrequencyPenalty: maybe.Draw(t, "frequency"),
			RepetitionPenalty: maybe.Draw(t, "repetition"),
			LogitBias:         rapid.MapOfN(rapid.Int32(), floats, 1, 4).Draw(t, "bias"),
			Logprobs:          rapid.Bool().Draw(t, "logprobs"), TopLogprobs: counts.Draw(t, "top"),
		}
	})
}

func requests() *rapid.Generator[sdk.GenerateRequest] {
	return draw(func(t *rapid.T) sdk.GenerateRequest {
		r := sdk.GenerateRequest{
			ID: words.Draw(t, "id"), Sampling: samplings().Draw(t, "sampling"), MaxTokens: counts.Draw(t, "max"),
			Stop: rapid.SliceOfN(words, 1, 3).Draw(t, "stop"), IgnoreEOS: rapid.Bool().Draw(t, "eos"), Choice: counts.Draw(t, "choice"),
			PromptLogprobs: rapid.Bool().Draw(t, "scored"), MinTokens: counts.Draw(t, "min"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "prompt") {
		case 0:
			r.Text, r.HasText = words.Draw(t, "text"), true
		case 1:
			r.Tokens = ids.Draw(t, "tokens")
		case 2: // white space and the order of keys are the client's
			r.Chat = &sdk.Chat{Messages: []byte(`[{"b": 1.0,"a":1}]`), Tools: []byte(`[ ]`), Kwargs: []byte(`{"x":false}`),
				ToolChoice: words.Draw(t, "choice"), SingleCall: rapid.Bool().Draw(t, "single"),
				Images: [][]byte{[]byte("\x89PNG"), {0, 1}}}
		}
		if rapid.Bool().Draw(t, "constrained") {
			strict := rapid.Bool().Draw(t, "strict")
			r.Constraint = rapid.SampledFrom([]*sdk.Constraint{{JSONSchema: []byte(`{"b": 1.0,"a":1}`), Strict: strict}, {JSONObject: true, Strict: strict},
				{Regex: "a|b", Strict: strict}, {Choices: []string{"a", "b"}, Strict: strict}, {Grammar: `root ::= "a"`, Strict: strict}}).Draw(t, "constraint")
		}
		if rapid.Bool().Draw(t, "resume") {
			r.Resume = &sdk.Resume{Prompt: append(ids.Draw(t, "seen"), 1), Generated: append(ids.Draw(t, "generated"), 2),
				InReasoning: rapid.Bool().Draw(t, "reasoning")}
		}
		return r
	})
}

func toolCalls() *rapid.Generator[[]sdk.ToolCallDelta] {
	return rapid.SliceOfN(draw(func(t *rapid.T) sdk.ToolCallDelta {
		return sdk.ToolCallDelta{Index: counts.Draw(t, "index"), ID: words.Draw(t, "id"), Name: words.Draw(t, "name"),
			Arguments: words.Draw(t, "arguments")}
	}), 1, 3)
}

func events() *rapid.Generator[sdk.Event] {
	start := draw(func(t *rapid.T) sdk.Event {
		e := &sdk.Start{Prompt: append(ids.Draw(t, "prompt"), 1), InReasoning: rapid.Bool().Draw(t, "reasoning"),
			ContextLength: counts.Draw(t, "context"), Constrained: rapid.Bool().Draw(t, "constrained")}
		if rapid.Bool().Draw(t, "scored") {
			for range e.Prompt {
				e.PromptLogprobs = append(e.PromptLogprobs, sdk.TokenLogprob{Logprob: floats.Draw(t, "logprob"), Bytes: []byte{0xff},
					Top: []sdk.TopLogprob{{ID: 3, Logprob: floats.Draw(t, "top")}}})
			}
		}
		return sdk.Event{Start: e}
	})
	token := draw(func(t *rapid.T) sdk.Event {
		e := &sdk.Token{Index: counts.Draw(t, "index"), ID: rapid.Int32Range(0, math.MaxInt32).Draw(t, "id"), Text: words.Draw(t, "text"),
			Reasoning: words.Draw(t, "reasoning"), ToolCalls: toolCalls().Draw(t, "tools"), Offset: counts.Draw(t, "offset")}
		if rapid.Bool().Draw(t, "logprobs") {
			e.Logprob = &sdk.TokenLogprob{Logprob: floats.Draw(t, "logprob"), Bytes: []byte{0xff, 0},
				Top: []sdk.TopLogprob{{ID: 3, Bytes: []byte{0xc3}, Logprob: floats.Draw(t, "top")}}}
		}
		return sdk.Event{Token: e}
	})
	finish := draw(func(t *rapid.T) sdk.Event {
		return sdk.Event{Finish: &sdk.Finish{
			Reason: rapid.SampledFrom([]sdk.FinishReason{sdk.FinishStop, sdk.FinishLength, sdk.FinishToolCalls}).Draw(t, "reason"),
			Text:   words.Draw(t, "text"), Reasoning: words.Draw(t, "reasoning"), ToolCalls: toolCalls().Draw(t, "tools"),
			PromptTokens: counts.Draw(t, "prompt"), CompletionTokens: counts.Draw(t, "completion"),
			ReasoningTokens: counts.Draw(t, "thought"), CachedTokens: counts.Draw(t, "cached"),
			Queued: time.Duration(counts.Draw(t, "queued")),
		}}
	})
	return rapid.OneOf(start, token, finish)
}

func orders() *rapid.Generator[sdk.Order] {
	return draw(func(t *rapid.T) sdk.Order {
		o := sdk.Order{ID: rapid.Uint64().Draw(t, "id")}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			o.Budget = &sdk.BudgetOrder{Device: words.Draw(t, "device"), Bytes: sizes.Draw(t, "bytes"), Deadline: time.Duration(sizes.Draw(t, "deadline")),
				AsFar: rapid.Bool().Draw(t, "as far")}
		case 1:
			o.Move = &sdk.MoveOrder{Module: words.Draw(t, "module"), Device: words.Draw(t, "device")}
		case 2:
			o.Query = &sdk.QueryOrder{}
		case 3:
			o.Cores = &sdk.CoresOrder{Cores: rapid.IntRange(1, maxCores).Draw(t, "cores")}
		}
		return o
	})
}

func reports() *rapid.Generator[sdk.Report] {
	return draw(func(t *rapid.T) sdk.Report {
		return sdk.Report{
			Done: rapid.Ptr(rapid.Just(sdk.OrderDone{ID: 9, Error: "no"}), true).Draw(t, "done"),
			Devices: []sdk.DeviceReport{{Name: said.Draw(t, "device"), Budget: sizes.Draw(t, "budget"), Used: sizes.Draw(t, "used"), Peak: sizes.Draw(t, "peak"), Resident: sizes.Draw(t, "resident"),
				Free: sizes.Draw(t, "free"), Total: sizes.Draw(t, "total"), Slower: rates.Draw(t, "slower"), CopyRate: rates.Draw(t, "copy rate"), Lost: said.Draw(t, "lost")}},
			Modules: []sdk.ModuleReport{{ID: said.Draw(t, "module"), Device: "cpu", Resident: []string{"cpu", "far"}, Seconds: floats.Draw(t, "seconds")}},
			Moves:   rapid.Uint64().Draw(t, "moves"), Prefetches: rapid.Uint64().Draw(t, "prefetches"), Evictions: rapid.Uint64().Draw(t, "evictions"),
			ExpertHits: rapid.Uint64().Draw(t, "hits"), ExpertMisses: rapid.Uint64().Draw(t, "misses"),
			PicturesSeen: rapid.Uint64().Draw(t, "seen"), PicturesReused: rapid.Uint64().Draw(t, "reused"),
			Preemptions: rapid.Uint64().Draw(t, "preemptions"), Prefix: sdk.PrefixReport{Queried: rapid.Uint64().Draw(t, "queried"),
				Found: rapid.Uint64().Draw(t, "found"), Kept: sizes.Draw(t, "kept"), Thrown: rapid.Uint64().Draw(t, "thrown")},
			Progress: rapid.Uint64().Draw(t, "progress"), Fetched: sizes.Draw(t, "fetched"), Registered: sizes.Draw(t, "registered"),
			Spill: sdk.SpillReport{Budget: sizes.Draw(t, "spill budget"), Used: sizes.Draw(t, "spill used"), Out: rapid.Uint64().Draw(t, "out"),
				Back: rapid.Uint64().Draw(t, "back"), Saved: rapid.Uint64().Draw(t, "saved"), Resumed: rapid.Uint64().Draw(t, "resumed"), Dropped: rapid.Uint64().Draw(t, "dropped")},
			Running: counts.Draw(t, "running"), Waiting: counts.Draw(t, "waiting"), StateUsed: rapid.Float64Range(0, 1).Draw(t, "state"),
		}
	})
}

// The fuzz targets feed arbitrary bytes, as a broken or hostile peer may send, to every decoder: each gives an error or a
// value, and a value survives being sent on.
func FuzzDecodeAnswersOfPlugin(f *testing.F) {
	for _, m := range []proto.Message{
		DescriptionToPB(sdk.Description{Name: "echo", Majors: []int{1}}),
		InspectionToPB(sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: 1, Modules: []sdk.Module{{ID: "a"}}}}),
		&pb.GenerateResponse{Event: &pb.GenerateResponse_Token{Token: &pb.Token{Index: -1}}},
		ReportToPB(sdk.Report{Done: &sdk.OrderDone{ID: 1}, StateUsed: 0.5}),
		&pb.ForwardResponse{Logits: []byte{1, 2, 3}, Vocab: 1},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m := new(pb.DescribeResponse); proto.Unmarshal(raw, m) == nil {
			_, _ = Description(m)
		}
		if m := new(pb.InspectResponse); proto.Unmarshal(raw, m) == nil {
			if i, err := Inspection(m); err == nil {
				again, err := Inspection(InspectionToPB(i))
				if err != nil || again.Fit != i.Fit || len(again.Table.Modules) != len(i.Table.Modules) {
					t.Errorf("%+v is not accepted when sent on: %v", i, err)
				}
			}
		}
		if m := new(pb.GenerateResponse); proto.Unmarshal(raw, m) == nil {
			if e, err := Event(m); err == nil {
				if _, err := EventToPB(e); err != nil {
					t.Errorf("%+v cannot be sent on: %v", e, err)
				}
			}
		}
		if m := new(pb.ScheduleResponse); proto.Unmarshal(raw, m) == nil {
			if r, err := Report(m); err == nil && (r.Running < 0 || r.StateUsed > 1) {
				t.Errorf("%+v was accepted", r)
			}
		}
		if m := new(pb.ForwardResponse); proto.Unmarshal(raw, m) == nil {
			if r, err := ForwardResult(m, 2); err == nil && len(r.Logits) != 2*r.Vocab {
				t.Errorf("%d logits of a vocabulary of %d were accepted as 2 rows", len(r.Logits), r.Vocab)
			}
		}
		if m := new(pb.EmbedResponse); proto.Unmarshal(raw, m) == nil {
			_, _ = EmbedResult(m, 1)
		}
	})
}

func FuzzDecodeRequestsOfHost(f *testing.F) {
	for _, m := range []proto.Message{
		GenerateRequestToPB(sdk.GenerateRequest{HasText: true, Text: "a", Resume: &sdk.Resume{Generated: []int32{1}}}),
		LoadRequestToPB(sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/m"}, Devices: []sdk.DeviceBudget{{Name: "cpu"}}}),
		ForwardRequestToPB(sdk.ForwardRequest{Sequence: "a", Tokens: []int32{1}, Rows: []int{0}}),
		&pb.ScheduleRequest{Id: 1},
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m := new(pb.GenerateRequest); proto.Unmarshal(raw, m) == nil {
			if r, err := GenerateRequest(m); err == nil && !r.HasText && r.Tokens == nil && r.Chat == nil {
				t.Errorf("%+v has no prompt and was accepted", r)
			}
		}
		if m := new(pb.LoadRequest); proto.Unmarshal(raw, m) == nil {
			if r, err := LoadRequest(m); err == nil && (r.Path == "" || r.Threads < 0) {
				t.Errorf("%+v was accepted", r)
			}
		}
		if m := new(pb.ForwardRequest); proto.Unmarshal(raw, m) == nil {
			if r, err := ForwardRequest(m); err == nil {
				for _, row := range r.Rows {
					_ = r.Tokens[row]
				}
			}
		}
		if m := new(pb.ScheduleRequest); proto.Unmarshal(raw, m) == nil {
			if o, err := Order(m); err == nil && o.Budget == nil && o.Move == nil && o.Query == nil {
				t.Errorf("%+v says nothing and was accepted", o)
			}
		}
	})
}
