package chat

import "testing"

// Of parameters that cannot be held the names of the keys remain.
func TestParametersThatCannotBeHeldKeepTheirNames(t *testing.T) {
	for parameters, want := range map[string]string{
		`{"properties":{"b c":{"$ref":"https://elsewhere/b"},"a\"":{"type":"integer"},"b c":{}},"required":["x","b c","b c"],"additionalProperties":3}`: `{"type":"object","properties":{"b c":{},"a\"":{}},"required":["b c"]}`,
		`{"properties":[],"required":"a","minProperties":1}`: `{"type":"object","properties":{},"required":[]}`,
		`{"type":"string"}`: `{"type":"object","properties":{},"required":[]}`,
		`7`:                 `{"type":"object","properties":{},"required":[]}`,
	} {
		if got := named([]byte(parameters)); string(got) != want {
			t.Errorf("%s: %s, want %s", parameters, got, want)
		}
	}
}
