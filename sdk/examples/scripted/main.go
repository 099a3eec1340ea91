// Scripted is a plugin with all of the sdk's text side and engine, and no tensor: its model reads its prompt, as ids, and goes on as the
// checkpoint's script.json says. Tools, reasoning, structured output, batches and resuming are those of any model, so that programs
// which talk to models can be tried with answers that are known: agents, above all, whose tools a tiny model has not learnt.
//
// A checkpoint is a tokenizer, a chat template and generation_config.json of any model, with
//
//	config.json   {"architectures": ["ScriptedForCausalLM"], "max_position_embeddings": 262144, "vocab_size": 1000}
//	script.json   what is answered to what, as script.go says
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/serve"
	"github.com/inference-pio/inference-pio/sdk/text"
)

func main() { serve.Main(&plugin{}) }

const (
	architecture = "ScriptedForCausalLM"
	sequences    = 4 // answered together
	stepTokens   = 4096
)

type plugin struct {
	words  *text.Model
	engine *engine.Engine
}

func (*plugin) Describe() sdk.Description {
	return sdk.Description{
		Name: "scripted", Version: "0.1.0", Architectures: []string{architecture}, Kernels: "script",
		Numerics: []sdk.Numerics{sdk.NumericsExact},
	}
}

func (*plugin) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	var config struct {
		Architectures         []string `json:"architectures"`
		MaxPositionEmbeddings int      `json:"max_position_embeddings"`
		VocabSize             int      `json:"vocab_size"`
	}
	file := filepath.Join(req.Path, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonNotFound, "no checkpoint: %w", err)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", file, err)
	}
	if len(config.Architectures) != 1 || config.Architectures[0] != architecture {
		return sdk.Inspection{Reason: "architectures in config.json is not " + architecture}, nil
	}
	if config.VocabSize < 1 || config.MaxPositionEmbeddings < 2 {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonCheckpoint, "%s: vocab_size and max_position_embeddings must be set", file)
	}
	if err := refuse(req, config.MaxPositionEmbeddings); err != nil {
		return sdk.Inspection{}, err
	}
	table := sdk.LayerTable{Context: config.MaxPositionEmbeddings, VocabSize: config.VocabSize, MaxSequences: sequences}
	if req.Context > 0 {
		table.Context = req.Context
	}
	if req.MaxSequences > 0 {
		table.MaxSequences = req.MaxSequences
	}
	return sdk.Inspection{Fit: sdk.FitExact, Table: table}, nil
}

// refuse names what a checkpoint cannot be loaded with.
func refuse(req sdk.InspectRequest, longest int) error {
	cannot := func(field, why string) error {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: field, Message: "a script " + why}
	}
	switch {
	case req.Quantize != "":
		return cannot("quantize", "has no weights to quantize")
	case req.Layers != 0:
		return cannot("layers", "has no layers to leave out")
	case req.Numerics != "" && req.Numerics != sdk.NumericsExact:
		return cannot("numerics", "knows the numerics "+string(sdk.NumericsExact)+" alone")
	case req.KVCache != "":
		return cannot("kv_cache", "keeps no keys and values")
	case req.Context > longest:
		return cannot("context", "has fewer positions than are asked for")
	}
	return nil
}

func (p *plugin) Load(ctx context.Context, req sdk.LoadRequest, _ func(sdk.Progress)) (sdk.LayerTable, error) {
	inspection, err := p.Inspect(ctx, req.InspectRequest)
	if err == nil && inspection.Fit == sdk.FitNone {
		err = sdk.Errorf(sdk.ReasonCheckpoint, "%s: %s", req.Path, inspection.Reason)
	}
	if err != nil {
		return sdk.LayerTable{}, err
	}
	table := inspection.Table
	if p.words, err = text.Open(ctx, req.Path); err != nil {
		return sdk.LayerTable{}, err
	}
	s, err := readScript(ctx, req.Path, p.words)
	if err != nil {
		return sdk.LayerTable{}, err
	}
	rows := max(stepTokens, req.StepTokens, table.MaxSequences-1+engine.BlockSize)
	table.CachePositions = table.Context * table.MaxSequences
	p.engine, err = engine.New(newModel(p.words, s, table.VocabSize, table.MaxSequences), engine.Config{
		Blocks: (table.CachePositions + engine.BlockSize - 1) / engine.BlockSize, MaxSequences: table.MaxSequences,
		StepTokens: rows, Context: table.Context, Vocab: table.VocabSize,
	})
	return table, err
}

func (p *plugin) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	if req.PromptLogprobs {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "prompt_logprobs", Message: "a script does not know how likely a prompt is"}
	}
	return p.words.Generate(ctx, p.engine, req, send)
}

func (p *plugin) Drain(ctx context.Context) error {
	if p.engine == nil {
		return nil
	}
	return p.engine.Drain(ctx)
}

func (p *plugin) Unload(context.Context) error {
	if p.engine != nil {
		p.engine.Close()
	}
	return nil
}

func (p *plugin) Tokenize(ctx context.Context, text string) ([]int32, error) {
	return p.words.TokenizeWithin(ctx, text, p.engine.ContextLength())
}

func (p *plugin) Detokenize(_ context.Context, ids []int32) (string, error) {
	return p.words.Detokenize(ids)
}

func (p *plugin) Render(ctx context.Context, chat sdk.Chat) (string, error) {
	return p.words.Render(ctx, chat)
}
