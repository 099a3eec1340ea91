package conformance

// mutants_test.go keeps the kit honest: each twin of the reference has one flaw, and fails the case that is meant for it and
// no other.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

// twin is the reference with some of its methods replaced.
type twin struct {
	reference
	describe func(sdk.Description) sdk.Description
	before   func(*sdk.InspectRequest)
	inspect  func(sdk.InspectRequest, sdk.Inspection, error) (sdk.Inspection, error)
	load     func(sdk.LayerTable, error) (sdk.LayerTable, error)
	generate func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error

	open, close func(r *reference, name string) error
	fork        func(r *reference, from, to string) error
	forward     func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error)
	embed       func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error)
}

func (t *twin) Describe() sdk.Description {
	d := t.reference.Describe()
	if t.describe != nil {
		d = t.describe(d)
	}
	return d
}

func (t *twin) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	if t.before != nil {
		t.before(&req)
	}
	i, err := t.reference.Inspect(ctx, req)
	if t.inspect != nil {
		return t.inspect(req, i, err)
	}
	return i, err
}

func (t *twin) Load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error) {
	table, err := t.reference.Load(ctx, req, progress)
	if t.load != nil {
		return t.load(table, err)
	}
	return table, err
}

func (t *twin) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	if t.generate != nil {
		return t.generate(ctx, &t.reference, req, send)
	}
	return t.reference.Generate(ctx, req, send)
}

func (t *twin) OpenSequence(ctx context.Context, name string) error {
	if t.open != nil {
		return t.open(&t.reference, name)
	}
	return t.reference.OpenSequence(ctx, name)
}

func (t *twin) ForkSequence(ctx context.Context, from, to string) error {
	if t.fork != nil {
		return t.fork(&t.reference, from, to)
	}
	return t.reference.ForkSequence(ctx, from, to)
}

func (t *twin) CloseSequence(ctx context.Context, name string) error {
	if t.close != nil {
		return t.close(&t.reference, name)
	}
	return t.reference.CloseSequence(ctx, name)
}

func (t *twin) Forward(ctx context.Context, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
	if t.forward != nil {
		return t.forward(&t.reference, req)
	}
	return t.reference.Forward(ctx, req)
}

func (t *twin) Embed(ctx context.Context, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
	if t.embed != nil {
		return t.embed(&t.reference, req)
	}
	return t.reference.Embed(ctx, req)
}

// Twins with a further ability.
type (
	noTokenizer   struct{ reference }
	clingsToLife  struct{ reference }
	refusesOrders struct{ reference }
	movesAnything struct{ reference }
)

func (*noTokenizer) Tokenize(context.Context, string) ([]int32, error) {
	return nil, sdk.Errorf(sdk.ReasonUnimplemented, "later")
}
func (*noTokenizer) Detokenize(context.Context, []int32) (string, error) { return "", nil }
func (*clingsToLife) Unload(context.Context) error                       { return errors.New("device is busy") }
func (*refusesOrders) Schedule(context.Context, <-chan sdk.Order, func(sdk.Report) error) error {
	return errors.New("not my business")
}
func (*movesAnything) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	for {
		select {
		case o := <-orders:
			if err := report(sdk.Report{Done: &sdk.OrderDone{ID: o.ID}}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answersOrder answers every order with what report makes of it.
type answersOrder struct {
	reference
	report func(sdk.Order) sdk.Report
}

func (a *answersOrder) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	for {
		select {
		case o := <-orders:
			if err := report(a.report(o)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// edited passes the reference's events through a change.
func edited(change func(*sdk.Event)) func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
	return func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
		return r.Generate(ctx, req, func(e sdk.Event) error {
			change(&e)
			return send(e)
		})
	}
}

// ofIDs is edited for prompts of ids alone, which one case has.
func ofIDs(change func(*sdk.Event)) func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
	return func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
		if req.Tokens == nil {
			return r.Generate(ctx, req, send)
		}
		return edited(change)(ctx, r, req, send)
	}
}

// asked changes the request before the reference sees it.
func asked(change func(*sdk.GenerateRequest)) func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
	return func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
		change(&req)
		return r.Generate(ctx, req, send)
	}
}

