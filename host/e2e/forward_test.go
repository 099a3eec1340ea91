package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// forward_test.go has every model that ships give out its logits and its vectors through the API.

// must posts and expects a 200.
func (s *server) must(path string, body object) object {
	s.t.Helper()
	code, out := s.post(path, body)
	if code != http.StatusOK {
		s.t.Fatalf("%s: %d %v\n%s", path, code, out, s.log)
	}
	return out
}

func (s *server) sequence() string {
	s.t.Helper()
	return s.must("/v1/sequences", object{"model": "tiny"})["id"].(string)
}

// step appends to a sequence and returns the rows as they came, and whether it was computed again.
func (s *server) step(id string, tokens []int, more object) (rows []any, replayed bool) {
	s.t.Helper()
	body := object{"tokens": tokens}
	for k, v := range more {
		body[k] = v
	}
	out := s.must("/v1/sequences/"+id+"/forward", body)
	return out["rows"].([]any), out["replayed"].(bool)
}

// likeliest is the id of the largest logit of the last row.
func (s *server) likeliest(id string, tokens []int) int {
	s.t.Helper()
	rows, _ := s.step(id, tokens, object{"top": 1})
	return int(rows[0].([]any)[0].(object)["id"].(float64))
}

// longPrompt is more than a block of the cache, in ids of the model.
func (s *server) longPrompt() []int {
	s.t.Helper()
	var ids []int
	for _, id := range s.must("/tokenize", object{"prompt": strings.Repeat("What is the capital of Peru? ", 16)})["tokens"].([]any) {
		ids = append(ids, int(id.(float64)))
	}
	if len(ids) <= 64 {
		s.t.Fatalf("the prompt has %d tokens", len(ids))
	}
	return ids
}

func TestEveryModelGivesItsLogits(t *testing.T) {
	const n = 10
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			s := start(t, tinyOf(family, "tiny", small))
			prompt := s.longPrompt()
			greedy, err := s.complete("/v1/completions", object{"model": "tiny", "prompt": prompt, "temperature": 0, "repetition_penalty": 1,
				"presence_penalty": 0, "max_tokens": n, "ignore_eos": true, "return_token_ids": true}, nil)
			if err != nil || len(greedy.IDs) != n {
				t.Fatalf("%+v, %v", greedy, err)
			}
			calls := [][]int{prompt}
			for _, id := range greedy.IDs[:n-1] {
				calls = append(calls, []int{id})
			}
			id := s.sequence()
			for i, call := range calls {
				if got := s.likeliest(id, call); got != greedy.IDs[i] {
					t.Fatalf("the likeliest token %d is %d; the completion has %v", i, got, greedy.IDs)
				}
			}
			want := undisturbed(t, s, calls)
			forks(t, s, calls, want)
			survives(t, s, calls, want)
		})
	}
}

// undisturbed are the rows of a sequence with which nothing happens.
func undisturbed(t *testing.T, s *server, calls [][]int) (rows []any) {
	t.Helper()
	id := s.sequence()
	for _, call := range calls {
		got, replayed := s.step(id, call, nil)
		if len(got) != 1 || replayed {
			t.Fatalf("%d rows, replayed %v", len(got), replayed)
		}
		rows = append(rows, got[0])
	}
	if req, err := http.NewRequest(http.MethodDelete, s.url+"/v1/sequences/"+id, nil); err == nil {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if code, _ := s.post("/v1/sequences/"+id+"/forward", object{"tokens": calls[0]}); code != http.StatusNotFound {
		t.Errorf("a closed sequence answers with %d", code)
	}
	return rows
}

// forks makes a fork in the middle of a sequence: one goes on as the sequence would have, the other with other tokens.
func forks(t *testing.T, s *server, calls [][]int, want []any) {
	t.Helper()
	id := s.sequence()
	for _, call := range calls[:3] {
		s.step(id, call, nil)
	}
	fork := s.must("/v1/sequences/"+id+"/fork", nil)["id"].(string)
	for i := 3; i < len(calls); i++ {
		other, _ := s.step(fork, []int{calls[0][i]}, nil)
		own, _ := s.step(id, calls[i], nil)
		if own[0] != want[i] {
			t.Errorf("call %d: a sequence that was forked has other logits than one that was not", i)
		}
		if other[0] == want[i] {
			t.Errorf("call %d: a fork with other tokens has the same logits", i)
		}
	}
}

// survives kills the plugin between two calls, behind the prompt and later, and compares every bit.
func survives(t *testing.T, s *server, calls [][]int, want []any) {
	t.Helper()
	id := s.sequence()
	for i, call := range calls {
		killed := i == 1 || i == 6
		if killed {
			s.kill()
		}
		got, replayed := s.step(id, call, nil)
		if got[0] != want[i] || replayed != killed {
			t.Errorf("call %d, killed before it: %v: replayed %v, the same logits %v", i, killed, replayed, got[0] == want[i])
		}
	}
}

func TestEveryModelGivesVectors(t *testing.T) {
	s := everyModel(t)
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			texts := []string{"The capital of Peru is Lima.", "What is 27 + 38?", "The capital of Peru is Lima."}
			numbers := s.must("/v1/embeddings", object{"model": family, "input": texts})
			letters := s.must("/v1/embeddings", object{"model": family, "input": texts, "encoding_format": "base64"})
			var vectors [][]float32
			for i, e := range numbers["data"].([]any) {
				text, _ := json.Marshal(e.(object)["embedding"])
				var v []float32
				if err := json.Unmarshal(text, &v); err != nil {
					t.Fatal(err)
				}
				vectors = append(vectors, v)
				if got := floats(t, letters["data"].([]any)[i].(object)["embedding"].(string)); !slices.Equal(got, v) {
					t.Errorf("text %d: base64 has other numbers than float", i)
				}
			}
			if len(vectors) != 3 || !slices.Equal(vectors[0], vectors[2]) || slices.Equal(vectors[0], vectors[1]) || len(vectors[0]) != len(vectors[1]) {
				t.Errorf("%d vectors; equal texts equal: %v, others different: %v", len(vectors), slices.Equal(vectors[0], vectors[2]), !slices.Equal(vectors[0], vectors[1]))
			}
			usage := numbers["usage"].(object)
			if usage["prompt_tokens"].(float64) < 6 || !reflect.DeepEqual(usage["prompt_tokens"], usage["total_tokens"]) {
				t.Errorf("usage %v", usage)
			}
		})
	}
}

// floats are those of a text in base64.
func floats(t *testing.T, text string) (list []float32) {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b)%4 != 0 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for i := 0; i < len(b); i += 4 {
		list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
	}
	return list
}

// A plugin that computes no logits, such as the echo, is named.
func TestAPluginWithoutLogitsIsNamed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 256}`)
	s := start(t, fmt.Sprintf("[[model]]\nid = \"echo\"\npath = %q\nplugin = \"echo\"\n", dir))
	for path, body := range map[string]object{"/v1/sequences": {"model": "echo"}, "/v1/embeddings": {"model": "echo", "input": "a"}} {
		code, out := s.post(path, body)
		e := out["error"].(object)
		if code != http.StatusBadRequest || e["code"] != "not_supported" || e["param"] != "model" || !strings.Contains(e["message"].(string), `the plugin of the model "echo" does not have the capability`) {
			t.Errorf("%s: %d %v", path, code, e)
		}
	}
}
