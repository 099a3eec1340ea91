package chat

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestWhatATemplateCannotTakeIsWrittenDifferently renders what clients send with templates of different abilities, and
// compares with the same conversation in the form the template was written for.
func TestWhatATemplateCannotTakeIsWrittenDifferently(t *testing.T) {
	call := func(content, arguments string) string {
		return `[{"role":"user","content":"x"},{"role":"assistant","content":` + content + `,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":` + arguments + `}}]},{"role":"tool","tool_call_id":"1","content":"ok"}]`
	}
	user := func(content string) string { return `[{"role":"user","content":` + content + `}]` }
	tool := func(content string) string {
		return strings.Replace(call(`""`, `{}`), `"tool_call_id":"1","content":"ok"`, `"tool_call_id":"1","content":`+content, 1)
	}
	said := func(field string) string {
		return `[{"role":"user","content":"x"},{"role":"assistant","content":"y",` + field + `}]`
	}
	source := tinySource(t)
	for _, c := range []struct{ name, template, sent, like string }{
		{"parts are joined", "glm", user(`[{"type":"text","text":"What"},{"type":"text","text":"is it?"}]`), user(`"What\nis it?"`)},
		{"parts are joined for one role", "chatml_hermes", `[{"role":"system","content":[{"type":"text","text":"A"},"B"]},{"role":"user","content":[{"type":"text","text":"c"}]}]`,
			`[{"role":"system","content":"A\nB"},{"role":"user","content":[{"type":"text","text":"c"}]}]`},
		{"no parts", "glm", user(`[]`), user(`""`)},
		{"a string of arguments becomes an object", "chatml_xml", call(`""`, `"{\"b\": 1.0, \"a\": \"é\"}"`), call(`""`, `{"b": 1.0, "a": "é"}`)},
		{"no arguments", "glm", call(`""`, `""`), call(`""`, `{}`)},
		{"a string of arguments stays where it can", "chatml_hermes", call(`null`, `"{\"b\":1.0}"`), call(`""`, `"{\"b\":1.0}"`)},
		{"null content", "glm", call(`null`, `{}`), call(`""`, `{}`)},
		{"blank arguments", "glm", call(`""`, `" \n"`), call(`""`, `{}`)},
		{"arguments with blanks around", "glm", call(`""`, `" {\"a\": 1}\n"`), call(`""`, `{"a": 1}`)},
		{"arguments that are null", "chatml_xml", call(`""`, `null`), call(`""`, `{}`)},
		{"arguments that were cut off", "chatml_xml", call(`""`, `"{\"path\": \"/et"`), call(`""`, `{}`)},
		{"arguments that are no object", "glm", call(`""`, `"[1]"`), call(`""`, `{}`)},
		{"arguments that are a list", "glm", call(`""`, `[1]`), call(`""`, `{}`)},
		{"arguments that are null, where text may stand", "chatml_hermes", call(`""`, `null`), call(`""`, `{}`)},
		{"no arguments, where text may stand", "chatml_hermes", call(`""`, `""`), call(`""`, `"{}"`)},
		{"arguments that were cut off, where text may stand", "chatml_hermes", call(`""`, `"{\"path\": \"/et"`), call(`""`, `"{}"`)},
		{"a null tool message", "chatml_hermes", tool(`null`), tool(`""`)},
		{"a null tool message for a template that lists results", "glm", tool(`null`), tool(`""`)},
		{"a tool message of parts", "glm", tool(`[{"type":"text","text":"a"},{"type":"text","text":"b"}]`), tool(`"a\nb"`)},
		{"a null user", "chatml_hermes", user(`null`), user(`""`)},
		{"a null system", "chatml_hermes", `[{"role":"system","content":null},{"role":"user","content":"x"}]`, `[{"role":"system","content":""},{"role":"user","content":"x"}]`},
		{"null for what is not there", "chatml_hermes", `[{"role":"user","content":"x"},{"role":"assistant","content":"y","tool_calls":null,"refusal":null,"reasoning_content":null}]`, `[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`},
		{"no calls", "chatml_xml", `[{"role":"user","content":"x"},{"role":"assistant","content":"y","tool_calls":[]}]`, `[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`},
		{"a refusal", "glm", `[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"refusal","refusal":"No."}]}]`, `[{"role":"user","content":"x"},{"role":"assistant","content":"No."}]`},
		{"a developer", "chatml_hermes", `[{"role":"developer","content":"A"},{"role":"user","content":"x"}]`, `[{"role":"system","content":"A"},{"role":"user","content":"x"}]`},
		{"a developer after the system", "glm", `[{"role":"system","content":"A"},{"role":"developer","content":[{"type":"text","text":"B"}]},{"role":"user","content":"x"}]`, `[{"role":"system","content":"A"},{"role":"system","content":"B"},{"role":"user","content":"x"}]`},
		{"reasoning", "chatml_hermes_thinking", said(`"reasoning":"hm"`), said(`"reasoning_content":"hm"`)},
		{"thinking", "chatml_hermes_thinking", said(`"thinking":"hm","reasoning":"no"`), said(`"reasoning_content":"hm"`)},
		{"reasoning_content before others", "chatml_hermes_thinking", said(`"thinking":"no","reasoning_content":"hm"`), said(`"reasoning_content":"hm"`)},
		{"reasoning beside one that is null", "chatml_hermes_thinking", said(`"reasoning_content":null,"reasoning":"hm"`), said(`"reasoning_content":"hm"`)},
	} {
		tmpl := parseT(t, source(c.template), nil)
		got, err := tmpl.Render(context.Background(), Input{Messages: json.RawMessage(c.sent), AddGenerationPrompt: true})
		want, err2 := tmpl.Render(context.Background(), Input{Messages: json.RawMessage(c.like), AddGenerationPrompt: true, Verbatim: true})
		if err != nil || err2 != nil || got != want {
			t.Errorf("%s: %v, %v\n got  %q\n want %q", c.name, err, err2, got, want)
		}
	}
}