// mutant is a twin of the reference. The flaw of one without plugin is that of file or beneath.
type mutant struct {
	flaw, fails, must string
	plugin            func() sdk.Plugin
	file              bool
	timeout           time.Duration
}

func mutants(release <-chan struct{}) []mutant {
	one := func(t *twin) func() sdk.Plugin { // a new twin for each process
		return func() sdk.Plugin { c := *t; return &c }
	}
	var mind, salt, calls, named atomic.Int64
	seen := func() sdk.Plugin { // what it saw first it sees for ever
		var first atomic.Pointer[[][]byte]
		return &twin{generate: asked(func(r *sdk.GenerateRequest) {
			if isPicture(r) {
				first.CompareAndSwap(nil, &r.Chat.Images)
				r.Chat.Images = *first.Load()
			}
		})}
	}
	const brief = 4 * time.Second // for flaws that show in what does not come
	return []mutant{
		{flaw: "describes itself in words", fails: "process", must: "P1", file: true},
		{flaw: "fails to describe itself", fails: "process", must: "P1", file: true},
		{flaw: "describes another", fails: "process", must: "P1", file: true},
		{flaw: "says nothing to a person", fails: "process", must: "P2", file: true},
		{flaw: "is content with a person", fails: "process", must: "P2", file: true},
		{flaw: "talks before the handshake", fails: "process", must: "P3", file: true},
		{flaw: "listens elsewhere", fails: "process", must: "P3", file: true},
		{flaw: "loads before the handshake", fails: "process", must: "P4", file: true, timeout: brief},
		{flaw: "outlives its host", fails: "process", must: "P5", file: true, timeout: brief},
		{flaw: "takes SIGINT for its own", fails: "process", must: "P6", file: true},
		{flaw: "does not hear SIGTERM", fails: "process", must: "P6", file: true, timeout: brief},
		{flaw: "falls over its own end", fails: "process", must: "P6", file: true},
		{flaw: "writes a log without lines", fails: "process", must: "P7", file: true},
		{flaw: "speaks in the clear", fails: "process", must: "P8", file: true},
		{flaw: "lets anybody in", fails: "process", must: "P8", file: true},
		{flaw: "does not tell its health", fails: "process", must: "P9", file: true},
		{flaw: "is never well", fails: "process", must: "P9", file: true},

		{flaw: "speaks another major than it speaks", fails: "describe", must: "D1"},
		{flaw: "a name no file can have", fails: "describe", must: "D1", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description { d.Name = "Reference/1"; return d }})},
		{flaw: "a version that cannot be ordered", fails: "describe", must: "D1", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description { d.Version = "v1"; return d }})},
		{flaw: "changes its mind", fails: "describe", must: "D2", plugin: one(&twin{
			describe: func(d sdk.Description) sdk.Description {
				d.Devices = make([]string, mind.Add(1))
				return d
			}})},

		{flaw: "finds nothing wrong with a missing path", fails: "inspect", must: "I2", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if sdk.ReasonOf(err) == sdk.ReasonNotFound && err != nil {
					return sdk.Inspection{Reason: "nothing there"}, nil
				}
				return i, err
			}})},
		{flaw: "takes a broken config for a stranger", fails: "inspect", must: "I2", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err != nil && sdk.ReasonOf(err) == sdk.ReasonCheckpoint {
					return sdk.Inspection{Reason: "not mine"}, nil
				}
				return i, err
			}})},
		{flaw: "has a module twice", fails: "inspect", must: "I1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table = doubled(i.Table)
				return i, err
			},
			load: func(t sdk.LayerTable, err error) (sdk.LayerTable, error) { return doubled(t), err }})},
		{flaw: "has no words", fails: "inspect", must: "I1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table.VocabSize = 0
				return i, err
			}})},
		{flaw: "gives no reason for a misfit", fails: "inspect", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Reason = ""
				return i, err
			}})},
		{flaw: "knows no context but its own", fails: "inspect", must: "I4", plugin: one(&twin{
			inspect: func(req sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if req.Context > 0 {
					return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInvalid, "the context cannot be chosen")
				}
				return i, err
			}})},
		{flaw: "finds room for any context", fails: "inspect", must: "I4", plugin: one(&twin{
			inspect: func(req sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if req.Context > referenceContext {
					i, err = sdk.Inspection{Fit: sdk.FitFamily, Table: sdk.LayerTable{Context: req.Context, VocabSize: referenceVocab}}, nil
				}
				return i, err
			}})},
		{flaw: "ignores what it is to be quantized to", fails: "inspect", must: "G7", plugin: one(&twin{
			before: func(req *sdk.InspectRequest) { req.Quantize = "" }})},
		{flaw: "ignores the numerics", fails: "inspect", must: "G7", plugin: one(&twin{
			before: func(req *sdk.InspectRequest) { req.Numerics = "" }})},
		{flaw: "gives no reasons", fails: "inspect", must: "E1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err != nil {
					err = errors.New(err.Error())
				}
				return i, err
			}})},
		{flaw: "takes a stranger for an error", fails: "inspect", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err == nil && i.Fit == sdk.FitNone {
					err = sdk.Errorf(sdk.ReasonCheckpoint, "%s", i.Reason)
				}
				return i, err
			}})},
		{flaw: "claims every checkpoint", fails: "inspect", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Fit = max(i.Fit, sdk.FitFamily)
				return i, err
			}})},
		{flaw: "ignores the context asked for", fails: "inspect", must: "I4", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table.Context = referenceContext
				return i, err
			}})},

		{flaw: "loads something else than it inspected", fails: "load-unload", must: "L2", plugin: one(&twin{
			load: func(t sdk.LayerTable, err error) (sdk.LayerTable, error) {
				t.Modules = t.Modules[:len(t.Modules)/2]
				return t, err
			}})},
		{flaw: "loads what is not there", fails: "load-unload", must: "L4", plugin: one(&twin{
			load: func(t sdk.LayerTable, _ error) (sdk.LayerTable, error) { return t, nil }})},
		{flaw: "answers before it is loaded", fails: "load-unload", must: "L1"},
		{flaw: "tokenizes before it is loaded", fails: "load-unload", must: "L1"},
		{flaw: "has two tables", must: "L2"}, // nobody can use it
		{flaw: "is loaded as often as one likes", fails: "load-unload", must: "L3"},
		{flaw: "goes on after Drain", fails: "load-unload", must: "L5", timeout: brief},
		{flaw: "admits more after Drain", fails: "load-unload", must: "L5"},
		{flaw: "drains when there is nothing to drain", fails: "load-unload", must: "L5"},
		{flaw: "cannot be unloaded once it is drained", fails: "load-unload", must: "L6"},
		{flaw: "cannot be unloaded while it answers", fails: "load-unload", must: "L6"},
		{flaw: "takes its own end for a bug", fails: "load-unload", must: "L6"},
		{flaw: "does not wait for its answers", fails: "load-unload", must: "L5", timeout: brief},
		{flaw: "ends its answers at Drain", fails: "load-unload", must: "L5"},
		{flaw: "unloads what was loaded and nothing else", fails: "load-unload", must: "L6"},
		{flaw: "lets its answers run when it is unloaded", fails: "load-unload", must: "L6", timeout: brief},
		{flaw: "falls over when it is unloaded", fails: "load-unload", must: "L6", plugin: func() sdk.Plugin {
			return &frees{do: func() { panic("freed twice") }}
		}},
		{flaw: "hides its tokenizer", fails: "load-unload", must: "D3"},
		{flaw: "clings to life", fails: "load-unload", must: "L6", plugin: func() sdk.Plugin { return &clingsToLife{} }},
		{flaw: "takes no orders", fails: "load-unload", must: "S1", plugin: func() sdk.Plugin { return &refusesOrders{} }},
		{flaw: "moves modules it does not have", fails: "load-unload", must: "S1", plugin: func() sdk.Plugin { return &movesAnything{} }},
		{flaw: "answers a query with an error", fails: "load-unload", must: "S1", plugin: func() sdk.Plugin {
			return &answersOrder{report: func(o sdk.Order) sdk.Report { return sdk.Report{Done: &sdk.OrderDone{ID: o.ID, Error: "not now"}} }}
		}},
		{flaw: "reports, but not on its orders", fails: "load-unload", must: "S1", timeout: brief, plugin: func() sdk.Plugin {
			return &answersOrder{report: func(sdk.Order) sdk.Report { return sdk.Report{Running: 1} }}
		}},
		{flaw: "promises a tokenizer", fails: "load-unload", must: "D3", plugin: func() sdk.Plugin { return &noTokenizer{} }},

		{flaw: "leaves out a token of prompts of ids", fails: "generate", must: "G1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Tokens != nil && e.Token != nil && e.Token.Index == 1 {
						return nil
					}
					return send(e)
				})
			}})},
		{flaw: "ignores stop strings", fails: "generate", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Stop = nil })})},
		{flaw: "ends before min_tokens", fails: "generate", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.MinTokens > 0 {
					r.MaxTokens = 1
				}
			})})},
		{flaw: "ignores that logprobs are asked for", fails: "generate", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.Logprobs = false })})},
		{flaw: "ignores logit_bias", fails: "generate", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.LogitBias = nil })})},
		{flaw: "refuses without the field", fails: "generate", must: "G7", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				var told *sdk.Error
				if errors.As(err, &told) && told.Field == "stop" {
					told.Field = ""
				}
				return err
			}})},
		{flaw: "takes what it cannot do for a bug of its own", fails: "generate", must: "G7", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				if len(req.Stop) > 0 {
					err = errors.New("stop strings are not supported")
				}
				return err
			}})},
		{flaw: "says one token too many", fails: "generate", must: "G3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.MaxTokens > 0 {
					r.MaxTokens++
				}
			})})},
		{flaw: "forgets the limit of an answer that may end", fails: "generate", must: "G3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.HasText && !r.IgnoreEOS && r.MaxTokens == 2 {
					r.MaxTokens++
				}
			})})},
		{flaw: "calls every end a stop", fails: "generate", must: "G3", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil && e.Finish.Reason == sdk.FinishLength {
					e.Finish.Reason = sdk.FinishStop
				}
			})})},
		{flaw: "adds a token to prompts of ids", fails: "generate", must: "G2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Tokens != nil && len(r.Tokens) < referenceContext-2 {
					r.Tokens = append([]int32{0}, r.Tokens...)
				}
			})})},
		{flaw: "names another context", fails: "generate", must: "G2", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.ContextLength++
				}
			})})},
		{flaw: "counts the prompt as answer", fails: "generate", must: "G4", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil {
					e.Finish.CompletionTokens += e.Finish.PromptTokens
				}
			})})},
		{flaw: "cuts long prompts", fails: "generate", must: "G5", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				r.Tokens = slices.Clip(r.Tokens)[:min(len(r.Tokens), referenceContext/2)]
			})})},
		{flaw: "does not say how likely the prompt was", fails: "generate", must: "G8", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.PromptLogprobs = false })})},
		{flaw: "takes a prompt's likelihood for a bug", fails: "generate", must: "G8", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.PromptLogprobs {
					return errors.New("not supported")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "takes the prompt for impossible", fails: "generate", must: "G8", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Start != nil && e.Start.PromptLogprobs != nil {
					e.Start.PromptLogprobs[0].Logprob = 0.5
				}
			})})},
		{flaw: "says a novel with one token", fails: "generate", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Token != nil && e.Token.Index == 2 {
					e.Token.Text = strings.Repeat("a", 128<<10)
				}
			})})},
		{flaw: "tells likelihoods unasked", fails: "generate", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Token != nil {
					e.Token.Logprob = &sdk.TokenLogprob{}
				}
			})})},
		{flaw: "tells likelihoods of the prompt unasked", fails: "generate", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.PromptLogprobs = make([]sdk.TokenLogprob, len(e.Start.Prompt))
				}
			})})},
		{flaw: "has less room than it takes", fails: "generate", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.ContextLength = 1
				}
			})})},
		{flaw: "knows ids that do not exist", fails: "generate", must: "G6", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				for i := range r.Tokens {
					r.Tokens[i] %= referenceVocab
				}
			})})},

		{flaw: "does not stop when cancelled", fails: "cancel", must: "C1", timeout: brief, plugin: func() sdk.Plugin {
			var asked atomic.Bool // for the short answer with which the case cancel begins
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.MaxTokens == 4 {
					asked.Store(true)
				}
				err := r.Generate(ctx, req, send)
				if asked.Load() && ctx.Err() != nil {
					<-release
				}
				return err
			}}
		}},
		{flaw: "remembers what was cancelled", fails: "cancel", must: "C2", plugin: func() sdk.Plugin {
			var poisoned atomic.Int64
			return &twin{generate: func(ctx context.Context, _ *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				salted := &reference{salt: int(poisoned.Load())}
				err := salted.Generate(ctx, req, send)
				if ctx.Err() != nil {
					poisoned.Add(1)
				}
				return err
			}}
		}},

		{flaw: "draws anew each time", fails: "determinism", must: "R1", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.Seed = uint64(calls.Add(1)) })})},
		{flaw: "says something else the second time", fails: "determinism", must: "R1", plugin: func() sdk.Plugin {
			var asked atomic.Int64
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.HasText && req.MaxTokens == samples()[0].MaxTokens && asked.Add(1) == 2 {
					r = &reference{salt: 1}
				}
				return r.Generate(ctx, req, send)
			}}
		}},
		{flaw: "depends on the process", fails: "determinism", must: "R1", plugin: func() sdk.Plugin {
			own := &reference{salt: int(salt.Add(1))}
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.HasText && req.MaxTokens == samples()[0].MaxTokens { // others compare an answer with something else
					r = own
				}
				return r.Generate(ctx, req, send)
			}}
		}},
		{flaw: "says something else in company", fails: "determinism", must: "R2", plugin: inCompany((&reference{salt: 1}).Generate)},
		{flaw: "wants no company", fails: "determinism", must: "R2", plugin: inCompany(
			func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
				return sdk.Errorf(sdk.ReasonOverloaded, "one at a time")
			})},
		{flaw: "cannot be resumed behind the last token", fails: "determinism", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.Resume != nil && req.Chat == nil && len(req.Resume.Generated) == req.MaxTokens {
					return sdk.Errorf(sdk.ReasonInternal, "there is nothing to resume")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "resumes without the words in between", fails: "determinism", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Resume != nil && req.Chat == nil && e.Token != nil && e.Token.Index == len(req.Resume.Generated) {
						e.Token.Text = ""
					}
					return send(e)
				})
			}})},
		{flaw: "counts only what came after resuming", fails: "determinism", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Resume != nil && req.Chat == nil && e.Finish != nil {
						e.Finish.CompletionTokens -= len(req.Resume.Generated)
					}
					return send(e)
				})
			}})},

		{flaw: "calls what is not there", fails: "tools", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.ToolChoice = ""
				}
			})})},
		{flaw: "calls another function than the one named", fails: "tools", must: "T2", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.Name = "now"
				}
			})})},
		{flaw: "calls the named function twice", fails: "tools", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil && r.Chat.ToolChoice == "function:get_weather" {
					r.Chat.ToolChoice = ""
				}
			})})},
		{flaw: "calls twice where one call is asked for", fails: "tools", must: "T2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.SingleCall = false
				}
			})})},
		{flaw: "names a call with each piece", fails: "tools", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) { d.ID, d.Name = "call", "now" })})},
		{flaw: "cuts arguments short", fails: "tools", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.Arguments == "}" {
					d.Arguments = ""
				}
			})})},
		{flaw: "gives two calls one id", fails: "tools", must: "T1", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.ID = "call"
				}
			})})},
		{flaw: "hides that it calls", fails: "tools", must: "T1", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil && e.Finish.Reason == sdk.FinishToolCalls {
					e.Finish.Reason = sdk.FinishStop
				}
			})})},
		{flaw: "names calls anew when resuming", fails: "tools", must: "T3", plugin: one(&twin{
			generate: editedCalls(func(d *sdk.ToolCallDelta) {
				if d.ID != "" {
					d.ID = fmt.Sprint("call_", named.Add(1))
				}
			})})},

		{flaw: "ignores pictures", fails: "pictures", must: "V1", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.Images = slices.Repeat([][]byte{painted(color.White)}, bytes.Count(r.Chat.Messages, []byte(`"image"`)))
				}
			})})},
		{flaw: "blames a field that no client knows", fails: "pictures", must: "V1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				var told *sdk.Error
				if errors.As(err, &told) && told.Field == "messages" {
					told.Field = "images"
				}
				return err
			}})},
		{flaw: "takes anything for a picture", fails: "pictures", must: "V2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Chat != nil {
					r.Chat.Images = slices.Clone(r.Chat.Images)
					for i := range r.Chat.Images {
						if _, err := png.Decode(bytes.NewReader(r.Chat.Images[i])); err != nil {
							r.Chat.Images[i] = painted(color.White)
						}
					}
				}
			})})},
		{flaw: "takes a picture for a bug", fails: "pictures", must: "V1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.Chat != nil && len(req.Chat.Images) > 0 {
					return errors.New("pictures are not supported")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "sees something else the second time", fails: "pictures", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && r.Resume == nil && seen.Add(1) == 3 { // the first, the second, the first again
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the second picture as another when it comes first", fails: "pictures", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && seen.Add(1) == 1 && !bytes.Equal(r.Chat.Images[0], painted(firstColor)) {
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the first picture as another when it comes second", fails: "pictures", must: "V3", plugin: func() sdk.Plugin {
			var seen atomic.Int64
			return &twin{generate: asked(func(r *sdk.GenerateRequest) {
				if isPicture(r) && seen.Add(1) == 2 && bytes.Equal(r.Chat.Images[0], painted(firstColor)) {
					r.Chat.Images = [][]byte{painted(color.White)}
				}
			})}
		}},
		{flaw: "sees the first picture for ever", fails: "pictures", must: "V3", plugin: seen},
		{flaw: "resumes blindly", fails: "pictures", must: "V3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Resume != nil && r.Chat != nil {
					for i := range r.Chat.Images {
						r.Chat.Images[i] = painted(color.White)
					}
				}
			})})},

		{flaw: "makes sequences up", fails: "forward", must: "F1", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				_ = r.OpenSequence(context.Background(), req.Sequence)
				return r.Forward(context.Background(), req)
			}})},
		{flaw: "closes nothing", fails: "forward", must: "F1", plugin: one(&twin{close: func(*reference, string) error { return nil }})},
		{flaw: "opens what is open", fails: "forward", must: "F1", plugin: one(&twin{
			open: func(r *reference, name string) error {
				_ = r.OpenSequence(context.Background(), name)
				return nil
			}})},
		{flaw: "has other logits than it draws from", fails: "forward", must: "F2", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if len(out.Logits) > 1 {
					out.Logits = append(out.Logits[1:], out.Logits[0])
				}
				return out, err
			}})},
		{flaw: "forgets what came before a call", fails: "forward", must: "F2", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if err == nil && req.Rows == nil {
					out.Logits = r.logits(req.Tokens)
				}
				return out, err
			}})},
		{flaw: "forks for show", fails: "forward", must: "F3", plugin: forksForShow},
		{flaw: "forks what was there first", fails: "forward", must: "F3", plugin: one(&twin{
			fork: func(r *reference, from, to string) error {
				err := r.ForkSequence(context.Background(), from, to)
				if err == nil {
					r.sequences.open[to][0] = 5
				}
				return err
			}})},
		{flaw: "sorts the rows", fails: "forward", must: "F4", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				slices.Sort(req.Rows)
				return r.Forward(context.Background(), req)
			}})},
		{flaw: "counts the positions of a call alone", fails: "forward", must: "F4", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				out.Length = len(req.Tokens)
				return out, err
			}})},
		{flaw: "appends what it refuses", fails: "forward", must: "F5", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if sdk.ReasonOf(err) == sdk.ReasonInvalid {
					r.sequences.open[req.Sequence] = append(r.sequences.open[req.Sequence], req.Tokens[0])
				}
				return out, err
			}})},
		{flaw: "knows no end of a sequence", fails: "forward", must: "F5", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if sdk.ReasonOf(err) == sdk.ReasonContext {
					return sdk.ForwardResult{Logits: r.logits(req.Tokens), Vocab: referenceVocab}, nil
				}
				return out, err
			}})},

		{flaw: "has longer vectors for longer texts", fails: "embed", must: "B1", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for i, text := range req.Texts {
					out.Vectors[i] = slices.Repeat(out.Vectors[i], len(text))
				}
				return out, err
			}})},
		{flaw: "has a vector of no numbers", fails: "embed", must: "B1", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for _, v := range out.Vectors {
					v[0] = float32(math.NaN())
				}
				return out, err
			}})},
		{flaw: "weighs texts against each other", fails: "embed", must: "B2", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for _, v := range out.Vectors {
					v[0] /= float32(len(out.Vectors))
				}
				return out, err
			}})},
		{flaw: "takes ids for something else than their text", fails: "embed", must: "B2", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for i := range req.Tokens {
					if err == nil {
						out.Vectors[i][0]++
					}
				}
				return out, err
			}})},
		{flaw: "embeds the beginning of what is long", fails: "embed", must: "B3", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				for i, ids := range req.Tokens {
					req.Tokens[i] = ids[:min(len(ids), referenceContext)]
				}
				return r.Embed(context.Background(), req)
			}})},
	}
}

