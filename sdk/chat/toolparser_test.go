package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// gathered is an answer put together again.
type gathered struct {
	Reasoning, Text string
	Calls           []gatheredCall
}

type gatheredCall struct{ ID, Name, Arguments string }

// gather reads an answer that comes in pieces, and checks the form of the deltas on the way.
func gather(t testing.TB, c OutputConfig, pieces ...string) gathered {
	t.Helper()
	c.NewID = func(i int) string { return fmt.Sprintf("call_%d", i) }
	o := NewOutput(c)
	var g gathered
	take := func(d Delta) {
		g.Reasoning += d.Reasoning
		g.Text += d.Text
		for _, call := range d.Calls {
			switch {
			case call.Index == len(g.Calls):
				if call.ID == "" || call.Name == "" || call.Arguments != "" {
					t.Fatalf("a call begins with %+v, not with its id and name alone", call)
				}
				g.Calls = append(g.Calls, gatheredCall{call.ID, call.Name, ""})
			case call.Index != len(g.Calls)-1 || call.ID != "" || call.Name != "":
				t.Fatalf("a call goes on with %+v", call)
			default:
				g.Calls[call.Index].Arguments += call.Arguments
			}
		}
	}
	for _, p := range pieces {
		take(o.Push(p))
	}
	take(o.Flush())
	if o.Calls() != len(g.Calls) {
		t.Fatalf("Calls is %d after %d calls", o.Calls(), len(g.Calls))
	}
	return g
}

const parserTools = `[
 {"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["C","F"]}}}}},
 {"type":"function","function":{"name":"search","parameters":{"type":"object","$defs":{"n":{"type":"integer"},"loop":{"anyOf":[{"$ref":"#/$defs/loop"},{"$ref":"#/$defs/loop"}]}},"properties":{
   "query":{"type":"string"},"limit":{"type":"integer"},"score":{"type":"number"},"exact":{"type":"boolean"},"filters":{"type":"object"},"tags":{"type":["array","null"]},
   "note":{"type":["string","null"]},"page":{"$ref":"#/$defs/n"},"either":{"anyOf":[{"type":"integer"},{"type":"string"}]},"any":{},"loop":{"$ref":"#/$defs/loop"},"level":{"enum":[1,2]}}}}},
 {"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{}}}},
 {"name":"bare","parameters":{"properties":{"n":{"type":"integer"}}}}]`

type parserCase struct {
	name, in string
	text     string
	reason   string
	calls    []string // name and arguments
	prompt   string
}

var hermesCases = []parserCase{
	{name: "no call", in: "Hello <b>world</b>\n", text: "Hello <b>world</b>\n"},
	{name: "one", in: "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>", calls: []string{`get_weather {"city": "Oslo"}`}},
	{name: "text before", in: "Let me see.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", text: "Let me see.", calls: []string{"now {}"}},
	{name: "two, text around", in: "A <tool_call>{\"name\":\"now\"}</tool_call>\nB\n<tool_call>{\"arguments\":{\"x\":[1,2.0,1e3]},\"name\":\"f\"}</tool_call>\n C", text: "A \nB\n\n C", calls: []string{"now {}", `f {"x":[1,2.0,1e3]}`}},
	{name: "blanks at the ends go", in: " \n<tool_call>{\"name\":\"now\"}</tool_call>\n <tool_call>{\"name\":\"now\"}</tool_call>\n A \n<tool_call>{\"name\":\"now\"}</tool_call> \n", text: "A", calls: []string{"now {}", "now {}", "now {}"}},
	{name: "as the model wrote it", in: `<tool_call>{"name":"f","arguments":{"b":1.0,"a":"é<\u00e9>","b2":[]}}</tool_call>`, calls: []string{`f {"b":1.0,"a":"é<\u00e9>","b2":[]}`}},
	{name: "tags inside a string", in: `<tool_call>{"name":"f","arguments":{"s":"say \"</tool_call>\" or <tool_call>"}}</tool_call>.`, text: ".", calls: []string{`f {"s":"say \"</tool_call>\" or <tool_call>"}`}},
	{name: "arguments as a string", in: `<tool_call>{"name":"f","arguments":"{\"a\": 1}"}</tool_call>`, calls: []string{`f {"a": 1}`}},
	{name: "null arguments", in: `<tool_call>{"name":"now","arguments":null}</tool_call>`, calls: []string{"now {}"}},
	{name: "no closing tag", in: `<tool_call>{"name":"f","arguments":{"a":1}}`, calls: []string{`f {"a":1}`}},
	{name: "cut off", in: `x <tool_call>{"name":"f","arguments":{"a":`, text: `x <tool_call>{"name":"f","arguments":{"a":`},
	{name: "not JSON", in: "a <tool_call>{'name': 'f'}</tool_call> b", text: "a <tool_call>{'name': 'f'}</tool_call> b"},
	{name: "no name", in: `<tool_call>{"arguments":{}}</tool_call>`, text: `<tool_call>{"arguments":{}}</tool_call>`},
	{name: "arguments no object", in: `<tool_call>{"name":"f","arguments":[1]}</tool_call>`, text: `<tool_call>{"name":"f","arguments":[1]}</tool_call>`},
	{name: "bad, then good", in: `<tool_call>{"name":</tool_call><tool_call>{"name":"now"}</tool_call>`, text: `<tool_call>{"name":</tool_call>`, calls: []string{"now {}"}},
	{name: "never closed, then good", in: `<tool_call>{"name": <tool_call>{"name":"now"}</tool_call>`, text: `<tool_call>{"name":`, calls: []string{"now {}"}},
	{name: "an open string, then good", in: `<tool_call>{"name":"f</tool_call> t <tool_call>{"name":"now"}</tool_call>`, text: `<tool_call>{"name":"f</tool_call> t`, calls: []string{"now {}"}},
	{name: "half a tag", in: "a <tool_ca", text: "a <tool_ca"},
	{name: "half a tag and more", in: "a <tool_cat>", text: "a <tool_cat>"},
	{name: "blanks stay", in: "  a  \n\n b \n", text: "  a  \n\n b \n"},
	{name: "only blanks", in: " \n", text: " \n"},
	{name: "after reasoning", in: "<think>\nI need it\n</think>\n\n<tool_call>{\"name\":\"now\"}</tool_call>", reason: "I need it", calls: []string{"now {}"}},
	{name: "out of open reasoning", prompt: "<think>", in: "I need it\n<tool_call>{\"name\":\"now\"}</tool_call>", reason: "I need it", calls: []string{"now {}"}},
}