// What a tool has seen is shown behind the results, in a user's turn, unless the template shows it where it stands.
func TestPicturesOfResultsAreShown(t *testing.T) {
	const parts = "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}[{{ p.n }}]{% endif %}{% endfor %}{% endif %}"
	const takes = "{% for m in messages %}<{{ m.role }}>" + parts + "{% endfor %}"
	const joins = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'tool' %}{{ '' + m.content }}{% else %}" + parts + "{% endif %}{% endfor %}"
	messages := `[{"role":"user","content":"q"},` + probeCall(`""`, `{}`) + `,{"role":"tool","tool_call_id":"1","content":[{"type":"image","n":1},{"type":"text","text":"a"},{"type":"text","text":"b"}]},` +
		`{"role":"tool","tool_call_id":"2","content":[{"type":"image_url","n":2}]},{"role":"tool","tool_call_id":"3","content":"c"},{"role":"user","content":"d"},` +
		probeCall(`""`, `{}`) + `,{"role":"tool","tool_call_id":"4","content":[{"type":"image","n":3}]}]`
	for template, want := range map[string]string{
		takes: "<user>q<assistant><tool>[1]ab<tool>[2]<tool>c<user>d<assistant><tool>[3]",
		joins: "<user>q<assistant><tool>a\nb<tool><tool>c<user>[1][2]<user>d<assistant><tool><user>[3]",
	} {
		if got, err := parseT(t, template, nil).Render(context.Background(), Input{Messages: json.RawMessage(messages)}); err != nil || got != want {
			t.Errorf("%v\n got  %q\n want %q", err, got, want)
		}
	}
	if _, err := parseT(t, joins, nil).Render(context.Background(), Input{Messages: json.RawMessage(strings.ReplaceAll(messages, "image_url", "sound"))}); err == nil {
		t.Error("what is no picture went lost")
	}
}