// forksForShow makes twins whose forks are their origins under another name.
func forksForShow() sdk.Plugin {
	origins := map[string]string{}
	origin := func(name string) string {
		if from, forked := origins[name]; forked {
			return from
		}
		return name
	}
	return &twin{
		fork: func(r *reference, from, to string) error {
			if err := r.ForkSequence(context.Background(), from, to); err != nil {
				return err
			}
			origins[to] = from
			return nil
		},
		forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
			req.Sequence = origin(req.Sequence)
			return r.Forward(context.Background(), req)
		},
	}
}

// isPicture says whether the request has one picture and is in order.
func isPicture(r *sdk.GenerateRequest) bool {
	return r.Chat != nil && len(r.Chat.Images) == 1 && referencePictures(r.Chat) == nil
}

// doubled has each module twice.
func doubled(t sdk.LayerTable) sdk.LayerTable {
	t.Modules = slices.Repeat(t.Modules, 2)
	return t
}

// inCompany makes twins that answer the samples of the case determinism in another way when others are answered at the same
// time. Each waits for another after those that the case asks for one by one, so that the company is sure to be there.
func inCompany(another func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error) func() sdk.Plugin {
	return func() sdk.Plugin {
		var asked, running atomic.Int64
		met := make(chan struct{})
		meet := sync.OnceFunc(func() { close(met) })
		alone := int64(2 * len(samples()))
		return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
			if !req.HasText || req.MaxTokens != samples()[0].MaxTokens || req.Resume != nil || asked.Add(1) <= alone {
				return r.Generate(ctx, req, send)
			}
			if running.Add(1) > 1 {
				meet()
			}
			defer running.Add(-1)
			select {
			case <-met:
				return another(ctx, req, send)
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	}
}

// editedCalls passes the pieces of the reference's calls through a change.
func editedCalls(change func(*sdk.ToolCallDelta)) func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
	return edited(func(e *sdk.Event) {
		if e.Token != nil {
			for i := range e.Token.ToolCalls {
				change(&e.Token.ToolCalls[i])
			}
		}
	})
}

