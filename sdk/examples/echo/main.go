// Echo is the smallest plugin: its model answers with the prompt. There is no tensor in it, but everything a host needs:
// copy this folder to start a plugin of your own. A token is a Unicode code point.
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/serve"
)

func main() { serve.Main(&plugin{}) }

const (
	architecture = "EchoForCausalLM"
	vocabSize    = 0x110000 // code points
)

type plugin struct{ context int }

func (*plugin) Describe() sdk.Description {
	return sdk.Description{
		Name: "echo", Version: "0.1.0", Architectures: []string{architecture}, Kernels: "echo",
		Numerics: []sdk.Numerics{sdk.NumericsExact},
	}
}

func (*plugin) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	var config struct {
		Architectures         []string `json:"architectures"`
		MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	}
	file := filepath.Join(req.Path, "config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonNotFound, "no checkpoint: %w", err)
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", file, err)
	}
	if len(config.Architectures) != 1 || config.Architectures[0] != architecture {
		return sdk.Inspection{Reason: "architectures in config.json is not " + architecture}, nil
	}
	if err := refuseLoading(req); err != nil {
		return sdk.Inspection{}, err
	}
	if req.Context > config.MaxPositionEmbeddings || config.MaxPositionEmbeddings < 1 {
		return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInvalid, "a context of %d positions is asked for, the checkpoint has %d",
			req.Context, config.MaxPositionEmbeddings)
	}
	table := sdk.LayerTable{Context: config.MaxPositionEmbeddings, VocabSize: vocabSize, MaxSequences: 1}
	if req.Context > 0 {
		table.Context = req.Context
	}
	return sdk.Inspection{Fit: sdk.FitExact, Table: table}, nil
}

func (p *plugin) Load(ctx context.Context, req sdk.LoadRequest, _ func(sdk.Progress)) (sdk.LayerTable, error) {
	inspection, err := p.Inspect(ctx, req.InspectRequest)
	if err == nil && inspection.Fit == sdk.FitNone {
		err = sdk.Errorf(sdk.ReasonCheckpoint, "%s: %s", req.Path, inspection.Reason)
	}
	p.context = inspection.Table.Context
	return inspection.Table, err
}

// Generate sends the prompt back, once, or over and over if the request ignores the end of the answer.
func (p *plugin) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := refuse(req); err != nil {
		return err
	}
	prompt, err := promptIDs(req)
	if err != nil {
		return err
	}
	if len(prompt) >= p.context {
		return sdk.Errorf(sdk.ReasonContext, "the prompt has %d tokens, which leave no room for an answer in a context of %d",
			len(prompt), p.context)
	}
	resumed := 0
	if req.Resume != nil {
		resumed = len(req.Resume.Generated)
	} else if err := send(sdk.Event{Start: &sdk.Start{Prompt: prompt, ContextLength: p.context}}); err != nil {
		return err
	}
	limit := p.context - len(prompt)
	if req.MaxTokens > 0 {
		limit = min(limit, req.MaxTokens)
	}
	finish := &sdk.Finish{Reason: sdk.FinishLength, PromptTokens: len(prompt)}
	offset := 0
	for i := range limit {
		if i >= len(prompt) && (!req.IgnoreEOS || len(prompt) == 0) {
			finish.Reason = sdk.FinishStop
			break
		}
		token := &sdk.Token{Index: i, ID: prompt[i%len(prompt)], Offset: offset}
		token.Text = string(rune(token.ID))
		offset += len(token.Text)
		finish.CompletionTokens = i + 1
		if i < resumed { // the host has it already
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := send(sdk.Event{Token: token}); err != nil {
			return err
		}
	}
	return send(sdk.Event{Finish: finish})
}
