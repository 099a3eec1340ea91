package serve

import (
	"context"
	"math"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// forward.go gives out what the model computes itself: logits of named sequences, and vectors of texts.

// maxSequences bounds the sequences that are open at once: each keeps its tokens, and a place while nobody needs it.
const maxSequences = 1024

// sequences are those that are open, by name.
type sequences struct {
	mu   sync.Mutex
	open map[string]*engine.Session
}

// add takes a session under a name that no other has.
func (s *sequences) add(name string, session *engine.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open[name] != nil:
		return sdk.Errorf(sdk.ReasonInvalid, "the sequence %q is open already", name)
	case len(s.open) >= maxSequences:
		return sdk.Errorf(sdk.ReasonMemory, "%d sequences are open, which is the most; close some", len(s.open))
	case s.open == nil:
		s.open = map[string]*engine.Session{}
	}
	s.open[name] = session
	return nil
}

func (s *sequences) find(name string) (*engine.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.open[name]; session != nil {
		return session, nil
	}
	return nil, sdk.Errorf(sdk.ReasonNotFound, "there is no sequence %q", name)
}

// OpenSequence implements sdk.Forwarder.
func (p *plugin) OpenSequence(_ context.Context, name string) error {
	return p.sequences.add(name, p.loaded.engine.Open())
}

// ForkSequence implements sdk.Forwarder.
func (p *plugin) ForkSequence(_ context.Context, from, to string) error {
	s, err := p.sequences.find(from)
	if err != nil {
		return err
	}
	fork, err := s.Fork()
	if err != nil {
		return err
	}
	return p.sequences.add(to, fork)
}

// CloseSequence implements sdk.Forwarder.
func (p *plugin) CloseSequence(_ context.Context, name string) error {
	s, err := p.sequences.find(name)
	if err != nil {
		return err
	}
	p.sequences.mu.Lock()
	delete(p.sequences.open, name)
	p.sequences.mu.Unlock()
	s.Close()
	return nil
}

// Forward implements sdk.Forwarder.
func (p *plugin) Forward(ctx context.Context, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
	s, err := p.sequences.find(req.Sequence)
	if err != nil {
		return sdk.ForwardResult{}, err
	}
	rows, err := s.Forward(ctx, req.Tokens, req.Rows)
	if err != nil {
		return sdk.ForwardResult{}, err
	}
	out := sdk.ForwardResult{Vocab: p.loaded.shape.Vocab, Length: s.Len(), Logits: make([]float32, 0, len(rows)*p.loaded.shape.Vocab)}
	for _, row := range rows {
		out.Logits = append(out.Logits, row...)
	}
	return out, nil
}

// Embed implements sdk.Embedder: the final state behind a text's last token, of length 1, as embedding models that are made from
// decoders pool it.
func (p *plugin) Embed(ctx context.Context, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
	texts := req.Tokens
	for _, text := range req.Texts {
		ids, err := p.words.TokenizeWithin(ctx, text, p.loaded.engine.ContextLength())
		if err != nil {
			return sdk.EmbedResult{}, err
		}
		texts = append(texts, ids)
	}
	out := sdk.EmbedResult{Vectors: make([][]float32, len(texts)), Tokens: make([]int, len(texts))}
	errs := make([]error, len(texts))
	var all sync.WaitGroup
	for i, ids := range texts {
		out.Tokens[i] = len(ids)
		all.Go(func() {
			out.Vectors[i], errs[i] = p.loaded.engine.Final(ctx, ids)
			unit(out.Vectors[i])
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return sdk.EmbedResult{}, err
		}
	}
	return out, nil
}

// unit scales a vector to length 1; that of zeros stays.
func unit(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return
	}
	scale := 1 / math.Sqrt(sum)
	for i := range v {
		v[i] = float32(float64(v[i]) * scale)
	}
}
