package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// Five models of which two fit, all asked at once: nobody is refused, and every answer is the one of a host that has them all.
func TestMoreModelsThanMemory(t *testing.T) {
	const requests, clients = 40, 6
	tables := ""
	var names []string
	for _, f := range families {
		if f != vision { // which takes eight times as much
			names = append(names, f)
			tables += tinyOf(f, f, "context = 512\nmax_sequences = 2\nstep_tokens = 128")
		}
	}
	inquire := func(model string) object {
		body := ask("What is the capital of Japan?", nil)
		body["model"], body["temperature"], body["max_tokens"], body["ignore_eos"] = model, 0, 30, true
		return body
	}
	known := map[string]answer{}
	quiet := start(t, tables)
	for _, name := range names {
		var err error
		if known[name], err = quiet.complete("/v1/chat/completions", inquire(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, "[[device]]\nname = \"cpu\"\nmemory = \"85MiB\"\n"+strings.ReplaceAll(tables, "step_tokens", "load = \"demand\"\nstep_tokens"))
	rng := rand.New(rand.NewPCG(3, 4))
	orders, ended := make(chan string), make(chan error)
	for range clients {
		go func() {
			for name := range orders {
				got, err := s.complete("/v1/chat/completions", inquire(name), nil)
				if err == nil && !reflect.DeepEqual(got, known[name]) {
					err = fmt.Errorf("got %+v\nwant %+v", got, known[name])
				}
				if err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				}
				ended <- err
			}
		}()
	}
	go func() {
		defer close(orders)
		for range requests {
			orders <- names[rng.IntN(len(names))]
		}
	}()
	for range requests {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	var ps struct {
		Models []struct {
			State string
			Share int64
		}
	}
	resp, err := http.Get(s.url + "/admin/ps")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&ps); err != nil || len(ps.Models) != len(names) {
		t.Fatalf("%v: %+v", err, ps)
	}
	held := int64(0)
	for _, m := range ps.Models {
		held += m.Share
	}
	if held == 0 || held > 85<<20 {
		t.Errorf("the models hold %d bytes", held)
	}
	if loads := strings.Count(s.log.String(), "the model is ready"); loads <= len(names) {
		t.Errorf("there were %d loads; nobody had to come back", loads)
	}
	if t.Failed() {
		t.Log(s.log)
	}
}