func TestNullContentIsNotTheWordNone(t *testing.T) {
	tmpl := parseT(t, "{% for m in messages %}<{{ m.content }}>{% endfor %}", nil)
	messages := json.RawMessage(`[{"role":"assistant","content":null,"tool_calls":[]},{"role":"assistant"}]`)
	if got, err := tmpl.Render(context.Background(), Input{Messages: messages}); err != nil || got != "<><>" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := tmpl.Render(context.Background(), Input{Messages: messages, Verbatim: true}); err != nil || got != "<None><>" {
		t.Errorf("verbatim: got %q, %v", got, err)
	}
}

func TestBadRequestsAreNamed(t *testing.T) {
	tmpl := parseT(t, "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('Only users, not ' ~ m.role) }}{% endif %}{{ m.content + '' }}{% endfor %}", nil)
	var refused *TemplateError
	if _, err := tmpl.Render(context.Background(), Input{Messages: json.RawMessage(`[{"role":"dog","content":"x"}]`)}); !errors.As(err, &refused) || refused.Message != "Only users, not dog" {
		t.Errorf("the template's own refusal: %v", err)
	}
	for _, c := range []struct {
		tmpl *Template
		in   Input
		want string
	}{
		{tmpl, Input{Messages: json.RawMessage(`{}`)}, "messages: an array is expected"},
		{tmpl, Input{Messages: json.RawMessage(`[1]`)}, "messages[0]: an object is expected"},
		{tmpl, Input{Messages: json.RawMessage(`[`)}, "messages: json: byte 1: unexpected end of JSON input"},
		{tmpl, Input{Messages: json.RawMessage(`[]`), Tools: json.RawMessage(`{}`)}, "tools: an array is expected"},
		{tmpl, Input{Messages: json.RawMessage(`[]`), Kwargs: json.RawMessage(`[]`)}, "chat_template_kwargs: an object is expected"},
		{tmpl, Input{Messages: json.RawMessage(`[{"role":"user","content":5}]`)}, "line 1: TypeError: unsupported operand type(s) for +: 'int' and 'str'"},
	} {
		_, err := c.tmpl.Render(context.Background(), c.in)
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
		if errors.As(err, &refused) {
			t.Errorf("%v: a mistake of ours or the client's is not the template's refusal", err)
		}
	}
}

// TestFunctionsAreWrittenInOneOrder, whatever order a client has, and without parameters if it has none.
func TestFunctionsAreWrittenInOneOrder(t *testing.T) {
	for _, c := range []struct{ name, template, sent, like string }{
		{"another order", "chatml_hermes", `[{"function":{"parameters":{"type":"object","properties":{"b":{},"a":{}}},"strict":true,"description":"d","name":"f"},"type":"function"}]`,
			`[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"b":{},"a":{}}},"strict":true}}]`},
		{"null", "chatml_hermes", `[{"type":"function","function":{"name":"f","description":null,"parameters":null,"strict":null}}]`, `[{"type":"function","function":{"name":"f"}}]`},
		{"without a wrapper", "chatml_hermes", `[{"parameters":{},"name":"f","type":"function"}]`, `[{"type":"function","name":"f","parameters":{}}]`},
	} {
		tmpl := parseT(t, tinySource(t)(c.template), nil)
		in := Input{Messages: json.RawMessage(`[{"role":"user","content":"x"}]`), Tools: json.RawMessage(c.sent)}
		got, err := tmpl.Render(context.Background(), in)
		in.Tools, in.Verbatim = json.RawMessage(c.like), true
		want, err2 := tmpl.Render(context.Background(), in)
		if err != nil || err2 != nil || got != want || !strings.Contains(got, `"name": "f"`) {
			t.Errorf("%s: %v, %v\n got  %q\n want %q", c.name, err, err2, got, want)
		}
	}
	for _, name := range []string{"chatml_hermes", "chatml_xml", "glm"} {
		tmpl := parseT(t, tinySource(t)(name), nil)
		in := Input{Messages: json.RawMessage(`[{"role":"user","content":"x"}]`), Tools: json.RawMessage(`[{"type":"function","function":{"name":"now"}}]`)}
		if got, err := tmpl.Render(context.Background(), in); err != nil || !strings.Contains(got, "now") {
			t.Errorf("%s, a function with nothing but its name: %q, %v", name, got, err)
		}
	}
	strict := parseT(t, "{% for t in tools %}{% for k in t.function.parameters.properties|items %}{{ k }}{% endfor %}<{{ t.function.name }}>{% endfor %}{{ messages[0].content }}", nil)
	in := Input{Messages: json.RawMessage(`[{"role":"user","content":"x"}]`), Tools: json.RawMessage(`[{"type":"function","function":{"name":"now","parameters":null}}]`)}
	if got, err := strict.Render(context.Background(), in); err != nil || got != "<now>x" {
		t.Errorf("a template that needs parameters: %q, %v", got, err)
	}
}

