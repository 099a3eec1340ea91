package e2e

// soak_ask_test.go is what the clients of the soak ask: every kind of request there is, of every family, and how answers are compared.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	soakClients = 12
	// lostAfter is when an answer that does not end is given up, and counts as lost.
	lostAfter = 2 * time.Minute
)

// soak is the load on a host and what came of it.
type soak struct {
	s      *server
	client *http.Client

	mu                                  sync.Mutex
	events                              int           // of streams and whole answers so far
	more                                chan struct{} // closed by the next event, nil if nobody waits
	answers, givenUp, differences, lost int
	reloaded                            map[string]bool          // models whose entries were changed
	worst                               map[string]time.Duration // between two events of a stream, by model
}

// question is a request with the quiet host's answer.
type question struct {
	name, path string
	body       object
	want       reply
	whole      bool // there is no stream of it
}

// reply is an answer in whatever form it came.
type reply struct {
	Choices            map[int]answer
	Logprobs           map[int][]string // of each token, with the likeliest others
	Numbers            []string         // vectors and logits
	Prompt, Completion int              // tokens
}

func newReply() *reply { return &reply{Choices: map[int]answer{}, Logprobs: map[int][]string{}} }

// add takes a whole answer or a chunk of one.
func (r *reply) add(data []byte) error {
	var c struct {
		Error   *struct{ Message string }
		Choices []struct {
			Index    int
			Logprobs *struct {
				Content []json.RawMessage // of chats
				Tokens  []json.Number     `json:"token_logprobs"`
			}
		}
		Data  []struct{ Embedding string }
		Usage *struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		}
	}
	var known chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%q: %w", data, err)
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return fmt.Errorf("%q: %w", data, err)
	}
	if c.Error != nil {
		return fmt.Errorf("error: %s", c.Error.Message)
	}
	if c.Usage != nil {
		r.Prompt, r.Completion = c.Usage.Prompt, c.Usage.Completion
	}
	for _, vector := range c.Data {
		r.Numbers = append(r.Numbers, vector.Embedding)
	}
	for i, choice := range c.Choices {
		a := r.Choices[choice.Index]
		one := chunk{Choices: known.Choices[i : i+1]}
		if err := a.add(one); err != nil {
			return err
		}
		r.Choices[choice.Index] = a
		if l := choice.Logprobs; l != nil {
			for _, content := range l.Content {
				r.Logprobs[choice.Index] = append(r.Logprobs[choice.Index], string(content))
			}
			for _, number := range l.Tokens {
				r.Logprobs[choice.Index] = append(r.Logprobs[choice.Index], string(number))
			}
		}
	}
	return nil
}

// named checks the calls' ids, which no two answers share, and takes them out.
func (r *reply) named() error {
	for _, a := range r.Choices {
		seen := map[string]bool{}
		for i, c := range a.Calls {
			if c.ID == "" || seen[c.ID] {
				return fmt.Errorf("call %d has the id %q", i, c.ID)
			}
			seen[c.ID] = true
			a.Calls[i].ID, a.Calls[i].Index = "", i
		}
	}
	return nil
}

// send makes one request; the caller closes what comes.
func (k *soak) send(ctx context.Context, method, path string, body object) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, k.s.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(resp.Body)
		return nil, &refusal{resp.StatusCode, string(said)}
	}
	return resp, nil
}

// refusal is an answer that is none.
type refusal struct {
	status int
	said   string
}

func (r *refusal) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.said) }

// put asks. A client that gives up does so after so many events of the stream; its reply is nil.
func (k *soak) put(ctx context.Context, q question, stream bool, giveUp int) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, lostAfter)
	defer cancel()
	if q.path == sequences {
		return k.forward(ctx, q)
	}
	body := maps.Clone(q.body)
	if stream {
		body["stream"], body["stream_options"] = true, object{"include_usage": true}
	}
	resp, err := k.send(ctx, http.MethodPost, q.path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r := newReply()
	if !stream {
		whole, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		if err := r.add(whole); err != nil {
			return nil, err
		}
		k.heard(r.Completion)
		return r, r.named()
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var last time.Time
	var pause time.Duration
	for n := 0; lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			k.paused(q.name, pause)
			return r, r.named()
		}
		if err := r.add([]byte(data)); err != nil {
			return nil, err
		}
		if n++; n == giveUp {
			return nil, nil
		}
		now := time.Now()
		if n > 2 { // before the second event is the wait for a place
			pause = max(pause, now.Sub(last))
		}
		last = now
		k.heard(1)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the stream ended without [DONE]")
}

func (k *soak) heard(events int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events += events
	if k.more != nil {
		close(k.more)
		k.more = nil
	}
}

func (k *soak) paused(name string, d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	model, _, _ := strings.Cut(name, " ")
	k.worst[model] = max(k.worst[model], d)
}

// pauses is the longest pause between two events of a stream, and where.
func (k *soak) pauses() string {
	var all []string
	for _, model := range slices.Sorted(maps.Keys(k.worst)) {
		all = append(all, fmt.Sprintf("%s %.2f s", model, k.worst[model].Seconds()))
	}
	return strings.Join(all, ", ")
}

