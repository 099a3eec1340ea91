package chat_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk/chat"
)

// The way in: the checkpoint's own template writes the prompt. [chat.Load] finds it in a checkpoint's folder.
func ExampleTemplate_Render() {
	t, err := chat.Parse(`{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`, map[string]string{"bos_token": "<s>"})
	if err != nil {
		fmt.Println(err)
		return
	}
	prompt, err := t.Render(context.Background(), chat.Input{
		Messages:            json.RawMessage(`[{"role": "user", "content": [{"type": "text", "text": "hello"}]}]`),
		AddGenerationPrompt: true,
	})
	fmt.Println(prompt, err)
	// Output:
	// <s>user: hello
	// assistant: <nil>
}

// The way back: however the model's words are cut, reasoning, text and calls come out the same.
func ExampleOutput() {
	o := chat.NewOutput(chat.OutputConfig{
		Open: "<think>", Close: "</think>",
		Format: chat.Hermes,
		Tools:  json.RawMessage(`[{"type": "function", "function": {"name": "add"}}]`),
		NewID:  func(index int) string { return fmt.Sprint("call_", index) },
	})
	show := func(d chat.Delta) {
		fmt.Printf("%q %q", d.Reasoning, d.Text)
		for _, c := range d.Calls { // the name first, then the arguments, as a stream of the OpenAI API has them
			fmt.Printf(" %s %s%s", c.ID, c.Name, c.Arguments)
		}
		fmt.Println()
	}
	show(o.Push("<think>I must a"))
	show(o.Push("dd.</thi"))
	show(o.Push("nk>Let me see. <tool_call>{\"name\": \"add\", "))
	show(o.Push("\"arguments\": {\"a\": 1}}</tool_call>"))
	show(o.Flush(true))
	// Output:
	// "I must a" ""
	// "dd." ""
	// "" "Let me see."
	// "" "" call_0 add  {"a": 1}
	// "" ""
}
