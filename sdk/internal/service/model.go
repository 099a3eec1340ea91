// Package service answers the calls of the contract with an author's plugin. It knows nothing of processes: package serve gives it the
// connection of a host, and servetest a pipe.
package service

// model.go: the Model service over an author's Plugin. A method the plugin does not implement answers UNIMPLEMENTED, from
// the same assertion that capabilities are derived from.

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Model is the Model service of one plugin.
type Model struct {
	pb.UnimplementedModelServer
	plugin sdk.Plugin
	life   *lifecycle
}

// Register has s answer for p.
func Register(s *grpc.Server, p sdk.Plugin) *Model {
	model := &Model{plugin: p, life: newLifecycle()}
	pb.RegisterModelServer(s, model)
	pb.RegisterSchedulerServer(s, &schedulerServer{plugin: p})
	return model
}

// End drains and unloads as the host's calls of those names do.
func (s *Model) End(ctx context.Context) error { return errors.Join(s.drain(ctx), s.unload(ctx)) }

// Describe fills in what an author then cannot get wrong. Its lists are never nil, so that they print as lists.
func Describe(p sdk.Plugin) sdk.Description {
	d := p.Describe()
	d.SDKVersion = sdk.Version
	d.Majors = []int{sdk.ProtocolMajor}
	d.Capabilities = append([]sdk.Capability{}, sdk.Capabilities(p)...)
	d.Architectures = append([]string{}, d.Architectures...)
	d.Numerics = append([]sdk.Numerics{}, d.Numerics...)
	d.Devices = append([]string{}, d.Devices...)
	return d
}

func (s *Model) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return wire.DescriptionToPB(Describe(s.plugin)), nil
}

func (s *Model) Inspect(ctx context.Context, m *pb.InspectRequest) (*pb.InspectResponse, error) {
	req, err := wire.InspectRequest(m)
	if err != nil {
		return nil, err
	}
	inspection, err := s.plugin.Inspect(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.InspectionToPB(inspection), nil
}

func (s *Model) Load(m *pb.LoadRequest, stream grpc.ServerStreamingServer[pb.LoadResponse]) (err error) {
	req, err := wire.LoadRequest(m)
	if err != nil {
		return err
	}
	ctx, done, err := s.life.beginLoad(stream.Context())
	if err != nil {
		return err
	}
	failure := error(sdk.Errorf(sdk.ReasonInternal, "Load did not return")) // what a panic leaves behind
	defer func() { done(failure) }()
	p := newProgressSender(stream)
	defer p.close() // in a panic; else it is closed before the table is sent
	table, err := s.plugin.Load(ctx, req, p.send)
	p.close()
	if failure = err; err != nil {
		return err
	}
	return stream.Send(wire.TableToPB(table))
}

// progressSender carries progress to the host without ever holding up the loading: where the host reads too slowly the oldest of what it
// has not read is dropped, so that the last always arrives.
type progressSender struct {
	mu      sync.Mutex
	closed  bool
	pending chan sdk.Progress
	sent    chan struct{}
}

func newProgressSender(stream grpc.ServerStreamingServer[pb.LoadResponse]) *progressSender {
	p := &progressSender{pending: make(chan sdk.Progress, 16), sent: make(chan struct{})}
	go func() {
		defer close(p.sent)
		for m := range p.pending {
			if stream.Send(wire.ProgressToPB(m)) != nil {
				return // the call is over; Load's context tells the author
			}
		}
	}()
	return p
}

func (p *progressSender) send(m sdk.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for {
		select {
		case p.pending <- m:
			return
		default:
		}
		select {
		case <-p.pending:
		default:
		}
	}
}

func (p *progressSender) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.pending)
	}
	p.mu.Unlock()
	<-p.sent
}

func (s *Model) Drain(ctx context.Context, _ *pb.DrainRequest) (*pb.DrainResponse, error) {
	return &pb.DrainResponse{}, s.drain(ctx)
}

func (s *Model) drain(ctx context.Context) error {
	s.life.drain()
	if d, ok := s.plugin.(sdk.Drainer); ok && s.life.holds() {
		if err := d.Drain(ctx); err != nil {
			return err
		}
	}
	return s.life.wait(ctx)
}

func (s *Model) Unload(ctx context.Context, _ *pb.UnloadRequest) (*pb.UnloadResponse, error) {
	return &pb.UnloadResponse{}, s.unload(ctx)
}

// unload ends what runs and waits for it, so that an author's Unload frees memory nobody uses.
func (s *Model) unload(ctx context.Context) error {
	s.life.drain()
	s.life.cancel()
	if err := s.life.wait(ctx); err != nil {
		return err
	}
	if u, ok := s.plugin.(sdk.Unloader); ok {
		return s.life.free(ctx, u.Unload)
	}
	return nil
}