var coderCases = []parserCase{
	{name: "one", in: "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>", calls: []string{`get_weather {"city": "Oslo"}`}},
	{name: "types", in: "<tool_call>\n<function=search>\n<parameter=query>\n12\n</parameter>\n<parameter=limit>\n3\n</parameter>\n<parameter=score>\n0.5\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=filters>\n{\"lang\": null, \"b\": [1, 2.0]}\n</parameter>\n<parameter=tags>\nnull\n</parameter>\n</function>\n</tool_call>",
		calls: []string{`search {"query": "12", "limit": 3, "score": 0.5, "exact": true, "filters": {"lang": null, "b": [1, 2.0]}, "tags": null}`}},
	{name: "newlines of a value stay but one at each end", in: "<tool_call>\n<function=search>\n<parameter=query>\n\n a\nb\n\n</parameter>\n</function>\n</tool_call>", calls: []string{`search {"query": "\n a\nb\n"}`}},
	{name: "wrong types stay text", in: "<tool_call><function=search><parameter=limit>many</parameter><parameter=filters>{a}</parameter><parameter=score>x</parameter><parameter=exact>yes</parameter></function></tool_call>",
		calls: []string{`search {"limit": "many", "filters": "{a}", "score": "x", "exact": "yes"}`}},
	{name: "wider schemas", in: "<tool_call><function=search><parameter=page>2</parameter><parameter=either>7</parameter><parameter=note>null</parameter><parameter=limit>4.0</parameter><parameter=any>[1]</parameter><parameter=new>\"q\"</parameter><parameter=loop>x</parameter><parameter=level>2</parameter></function></tool_call>",
		calls: []string{`search {"page": 2, "either": 7, "note": null, "limit": 4, "any": [1], "new": "\"q\"", "loop": "x", "level": 2}`}},
	{name: "null for a string is a word", in: "<tool_call><function=search><parameter=query>null</parameter></function></tool_call>", calls: []string{`search {"query": "null"}`}},
	{name: "schema without a wrapper", in: "<tool_call><function=bare><parameter=n>1</parameter></function></tool_call>", calls: []string{`bare {"n": 1}`}},
	{name: "no outer tag", in: "Now.\n<function=now>\n</function>\n</tool_call>", text: "Now.", calls: []string{"now {}"}},
	{name: "no outer tags", in: "<function=now>\n</function> Done", text: "Done", calls: []string{"now {}"}},
	{name: "no closing parameter", in: "<tool_call>\n<function=search>\n<parameter=query>\nx\n<parameter=limit>\n3\n</function>\n</tool_call>", calls: []string{`search {"query": "x", "limit": 3}`}},
	{name: "two in one", in: "<tool_call>\n<function=now>\n</function>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>", calls: []string{"now {}", `get_weather {"city": "Oslo"}`}},
	{name: "two, text around", in: "a\n\n<tool_call>\n<function=now>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>\nb", text: "a\n\n\n\nb", calls: []string{"now {}", "now {}"}},
	{name: "tags in a value", in: "<tool_call><function=search><parameter=query>a </tool_call> <b></parameter></function></tool_call>", calls: []string{`search {"query": "a </tool_call> <b>"}`}},
	{name: "code in a value", in: "<tool_call><function=search><parameter=query>\nif a<b && c>d { \"x\" }\n</parameter></function></tool_call>", calls: []string{`search {"query": "if a<b && c>d { \"x\" }"}`}},
	{name: "last tag missing", in: "<tool_call>\n<function=now>\n</function>", calls: []string{"now {}"}},
	{name: "cut off in a value", in: "<tool_call>\n<function=search>\n<parameter=query>\n/etc/pas", text: "<tool_call>\n<function=search>\n<parameter=query>\n/etc/pas"},
	{name: "not a call", in: "x <tool_call>what</tool_call> y", text: "x <tool_call>what</tool_call> y"},
	{name: "no name", in: "<tool_call><function=></function></tool_call>", text: "<tool_call><function=></function></tool_call>"},
	{name: "words between parameters", in: "<tool_call><function=f>hm<parameter=a>1</parameter></function></tool_call>", text: "<tool_call><function=f>hm<parameter=a>1</parameter></function></tool_call>"},
}

