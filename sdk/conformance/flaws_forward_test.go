package conformance

// flaws_forward_test.go: flaws of logits, sequences and vectors.

import (
	"context"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

func forwardFlaws() []mutant {
	return failing("forward", []mutant{
		{flaw: "makes sequences up", must: "F1", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				_ = r.OpenSequence(context.Background(), req.Sequence)
				return r.Forward(context.Background(), req)
			}})},
		{flaw: "closes nothing", must: "F1", plugin: one(&twin{close: func(*reference, string) error { return nil }})},
		{flaw: "opens what is open", must: "F1", plugin: one(&twin{
			open: func(r *reference, name string) error {
				_ = r.OpenSequence(context.Background(), name)
				return nil
			}})},
		{flaw: "has other logits than it draws from", must: "F2", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if len(out.Logits) > 1 {
					out.Logits = append(out.Logits[1:], out.Logits[0])
				}
				return out, err
			}})},
		{flaw: "forgets what came before a call", must: "F2", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if err == nil && req.Rows == nil {
					out.Logits = r.logits(req.Tokens)
				}
				return out, err
			}})},
		{flaw: "forks for show", must: "F3", plugin: forksForShow},
		{flaw: "forks what was there first", must: "F3", plugin: one(&twin{
			fork: func(r *reference, from, to string) error {
				err := r.ForkSequence(context.Background(), from, to)
				if err == nil {
					r.sequences.open[to][0] = 5
				}
				return err
			}})},
		{flaw: "sorts the rows", must: "F4", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				slices.Sort(req.Rows)
				return r.Forward(context.Background(), req)
			}})},
		{flaw: "counts the positions of a call alone", must: "F4", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				out.Length = len(req.Tokens)
				return out, err
			}})},
		{flaw: "appends what it refuses", must: "F5", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if sdk.ReasonOf(err) == sdk.ReasonInvalid {
					r.sequences.open[req.Sequence] = append(r.sequences.open[req.Sequence], req.Tokens[0])
				}
				return out, err
			}})},
		{flaw: "knows no end of a sequence", must: "F5", plugin: one(&twin{
			forward: func(r *reference, req sdk.ForwardRequest) (sdk.ForwardResult, error) {
				out, err := r.Forward(context.Background(), req)
				if sdk.ReasonOf(err) == sdk.ReasonContext {
					return sdk.ForwardResult{Logits: r.logits(req.Tokens), Vocab: referenceVocab}, nil
				}
				return out, err
			}})},
	})
}

func embedFlaws() []mutant {
	return failing("embed", []mutant{
		{flaw: "has longer vectors for longer texts", must: "B1", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for i, text := range req.Texts {
					out.Vectors[i] = slices.Repeat(out.Vectors[i], len(text))
				}
				return out, err
			}})},
		{flaw: "has a vector of no numbers", must: "B1", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for _, v := range out.Vectors {
					v[0] = float32(math.NaN())
				}
				return out, err
			}})},
		{flaw: "weighs texts against each other", must: "B2", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for _, v := range out.Vectors {
					v[0] /= float32(len(out.Vectors))
				}
				return out, err
			}})},
		{flaw: "takes ids for something else than their text", must: "B2", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				out, err := r.Embed(context.Background(), req)
				for i := range req.Tokens {
					if err == nil {
						out.Vectors[i][0]++
					}
				}
				return out, err
			}})},
		{flaw: "embeds the beginning of what is long", must: "B3", plugin: one(&twin{
			embed: func(r *reference, req sdk.EmbedRequest) (sdk.EmbedResult, error) {
				for i, ids := range req.Tokens {
					req.Tokens[i] = ids[:min(len(ids), referenceContext)]
				}
				return r.Embed(context.Background(), req)
			}})},
	})
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
