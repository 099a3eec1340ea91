// structured.go reads the fields that hold an answer to a language: OpenAI's response_format, and vLLM's structured_outputs and guided_*. All of
// them come to one sdk.Constraint; what the language itself says is for the plugin to read.
package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
)

// maxChoiceTexts bounds guided_choice.
const maxChoiceTexts = 1 << 12

func readResponseFormat(r *request, v json.RawMessage) error {
	const field, expected = "response_format", `{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}`
	var f struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"` // of json_object, as llama.cpp has it
		JSON   struct {
			Schema json.RawMessage `json:"schema"`
			Strict bool            `json:"strict"`
		} `json:"json_schema"`
	}
	if json.Unmarshal(v, &f) != nil {
		return body.Wrong(v, expected)
	}
	switch {
	case f.Type == "text":
		return nil
	case f.Type == "json_object" && body.Given(f.Schema):
		return r.Constrain(field, sdk.Constraint{JSONSchema: bytes.Clone(f.Schema)})
	case f.Type == "json_object":
		return r.Constrain(field, sdk.Constraint{JSONObject: true})
	case f.Type == "json_schema" && body.Given(f.JSON.Schema):
		return r.Constrain(field, sdk.Constraint{JSONSchema: bytes.Clone(f.JSON.Schema), Strict: f.JSON.Strict})
	case f.Type == "json_schema":
		return body.In(field+".json_schema.schema", errors.New("is missing; expected a JSON schema"))
	}
	return body.Wrong(v, expected)
}

// readStructured takes vLLM's object, which has one of the guided fields under a shorter name.
func readStructured(r *request, v json.RawMessage) error {
	const field, expected = "structured_outputs", `an object with one of json, json_object, regex, choice and grammar`
	if v[0] != '{' {
		return body.Wrong(v, expected)
	}
	for key, at := range body.FieldsOf(v, 0) {
		value := json.RawMessage(v[at.From:at.To])
		read, known := structuredFields[key]
		switch {
		case body.IsNull(value), key == "disable_fallback", key == "disable_any_whitespace", key == "disable_additional_properties", key == "whitespace_pattern":
			continue // how another engine is to do it
		case !known:
			return body.In(field+"."+body.Clip(key), errors.New("is not supported by this host; expected "+expected))
		}
		c, err := read(value)
		if err == nil && c != nil {
			err = r.Constrain(field, *c)
		}
		if err != nil {
			return body.In(field+"."+key, err)
		}
	}
	return nil
}

// structuredFields are the languages by vLLM's names.
var structuredFields = map[string]func(json.RawMessage) (*sdk.Constraint, error){
	"json": readSchema,
	"json_object": func(v json.RawMessage) (*sdk.Constraint, error) {
		b, err := body.Boolean(v)
		if !b {
			return nil, err
		}
		return &sdk.Constraint{JSONObject: true}, nil
	},
	"regex": func(v json.RawMessage) (*sdk.Constraint, error) {
		s, err := someText(v)
		return &sdk.Constraint{Regex: s}, err
	},
	"choice": readTexts,
	"grammar": func(v json.RawMessage) (*sdk.Constraint, error) {
		s, err := someText(v)
		return &sdk.Constraint{Grammar: s}, err
	},
}

// guided is one of the guided_* fields.
func guided(name string) body.Reader[request] {
	return func(r *request, v json.RawMessage) error {
		c, err := structuredFields[name](v)
		if err != nil {
			return err
		}
		return r.Constrain("guided_"+name, *c)
	}
}

// readSchema takes a schema, or a string that holds one.
func readSchema(v json.RawMessage) (*sdk.Constraint, error) {
	if s, err := body.Text(v); err == nil && strings.TrimSpace(s) != "" {
		return &sdk.Constraint{JSONSchema: json.RawMessage(s)}, nil
	}
	if v[0] != '{' {
		return nil, body.Wrong(v, "a JSON schema, which is an object")
	}
	return &sdk.Constraint{JSONSchema: bytes.Clone(v)}, nil
}

func someText(v json.RawMessage) (string, error) {
	s, err := body.Text(v)
	if err == nil && s == "" {
		err = body.Wrong(v, "a string that is not empty")
	}
	return s, err
}

func readTexts(v json.RawMessage) (*sdk.Constraint, error) {
	var list []string
	if json.Unmarshal(v, &list) != nil || len(list) == 0 || len(list) > maxChoiceTexts {
		return nil, body.Wrong(v, fmt.Sprintf("a list of 1 to %d texts", maxChoiceTexts))
	}
	return &sdk.Constraint{Choices: list}, nil
}
