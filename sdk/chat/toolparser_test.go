package chat

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	return gatherEnded(t, c, true, pieces...)
}

func gatherEnded(t testing.TB, c OutputConfig, whole bool, pieces ...string) gathered {
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
	take(o.Flush(whole))
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
 {"type":"function","function":{"name":"f"}},
 {"type":"function","function":{"name":"write","parameters":{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}}}}},
 {"name":"bare","parameters":{"properties":{"n":{"type":"integer"}}}}]`

type parserCase struct {
	name, in string
	text     string
	reason   string
	calls    []string // name and arguments
	prompt   string
	cut      bool // from outside: the model did not end it
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
	{name: "parameters for arguments", in: `<tool_call>{"name":"f","parameters":{"a":1}}</tool_call>`, calls: []string{`f {"a":1}`}},
	{name: "no function of that name", in: `<tool_call>{"name":"fly","arguments":{}}</tool_call>`, text: `<tool_call>{"name":"fly","arguments":{}}</tool_call>`},
	{name: "in code", in: "A `<tool_call>{\"name\":\"now\"}</tool_call>`, 'now'\n```\n<tool_call>{\"name\":\"now\"}</tool_call>\n```\n\"<tool_call>{\"name\":\"now\"}</tool_call>\"",
		text: "A `<tool_call>{\"name\":\"now\"}</tool_call>`, 'now'\n```\n<tool_call>{\"name\":\"now\"}</tool_call>\n```\n\"<tool_call>{\"name\":\"now\"}</tool_call>\""},
	{name: "in prose", in: `Between <tool_call> and </tool_call> stands {"name": "now"}.`, text: `Between <tool_call> and </tool_call> stands {"name": "now"}.`},
	{name: "in a thought", prompt: "<think>", in: "I write\n<tool_call>{\"name\":\"now\"}</tool_call>\nor not.</think>No.", reason: "I write\n<tool_call>{\"name\":\"now\"}</tool_call>\nor not.", text: "No."},
	{name: "in a thought, and behind it", prompt: "<think>", in: "I write\n<tool_call>{\"name\":\"now\"}</tool_call>\n</think>\n\n<tool_call>{\"name\":\"now\"}</tool_call>", reason: "I write\n<tool_call>{\"name\":\"now\"}</tool_call>", calls: []string{"now {}"}},
	{name: "no closing tag, then another", in: `<tool_call>{"name":"now"}<tool_call>{"name":"f"}`, calls: []string{"now {}", "f {}"}},
	{name: "a sign too many", in: `<tool_call>{"name":"now"}}</tool_call>`, text: `<tool_call>{"name":"now"}}</tool_call>`},
	{name: "half a tag", in: "a <tool_ca", text: "a <tool_ca"},
	{name: "half a tag and more", in: "a <tool_cat>", text: "a <tool_cat>"},
	{name: "blanks stay", in: "  a  \n\n b \n", text: "  a  \n\n b \n"},
	{name: "only blanks", in: " \n", text: " \n"},
	{name: "after reasoning", in: "<think>\nI need it\n</think>\n\n<tool_call>{\"name\":\"now\"}</tool_call>", reason: "I need it", calls: []string{"now {}"}},
	{name: "out of open reasoning", prompt: "<think>", in: "I need it\n<tool_call>{\"name\":\"now\"}</tool_call>", reason: "I need it", calls: []string{"now {}"}},
}

func coderCut(content string) string {
	return "<tool_call>\n<function=write>\n<parameter=path>\na\n</parameter>\n<parameter=content>\n" + content
}

func coderWrite(content string) string {
	return coderCut(content) + "\n</parameter>\n</function>\n</tool_call>"
}

func glmCut(content string) string {
	return "<tool_call>write<arg_key>path</arg_key><arg_value>a</arg_value><arg_key>content</arg_key><arg_value>" + content
}

