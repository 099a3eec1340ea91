package jinja_test

import (
	"context"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// Values are Python's: what is read from JSON is printed as a template's author saw it there.
func Example() {
	t, err := jinja.Parse("{% for m in messages %}{{ loop.index }}. {{ m.role | upper }}: {{ m.content }} {{ m.score }}\n{% endfor %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	messages, err := jinja.FromJSON([]byte(`[{"role": "user", "content": "hello", "score": 1.0}, {"role": "tool", "content": null, "score": 1}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := t.Render(context.Background(), jinja.Input{Vars: map[string]jinja.Value{"messages": messages}})
	fmt.Print(text, err)
	// Output:
	// 1. USER: hello 1.0
	// 2. TOOL: None 1
	// <nil>
}

// A template of a stranger ends, whatever it is.
func ExampleLimits() {
	t, err := jinja.Parse("{% for i in range(1000) %}\n{% for j in range(1000) %}{{ i * j }}{% endfor %}{% endfor %}")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = t.Render(context.Background(), jinja.Input{Limits: jinja.Limits{Steps: 10_000}})
	fmt.Println(err)
	// Output: line 2: LimitError: the template takes more than 10000 steps
}