func TestEachFlawFailsItsCaseAlone(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // after the parallel subtests
	model := checkpoint(t)
	for _, m := range mutants(release) {
		t.Run(m.flaw, func(t *testing.T) {
			c := Config{Model: model, Timeout: m.timeout}
			switch {
			case m.file: // written before anything is forked: a file that a child holds open for writing cannot be executed
				c.Binary, c.Start = file(t, m.flaw), startInProcess(func() sdk.Plugin { return &reference{} })
			case m.plugin != nil:
				c.Start = startInProcess(m.plugin)
			default:
				c.Start = startBeneath(t, m.flaw)
			}
			t.Parallel()
			waiting.Bound(t)
			if m.flaw == "has two tables" {
				failsEverywhere(t, c, "L2: Load failed: the plugin broke the protocol: after the layer table")
				return
			}
			failed := false
			Check(c, func(r Result) {
				switch lines := strings.Join(r.Lines, "\n"); {
				case r.Failed && r.Case.Name != m.fails:
					t.Errorf("%s fails, too: %s", r.Case.Name, lines)
				case r.Failed && !regexp.MustCompile(`\b`+m.must+`\b`).MatchString(lines):
					t.Errorf("%s fails, but not for %s: %s", m.fails, m.must, lines)
				case r.Failed:
					failed = true
				}
			})
			if !failed {
				t.Errorf("%s does not notice", m.fails)
			}
		})
	}
}

