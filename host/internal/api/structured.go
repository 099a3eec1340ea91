// structured.go reads the fields that hold an answer to a language: OpenAI's response_format, and vLLM's structured_outputs and guided_*. All of
// them come to one sdk.Constraint; what the language itself says is for the plugin to read.
package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// maxChoiceTexts bounds guided_choice.
const maxChoiceTexts = 1 << 12

// constrain notes what a field asks for. Two fields that ask contradict each other, or one would be ignored.
func (r *request) constrain(field string, c sdk.Constraint) error {
	if r.constraint != nil {
		return &fieldError{field, fmt.Errorf("is given beside %s; give one of them", r.constrainedBy)}
	}
	r.constraint, r.constrainedBy = &c, field
	return nil
}

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
		return wrong(v, expected)
	}
	switch {
	case f.Type == "text":
		return nil
	case f.Type == "json_object" && given(f.Schema):
		return r.constrain(field, sdk.Constraint{JSONSchema: bytes.Clone(f.Schema)})
	case f.Type == "json_object":
		return r.constrain(field, sdk.Constraint{JSONObject: true})
	case f.Type == "json_schema" && given(f.JSON.Schema):
		return r.constrain(field, sdk.Constraint{JSONSchema: bytes.Clone(f.JSON.Schema), Strict: f.JSON.Strict})
	case f.Type == "json_schema":
		return &fieldError{field + ".json_schema.schema", errors.New("is missing; expected a JSON schema")}
	}
	return wrong(v, expected)
}

// readStructured takes vLLM's object, which has one of the guided fields under a shorter name.
func readStructured(r *request, v json.RawMessage) error {
	const field, expected = "structured_outputs", `an object with one of json, json_object, regex, choice and grammar`
	if v[0] != '{' {
		return wrong(v, expected)
	}
	for key, at := range fieldsOf(v, 0) {
		value := json.RawMessage(v[at.from:at.to])
		read, known := structuredFields[key]
		switch {
		case isNull(value), key == "disable_fallback", key == "disable_any_whitespace", key == "disable_additional_properties", key == "whitespace_pattern":
			continue // how another engine is to do it
		case !known:
			return &fieldError{field + "." + clip(key), errors.New("is not supported by this host; expected " + expected)}
		}
		c, err := read(value)
		if err == nil && c != nil {
			err = r.constrain(field, *c)
		}
		if err != nil {
			return &fieldError{field + "." + key, err}
		}
	}
	return nil
}

// structuredFields are the languages by vLLM's names.
var structuredFields = map[string]func(json.RawMessage) (*sdk.Constraint, error){
	"json": readSchema,
	"json_object": func(v json.RawMessage) (*sdk.Constraint, error) {
		b, err := boolean(v)
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
func guided(name string) reader {
	return func(r *request, v json.RawMessage) error {
		c, err := structuredFields[name](v)
		if err != nil {
			return err
		}
		return r.constrain("guided_"+name, *c)
	}
}

// readSchema takes a schema, or a string that holds one.
func readSchema(v json.RawMessage) (*sdk.Constraint, error) {
	if s, err := text(v); err == nil && strings.TrimSpace(s) != "" {
		return &sdk.Constraint{JSONSchema: json.RawMessage(s)}, nil
	}
	if v[0] != '{' {
		return nil, wrong(v, "a JSON schema, which is an object")
	}
	return &sdk.Constraint{JSONSchema: bytes.Clone(v)}, nil
}

func someText(v json.RawMessage) (string, error) {
	s, err := text(v)
	if err == nil && s == "" {
		err = wrong(v, "a string that is not empty")
	}
	return s, err
}

func readTexts(v json.RawMessage) (*sdk.Constraint, error) {
	var list []string
	if json.Unmarshal(v, &list) != nil || len(list) == 0 || len(list) > maxChoiceTexts {
		return nil, wrong(v, fmt.Sprintf("a list of 1 to %d texts", maxChoiceTexts))
	}
	return &sdk.Constraint{Choices: list}, nil
}

// held says that a plugin does what a constraint asks. One that was written before there were any does not know of them.
func (r *request) held(e sdk.Event) error {
	if r.constraint == nil || e.Start == nil || e.Start.Constrained {
		return nil
	}
	return newError(http.StatusBadRequest, r.constrainedBy, "not_supported", "the plugin of this model does not hold answers to a language; leave out "+r.constrainedBy)
}

// inItsWords blames the client's field for what a plugin says of a constraint.
func (r *request) inItsWords(err error) error {
	var told *sdk.Error
	if r.constraint == nil || !errors.As(err, &told) || told.Field != "constraint" {
		return err
	}
	renamed := *told
	renamed.Field = r.constrainedBy
	return &renamed
}
