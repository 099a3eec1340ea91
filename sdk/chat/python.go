package chat

import (
	"errors"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

var errNotPython = errors.New("not a literal")

// fromPython reads an object or a list that a model spelled as Python does: {'a': True, 'b': (1, None)}.
func fromPython(s string) (jinja.Value, error) {
	if s == "" || strings.IndexByte("{[(", s[0]) < 0 {
		return nil, errNotPython
	}
	var out strings.Builder // the same as JSON
	comma := ""             // not written yet: Python allows one before a closing bracket
	for s != "" {
		word, json, err := pythonToken(s)
		if err != nil {
			return nil, err
		}
		s = s[len(word):]
		switch json {
		case "":
			continue
		case ",":
			if comma != "" {
				return nil, errNotPython
			}
			comma = ","
			continue
		case "]", "}":
			comma = ""
		}
		out.WriteString(comma + json)
		comma = ""
	}
	return jinja.FromJSON([]byte(out.String()))
}

// pythonToken is the token that s begins with, as it is and as JSON has it; white space is none in JSON.
func pythonToken(s string) (word, json string, err error) {
	switch c := s[0]; {
	case strings.IndexByte(blanks, c) >= 0:
		return s[:1], "", nil
	case c == '(':
		return "(", "[", nil
	case c == ')':
		return ")", "]", nil
	case strings.IndexByte("[]{},:", c) >= 0:
		return s[:1], s[:1], nil
	case c == '\'' || c == '"':
		return pythonString(s)
	}
	n := strings.IndexAny(s, "()[]{},:'\""+blanks)
	if n < 0 {
		n = len(s)
	}
	word = s[:n]
	if json, ok := map[string]string{"True": "true", "False": "false", "None": "null"}[word]; ok {
		return word, json, nil
	}
	return word, word, nil // a number, if anything: JSON's reader says
}

func pythonString(s string) (word, json string, err error) {
	rest := s[1:]
	var text strings.Builder
	for rest != "" && rest[0] != s[0] {
		if strings.HasPrefix(rest, "\\\n") {
			rest = rest[2:]
			continue
		}
		if rest[0] == '\n' {
			return "", "", errNotPython
		}
		c, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		switch {
		case rest[0] == '\\' && len(rest) > 1 && (rest[1] == '\'' || rest[1] == '"'):
			c, multibyte, tail, err = rune(rest[1]), false, rest[2:], nil
		case err != nil && rest[0] == '\\': // no escape in Python either
			c, multibyte, tail, err = '\\', false, rest[1:], nil
		}
		if err != nil {
			return "", "", err
		}
		if multibyte || c >= 0x80 {
			text.WriteRune(c)
		} else {
			text.WriteByte(byte(c))
		}
		rest = tail
	}
	if rest == "" {
		return "", "", errNotPython
	}
	json, err = jinja.ToJSON(text.String())
	return s[:len(s)-len(rest)+1], json, err
}