func glmWrite(content string) string { return glmCut(content) + "</arg_value></tool_call>" }

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
	{name: "closing tags that end nothing", in: coderWrite("A call ends so:\n</function>\n</tool_call>\nand then text."), calls: []string{`write {"path": "a", "content": "A call ends so:\n</function>\n</tool_call>\nand then text."}`}},
	{name: "a whole end that ends nothing", in: coderWrite("So:\n</parameter>\n</function>\n</tool_call>\nand then text."), calls: []string{`write {"path": "a", "content": "So:\n</parameter>\n</function>\n</tool_call>\nand then text."}`}},
	{name: "a whole end at the end of a value", in: coderWrite("So:\n</parameter>\n</function>\n</tool_call>"), calls: []string{`write {"path": "a", "content": "So:\n</parameter>\n</function>\n</tool_call>"}`}},
	{name: "a closing parameter in a value", in: coderWrite("a </parameter> b\n</parameter>\nc"), calls: []string{`write {"path": "a", "content": "a </parameter> b\n</parameter>\nc"}`}},
	{name: "a closing function in a value", in: coderWrite("</function>\n</parameter> x </function>"), calls: []string{`write {"path": "a", "content": "</function>\n</parameter> x </function>"}`}},
	{name: "lines that begin parameters", in: coderWrite("x\n<parameter=name>\ny\n<parameter=content>\n<parameter=path>\nz"), calls: []string{`write {"path": "a", "content": "x\n<parameter=name>\ny\n<parameter=content>\n<parameter=path>\nz"}`}},
	{name: "whole calls in a value", in: coderWrite("Like this:\n" + coderWrite("b") + "\nor\n" + wholeCall[Qwen3Coder] + "\nor " + wholeCall[Qwen3Coder]),
		calls: []string{`write {"path": "a", "content": "Like this:\n` + strings.ReplaceAll(coderWrite("b"), "\n", `\n`) + `\nor\n<tool_call>\n<function=now>\n</function>\n</tool_call>\nor <tool_call>\n<function=now>\n</function>\n</tool_call>"}`}},
	{name: "an opening in a value", in: coderWrite("Begin with <tool_call> and <function=now>"), calls: []string{`write {"path": "a", "content": "Begin with <tool_call> and <function=now>"}`}},
	{name: "two, the first speaks of calls", in: coderWrite("</parameter></function></tool_call> no") + "\n" + coderWrite("b") + "\nDone",
		text: "Done", calls: []string{`write {"path": "a", "content": "</parameter></function></tool_call> no"}`, `write {"path": "a", "content": "b"}`}},
	{name: "two, words between", in: coderWrite("a") + "\nThen\n" + coderWrite("b") + "\n", text: "Then", calls: []string{`write {"path": "a", "content": "a"}`, `write {"path": "a", "content": "b"}`}},
	{name: "two functions in one call in a value", in: coderWrite("<tool_call>\n<function=now>\n</function>\n<function=now>\n</function>\n</tool_call>"),
		calls: []string{`write {"path": "a", "content": "<tool_call>\n<function=now>\n</function>\n<function=now>\n</function>\n</tool_call>"}`}},
	{name: "two functions in one call", in: strings.TrimSuffix(coderWrite("a"), "</tool_call>") + strings.TrimPrefix(coderWrite("b"), "<tool_call>"), calls: []string{`write {"path": "a", "content": "a"}`, `write {"path": "a", "content": "b"}`}},
	{name: "half an end behind", in: coderWrite("b") + "\nSo:\n</function>\n</tool_call>", text: "So:\n</function>\n</tool_call>", calls: []string{`write {"path": "a", "content": "b"}`}},
	{name: "cut behind a call in a value", cut: true, in: coderCut("Like this:\n" + coderWrite("b")), text: coderCut("Like this:\n" + coderWrite("b"))},
	{name: "no outer tags, words behind", in: strings.TrimSuffix(strings.TrimPrefix(coderWrite("</function> b"), "<tool_call>\n"), "\n</tool_call>") + " Done", text: "Done", calls: []string{`write {"path": "a", "content": "</function> b"}`}},
	{name: "words behind", in: coderWrite("b") + "\nNow </parameter> is a tag, <tool_call> too.", text: "Now </parameter> is a tag, <tool_call> too.", calls: []string{`write {"path": "a", "content": "b"}`}},
	{name: "many words behind", in: coderWrite("b") + strings.Repeat(" word", maxBehind/5) + "\n</parameter>\n</function>\n</tool_call>", text: strings.Repeat("word ", maxBehind/5)[:maxBehind/5*5-1] + "\n</parameter>\n</function>\n</tool_call>", calls: []string{`write {"path": "a", "content": "b"}`}},
	{name: "cut inside a value that speaks of the end", cut: true, in: coderCut("A call ends so:\n</function>\n</tool_call>"), text: coderCut("A call ends so:\n</function>\n</tool_call>")},
	{name: "cut inside a value behind a whole end", cut: true, in: coderCut("So:\n</parameter>\n</function>\n</tool_call>\nand th"), text: coderCut("So:\n</parameter>\n</function>\n</tool_call>\nand th")},
	{name: "cut inside a value with a whole call", cut: true, in: coderCut("Like this:\n" + wholeCall[Qwen3Coder] + "\n"), text: coderCut("Like this:\n" + wholeCall[Qwen3Coder] + "\n")},
	{name: "ended inside a value", in: coderCut("Like this:\n" + wholeCall[Qwen3Coder] + "\n and"), text: coderCut("Like this:\n" + wholeCall[Qwen3Coder] + "\n and")},
	{name: "cut behind the last parameter", cut: true, in: coderCut("x\n</parameter>\n"), text: coderCut("x\n</parameter>\n")},
	{name: "cut in the last tag", cut: true, in: coderCut("x\n</parameter>\n</function>\n"), calls: []string{`write {"path": "a", "content": "x"}`}},
	{name: "no closing parameter at the end", in: coderCut("x\n</function>\n</tool_call>"), calls: []string{`write {"path": "a", "content": "x"}`}},
	{name: "no closing parameter, then another call", in: coderCut("x\n</function>\n</tool_call>\n" + coderWrite("b")), calls: []string{`write {"path": "a", "content": "x"}`, `write {"path": "a", "content": "b"}`}},
	{name: "no closing call, then another call", in: coderCut("x\n</parameter>\n</function>\n" + coderWrite("b")), calls: []string{`write {"path": "a", "content": "x"}`, `write {"path": "a", "content": "b"}`}},
	{name: "a parameter that the schema does not have", in: "<tool_call><function=get_weather><parameter=city>a</parameter><parameter=when>b</parameter></function></tool_call>", calls: []string{`get_weather {"city": "a", "when": "b"}`}},
	{name: "a closing tag too many", in: wholeCall[Qwen3Coder] + "\n</tool_call>\n" + coderWrite("b") + "</tool_call> \n</tool_call>\nOh", text: "Oh", calls: []string{"now {}", `write {"path": "a", "content": "b"}`}},
	{name: "an opening tag too many", in: "<tool_call>\n" + wholeCall[Qwen3Coder], calls: []string{"now {}"}},
	{name: "no function of that name", in: "<tool_call>\n<function=fly>\n</function>\n</tool_call>", text: "<tool_call>\n<function=fly>\n</function>\n</tool_call>"},
	{name: "in code", in: "Write\n```xml\n" + wholeCall[Qwen3Coder] + "\n```\nor `" + wholeCall[Qwen3Coder] + "`. " + wholeCall[Qwen3Coder], text: "Write\n```xml\n" + wholeCall[Qwen3Coder] + "\n```\nor `" + wholeCall[Qwen3Coder] + "`.", calls: []string{"now {}"}},
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
	{name: "cut off between arguments", cut: true, in: "<tool_call>search<arg_key>query</arg_key><arg_value>x</arg_value>", text: "<tool_call>search<arg_key>query</arg_key><arg_value>x</arg_value>"},
	{name: "closing tags that end nothing", in: glmWrite("a </arg_value> b </tool_call> c"), calls: []string{`write {"path": "a", "content": "a </arg_value> b </tool_call> c"}`}},
	{name: "a whole end that ends nothing", in: glmWrite("a</arg_value></tool_call> and text"), calls: []string{`write {"path": "a", "content": "a</arg_value></tool_call> and text"}`}},
	{name: "keys that are none", in: glmWrite("x</arg_value><arg_key>b d"), calls: []string{`write {"path": "a", "content": "x</arg_value><arg_key>b d"}`}},
	{name: "keys that were given", in: glmWrite("x</arg_value><arg_key>path</arg_key><arg_value>y"), calls: []string{`write {"path": "a", "content": "x</arg_value><arg_key>path</arg_key><arg_value>y"}`}},
	{name: "whole calls in a value", in: glmWrite("So: " + glmWrite("b") + " or " + wholeCall[GLM] + "."), calls: []string{`write {"path": "a", "content": "So: ` + glmWrite("b") + ` or <tool_call>now</tool_call>."}`}},
	{name: "two, the first speaks of calls", in: glmWrite("</arg_value></tool_call> no") + glmWrite("b") + "\nDone", text: "Done", calls: []string{`write {"path": "a", "content": "</arg_value></tool_call> no"}`, `write {"path": "a", "content": "b"}`}},
	{name: "two, words between", in: glmWrite("a") + " then " + glmWrite("b") + "\nand " + wholeCall[GLM], text: "then \nand", calls: []string{`write {"path": "a", "content": "a"}`, `write {"path": "a", "content": "b"}`, "now {}"}},
	{name: "words behind", in: glmWrite("b") + " Now </arg_value> is a tag, <tool_call> too.", text: "Now </arg_value> is a tag, <tool_call> too.", calls: []string{`write {"path": "a", "content": "b"}`}},
	{name: "cut behind a call whose value has a call", cut: true, in: glmWrite("So: <tool_call>now</tool_call>."), calls: []string{`write {"path": "a", "content": "So: <tool_call>now</tool_call>."}`}},
	{name: "a pair that the function does not have", in: glmWrite("x<arg_key>foo</arg_key><arg_value>y"), calls: []string{`write {"path": "a", "content": "x<arg_key>foo</arg_key><arg_value>y"}`}},
	{name: "in code with a sign of code in it", in: "``a ` b <tool_call>now</tool_call>`` and `a`<tool_call>now</tool_call>", text: "``a ` b <tool_call>now</tool_call>`` and `a`", calls: []string{"now {}"}},
	{name: "behind a sign of code on the line before", in: "The ` key.\n<tool_call>now</tool_call>", text: "The ` key.", calls: []string{"now {}"}},
	{name: "in a block of code that is longer", in: "````\n```\n<tool_call>now</tool_call>\n```` \n<tool_call>now</tool_call>", text: "````\n```\n<tool_call>now</tool_call>\n````", calls: []string{"now {}"}},
	{name: "behind a quotation", in: "I \"search\"<tool_call>now</tool_call>", text: "I \"search\"", calls: []string{"now {}"}},
	{name: "in a list of quotations", in: "['<tool_call>now</tool_call>',\"<tool_call>now</tool_call>\"]", text: "['<tool_call>now</tool_call>',\"<tool_call>now</tool_call>\"]"},
	{name: "in other quotation marks", in: "„<tool_call>now</tool_call>“ «<tool_call>now</tool_call>» ‘<tool_call>now</tool_call>’", text: "„<tool_call>now</tool_call>“ «<tool_call>now</tool_call>» ‘<tool_call>now</tool_call>’"},
	{name: "cut behind a call in a value", cut: true, in: glmCut("So: " + glmWrite("b")), text: glmCut("So: " + glmWrite("b"))},
	{name: "cut inside a value that speaks of the end", cut: true, in: glmCut("a</arg_value></tool_call> and th"), text: glmCut("a</arg_value></tool_call> and th")},
	{name: "cut inside a value with a whole call", cut: true, in: glmCut("So: <tool_call>now</tool_call>"), text: glmCut("So: <tool_call>now</tool_call>")},
	{name: "cut in a value at what may be its end", cut: true, in: glmCut("a</tool_call>"), text: glmCut("a</tool_call>")},
	{name: "no </arg_key>", in: "<tool_call>search<arg_key>query<arg_value>x</arg_value><arg_key>limit<arg_value>3</arg_value></tool_call>", calls: []string{`search {"query": "x", "limit": 3}`}},
	{name: "no <arg_value>", in: "<tool_call>search<arg_key>query</arg_key>x</arg_value><arg_key>limit</arg_key>3</arg_value></tool_call>", calls: []string{`search {"query": "x", "limit": 3}`}},
	{name: "no <arg_key>", in: "<tool_call>searchquery</arg_key><arg_value>x</arg_value>limit</arg_key><arg_value>3</arg_value></tool_call>", calls: []string{`search {"query": "x", "limit": 3}`}},
	{name: "no <arg_key>, on a line of its own", in: "<tool_call>search\nquery</arg_key><arg_value>x</arg_value></tool_call>", calls: []string{`search {"query": "x"}`}},
	{name: "no </arg_value>", in: "<tool_call>search<arg_key>query</arg_key><arg_value>x<arg_key>limit</arg_key><arg_value>3</tool_call>", calls: []string{`search {"query": "x", "limit": 3}`}},
	{name: "no </arg_value>, then another call", in: "<tool_call>search<arg_key>query</arg_key><arg_value>x</tool_call><tool_call>now</tool_call>", calls: []string{`search {"query": "x"}`, "now {}"}},
	{name: "no </tool_call>", in: "<tool_call>search<arg_key>query</arg_key><arg_value>x</arg_value><tool_call>now<tool_call>now", calls: []string{`search {"query": "x"}`, "now {}", "now {}"}},
	{name: "no <tool_call>", in: "I search\nsearch<arg_key>query</arg_key><arg_value>x</arg_value></tool_call>\nnow</tool_call>", text: "I search", calls: []string{`search {"query": "x"}`, "now {}"}},
	{name: "words, then no <tool_call>", in: "I re<arg_key> or research<arg_key> and now search", text: "I re<arg_key> or research<arg_key> and now search"},
	{name: "each tag twice but those of values", in: "<tool_call><tool_call>search<arg_key><arg_key>query</arg_key></arg_key><arg_value>x</arg_value></tool_call></tool_call>\n</tool_call>", calls: []string{`search {"query": "x"}`}},
	{name: "no function of that name", in: "<tool_call>fly<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>", text: "<tool_call>fly<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"},
	{name: "in code", in: "It writes `<tool_call>now</tool_call>` or ``now</tool_call>``, \"<tool_call>now</tool_call>\" and\n~~~\n<tool_call>now</tool_call>\n~~~\n<tool_call>now</tool_call>",
		text: "It writes `<tool_call>now</tool_call>` or ``now</tool_call>``, \"<tool_call>now</tool_call>\" and\n~~~\n<tool_call>now</tool_call>\n~~~", calls: []string{"now {}"}},
	{name: "in a thought", prompt: "<think>", in: "I could <tool_call>now</tool_call>, or\n<tool_call>now</tool_call>\n</think>\n\nNo.", reason: "I could <tool_call>now</tool_call>, or\n<tool_call>now</tool_call>", text: "No."},
	{name: "in a thought that was cut off", cut: true, prompt: "<think>", in: "I could\n<tool_call>now</tool_call>", reason: "I could\n<tool_call>now</tool_call>"},
	{name: "in code of a thought", prompt: "<think>", in: "I could write `<tool_call>now</tool_call>", reason: "I could write `<tool_call>now</tool_call>"},
	{name: "out of a thought that speaks of calls", prompt: "<think>", in: "A <tool_call> begins\n<tool_call>fly</tool_call>\n<tool_call>now</tool_call>\n<tool_call>now</tool_call>\n", reason: "A <tool_call> begins\n<tool_call>fly</tool_call>", calls: []string{"now {}", "now {}"}},
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
				if got := fmt.Sprintf("%+v", gatherEnded(t, config(format, c.prompt), !c.cut, pieces...)); got != want {
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

// TestPiecesOfSyntaxReadTheSameHoweverTheyAreCut puts answers together of tags, names and words, in any order.
func TestPiecesOfSyntaxReadTheSameHoweverTheyAreCut(t *testing.T) {
	words := map[ToolFormat][]string{
		Hermes:     {toolOpen, toolClose, `{"name":"now"}`, `{"name": "f", "arguments": {"s": "`, `"}}`, "\n", " ", "`", "```\n", "word", `"`, "</think>", "<think>", "<"},
		Qwen3Coder: {toolOpen, toolClose, "<function=write>", "<function=now>", functionClose, "<parameter=path>", "\n<parameter=content>", parameterClose, "\n", " ", "`", "word", "</think>", "<fun", wholeCall[Qwen3Coder], coderWrite("b")},
		GLM:        {toolOpen, toolClose, "write", "now", keyOpen, keyClose, valueOpen, valueClose, "path", "content", "\n", " ", "`", "</think>", "<arg", wholeCall[GLM], glmWrite("b")},
	}
	random, calls := rand.New(rand.NewPCG(1, 2)), 0
	for format, words := range words {
		for range 4000 {
			in := ""
			for range 1 + random.IntN(14) {
				in += words[random.IntN(len(words))]
			}
			prompt, whole := []string{"", "<think>"}[random.IntN(2)], random.IntN(2) == 0
			want := gatherEnded(t, config(format, prompt), whole, in)
			calls += len(want.Calls)
			a, b := random.IntN(len(in)+1), random.IntN(len(in)+1)
			for _, pieces := range [][]string{strings.Split(in, ""), {in[:min(a, b)], in[min(a, b):max(a, b)], in[max(a, b):]}} {
				if got := gatherEnded(t, config(format, prompt), whole, pieces...); !equalGathered(got, want) {
					t.Fatalf("%s, whole %v, %q:\nin pieces: %+v\nat once:   %+v", format, whole, in, got, want)
				}
			}
		}
	}
	if calls < 1000 {
		t.Errorf("only %d calls", calls)
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
		in = strings.Repeat(toolOpen+toolClose+" x ", 10_000)
		if g := gather(t, config(format, ""), in+wholeCall[format]); g.Text != strings.TrimRight(in, " ") || len(g.Calls) != 1 {
			t.Errorf("%s: the call after many malformed ones: %d, %.200q", format, len(g.Calls), g.Text)
		}
	}
}

// wholeCall is the shortest call of each format.
var wholeCall = map[ToolFormat]string{
	Hermes: `<tool_call>{"name":"now"}</tool_call>`, Qwen3Coder: "<tool_call>\n<function=now>\n</function>\n</tool_call>", GLM: "<tool_call>now</tool_call>",
}

// TestWhatIsHeldHasABound: a call that does not end is handed back, and what follows is not held at all.
func TestWhatIsHeldHasABound(t *testing.T) {
	for format, opening := range map[ToolFormat]string{
		Hermes: `<tool_call>{"name":"f","arguments":{"s":"`, Qwen3Coder: coderCut(""), GLM: glmCut(""),
	} {
		const piece = 1 << 10
		o, held, most := NewOutput(config(format, "")), len(opening), 0
		o.Push(opening)
		for range maxHeld/piece + 10 {
			held += piece - len(o.Push(strings.Repeat("x", piece)).Text)
			most = max(most, held)
		}
		if held != 0 || most > maxHeld+piece {
			t.Errorf("%s: %d bytes were held, %d are", format, most, held)
		}
		in := opening + strings.Repeat("y", maxHeld) + wholeCall[format]
		if g := gather(t, config(format, ""), in); g.Text != in || g.Calls != nil {
			t.Errorf("%s: a call inside of one that is too long: %d calls", format, len(g.Calls))
		}
	}
}

// TestCallsAreHandedOutWhenTheyEnd: at once where the end is plain, and else with what stands behind.
func TestCallsAreHandedOutWhenTheyEnd(t *testing.T) {
	for _, c := range []struct {
		format ToolFormat
		single bool
		call   string
		next   string // that decides
	}{
		{Hermes, false, wholeCall[Hermes], ""}, {Qwen3Coder, false, wholeCall[Qwen3Coder], ""}, {GLM, false, wholeCall[GLM], ""},
		{Qwen3Coder, true, coderWrite("b"), ""}, {GLM, true, glmWrite("b"), ""},
		{Qwen3Coder, false, coderWrite("b"), "\n<tool_call>"}, {GLM, false, glmWrite("b"), "<tool_call>"},
	} {
		conf := config(c.format, "")
		conf.Single = c.single
		o := NewOutput(conf)
		before := len(o.Push(c.call[:len(c.call)-1]).Calls)
		at := len(o.Push(c.call[len(c.call)-1:]).Calls)
		after := len(o.Push(c.next).Calls)
		if before != 0 || c.next == "" && at != 2 || c.next != "" && (at != 0 || after != 2) {
			t.Errorf("%s, %q: %d, %d and %d pieces", c.format, c.call, before, at, after)
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
		p := newToolParser(GLM, nil, nil)
		_, calls := p.push("<tool_call>a</tool_call><tool_call>b</tool_call>")
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