// progress waits for so many events more.
func (k *soak) progress(ctx context.Context, events int) error {
	k.mu.Lock()
	want := k.events + events
	for k.events < want {
		if k.more == nil {
			k.more = make(chan struct{})
		}
		more := k.more
		k.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		k.mu.Lock()
	}
	k.mu.Unlock()
	return nil
}

// check judges one answer.
func (k *soak) check(when string, q question, stream bool, got *reply, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	const shown = 5
	switch {
	case err != nil:
		if k.lost++; k.lost <= shown {
			k.s.t.Errorf("%s lost %s, stream=%v: %v\n%s", when, q.name, stream, err, k.s.log.end())
		}
	case got == nil:
		k.givenUp++
	case !reflect.DeepEqual(*got, q.want):
		if k.differences++; k.differences <= shown {
			k.s.t.Errorf("%s %s, stream=%v\n got %+v\nwant %+v", when, q.name, stream, *got, q.want)
		}
		fallthrough
	default:
		k.answers++
	}
}

// all asks everything once, whole and in turn.
func (k *soak) all(t *testing.T, when string, known []question) {
	t.Helper()
	for _, q := range known {
		got, err := k.put(t.Context(), q, false, 0)
		k.check(when, q, false, got, err)
	}
}

// ask is one client: it asks until ctx ends, and takes the last answer too.
func (k *soak) ask(ctx context.Context, known []question, rng *rand.Rand) {
	for ctx.Err() == nil {
		q, giveUp := known[rng.IntN(len(known))], 0
		stream := !q.whole && rng.IntN(3) > 0
		if stream && rng.IntN(10) == 0 {
			giveUp = 1 + rng.IntN(10)
		}
		got, err := k.put(context.WithoutCancel(ctx), q, stream, giveUp)
		k.check("meanwhile", q, stream, got, err)
	}
}

// questions asks the quiet host everything.
func (k *soak) questions(t *testing.T) []question {
	t.Helper()
	var known []question
	add := func(family, name, path string, bodies ...object) {
		q := question{name: family + " " + name, path: path, body: object{"model": family}, whole: path == embeddings || path == sequences}
		if !q.whole {
			q.body["return_token_ids"], q.body["temperature"] = true, 0
		}
		for _, b := range bodies {
			maps.Copy(q.body, b)
		}
		got, err := k.put(t.Context(), q, false, 0)
		if err != nil || got.Completion == 0 && len(got.Numbers) == 0 {
			t.Fatalf("%s of the quiet host: %+v, %v", q.name, got, err)
		}
		q.want = *got
		known = append(known, q)
	}
	say := func(text string) object { return object{"messages": []object{{"role": "user", "content": text}}} }
	sampled := object{"temperature": 1.0, "top_p": 1, "top_k": 0, "seed": 7, "ignore_eos": true}
	const chat, text = "/v1/chat/completions", "/v1/completions"
	for _, f := range families {
		for _, c := range conversations(t, f) {
			if pictures(c) {
				continue
			}
			switch c.Name { // the prompt of one stays in the prefix cache; one calls a tool, one has had its result
			case "long", "tool_call", "tool_answer", "fim":
				path, body := c.request()
				add(f, c.Name, path, body)
				if c.Name == "long" { // and goes on in other ways
					add(f, "long, sampled", path, body, sampled, object{"max_tokens": 80})
				}
			}
		}
		add(f, "greedy", chat, say("What is the capital of Japan?"), object{"max_tokens": 60, "ignore_eos": true})
		add(f, "sampled, at length", chat, say("Count from 3 to 14."), sampled, object{"max_tokens": 300})
		add(f, "likelihoods", chat, say("Spell ship."), sampled, object{"max_tokens": 30, "logprobs": true, "top_logprobs": 3})
		add(f, "penalties", chat, say("What is 27 + 38?"), sampled,
			object{"max_tokens": 60, "presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.1, "min_p": 0.01, "seed": 8})
		add(f, "three answers", chat, say("What is the capital of Peru?"), sampled, object{"max_tokens": 40, "n": 3})
		add(f, "text", text, object{"prompt": "The sea is", "max_tokens": 50, "logprobs": 2}, sampled)
		add(f, "two texts, twice", text, object{"prompt": []string{"The sea is", "A tree has"}, "n": 2, "max_tokens": 25}, sampled)
		add(f, "vectors", embeddings, object{"input": []string{"The sea is", "What is the capital of Japan?"}, "encoding_format": "base64"})
		add(f, "logits", sequences, object{})
		if f == vision {
			for i, files := range [][]string{{"picture0.png"}, {"picture4.png"}, {"picture2.png", "unseen/07.png"}} {
				var data [][]byte
				for _, name := range files {
					data = append(data, pictureFile(t, name))
				}
				add(f, fmt.Sprint("pictures ", i), chat, look(data...), object{"model": f, "max_tokens": 40}, sampled)
			}
		}
	}
	return known
}
