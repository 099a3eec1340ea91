package chat

// values.go turns arguments that a model wrote as bare text into the values that are asked for.

import (
	"strings"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// convert reads text as the first of the allowed types that it is a spelling of: JSON's, or Python's where text is not allowed. Text that is
// of none of them stays text if the schema allows that, and else if it is no JSON either: the tool will say what it thinks of it. Where the
// schema is silent, what is JSON but no string is taken as such.
func (t valueType) convert(text string) jinja.Value {
	if t == typeString {
		return text
	}
	trimmed := strings.TrimSpace(text)
	switch lower := strings.ToLower(trimmed); {
	case lower == "null" && t&typeNull != 0:
		return nil
	case (trimmed == "null" || trimmed == "None") && t&typeString == 0:
		return nil
	case lower == "true" && t&typeBoolean != 0, trimmed == "True" && t == 0:
		return true
	case lower == "false" && t&typeBoolean != 0, trimmed == "False" && t == 0:
		return false
	case (trimmed == "1" || trimmed == "0") && t&typeBoolean != 0 && t&(typeInteger|typeNumber) == 0:
		return trimmed == "1"
	}
	v, err := jinja.FromJSON([]byte(trimmed))
	if err != nil && t&(typeObject|typeArray) != 0 {
		v, err = fromPython(trimmed)
	}
	if err != nil || t&typeString != 0 && !t.allows(v) {
		return text
	}
	if _, quoted := v.(string); quoted && t == 0 {
		return text // JSON in quotes: the quotes are the model's words
	}
	if f, ok := v.(float64); ok && t&typeNumber == 0 && t.allows(v) && t != 0 {
		return int64(f) // 12.0 for an integer
	}
	return v
}

// allows says whether v, read from JSON, is of one of the types.
func (t valueType) allows(v jinja.Value) bool {
	switch v := v.(type) {
	case nil:
		return t&typeNull != 0
	case bool:
		return t&typeBoolean != 0
	case string:
		return false // JSON in quotes: the quotes are the model's words
	case float64:
		whole := v == float64(int64(v)) && v < 1<<53 && v > -1<<53
		return t == 0 || t&typeNumber != 0 || t&typeInteger != 0 && whole
	case *jinja.Dict:
		return t == 0 || t&typeObject != 0
	case *jinja.List:
		return t == 0 || t&typeArray != 0
	}
	return t == 0 || t&typeInteger != 0
}

// arguments are those of one call, in the order written.
type arguments struct{ values jinja.Dict }

func (a *arguments) add(key string, v jinja.Value) { a.values.Set(key, v) }

func (a *arguments) json() string {
	s, err := jinja.ToJSON(&a.values)
	if err != nil {
		return "{}" // only beyond the limits of size, which an answer cannot reach
	}
	return s
}
