package conformance

// reference_test.go: a plugin that keeps every MUST. The mutants are made of it.

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
	"github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

const (
	referenceVocab   = 26
	referenceContext = 64
)

// reference has a model whose next token is a hash of all before it, so that every mistake shows in what follows.
type reference struct {
	salt int // 0; a mutant may change the answers by it

	sequences *referenceSequences // after Load
}

func (*reference) Describe() sdk.Description {
	return sdk.Description{Name: "reference", Version: "1.0.0-rc.1", Kernels: "hash", Numerics: []sdk.Numerics{sdk.NumericsExact}}
}

func (*reference) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	text, err := os.ReadFile(filepath.Join(req.Path, "config.json"))
	if err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonNotFound, "no checkpoint: %w", err)
	}
	var config struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonCheckpoint, "config.json: %w", err)
	}
	if config.ModelType != "reference" {
		return sdk.Inspection{Reason: "model_type is not reference"}, nil
	}
	if req.Quantize != "" || req.Numerics != "" || req.KVCache != "" {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInvalid, "quantize %q, numerics %q, kv_cache %q: hashes have none", req.Quantize, req.Numerics, req.KVCache)
	}
	if req.Context > referenceContext {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInvalid, "context %d is more than %d", req.Context, referenceContext)
	}
	table := sdk.LayerTable{Context: referenceContext, VocabSize: referenceVocab, Modules: []sdk.Module{{ID: "a", WeightBytes: 1}, {ID: "b"}}}
	if req.Context > 0 {
		table.Context = req.Context
	}
	return sdk.Inspection{Fit: sdk.FitFamily, Table: table}, nil
}

func (r *reference) Load(ctx context.Context, req sdk.LoadRequest, _ func(sdk.Progress)) (sdk.LayerTable, error) {
	inspection, err := r.Inspect(ctx, req.InspectRequest)
	r.sequences = &referenceSequences{open: map[string][]int32{}}
	return inspection.Table, err
}

func (r *reference) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	prompt, err := referencePrompt(req)
	if err != nil {
		return err
	}
	if err := referencePictures(req.Chat); err != nil {
		return err
	}
	if err := referenceRefusals(req); err != nil {
		return err
	}
	calls, err := referenceTools(req)
	if err != nil {
		return err
	}
	if len(prompt) >= referenceContext {
		return sdk.Errorf(sdk.ReasonContext, "%d tokens in a context of %d", len(prompt), referenceContext)
	}
	sequence := append([]int32{}, prompt...)
	if req.Resume != nil {
		sequence = append(sequence, req.Resume.Generated...)
	} else if err := send(sdk.Event{Start: referenceStart(req, prompt)}); err != nil {
		return err
	}
	limit := referenceContext
	if calls != nil {
		limit = len(prompt) + 4
	} else if req.MaxTokens > 0 {
		limit = min(limit, len(prompt)+req.MaxTokens)
	}
	for len(sequence) < limit {
		i := len(sequence) - len(prompt)
		if req.MaxTokens == 0 && i == 4 { // an answer without limit has not ended before it is cancelled
			<-ctx.Done()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		id := r.next(req, sequence)
		sequence = append(sequence, id)
		token := &sdk.Token{Index: i, ID: id, Text: string('a' + rune(id)), Offset: i}
		if i < len(calls) {
			token.Text, token.ToolCalls = "", referenceCall(i, calls[i])
		}
		if err := send(sdk.Event{Token: token}); err != nil {
			return err
		}
	}
	finish := &sdk.Finish{Reason: sdk.FinishLength, PromptTokens: len(prompt), CompletionTokens: len(sequence) - len(prompt),
		Queued: rand.N(time.Second), CachedTokens: rand.N(len(prompt) + 1)} // nobody may mind
	if calls != nil {
		finish.Reason = sdk.FinishToolCalls
	}
	return send(sdk.Event{Finish: finish})
}

