package conformance

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

// reference_forward_test.go: the reference's logits and vectors are hashes too; the likeliest id is the one that Generate has.

// referenceSequences are those that are open.
type referenceSequences struct {
	mu   sync.Mutex
	open map[string][]int32
}

func (r *reference) OpenSequence(_ context.Context, name string) error {
	r.sequences.mu.Lock()
	defer r.sequences.mu.Unlock()
	return r.sequences.add(name, nil)
}

// add takes a sequence under a new name. mu is held.
func (s *referenceSequences) add(name string, tokens []int32) error {
	if _, taken := s.open[name]; taken || name == "" {
		return sdk.Errorf(sdk.ReasonInvalid, "the name %q is empty or taken", name)
	}
	s.open[name] = slices.Clone(tokens)
	return nil
}

func (s *referenceSequences) find(name string) ([]int32, error) {
	tokens, open := s.open[name]
	if !open {
		return nil, sdk.Errorf(sdk.ReasonNotFound, "there is no sequence %q", name)
	}
	return tokens, nil
}

func (r *reference) ForkSequence(_ context.Context, from, to string) error {
	r.sequences.mu.Lock()
	defer r.sequences.mu.Unlock()
	tokens, err := r.sequences.find(from)
	if err != nil {
		return err
	}
	return r.sequences.add(to, tokens)
}

func (r *reference) CloseSequence(_ context.Context, name string) error {
	r.sequences.mu.Lock()
	defer r.sequences.mu.Unlock()
	_, err := r.sequences.find(name)
	delete(r.sequences.open, name)
	return err
}

func (r *reference) Forward(_ context.Context, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
	r.sequences.mu.Lock()
	defer r.sequences.mu.Unlock()
	before, err := r.sequences.find(req.Sequence)
	if err != nil {
		return sdk.ForwardResult{}, err
	}
	all := slices.Concat(before, req.Tokens)
	if err := referenceIDs(all); err != nil {
		return sdk.ForwardResult{}, err
	}
	r.sequences.open[req.Sequence] = all
	rows := req.Rows
	if rows == nil {
		rows = []int{len(req.Tokens) - 1}
	}
	out := sdk.ForwardResult{Vocab: referenceVocab, Length: len(all)}
	for _, row := range rows {
		out.Logits = append(out.Logits, r.logits(all[:len(before)+row+1])...)
	}
	return out, nil
}

func referenceIDs(ids []int32) error {
	for _, id := range ids {
		if id >= referenceVocab {
			return sdk.Errorf(sdk.ReasonInvalid, "there is no id %d", id)
		}
	}
	if len(ids) > referenceContext {
		return sdk.Errorf(sdk.ReasonContext, "%d tokens in a context of %d", len(ids), referenceContext)
	}
	return nil
}

// logits are behind a sequence.
func (r *reference) logits(sequence []int32) []float32 {
	row := make([]float32, referenceVocab)
	for id := range row {
		row[id] = hashed(append(slices.Clone(sequence), int32(id)))
	}
	greedy := 0.0
	row[r.next(sdk.GenerateRequest{Sampling: sdk.Sampling{Temperature: &greedy}}, sequence)] = 2
	return row
}

// hashed is a number below 1.
func hashed(ids []int32) float32 {
	h := fnv.New32a()
	_ = binary.Write(h, binary.LittleEndian, ids)
	return float32(h.Sum32()%4096) / 4096
}

func (r *reference) Embed(_ context.Context, req sdk.EmbedRequest) (out sdk.EmbedResult, err error) {
	inputs := req.Tokens
	for _, text := range req.Texts {
		ids, err := referencePrompt(sdk.GenerateRequest{Text: text, HasText: true})
		if err != nil {
			return out, err
		}
		inputs = append(inputs, ids)
	}
	for _, ids := range inputs {
		if err := referenceIDs(ids); err != nil {
			return out, err
		}
		out.Vectors = append(out.Vectors, []float32{hashed(ids), hashed(ids[1:])})
		out.Tokens = append(out.Tokens, len(ids))
	}
	return out, nil
}