var glmCases = []parserCase{
	{name: "one", in: "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>", calls: []string{`get_weather {"city": "Oslo"}`}},
	{name: "none and many", in: "<tool_call>now</tool_call><tool_call>search<arg_key>query</arg_key><arg_value> 1 </arg_value><arg_key>limit</arg_key><arg_value>3</arg_value><arg_key>filters</arg_key><arg_value>{\"a\": true}</arg_value><arg_key>any</arg_key><arg_value>2.5</arg_value></tool_call>",
		calls: []string{"now {}", `search {"query": " 1 ", "limit": 3, "filters": {"a": true}, "any": 2.5}`}},
	{name: "older spelling with newlines", in: "Sure.\n<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>x</arg_value>\n</tool_call>\n", text: "Sure.", calls: []string{`search {"query": "x"}`}},
	{name: "tags in a value", in: "<tool_call>search<arg_key>query</arg_key><arg_value></tool_call> <arg_key></arg_value></tool_call>", calls: []string{`search {"query": "</tool_call> <arg_key>"}`}},
	{name: "opened reasoning, closed", prompt: "<|assistant|><think>", in: "I know.</think>The answer.", reason: "I know.", text: "The answer."},
	{name: "out of open reasoning", prompt: "<|assistant|><think>", in: "<tool_call>now</tool_call>", calls: []string{"now {}"}},
	{name: "cut off in the name", in: "<tool_call>get_wea", text: "<tool_call>get_wea"},
	{name: "cut off between arguments", in: "<tool_call>search<arg_key>query</arg_key><arg_value>x</arg_value>", text: "<tool_call>search<arg_key>query</arg_key><arg_value>x</arg_value>"},
	{name: "a value never closed, then good", in: "<tool_call>search<arg_key>query</arg_key><arg_value>x</tool_call><tool_call>now</tool_call>", text: "<tool_call>search<arg_key>query</arg_key><arg_value>x</tool_call>", calls: []string{"now {}"}},
	{name: "a sentence", in: "<tool_call>not a name</tool_call>", text: "<tool_call>not a name</tool_call>"},
	{name: "key without value", in: "<tool_call>f<arg_key>a</arg_key></tool_call>", text: "<tool_call>f<arg_key>a</arg_key></tool_call>"},
}

func config(f ToolFormat, prompt string) OutputConfig {
	return OutputConfig{Prompt: prompt, Open: "<think>", Close: "</think>", Format: f, Tools: json.RawMessage(parserTools)}
}

func (c parserCase) want() gathered {
	g := gathered{Reasoning: c.reason, Text: c.text}
	for i, call := range c.calls {
		name, arguments, _ := strings.Cut(call, " ")
		g.Calls = append(g.Calls, gatheredCall{fmt.Sprintf("call_%d", i), name, arguments})
	}
	return g
}