// failsEverywhere is for a flaw without which nothing can be seen.
func failsEverywhere(t *testing.T, c Config, want string) {
	all := ""
	Check(c, func(r Result) { all += strings.Join(r.Lines, "\n") + "\n" })
	if !strings.Contains(all, want) {
		t.Errorf("nothing says %q:\n%s", want, all)
	}
}

// The same, of a plugin that is only what it should be.
func TestReferenceIsAGoodProcess(t *testing.T) {
	waiting.Bound(t)
	for _, flaw := range []string{"none", "lets nobody else in"} {
		c := Config{Binary: file(t, flaw), Model: checkpoint(t)}
		Run(t, c)
	}
}

// Every MUST of PROTOCOL.md has a twin that breaks it.
func TestEveryMustHasATwin(t *testing.T) {
	broken := map[string]bool{}
	for _, m := range mutants(nil) {
		broken[m.must] = true
	}
	numbers, _ := musts(t)
	if len(numbers) < 30 {
		t.Errorf("only %d MUSTs were found in PROTOCOL.md", len(numbers))
	}
	for _, number := range numbers {
		if !broken[number] {
			t.Errorf("no twin breaks %s", number)
		}
		delete(broken, number)
	}
	for number := range broken {
		t.Errorf("a twin breaks %s, which PROTOCOL.md does not have", number)
	}
}