func referenceRefusals(req sdk.GenerateRequest) error {
	for field, asked := range map[string]bool{
		"stop": len(req.Stop) > 0, "logprobs": req.Sampling.Logprobs, "logit_bias": len(req.Sampling.LogitBias) > 0,
		"constraint": req.Constraint != nil,
	} {
		if asked {
			return &sdk.Error{Reason: sdk.ReasonInvalid, Field: field, Message: "hashes know nothing of it"}
		}
	}
	return nil
}

func referenceStart(req sdk.GenerateRequest, prompt []int32) *sdk.Start {
	s := &sdk.Start{Prompt: prompt, ContextLength: referenceContext}
	if req.PromptLogprobs {
		s.PromptLogprobs = make([]sdk.TokenLogprob, len(prompt))
	}
	return s
}

func referenceCall(i int, name string) []sdk.ToolCallDelta {
	return []sdk.ToolCallDelta{{Index: i, ID: fmt.Sprintf("call_%d", i), Name: name}, {Index: i, Arguments: "{"}, {Index: i, Arguments: "}"}}
}

// referenceTools are the functions that the answer calls.
func referenceTools(req sdk.GenerateRequest) ([]string, error) {
	if req.Chat == nil || req.Chat.Tools == nil {
		return nil, nil
	}
	name, named := strings.CutPrefix(req.Chat.ToolChoice, "function:")
	switch {
	case named && !bytes.Contains(req.Chat.Tools, []byte(`"`+name+`"`)):
		return nil, &sdk.Error{Reason: sdk.ReasonInvalid, Field: "tool_choice", Message: "there is no function " + name}
	case named:
		return []string{name}, nil
	case req.Chat.SingleCall:
		return []string{"now"}, nil
	}
	return []string{"now", "now"}, nil
}

// referencePictures looks at the files.
func referencePictures(c *sdk.Chat) error {
	if c == nil {
		return nil
	}
	if n := bytes.Count(c.Messages, []byte(`{"type": "image"}`)); n != len(c.Images) {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "messages", Message: fmt.Sprintf("%d places for %d pictures", n, len(c.Images))}
	}
	for _, file := range c.Images {
		if _, err := png.Decode(bytes.NewReader(file)); err != nil {
			return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "messages", Message: err.Error()}
		}
	}
	return nil
}

func (r *reference) next(req sdk.GenerateRequest, sequence []int32) int32 {
	h := fnv.New32a()
	if s := req.Sampling; s.Temperature == nil || *s.Temperature > 0 {
		_ = binary.Write(h, binary.LittleEndian, s.Seed)
	}
	if req.Chat != nil {
		h.Write(bytes.Join(req.Chat.Images, nil))
	}
	_ = binary.Write(h, binary.LittleEndian, int64(r.salt))
	_ = binary.Write(h, binary.LittleEndian, sequence)
	return int32(h.Sum32() % referenceVocab)
}

func referencePrompt(req sdk.GenerateRequest) ([]int32, error) {
	switch {
	case req.Resume != nil:
		return req.Resume.Prompt, nil
	case req.Chat != nil:
		if err := json.Unmarshal(req.Chat.Messages, new([]any)); err != nil {
			return nil, sdk.Errorf(sdk.ReasonInvalid, "messages: %w", err)
		}
		return []int32{3}, nil
	case req.Tokens != nil:
		for _, id := range req.Tokens {
			if id >= referenceVocab {
				return nil, sdk.Errorf(sdk.ReasonInvalid, "tokens: there is no id %d", id)
			}
		}
		return req.Tokens, nil
	}
	return []int32{int32(len(req.Text) % referenceVocab), 1, 2}, nil
}

// checkpoint is a folder that fits the reference.
func checkpoint(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type": "reference"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startInProcess makes new plugins behave like new processes.
func startInProcess(plugin func() sdk.Plugin) func(context.Context) (*client.Client, func(), error) {
	return func(context.Context) (*client.Client, func(), error) { return servetest.InProcess(plugin()) }
}

func TestReferenceKeepsEveryMust(t *testing.T) {
	waiting.Bound(t)
	Run(t, Config{Start: startInProcess(func() sdk.Plugin { return &reference{} }), Model: checkpoint(t)})
}