// TestAnswersAreReadHoweverTheyAreCut reads each example whole, byte by byte, and cut in two at every byte.
func TestAnswersAreReadHoweverTheyAreCut(t *testing.T) {
	for format, cases := range map[ToolFormat][]parserCase{Hermes: hermesCases, Qwen3Coder: coderCases, GLM: glmCases} {
		for _, c := range cases {
			want := fmt.Sprintf("%+v", c.want())
			cuts := [][]string{strings.Split(c.in, "")}
			for i := range len(c.in) + 1 {
				cuts = append(cuts, []string{c.in[:i], c.in[i:]})
			}
			for _, pieces := range cuts {
				if got := fmt.Sprintf("%+v", gather(t, config(format, c.prompt), pieces...)); got != want {
					t.Errorf("%s, %s, in pieces %q:\n got  %s\n want %s", format, c.name, pieces, got, want)
					break
				}
			}
			for _, call := range c.calls {
				if _, arguments, _ := strings.Cut(call, " "); !json.Valid([]byte(arguments)) {
					t.Errorf("%s, %s: the expected arguments %s are not JSON", format, c.name, arguments)
				}
			}
		}
	}
}

// TestWordsAreNotHeldLongerThanNeeded: what cannot be a tag any more is handed out at once.
func TestWordsAreNotHeldLongerThanNeeded(t *testing.T) {
	o := NewOutput(config(Hermes, ""))
	for _, step := range []struct{ push, text, reasoning string }{
		{"<th", "", ""}, {"ink>", "", ""}, {"\n", "", ""}, {"ab", "", "ab"}, {"c</", "", "c"}, {"b>", "", "</b>"}, {"\n</think>", "", ""}, {"\n\n", "", ""},
		{"Hi", "Hi", ""}, {" <tool", "", ""}, {"box> ", " <toolbox>", ""}, {"x", " x", ""}, {"<", "", ""}, {"<", "<", ""},
	} {
		d := o.Push(step.push)
		if d.Text != step.text || d.Reasoning != step.reasoning || d.Calls != nil {
			t.Errorf("after %q: %+v, want text %q, reasoning %q", step.push, d, step.text, step.reasoning)
		}
	}
}

// TestManyOpenedCallsAreTextInTheEnd would not end in time if each opening tag were searched for its end.
func TestManyOpenedCallsAreTextInTheEnd(t *testing.T) {
	for _, format := range []ToolFormat{Hermes, Qwen3Coder, GLM} {
		in := strings.Repeat(toolOpen, 100_000)
		if g := gather(t, config(format, ""), in[:len(in)/2], in[len(in)/2:]); g.Text != in || g.Calls != nil {
			t.Errorf("%s: %d bytes of %d, %d calls", format, len(g.Text), len(in), len(g.Calls))
		}
		in = strings.Repeat(toolOpen+toolClose+" x ", maxMalformed)
		if g := gather(t, config(format, ""), in+"<tool_call>now</tool_call>\n"); g.Text != in+"<tool_call>now</tool_call>\n" {
			t.Errorf("%s: after too many malformed calls: %.200q", format, g.Text)
		}
	}
}

func TestWithoutToolsNothingIsACall(t *testing.T) {
	in := `<tool_call>{"name":"now"}</tool_call>`
	for _, tools := range []string{"", "null", " [] "} {
		c := config(Hermes, "")
		c.Tools = json.RawMessage(tools)
		if g := gather(t, c, in); g.Text != in || g.Calls != nil {
			t.Errorf("tools %q: %+v", tools, g)
		}
	}
}

func TestRandomIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		p := NewToolParser(GLM, nil, nil)
		_, calls := p.Push("<tool_call>a</tool_call><tool_call>b</tool_call>")
		for _, c := range calls {
			if c.ID != "" && seen[c.ID] {
				t.Errorf("the id %s came twice", c.ID)
			}
			seen[c.ID] = true
		}
	}
	if len(seen) != 7 { // six ids and the empty one of the pieces with arguments
		t.Errorf("%d different ids of 6 calls", len(seen)-1)
	}
}

// TestAForcedCallGoesOnFromItsOpening: the words that are forced and the model's own are read as one call.
func TestAForcedCallGoesOnFromItsOpening(t *testing.T) {
	for _, c := range []struct {
		format     ToolFormat
		name, rest string
	}{
		{Hermes, "get_weather", " {\"city\": \"Oslo\"}}\n</tool_call>"},
		{Hermes, "", "get_weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>"},
		{Qwen3Coder, "get_weather", "<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"},
		{Qwen3Coder, "", "=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"},
		{GLM, "get_weather", "<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>"},
		{GLM, "", "get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call>"},
	} {
		want := fmt.Sprintf("%+v", parserCase{calls: []string{`get_weather {"city": "Oslo"}`}}.want())
		if got := fmt.Sprintf("%+v", gather(t, config(c.format, ""), c.format.Opening(c.name), c.rest)); got != want {
			t.Errorf("%s, forced %q: got %s", c.format, c.name, got)
		}
	}
}