// TestARoleThatWouldBeDroppedIsRefused by its name; one that the template refuses itself, or shows, is not.
func TestARoleThatWouldBeDroppedIsRefused(t *testing.T) {
	chatml := tinySource(t)("chatml_hermes")
	any := "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
	one := "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
	noTools := "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}{{ m.content }}{% endif %}{% endfor %}"
	for _, c := range []struct{ name, template, messages, want, field string }{
		{"unknown", chatml, `[{"role":"user","content":"x"},{"role":"critic","content":"y"}]`, "", "messages[1].role"},
		{"unknown, nothing to drop", any, `[{"role":"critic","content":""}]`, "<critic>", ""},
		{"unknown and shown", any, `[{"role":"critic","content":"y"}]`, "<critic>y", ""},
		{"with quotes", any, `[{"role":"a\"]}","content":"y"}]`, `<a"]}>y`, ""},
		{"long", any, `[{"role":"` + strings.Repeat("x", 65) + `","content":"y"}]`, "", "messages[0].role"},
		{"a tool's", noTools, `[{"role":"user","content":"x"},{"role":"tool","content":"y"}]`, "", "messages[1].role"},
		{"a developer where the system is unknown", noTools, `[{"role":"developer","content":"x"}]`, "", "messages[0].role"},
		{"a developer where one system counts", one, `[{"role":"system","content":"a"},{"role":"user","content":"x"},{"role":"developer","content":"b"}]`, "<system>a\n\nb<user>x", ""},
		{"a developer of parts where one system counts", "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{% else %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endif %}{% endfor %}",
			`[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"user","content":"x"},{"role":"developer","content":[{"type":"text","text":"c"}]}]`, "<system>a\nb\n\nc<user>x", ""},
		{"a developer that is known", any + "{# 'developer' #}", `[{"role":"developer","content":"b"}]`, "<developer>b", ""},
	} {
		got, err := parseT(t, c.template, nil).Render(context.Background(), Input{Messages: json.RawMessage(c.messages)})
		var refused *RequestError
		switch {
		case c.field == "" && (err != nil || got != c.want):
			t.Errorf("%s: %q, %v", c.name, got, err)
		case c.field != "" && (!errors.As(err, &refused) || refused.Field != c.field):
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestVariablesReachTheTemplate(t *testing.T) {
	tmpl := parseT(t, "{{ bos_token }}{{ eos_token }}{{ flag }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ strftime_now('%Y') }}", map[string]string{"bos_token": "<s>", "eos_token": "</s>"})
	in := Input{Messages: json.RawMessage(`[]`), Tools: json.RawMessage(`[]`), Kwargs: json.RawMessage(`{"flag": 1.0, "eos_token": "<e>", "tools": [1]}`), AddGenerationPrompt: true,
		Now: func() time.Time { return time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) }}
	if got, err := tmpl.Render(context.Background(), in); err != nil || got != "<s><e>1.0TrueTrueTrue1999" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTemplatesAreFoundWhereCheckpointsKeepThem(t *testing.T) {
	const tools, noTools = `[{"type":"function"}]`, `null`
	for _, c := range []struct {
		name       string
		files      map[string]string
		tools      string
		want, fail string
	}{
		{name: "own file before the config", files: map[string]string{"chat_template.jinja": "A{{ bos_token }}", "tokenizer_config.json": `{"chat_template":"B","bos_token":"<s>"}`}, tools: noTools, want: "A<s>"},
		{name: "a token as an object", files: map[string]string{"tokenizer_config.json": `{"chat_template":"B{{ bos_token }}{{ pad_token }}","bos_token":{"content":"<s>","lstrip":false},"pad_token":null}`}, tools: noTools, want: "B<s>"},
		{name: "an older processor's file", files: map[string]string{"chat_template.json": `{"chat_template":"C"}`, "tokenizer_config.json": `{"chat_template":"B"}`}, tools: noTools, want: "C"},
		{name: "a list, without tools", files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"}]}`}, tools: noTools, want: "D"},
		{name: "a list, with tools", files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"}]}`}, tools: tools, want: "T"},
		{name: "files, with tools", files: map[string]string{"chat_template.jinja": "D", "additional_chat_templates/tool_use.jinja": "T"}, tools: tools, want: "T"},
		{name: "a list of one", files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"chat","template":"O"}]}`}, tools: noTools, want: "O"},
		{name: "a list without default", files: map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"a","template":"A"},{"name":"b","template":"B"}]}`}, fail: `tokenizer_config.json: chat_template: none of the templates is named "default"`},
		{name: "a number", files: map[string]string{"tokenizer_config.json": `{"chat_template":5}`}, fail: "tokenizer_config.json: chat_template: it is neither a string nor a list of {name, template}"},
		{name: "no JSON", files: map[string]string{"tokenizer_config.json": `{`}, fail: "tokenizer_config.json: not a JSON object"},
		{name: "a broken template", files: map[string]string{"chat_template.jinja": "\n{% if %}"}, fail: "chat_template.jinja: line 2: TemplateSyntaxError"},
		{name: "a broken template for tools", files: map[string]string{"chat_template.jinja": "a", "additional_chat_templates/tool_use.jinja": "{{"}, fail: "chat_template.jinja: the template tool_use: line 1"},
		{name: "a huge file", files: map[string]string{"chat_template.jinja": strings.Repeat("x", maxTemplateFile+1)}, fail: "chat_template.jinja: has 1048577 bytes, more than the 1048576 that are read"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			write(t, dir, name, text)
		}
		tmpl, err := Load(dir)
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.fail)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := tmpl.Render(context.Background(), Input{Messages: json.RawMessage(`[]`), Tools: json.RawMessage(c.tools)}); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestADirectoryIsNoTemplate(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "chat_template.jinja/x", "")
	if _, err := Load(dir); err == nil || errors.Is(err, ErrNoTemplate) {
		t.Errorf("got %v", err)
	}
}

// TestAConversationComesBackAsItWent: what the parser makes of an answer, sent back by a client as OpenAI's API has it,
// renders to the very words of the model.
func TestAConversationComesBackAsItWent(t *testing.T) {
	source := tinySource(t)
	for _, c := range []struct{ template, answer string }{
		{"chatml_hermes", "<tool_call>\n{\"name\": \"search\", \"arguments\": {\"query\": \"é \\\"x\\\"\", \"score\": 1.0, \"filters\": {\"b\": [1, null]}}}\n</tool_call>"},
		{"chatml_xml", "<tool_call>\n<function=search>\n<parameter=query>\n12\n</parameter>\n<parameter=limit>\n3\n</parameter>\n<parameter=filters>\n{\"b\": [1, null]}\n</parameter>\n</function>\n</tool_call>"},
		{"glm", "<tool_call>search<arg_key>query</arg_key><arg_value> é\n</arg_value><arg_key>score</arg_key><arg_value>0.5</arg_value><arg_key>exact</arg_key><arg_value>true</arg_value></tool_call><tool_call>now</tool_call>"},
	} {
		tmpl := parseT(t, source(c.template), nil)
		g := gather(t, config(tmpl.ToolFormat(), ""), c.answer)
		message := map[string]any{"role": "assistant", "content": nil}
		var calls []any
		for _, call := range g.Calls {
			calls = append(calls, map[string]any{"id": call.ID, "type": "function", "function": map[string]any{"name": call.Name, "arguments": call.Arguments}})
		}
		message["tool_calls"] = calls
		messages, err := json.Marshal([]any{map[string]any{"role": "user", "content": "Go"}, message, map[string]any{"role": "tool", "tool_call_id": "call_0", "content": "done"}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Render(context.Background(), Input{Messages: messages, Tools: json.RawMessage("null"), AddGenerationPrompt: true})
		if err != nil || !strings.Contains(got, c.answer) {
			t.Errorf("%s: %v\n%q\nis not in\n%q", c.template, err, c.answer, got)
		}
	}
}

func TestTheToolFormatIsSeenInTheTemplate(t *testing.T) {
	source := tinySource(t)
	for name, want := range map[string]ToolFormat{"chatml_hermes": Hermes, "chatml_xml": Qwen3Coder, "glm": GLM} {
		if got := parseT(t, source(name), nil).ToolFormat(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	const calls = "{% for m in messages %}{% for c in m.tool_calls or [] %}"
	for what, source := range map[string]string{
		"tags of another kind":        calls + "]<]other[>[<tool_call><invoke name='{{ c.function.name }}'/>]<]other[>[</tool_call>{% endfor %}{% endfor %}",
		"a list between the tags":     calls + `<tool_call>[{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}]</tool_call>{% endfor %}{% endfor %}`,
		"only told of, never written": "Put calls between <tool_call> and </tool_call>.{% for m in messages %}{{ m.content }}{% endfor %}",
	} {
		if got := parseT(t, source, nil).ToolFormat(); got != NoTools {
			t.Errorf("%s: %s", what, got)
		}
	}
	for what, source := range map[string]string{
		"arguments as a string": calls + `<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments + '' }}}</tool_call>{% endfor %}{% endfor %}`,
		"told of before":        `Write <tool_call>{"name": <the name>, "arguments": {...}}</tool_call>, or two <tool_call>.` + calls + `<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% endfor %}`,
		"cannot be rendered":    "{{ needed.by.the.template }}<tool_call>",
	} {
		if got := parseT(t, source, nil).ToolFormat(); got != Hermes {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := parseT(t, "{{ messages }}", nil).ToolFormat(); got != NoTools {
		t.Errorf("a template without calls: %q", got)
	}
}

// BenchmarkRender is a conversation of 40 turns with tools.
func BenchmarkRender(b *testing.B) {
	var turns []string
	for range 20 {
		turns = append(turns, `{"role":"user","content":"What is the weather in Oslo today, and what should I wear?"}`, `{"role":"assistant","content":"It is 17 degrees. A light jacket will do."}`)
	}
	for _, name := range []string{"chatml_hermes", "chatml_xml", "glm"} {
		tmpl := parseT(b, tinySource(b)(name), nil)
		in := Input{Messages: json.RawMessage("[" + strings.Join(turns, ",") + "]"), Tools: json.RawMessage(parserTools), AddGenerationPrompt: true}
		if name == "chatml_xml" {
			in.Tools = nil // the test's schemas have no type for every parameter
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := tmpl.Render(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
