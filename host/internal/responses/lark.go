// lark.go reads grammars in the notation of Lark, in which custom tools tell of their input, as far as they are regular: rules that refer to none
// of those that refer to them. What they say is then one expression, which can be held. Others are told to the model as they are.
package responses

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxPattern bounds what becomes of a grammar, whose rules may be repeated in each other.
const maxPattern = 16 << 10

// larkTokens are what a grammar is written of: a name, with the colon if it begins a rule; a string; an expression; signs.
var larkTokens = regexp.MustCompile(`^(?:\s+|//[^\n]*|(%import\s+common\s*\.\s*(\w+))|([?!]?)([a-zA-Z_]\w*)(\.\d+)?([ \t]*:)?|"((?:[^"\\\n]|\\.)*)"(i?)|/((?:[^/\\\n]|\\.)+)/([a-z]*)|->\s*\w+|([|()?*+\[\]]))`)

// common are the terminals of the library that comes with Lark.
var common = map[string]string{
	"LF": `\n`, "CR": `\r`, "NEWLINE": `(?:\r?\n)+`, "DIGIT": `[0-9]`, "HEXDIGIT": `[0-9a-fA-F]`, "INT": `[0-9]+`, "LETTER": `[A-Za-z]`, "LCASE_LETTER": `[a-z]`,
	"UCASE_LETTER": `[A-Z]`, "WORD": `[A-Za-z]+`, "WS": `[ \t\f\r\n]+`, "WS_INLINE": `[ \t]+`,
}

// lark is a grammar: its rules by name, each the tokens of its body.
type lark struct {
	rules   map[string][]string
	written map[string]string // as expressions
	within  map[string]bool   // rules that are being written
}

// larkPattern is an expression for all that a grammar's start says.
func larkPattern(text string) (string, error) {
	g := &lark{rules: map[string][]string{}, written: map[string]string{}, within: map[string]bool{}}
	if err := g.read(text); err != nil {
		return "", err
	}
	return g.rule("start")
}

// read splits a grammar into rules. A body's tokens are expressions already, but for the names, which begin with a colon here.
func (g *lark) read(text string) error {
	name := ""
	for text != "" {
		m := larkTokens.FindStringSubmatch(text)
		if m == nil || m[0] == "" {
			return fmt.Errorf("%.20q is not known here", text)
		}
		text = text[len(m[0]):]
		token := ""
		switch {
		case m[1] != "":
			known, ok := common[m[2]]
			if !ok {
				return fmt.Errorf("common.%s is not known here", m[2])
			}
			g.written[m[2]] = known
		case m[6] != "":
			name = m[4]
			if _, twice := g.rules[name]; twice {
				return fmt.Errorf("%s is defined twice", name)
			}
			g.rules[name] = []string{}
		case m[4] != "" && m[3] == "?": // of what stands before
			token, text = "?", strings.TrimPrefix(m[0], "?")+text
		case m[4] != "" && m[3]+m[5] != "":
			return fmt.Errorf("%.20q is not known here", m[0])
		case m[4] != "":
			token = ":" + m[4]
		case strings.HasPrefix(m[0], `"`):
			s, err := strconv.Unquote(`"` + m[7] + `"`)
			if err != nil || m[8] != "" {
				return fmt.Errorf("the string %s is not known here", m[0])
			}
			token = "(?:" + regexp.QuoteMeta(s) + ")"
		case m[9] != "":
			if m[10] != "" {
				return fmt.Errorf("the flags of %s are not known here", m[0])
			}
			token = "(?:" + strings.ReplaceAll(m[9], `\/`, "/") + ")"
		case m[11] != "":
			token = map[string]string{"(": "(?:", "[": "(?:", "]": ")?"}[m[11]]
			if token == "" {
				token = m[11]
			}
		}
		if token == "" {
			continue
		}
		if name == "" {
			return errors.New("it does not begin with a rule")
		}
		g.rules[name] = append(g.rules[name], token)
	}
	return nil
}

// rule writes one as an expression.
func (g *lark) rule(name string) (string, error) {
	if e, ok := g.written[name]; ok {
		return e, nil
	}
	body, ok := g.rules[name]
	switch {
	case !ok:
		return "", fmt.Errorf("%s is not defined", name)
	case g.within[name]:
		return "", fmt.Errorf("%s refers to itself", name)
	}
	g.within[name] = true
	var b strings.Builder
	b.WriteString("(?:")
	for _, token := range body {
		if other, is := strings.CutPrefix(token, ":"); is {
			e, err := g.rule(other)
			if err != nil {
				return "", err
			}
			token = "(?:" + e + ")"
		}
		if b.WriteString(token); b.Len() > maxPattern {
			return "", errors.New("it is too long as one expression")
		}
	}
	b.WriteString(")")
	delete(g.within, name)
	g.written[name] = b.String()
	return b.String(), nil
}