// musts are the numbers of PROTOCOL.md, and those of each case that it names.
func musts(t *testing.T) (numbers []string, documented map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	documented = map[string][]string{}
	for _, item := range strings.Split(string(text), "\n- ") {
		number := regexp.MustCompile(`^\*\*([A-Z]\d+)\*\*`).FindStringSubmatch(item)
		if number == nil {
			continue
		}
		if slices.Contains(numbers, number[1]) {
			t.Errorf("PROTOCOL.md has two MUSTs %s", number[1])
		}
		numbers = append(numbers, number[1])
		item, _, _ = strings.Cut(item, "\n\n")
		for _, name := range regexp.MustCompile(`\[([a-z-]+)\]`).FindAllStringSubmatch(item, -1) {
			documented[name[1]] = append(documented[name[1]], number[1])
		}
	}
	return numbers, documented
}

// Every MUST that PROTOCOL.md says a case checks is that case's, and the other way round.
func TestCasesAndProtocolAgree(t *testing.T) {
	_, documented := musts(t)
	for _, c := range Cases() {
		want := slices.Sorted(slices.Values(c.Musts))
		if got := slices.Sorted(slices.Values(documented[c.Name])); !slices.Equal(got, want) {
			t.Errorf("%s: PROTOCOL.md names %v, the case %v", c.Name, got, want)
		}
		delete(documented, c.Name)
	}
	if len(documented) > 0 {
		t.Errorf("PROTOCOL.md names cases that do not exist: %v", documented)
	}
}
