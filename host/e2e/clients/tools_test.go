package clients

import (
	"context"
	"testing"

	"github.com/openai/openai-go/v3"
)

const (
	call     = `{"city": "Oslo"}`
	forecast = "It is 17 degrees in Oslo."
)

func weather() openai.ChatCompletionNewParams {
	p := question()
	p.Messages[0] = openai.UserMessage("What is the weather in Oslo?")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
		Name: "get_weather", Description: openai.String("Current weather in a city"),
		Parameters: openai.FunctionParameters{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
		},
	})}
	return p
}

// The model calls, gets the result, and answers with it: what it is sent back is what it said.
func TestToolRoundTrip(t *testing.T) {
	c := client(t)
	p := weather()
	got, err := c.Chat.Completions.New(context.Background(), p, plain)
	if err != nil {
		t.Fatal(err)
	}
	turn := got.Choices[0]
	if turn.FinishReason != "tool_calls" || len(turn.Message.ToolCalls) != 1 || turn.Message.Content != "" {
		t.Fatalf("finish %q, content %q, calls %+v", turn.FinishReason, turn.Message.Content, turn.Message.ToolCalls)
	}
	one := turn.Message.ToolCalls[0]
	if one.Type != "function" || one.ID == "" || one.Function.Name != "get_weather" || one.Function.Arguments != call {
		t.Errorf("call %+v", one)
	}
	p.Messages = append(p.Messages, turn.Message.ToParam(), openai.ToolMessage(`{"degrees": 17}`, one.ID))
	got, err = c.Chat.Completions.New(context.Background(), p, plain)
	if err != nil || got.Choices[0].Message.Content != forecast || got.Choices[0].FinishReason != "stop" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestToolRoundTripStreamed(t *testing.T) {
	c := client(t)
	p := weather()
	var calls int
	turn := stream(t, c, p, func(whole *openai.ChatCompletionAccumulator) {
		if one, ok := whole.JustFinishedToolCall(); ok {
			calls++
			if one.Name != "get_weather" || one.Arguments != call || one.ID == "" {
				t.Errorf("call %+v", one)
			}
		}
	}).Choices[0]
	if calls != 1 || turn.FinishReason != "tool_calls" {
		t.Fatalf("%d calls, finish %q", calls, turn.FinishReason)
	}
	p.Messages = append(p.Messages, turn.Message.ToParam(),
		openai.ToolMessage([]openai.ChatCompletionContentPartTextParam{{Text: `{"degrees": `}, {Text: "17}"}}, turn.Message.ToolCalls[0].ID))
	if got := stream(t, c, p, nil).Choices[0]; got.Message.Content != forecast || got.FinishReason != "stop" {
		t.Errorf("%q, finish %q", got.Message.Content, got.FinishReason)
	}
}

// Asked for a capital the model would not call: required and a name make it; none keeps it from it, whatever it writes.
func TestToolChoice(t *testing.T) {
	c := client(t)
	for name, choice := range map[string]openai.ChatCompletionToolChoiceOptionUnionParam{
		"required": {OfAuto: openai.String("required")},
		"named":    openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"}),
		"none":     {OfAuto: openai.String("none")},
	} {
		p := weather()
		p.ToolChoice = choice
		if name != "none" {
			p.Messages = question().Messages
			p.ParallelToolCalls = openai.Bool(false)
		}
		got, err := c.Chat.Completions.New(context.Background(), p, plain)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		calls := got.Choices[0].Message.ToolCalls
		if name == "none" && (len(calls) != 0 || got.Choices[0].FinishReason != "stop") {
			t.Errorf("none: %+v", got.Choices[0])
		}
		if name != "none" && (len(calls) != 1 || calls[0].Function.Name != "get_weather" || calls[0].ID == "") {
			t.Errorf("%s: %+v", name, got.Choices[0])
		}
	}
}
