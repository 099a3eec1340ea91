// Package clients talks to a running piohost, at PIO_BASE_URL, as users' programs do. host/e2e starts one and runs it.
package clients

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	model  = "tiny"
	seer   = "tiny-vl"
	answer = "The capital of Japan is Tokyo."
)

func client(t *testing.T) openai.Client {
	t.Helper()
	url := os.Getenv("PIO_BASE_URL")
	if url == "" {
		t.Fatal("PIO_BASE_URL is not set; run this through host/e2e")
	}
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

func question() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:       model,
		Messages:    []openai.ChatCompletionMessageParamUnion{openai.UserMessage("What is the capital of Japan?")},
		Temperature: openai.Float(0),
	}
}

func TestModels(t *testing.T) {
	c := client(t)
	list, err := c.Models.List(context.Background())
	if err != nil || len(list.Data) != 2 || list.Data[0].ID != model || list.Data[1].ID != seer {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestChat(t *testing.T) {
	c := client(t)
	got, err := c.Chat.Completions.New(context.Background(), question())
	if err != nil {
		t.Fatal(err)
	}
	if choice := got.Choices[0]; choice.Message.Content != answer || choice.FinishReason != "stop" {
		t.Errorf("%q, finish %q", choice.Message.Content, choice.FinishReason)
	}
	if u := got.Usage; u.PromptTokens == 0 || u.CompletionTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage %+v", u)
	}
}

func TestChatStreamed(t *testing.T) {
	c := client(t)
	p := question()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.Chat.Completions.NewStreaming(context.Background(), p)
	defer stream.Close()
	var whole openai.ChatCompletionAccumulator
	pieces := 0
	for stream.Next() {
		if !whole.AddChunk(stream.Current()) {
			t.Fatalf("the accumulator refuses %s", stream.Current().RawJSON())
		}
		pieces++
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got := whole.Choices[0].Message.Content; got != answer || pieces < 5 || whole.Usage.CompletionTokens == 0 {
		t.Errorf("%q in %d pieces, usage %+v", got, pieces, whole.Usage)
	}
}

func TestCompletion(t *testing.T) {
	c := client(t)
	got, err := c.Completions.New(context.Background(), openai.CompletionNewParams{
		Model: model, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("<|im_start|>user\nSpell rose.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")},
		Temperature: openai.Float(0), MaxTokens: openai.Int(20),
	})
	if err != nil || got.Choices[0].Text != "r-o-s-e" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	c := client(t)
	for _, k := range []struct {
		name   string
		change func(*openai.ChatCompletionNewParams)
		status int
		code   string
	}{
		{"unknown model", func(p *openai.ChatCompletionNewParams) { p.Model = "none" }, 404, "model_not_found"},
		{"bad value", func(p *openai.ChatCompletionNewParams) { p.TopP = openai.Float(7) }, 400, ""},
		{"too many choices", func(p *openai.ChatCompletionNewParams) { p.N = openai.Int(1000) }, 400, ""},
		{"too long a prompt", func(p *openai.ChatCompletionNewParams) {
			p.Messages[0] = openai.UserMessage(strings.Repeat("What is the capital of Japan? ", 1000))
		}, 400, "context_length_exceeded"},
		{"a call of nothing", func(p *openai.ChatCompletionNewParams) {
			p.ToolChoice.OfAuto = openai.String("required")
		}, 400, ""},
	} {
		p := question()
		k.change(&p)
		_, err := c.Chat.Completions.New(context.Background(), p)
		var told *openai.Error
		if !errors.As(err, &told) || told.StatusCode != k.status || told.Code != k.code || told.Message == "" {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}
