// config.go reads what a checkpoint says about sampling: generation_config.json, and config.json for the end tokens.

package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

const maxConfig = 4 << 20 // bytes; published ones have a few hundred to a hundred thousand

// defaults are what a request takes where it says nothing.
type defaults struct {
	sampling engine.Params
	eos      []int32
}

// idList is a key that holds one id, a list of ids, or null.
type idList []int32

func (v *idList) UnmarshalJSON(text []byte) error {
	var one int32
	if json.Unmarshal(text, &one) == nil && string(text) != "null" {
		*v = idList{one}
		return nil
	}
	var list []int32
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("an id or a list of ids is expected, not %.40s", text)
	}
	*v = list
	return nil
}

type generationConfig struct {
	DoSample          *bool    `json:"do_sample"`
	Temperature       *float64 `json:"temperature"`
	TopP              *float64 `json:"top_p"`
	TopK              *int     `json:"top_k"`
	MinP              *float64 `json:"min_p"`
	RepetitionPenalty *float64 `json:"repetition_penalty"`
	EOS               idList   `json:"eos_token_id"`
}

// readDefaults reads both files; either may be missing.
func readDefaults(dir string) (defaults, error) {
	var g generationConfig
	path := filepath.Join(dir, "generation_config.json")
	if err := readJSON(path, &g); err != nil {
		return defaults{}, err
	}
	d := defaults{sampling: engine.Params{Temperature: 1}, eos: g.EOS}
	set(&d.sampling.Temperature, g.Temperature)
	set(&d.sampling.TopP, g.TopP)
	set(&d.sampling.TopK, g.TopK)
	set(&d.sampling.MinP, g.MinP)
	set(&d.sampling.RepetitionPenalty, g.RepetitionPenalty)
	if g.DoSample != nil && !*g.DoSample {
		d.sampling.Temperature = 0
	}
	var bad *sdk.Error
	if err := d.sampling.Validate(1); errors.As(err, &bad) {
		return defaults{}, &sdk.Error{Reason: sdk.ReasonCheckpoint, Field: bad.Field, Message: path + ": " + bad.Message}
	}
	if d.eos != nil {
		return d, nil
	}
	var c struct {
		EOS  idList `json:"eos_token_id"`
		Text struct {
			EOS idList `json:"eos_token_id"`
		} `json:"text_config"`
	}
	if err := readJSON(filepath.Join(dir, "config.json"), &c); err != nil {
		return defaults{}, err
	}
	if d.eos = c.EOS; d.eos == nil {
		d.eos = c.Text.EOS
	}
	return d, nil
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// readJSON leaves v as it is if there is no such file.
func readJSON(path string, v any) error {
	data, err := regular.Read(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return sdk.Errorf(sdk.ReasonCheckpoint, "%s: %w", path, err)
	}
	return nil
}
