package text

import (
	"context"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/grammar/schema"
)

// babble is a model that says anything: its logits are drawn by the position and the last id. What it is inclined to say is likelier.
type babble struct {
	vocab  int
	likely map[int32]float32
	steps  *int // counted, if it is set
}

func (s babble) Step(b *engine.Batch) (rows [][]float32, err error) {
	if s.steps != nil {
		*s.steps++
	}
	for _, r := range b.Rows {
		if !r.Output {
			continue
		}
		draw, row := rand.New(rand.NewPCG(uint64(r.Pos), uint64(r.Token))), make([]float32, s.vocab)
		for i := range row {
			row[i] = draw.Float32() + s.likely[int32(i)]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// tell runs one request against a model that babbles.
func tell(t testing.TB, m *Model, s babble, req sdk.GenerateRequest) (events []sdk.Event, err error) {
	t.Helper()
	e, err := engine.New(s, engine.Config{Blocks: 64, MaxSequences: 4, StepTokens: 128, Context: 4096, Vocab: s.vocab})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	err = m.Generate(context.Background(), e, req, func(ev sdk.Event) error {
		if ev.Finish != nil {
			ev.Finish.Queued = 0
		}
		events = append(events, ev)
		return nil
	})
	return events, err
}

const person = `{"type":"object","properties":{"name":{"type":"string","maxLength":6},"age":{"type":"integer","minimum":0,"maximum":120},
	"tags":{"type":"array","items":{"enum":["x","yy",null]},"maxItems":2}},"required":["name","age"],"additionalProperties":false}`

// Every family's answers are what was asked for, behind whatever it thinks, and the same when they are cut anywhere and resumed.
func TestAnswersAreHeldToTheirLanguage(t *testing.T) {
	s, err := schema.Compile([]byte(person), true)
	if err != nil {
		t.Fatal(err)
	}
	matches := func(pattern string) func(string) bool { return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString }
	for _, name := range tiny {
		m := open(t, name)
		for _, c := range []struct {
			constraint sdk.Constraint
			holds      func(string) bool
		}{
			{sdk.Constraint{JSONSchema: []byte(person), Strict: true}, func(text string) bool { return s.Check([]byte(text)) == nil }},
			{sdk.Constraint{Regex: `(yes|no), \d{3}!`}, matches(`(yes|no), \d{3}!`)},
			{sdk.Constraint{Choices: []string{"red", "green", "blue"}}, matches("red|green|blue")},
			{sdk.Constraint{Grammar: `root ::= "(" [a-c]{2,4} root? ")"`}, func(text string) bool { return strings.Count(text, "(") == strings.Count(text, ")") }},
		} {
			for _, chat := range chats(t, name)[:2] {
				req := chat.request()
				req.Chat.Tools = nil
				req.Constraint, req.MaxTokens, req.Sampling = &c.constraint, 900, sdk.Sampling{Seed: 3, Temperature: ptr(1.0)}
				model := babble{vocab: scriptVocab, likely: map[int32]float32{}}
				if m.tags.close != "" {
					id, _ := m.tokenizer.Added(m.tags.close)
					model.likely[id] = 6 // else thoughts are long
				}
				whole, err := tell(t, m, model, req)
				if err != nil {
					t.Fatalf("%s, %+v: %v", name, c.constraint, err)
				}
				text, _ := shown(whole)
				if finish := whole[len(whole)-1].Finish; finish.Reason == sdk.FinishStop && !c.holds(text) || finish.Reason != sdk.FinishStop && c.constraint.Grammar == "" {
					t.Errorf("%s, %+v: ends with %s as %q", name, c.constraint, finish.Reason, text)
				}
				if !whole[0].Start.Constrained {
					t.Errorf("%s does not say that it holds its answer", name)
				}
				step := 1 // a schema's answer is cut at every token, the others at some
				if c.constraint.JSONSchema == nil {
					step += len(whole) / 40
				}
				for cut := 0; cut < len(whole)-1; cut += step {
					again := req
					again.Resume = &sdk.Resume{Prompt: whole[0].Start.Prompt, InReasoning: whole[0].Start.InReasoning}
					for _, ev := range whole[1 : 1+cut] {
						again.Resume.Generated = append(again.Resume.Generated, ev.Token.ID)
					}
					rest, err := tell(t, m, model, again)
					if err != nil || !reflect.DeepEqual(rest, whole[1+cut:]) {
						t.Fatalf("%s, %+v, cut after %d: %v\n%s\nwant\n%s", name, c.constraint, cut, err, show(rest), show(whole[1+cut:]))
					}
				}
			}
		}
	}
}

// Sequences of one batch are each held to their own.
func TestAnswersOfOneBatchHaveLanguagesOfTheirOwn(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	e, err := engine.New(babble{vocab: scriptVocab}, engine.Config{Blocks: 64, MaxSequences: 4, StepTokens: 256, Context: 2048, Vocab: scriptVocab})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var work sync.WaitGroup
	for i, want := range []string{`a{40}`, `b{40}`, `(cd){20}`, `\d{40}`, `x{40}`, ``} {
		work.Go(func() {
			req := sdk.GenerateRequest{Text: "say", HasText: true, MaxTokens: 60, Sampling: sdk.Sampling{Seed: uint64(i)}}
			if want != "" {
				req.Constraint = &sdk.Constraint{Regex: want}
			}
			var text strings.Builder
			if err := m.Generate(context.Background(), e, req, func(ev sdk.Event) error {
				if ev.Token != nil {
					text.WriteString(ev.Token.Text)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if want != "" && !regexp.MustCompile(`^`+want+`$`).MatchString(text.String()) {
				t.Errorf("%s: %q", want, text.String())
			}
		})
	}
	work.Wait()
}

func TestLanguagesThatCannotBeHeldAreRefused(t *testing.T) {
	m := open(t, "qwen3_4b_instruct")
	for _, c := range []struct {
		constraint sdk.Constraint
		want       string
	}{
		{sdk.Constraint{JSONSchema: []byte(`{"type":"array","uniqueItems":true}`), Strict: true}, "uniqueItems"},
		{sdk.Constraint{JSONSchema: []byte(`{"type":`)}, "JSON"},
		{sdk.Constraint{Regex: `(`}, "missing"},
		{sdk.Constraint{Regex: `a\bb`}, "boundaries"},
		{sdk.Constraint{Grammar: `root ::= root "a"`}, "cannot be held"},
		{sdk.Constraint{Grammar: `start ::= "a"`}, "root"},
	} {
		_, err := tell(t, m, babble{vocab: scriptVocab}, sdk.GenerateRequest{Text: "a", HasText: true, MaxTokens: 4, Constraint: &c.constraint})
		wantInvalid(t, err, "constraint")
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.constraint, err, c.want)
		}
	}
	_, err := tell(t, m, babble{vocab: scriptVocab}, sdk.GenerateRequest{Text: "a", HasText: true, IgnoreEOS: true, Constraint: &sdk.Constraint{Regex: "a"}})
	wantInvalid(t, err, "ignore_eos")
}

// Where a language leaves one text, it comes as the ids that the tokenizer makes of it, without a step for each; where the model is to say how
// likely its ids are, it is asked for each.
func TestWhatMustComeTakesNoSteps(t *testing.T) {
	for _, name := range tiny {
		m := open(t, name)
		for _, text := range []string{"The capital of Japan is Tokyo.", `{"city": "Oslo", "degrees": 17, "wind": [1, 2, 3]}`, "naïve 日本  \n\n\tend", "a"} {
			steps := 0
			req := sdk.GenerateRequest{Text: "Say it:", HasText: true, Constraint: &sdk.Constraint{Regex: regexp.QuoteMeta(text)}}
			for _, logprobs := range []bool{false, true} {
				req.Sampling, steps = sdk.Sampling{Logprobs: logprobs}, 0
				events, err := tell(t, m, babble{vocab: scriptVocab, steps: &steps}, req)
				if err != nil {
					t.Fatal(err)
				}
				var got []int32
				for _, ev := range events {
					if ev.Token != nil {
						got = append(got, ev.Token.ID)
					}
				}
				want, err := m.tokenizer.EncodeOrdinary(context.Background(), text)
				if err != nil {
					t.Fatal(err)
				}
				said, _ := shown(events)
				switch {
				case said != text:
					t.Errorf("%s, %q: %q", name, text, said)
				case !logprobs && (!reflect.DeepEqual(got, want) || steps > 0):
					t.Errorf("%s, %q: ids %v in %d steps; the tokenizer makes %v", name, text, got, steps, want)
				case logprobs && steps < len(got):
					t.Errorf("%s, %q: %d ids with logprobs in %d steps", name, text, len(got), steps)
				}
			}
		}
		// between what is free, too: as many ids as the tokenizer has for the keys come for nothing
		steps := 0
		req := sdk.GenerateRequest{Text: "Say it:", HasText: true, MaxTokens: 300, Constraint: &sdk.Constraint{Regex: `\{"temperature_in_degrees":[0-9],"direction_of_the_wind":[0-9]\}`}}
		events, err := tell(t, m, babble{vocab: scriptVocab, steps: &steps}, req)
		if err != nil {
			t.Fatal(err)
		}
		if ids := len(events) - 2; steps > ids/2 {
			t.Errorf("%s: %d ids took %d steps", name, ids, steps)
		}
	}
}

// A model that does not reason is not led to open a thought because little else is allowed; one that reasons if it is asked to is.
func TestOnlyModelsThatReasonMayThinkFirst(t *testing.T) {
	for name, want := range map[string]bool{"qwen3_0_6b": true, "qwen3_4b_instruct": false, "qwen3_coder_30b": false, "qwen3_vl_2b": false} {
		m := open(t, name)
		id, ok := m.tokenizer.Added("<think>")
		if !ok {
			t.Fatalf("%s has no <think>", name)
		}
		req := chats(t, name)[0].request()
		req.Chat.Tools, req.Chat.Kwargs, req.MaxTokens = nil, nil, 1
		req.Constraint = &sdk.Constraint{Choices: []string{"yes", "no"}}
		events, err := tell(t, m, babble{vocab: scriptVocab, likely: map[int32]float32{id: 6}}, req)
		if err != nil {
			t.Fatal(err)
		}
		if got := events[1].Token.ID == id; got != want {
			t.Errorf("%s thinks first: %v", name, got)
		}
	}
}