// use runs a call that needs the model and the ability A.
func use[A, R any](ctx context.Context, s *Model, c sdk.Capability, call func(context.Context, A) (R, error)) (R, error) {
	var zero R
	able, ok := s.plugin.(A)
	if !ok {
		return zero, sdk.Errorf(sdk.ReasonUnimplemented, "the plugin does not have the capability %q", c)
	}
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return zero, err
	}
	defer leave()
	return call(ctx, able)
}

func (s *Model) OpenSequence(ctx context.Context, m *pb.OpenSequenceRequest) (*pb.OpenSequenceResponse, error) {
	return use(ctx, s, sdk.CapabilityForward, func(ctx context.Context, f sdk.Forwarder) (*pb.OpenSequenceResponse, error) {
		return &pb.OpenSequenceResponse{}, f.OpenSequence(ctx, m.GetSequence())
	})
}

func (s *Model) ForkSequence(ctx context.Context, m *pb.ForkSequenceRequest) (*pb.ForkSequenceResponse, error) {
	return use(ctx, s, sdk.CapabilityForward, func(ctx context.Context, f sdk.Forwarder) (*pb.ForkSequenceResponse, error) {
		return &pb.ForkSequenceResponse{}, f.ForkSequence(ctx, m.GetFrom(), m.GetTo())
	})
}

func (s *Model) CloseSequence(ctx context.Context, m *pb.CloseSequenceRequest) (*pb.CloseSequenceResponse, error) {
	return use(ctx, s, sdk.CapabilityForward, func(ctx context.Context, f sdk.Forwarder) (*pb.CloseSequenceResponse, error) {
		return &pb.CloseSequenceResponse{}, f.CloseSequence(ctx, m.GetSequence())
	})
}

func (s *Model) Forward(ctx context.Context, m *pb.ForwardRequest) (*pb.ForwardResponse, error) {
	return use(ctx, s, sdk.CapabilityForward, func(ctx context.Context, f sdk.Forwarder) (*pb.ForwardResponse, error) {
		req, err := wire.ForwardRequest(m)
		if err != nil {
			return nil, err
		}
		result, err := f.Forward(ctx, req)
		if err != nil {
			return nil, err
		}
		return wire.ForwardResultToPB(result)
	})
}

func (s *Model) Embed(ctx context.Context, m *pb.EmbedRequest) (*pb.EmbedResponse, error) {
	return use(ctx, s, sdk.CapabilityEmbed, func(ctx context.Context, e sdk.Embedder) (*pb.EmbedResponse, error) {
		req, err := wire.EmbedRequest(m)
		if err != nil {
			return nil, err
		}
		result, err := e.Embed(ctx, req)
		if err != nil {
			return nil, err
		}
		return wire.EmbedResultToPB(result), nil
	})
}

func (s *Model) Tokenize(ctx context.Context, m *pb.TokenizeRequest) (*pb.TokenizeResponse, error) {
	return use(ctx, s, sdk.CapabilityTokenize, func(ctx context.Context, t sdk.Tokenizer) (*pb.TokenizeResponse, error) {
		ids, err := t.Tokenize(ctx, m.GetText())
		return &pb.TokenizeResponse{Ids: ids}, err
	})
}

func (s *Model) Detokenize(ctx context.Context, m *pb.DetokenizeRequest) (*pb.DetokenizeResponse, error) {
	return use(ctx, s, sdk.CapabilityTokenize, func(ctx context.Context, t sdk.Tokenizer) (*pb.DetokenizeResponse, error) {
		text, err := t.Detokenize(ctx, m.GetIds())
		return &pb.DetokenizeResponse{Text: text}, err
	})
}

func (s *Model) Spell(ctx context.Context, m *pb.SpellRequest) (*pb.SpellResponse, error) {
	return use(ctx, s, sdk.CapabilitySpell, func(ctx context.Context, p sdk.Speller) (*pb.SpellResponse, error) {
		tokens, err := p.Spell(ctx, m.GetIds())
		return &pb.SpellResponse{Tokens: tokens}, err
	})
}

func (s *Model) Render(ctx context.Context, m *pb.RenderRequest) (*pb.RenderResponse, error) {
	return use(ctx, s, sdk.CapabilityRender, func(ctx context.Context, r sdk.Renderer) (*pb.RenderResponse, error) {
		text, err := r.Render(ctx, wire.Chat(m.GetChat()))
		return &pb.RenderResponse{Text: text}, err
	})
}
