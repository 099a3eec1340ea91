package jinja

// tojson.go writes JSON as the reference does.

import (
	"context"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// toJSON is the tojson filter: json.dumps with non-ASCII letters as they are.
func toJSON(r *run, v Value, a args) (Value, error) {
	w := &jsonWriter{r: r, ascii: truth(a.pos[0]), sorted: truth(a.pos[3]), comma: ", ", colon: ": "}
	switch indent := a.pos[1]; indent := indent.(type) {
	case nil:
	case string:
		w.pretty, w.indent, w.comma = true, indent, ","
	default:
		n, err := toInt(indent)
		if err != nil {
			return nil, err
		}
		if n > maxWidth {
			return nil, errorf(LimitError, "an indent is wider than %d", maxWidth)
		}
		w.pretty, w.indent, w.comma = true, strings.Repeat(" ", max(n, 0)), ","
	}
	if pair, ok := sequence(a.pos[2]); ok && len(pair) == 2 {
		var err error
		if w.comma, err = strArg(pair[0]); err != nil {
			return nil, err
		}
		if w.colon, err = strArg(pair[1]); err != nil {
			return nil, err
		}
	} else if a.pos[2] != nil {
		return nil, errorf(TypeError, "separators must be a pair of strings")
	}
	err := w.value(v, 0)
	return w.b.String(), err
}

// ToJSON writes v as the tojson filter does without arguments: {"a": 1, "b": ["é"]}.
func ToJSON(v Value) (string, error) {
	r := &run{ctx: context.Background(), env: standard(), limits: Limits{}.orDefault()}
	w := &jsonWriter{r: r, comma: ", ", colon: ": "}
	err := w.value(v, 0)
	return w.b.String(), err
}

type jsonWriter struct {
	r             *run
	b             strings.Builder
	ascii, sorted bool
	pretty        bool
	indent        string
	comma, colon  string
}

func (w *jsonWriter) write(s string) error {
	w.b.WriteString(s)
	return w.r.grow(len(s))
}

func (w *jsonWriter) value(v Value, depth int) error {
	if depth > valueDepth {
		return errorf(LimitError, "a value nests deeper than %d", valueDepth)
	}
	switch v := v.(type) {
	case nil:
		return w.write("null")
	case bool:
		return w.write(strconv.FormatBool(v))
	case int64, *big.Int:
		return w.write(scalar(v))
	case float64:
		return w.write(jsonFloat(v))
	case *Dict:
		return w.object(v, depth)
	}
	if s, ok := str(v); ok {
		return w.string(s)
	}
	if items, ok := sequence(v); ok {
		return w.container("[", "]", len(items), depth, func(i int) error { return w.value(items[i], depth+1) })
	}
	return errorf(TypeError, "Object of type %s is not JSON serializable", typeName(v))
}

func jsonFloat(f float64) string {
	switch s := reprFloat(f); s {
	case "inf":
		return "Infinity"
	case "-inf":
		return "-Infinity"
	case "nan":
		return "NaN"
	default:
		return s
	}
}

func (w *jsonWriter) container(open, close string, n, depth int, item func(i int) error) error {
	if n == 0 {
		return w.write(open + close)
	}
	if err := w.write(open); err != nil {
		return err
	}
	for i := range n {
		if i > 0 {
			if err := w.write(w.comma); err != nil {
				return err
			}
		}
		if err := w.newline(depth + 1); err != nil {
			return err
		}
		if err := item(i); err != nil {
			return err
		}
	}
	if err := w.newline(depth); err != nil {
		return err
	}
	return w.write(close)
}

func (w *jsonWriter) newline(depth int) error {
	if !w.pretty {
		return nil
	}
	if err := w.r.grow(depth * len(w.indent)); err != nil {
		return err
	}
	w.b.WriteString("\n" + strings.Repeat(w.indent, depth))
	return nil
}

func (w *jsonWriter) object(d *Dict, depth int) error {
	items := d.items()
	if err := w.r.growItems(3 * len(items)); err != nil {
		return err
	}
	if w.sorted {
		ks, err := w.r.keyed(items, int64(0), true, w.r.sortKey)
		if err != nil {
			return err
		}
		if items, err = w.r.order(ks, false); err != nil {
			return err
		}
	}
	return w.container("{", "}", len(items), depth, func(i int) error {
		pair, _ := sequence(items[i])
		k, err := jsonKey(pair[0])
		if err != nil {
			return err
		}
		if err := w.string(k); err != nil {
			return err
		}
		if err := w.write(w.colon); err != nil {
			return err
		}
		return w.value(pair[1], depth+1)
	})
}

func jsonKey(k Value) (string, error) {
	switch k := k.(type) {
	case nil:
		return "null", nil
	case bool:
		return strconv.FormatBool(k), nil
	case int64, *big.Int:
		return scalar(k), nil
	case float64:
		return jsonFloat(k), nil
	}
	if s, ok := str(k); ok {
		return s, nil
	}
	return "", errorf(TypeError, "keys must be str, int, float, bool or None, not %s", typeName(k))
}

func (w *jsonWriter) string(s string) error {
	if err := w.r.grow(len(s) + 2); err != nil {
		return err
	}
	before := w.b.Len()
	w.b.WriteByte('"')
	start := 0
	for i, c := range s {
		esc := jsonEscape(c, w.ascii)
		if esc == "" {
			continue
		}
		w.b.WriteString(s[start:i] + esc)
		start = i + len(string(c))
	}
	w.b.WriteString(s[start:])
	w.b.WriteByte('"')
	return w.r.grow(w.b.Len() - before - len(s) - 2)
}

// jsonEscape is how c is written, or "" if as it is.
func jsonEscape(c rune, ascii bool) string {
	switch c {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	}
	switch {
	case c < 0x20 || ascii && c == 0x7f || ascii && c > 0x7f && c < 0x10000:
		return fmt.Sprintf(`\u%04x`, c)
	case ascii && c >= 0x10000:
		c -= 0x10000
		return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
	}
	return ""
}
