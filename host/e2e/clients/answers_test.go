package clients

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// plain keeps the model from reasoning first.
var plain = option.WithJSONSet("chat_template_kwargs", map[string]any{"enable_thinking": false})

// stream collects a streamed chat; each is called after every chunk.
func stream(t *testing.T, c openai.Client, p openai.ChatCompletionNewParams, each func(*openai.ChatCompletionAccumulator)) *openai.ChatCompletionAccumulator {
	t.Helper()
	s := c.Chat.Completions.NewStreaming(context.Background(), p, plain)
	defer s.Close()
	whole := &openai.ChatCompletionAccumulator{}
	for s.Next() {
		if !whole.AddChunk(s.Current()) {
			t.Fatalf("the accumulator refuses %s", s.Current().RawJSON())
		}
		if each != nil {
			each(whole)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return whole
}

// golden is what the reference implementation computed for the tiny model.
type golden struct {
	Name     string
	Messages json.RawMessage
	Tools    json.RawMessage
	Thinking *bool `json:"enable_thinking"`
	Rendered string
	IDs      []int32      `json:"ids"`
	Greedy   []int32      `json:"greedy_ids"`
	FirstTop [][2]float64 `json:"first_top"` // id and logit of the first position's likeliest
}

func goldens(t *testing.T) []golden {
	t.Helper()
	text, err := os.ReadFile("../../../plugins/qwen3_0_6b/testdata/tiny/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct{ Cases []golden }
	if err := json.Unmarshal(text, &g); err != nil || len(g.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(g.Cases), err)
	}
	return g.Cases
}

func TestReasoningIsApartFromTheAnswer(t *testing.T) {
	c := client(t)
	got, err := c.Chat.Completions.New(context.Background(), question())
	if err != nil {
		t.Fatal(err)
	}
	m := got.Choices[0].Message
	if r := m.JSON.ExtraFields["reasoning_content"].Raw(); m.Content != answer || r != `"I know this."` {
		t.Errorf("content %q, reasoning %s", m.Content, r)
	}
	if n := got.Usage.CompletionTokensDetails.ReasoningTokens; n == 0 || n >= got.Usage.CompletionTokens {
		t.Errorf("%d reasoning tokens of %d", n, got.Usage.CompletionTokens)
	}
	s := c.Chat.Completions.NewStreaming(context.Background(), question())
	defer s.Close()
	var reasoning, content string
	for s.Next() {
		d := s.Current().Choices[0].Delta
		content += d.Content
		if f, ok := d.JSON.ExtraFields["reasoning_content"]; ok {
			var piece string
			if err := json.Unmarshal([]byte(f.Raw()), &piece); err != nil {
				t.Fatal(err)
			}
			if content != "" {
				t.Errorf("reasoning %q after the answer had begun", piece)
			}
			reasoning += piece
		}
	}
	if s.Err() != nil || content != answer || reasoning != "I know this." {
		t.Errorf("streamed: content %q, reasoning %q, %v", content, reasoning, s.Err())
	}
}

// The differences between log probabilities are those between the reference's logits.
func TestLogprobs(t *testing.T) {
	c := client(t)
	p := question()
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(5)
	got, err := c.Chat.Completions.New(context.Background(), p, plain)
	if err != nil {
		t.Fatal(err)
	}
	list := got.Choices[0].Logprobs.Content
	if int64(len(list)) != got.Usage.CompletionTokens {
		t.Fatalf("%d entries for %d tokens", len(list), got.Usage.CompletionTokens)
	}
	text := ""
	for i, e := range list {
		for _, b := range e.Bytes {
			text += string([]byte{byte(b)})
		}
		// greedy takes the likeliest, before the penalties and the temperature that the log probabilities leave out
		if len(e.TopLogprobs) != 5 || e.TopLogprobs[0].Token != e.Token || e.TopLogprobs[0].Logprob != e.Logprob || e.Logprob > 0 {
			t.Errorf("entry %d: %s", i, e.RawJSON())
		}
	}
	if text != answer+"<|im_end|>" {
		t.Errorf("the entries' bytes are %q", text)
	}
	for _, g := range goldens(t) {
		if g.Name != "capital" || *g.Thinking {
			continue
		}
		for i, top := range g.FirstTop[:5] {
			want, got := top[1]-g.FirstTop[0][1], list[0].TopLogprobs[i].Logprob-list[0].Logprob
			if math.Abs(got-want) > 1e-3 {
				t.Errorf("candidate %d is %.5f below the first, in the reference %.5f", i, got, want)
			}
		}
	}
	streamed := stream(t, c, p, nil).Choices[0].Logprobs.Content
	if len(streamed) != len(list) || streamed[3].Logprob != list[3].Logprob {
		t.Errorf("streamed %d entries, whole %d", len(streamed), len(list))
	}
}

func TestCompletionLogprobsAndEcho(t *testing.T) {
	c := client(t)
	const prompt = "<|im_start|>user\nSpell rose.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
	ask := func(change func(*openai.CompletionNewParams)) *openai.Completion {
		t.Helper()
		p := openai.CompletionNewParams{
			Model: model, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(prompt)}, Temperature: openai.Float(0), MaxTokens: openai.Int(20),
		}
		change(&p)
		got, err := c.Completions.New(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := ask(func(p *openai.CompletionNewParams) { p.Logprobs = openai.Int(2) })
	l := got.Choices[0].Logprobs
	if n := int(got.Usage.CompletionTokens); len(l.Tokens) != n || len(l.TokenLogprobs) != n || len(l.TextOffset) != n || len(l.TopLogprobs) != n {
		t.Fatalf("%d tokens, logprobs %s", n, l.RawJSON())
	}
	for i, offset := range l.TextOffset {
		if rest := got.Choices[0].Text[offset:]; !strings.HasPrefix(rest, l.Tokens[i]) && rest != "" {
			t.Errorf("token %d, %q, is not at %d", i, l.Tokens[i], offset)
		}
		if l.TopLogprobs[i][l.Tokens[i]] != l.TokenLogprobs[i] {
			t.Errorf("token %d, %q, is not among its candidates %v", i, l.Tokens[i], l.TopLogprobs[i])
		}
	}
	if got := ask(func(p *openai.CompletionNewParams) { p.Echo = openai.Bool(true) }); got.Choices[0].Text != prompt+"r-o-s-e" {
		t.Errorf("echo: %q", got.Choices[0].Text)
	}
	none := ask(func(p *openai.CompletionNewParams) { p.Echo, p.MaxTokens = openai.Bool(true), openai.Int(0) })
	if none.Choices[0].Text != prompt || none.Usage.CompletionTokens != 0 || none.Usage.PromptTokens != got.Usage.PromptTokens {
		t.Errorf("echo of the prompt alone: %s", none.RawJSON())
	}
}

// What echo says of a prompt's tokens is what they had if the model had said them: the scores of an answer are those of the
// prompt that ends in it.
func TestAPromptIsScoredAsAnAnswer(t *testing.T) {
	c := client(t)
	const prompt = "<|im_start|>user\nSpell rose.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
	p := openai.CompletionNewParams{
		Model: model, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(prompt)}, Temperature: openai.Float(0),
		MaxTokens: openai.Int(20), Logprobs: openai.Int(3), Echo: openai.Bool(true),
	}
	answered, err := c.Completions.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	p.Prompt.OfString, p.MaxTokens = openai.String(prompt+"r-o-s-e<|im_end|>"), openai.Int(0)
	scored, err := c.Completions.New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	want, got := answered.Choices[0].Logprobs, scored.Choices[0].Logprobs
	if n := answered.Usage.TotalTokens; int64(len(want.Tokens)) != n || int64(len(got.Tokens)) != n || scored.Usage.PromptTokens != n {
		t.Fatalf("%d tokens; %d of prompt and answer, %d of the prompt have a score", n, len(want.Tokens), len(got.Tokens))
	}
	if first := got.JSON.TokenLogprobs.Raw(); !strings.HasPrefix(first, "[null,") {
		t.Errorf("nothing comes before the first token, yet it has a score: %s", first)
	}
	for i := range want.Tokens {
		if got.Tokens[i] != want.Tokens[i] || got.TextOffset[i] != want.TextOffset[i] || math.Abs(got.TokenLogprobs[i]-want.TokenLogprobs[i]) > 1e-4 {
			t.Errorf("token %d: %q at %d with %g; in an answer %q at %d with %g", i, got.Tokens[i], got.TextOffset[i], got.TokenLogprobs[i],
				want.Tokens[i], want.TextOffset[i], want.TokenLogprobs[i])
		}
	}
}

// A stop string ends the answer where it begins, wherever the tokens' borders are, and no part of it is ever shown.
func TestStopStrings(t *testing.T) {
	c := client(t)
	for _, k := range []struct {
		stop []string
		want string
	}{
		{[]string{"l of Jap"}, "The capita"}, // begins and ends inside tokens
		{[]string{"."}, "The capital of Japan is Tokyo"},
		{[]string{"never", "is T"}, "The capital of Japan "},
		{[]string{"The"}, ""},
		{[]string{"Tokyo!"}, answer}, // held back, and given back
	} {
		p := question()
		p.Stop.OfStringArray = k.stop
		got := stream(t, c, p, func(whole *openai.ChatCompletionAccumulator) {
			if s := whole.Choices[0].Message.Content; !strings.HasPrefix(k.want, s) {
				t.Errorf("stop %q: %q was shown", k.stop, s)
			}
		}).Choices[0]
		if got.Message.Content != k.want || got.FinishReason != "stop" {
			t.Errorf("stop %q: %q, finish %q", k.stop, got.Message.Content, got.FinishReason)
		}
	}
	p := question()
	p.Stop.OfString = openai.String(" Tokyo")
	if got, err := c.Chat.Completions.New(context.Background(), p, plain); err != nil || got.Choices[0].Message.Content != "The capital of Japan is" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Two answers to one prompt differ when sampled, come again with the seed, and are equal when greedy.
func TestSeveralChoices(t *testing.T) {
	c := client(t)
	ask := func(temperature float64) [2]string {
		t.Helper()
		p := question()
		p.N, p.Temperature, p.TopP, p.Seed, p.MaxTokens = openai.Int(2), openai.Float(temperature), openai.Float(1), openai.Int(7), openai.Int(12)
		got, err := c.Chat.Completions.New(context.Background(), p, plain, option.WithJSONSet("top_k", 0), option.WithJSONSet("ignore_eos", true))
		if err != nil || len(got.Choices) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if got.Choices[1].Index != 1 || got.Usage.CompletionTokens != 24 {
			t.Errorf("index %d, usage %+v", got.Choices[1].Index, got.Usage)
		}
		return [2]string{got.Choices[0].Message.Content, got.Choices[1].Message.Content}
	}
	if hot := ask(2); hot[0] == hot[1] || ask(2) != hot {
		t.Errorf("hot: %q, then %q", hot, ask(2))
	}
	if cold := ask(0); cold[0] != cold[1] {
		t.Errorf("greedy: %q", cold)
	}
	p := question()
	p.N = openai.Int(3)
	for i, choice := range stream(t, c, p, nil).Choices {
		if choice.Message.Content != answer || choice.FinishReason != "stop" {
			t.Errorf("streamed choice %d: %q, finish %q", i, choice.Message.Content, choice.FinishReason)
		}
	}
}

func TestMaxTokens(t *testing.T) {
	c := client(t)
	for _, set := range []func(*openai.ChatCompletionNewParams){
		func(p *openai.ChatCompletionNewParams) { p.MaxTokens = openai.Int(4) },
		func(p *openai.ChatCompletionNewParams) { p.MaxCompletionTokens = openai.Int(4) },
	} {
		p := question()
		set(&p)
		got, err := c.Chat.Completions.New(context.Background(), p, plain)
		if err != nil || got.Choices[0].Message.Content != "The capital of Jap" && got.Choices[0].Message.Content != "The capital of Japan" ||
			got.Choices[0].FinishReason != "length" || got.Usage.CompletionTokens != 4 {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// A list of text parts is the same question as their texts joined.
func TestContentInParts(t *testing.T) {
	c := client(t)
	p := question()
	p.Messages[0] = openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart("What is the "), openai.TextContentPart("capital of Japan?"),
	})
	got, err := c.Chat.Completions.New(context.Background(), p, plain)
	if err != nil || got.Choices[0].Message.Content != answer {
		t.Errorf("%+v, %v", got, err)
	}
}

// The bias of one id keeps it out; the penalty of what was said keeps the model from saying it again.
func TestSamplingFieldsChangeTheAnswer(t *testing.T) {
	c := client(t)
	for name, set := range map[string][]option.RequestOption{
		"logit_bias":         {option.WithJSONSet("logit_bias", map[string]int{"353": -100})}, // "The"
		"repetition_penalty": {option.WithJSONSet("repetition_penalty", 50)},
		"presence_penalty":   {option.WithJSONSet("presence_penalty", 2), option.WithJSONSet("ignore_eos", true), option.WithJSONSet("max_tokens", 40)},
	} {
		got, err := c.Chat.Completions.New(context.Background(), question(), append(set, plain)...)
		if err != nil || got.Choices[0].Message.Content == answer {
			t.Errorf("%s changes nothing: %+v, %v", name, got, err)
		}
	}
	p := question()
	p.Temperature = openai.Float(2)
	got, err := c.Chat.Completions.New(context.Background(), p, plain, option.WithJSONSet("min_p", 1), option.WithJSONSet("top_k", 0))
	if err != nil || got.Choices[0].Message.Content != answer { // nothing is as likely as the likeliest
		t.Errorf("min_p 1: %+v, %v", got, err)
	}
}

func TestAClientMayLeave(t *testing.T) {
	c := client(t)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	p := question()
	p.N = openai.Int(2)
	s := c.Chat.Completions.NewStreaming(ctx, p, plain, option.WithJSONSet("ignore_eos", true))
	defer s.Close()
	for range 4 {
		if !s.Next() {
			t.Fatal(s.Err())
		}
	}
	leave()
	for s.Next() {
	}
	if !errors.Is(s.Err(), context.Canceled) {
		t.Errorf("%v", s.Err())
	}
}
