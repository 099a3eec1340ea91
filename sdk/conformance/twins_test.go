package conformance

// twins_test.go: plugins that are the reference but for what is replaced.

import (
	"context"
	"errors"

	"github.com/inference-pio/inference-pio/sdk"
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
)

func (*noTokenizer) Tokenize(context.Context, string) ([]int32, error) {
	return nil, sdk.Errorf(sdk.ReasonUnimplemented, "later")
}
func (*noTokenizer) Detokenize(context.Context, []int32) (string, error) { return "", nil }
func (*clingsToLife) Unload(context.Context) error                       { return errors.New("device is busy") }
func (*refusesOrders) Schedule(context.Context, <-chan sdk.Order, func(sdk.Report) error) error {
	return errors.New("not my business")
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

// one makes a new twin for each process.
func one(t *twin) func() sdk.Plugin {
	return func() sdk.Plugin { c := *t; return &c }
}
