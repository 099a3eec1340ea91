package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Twenty entries of which two fit, all asked at once: nobody is refused, and every answer is the one of a host that has its model loaded.
func TestMoreModelsThanMemory(t *testing.T) {
	const entries, requests, clients = 20, 40, 6
	inquire := func(model string) object {
		body := ask("What is the capital of Japan?", nil)
		body["model"], body["temperature"], body["max_tokens"], body["ignore_eos"] = model, 0, 30, true
		return body
	}
	var plugins []string
	quietly := ""
	for _, f := range families {
		if f != vision { // which takes eight times as much
			plugins = append(plugins, f)
			quietly += tinyOf(f, f, "context = 512\nmax_sequences = 2\nstep_tokens = 128")
		}
	}
	known := map[string]answer{}
	quiet := start(t, quietly)
	for _, f := range plugins {
		var err error
		if known[f], err = quiet.complete("/v1/chat/completions", inquire(f), nil); err != nil {
			t.Fatal(err)
		}
	}
	quiet.stop()
	var names []string
	tables := "[[device]]\nname = \"cpu\"\nmemory = \"85MiB\"\n"
	for i := range entries {
		f := plugins[i%len(plugins)]
		name := fmt.Sprint(f, "-", i)
		names, known[name] = append(names, name), known[f]
		tables += tinyOf(f, name, "context = 512\nmax_sequences = 2\nstep_tokens = 128\nload = \"demand\"")
	}
	s := start(t, tables)
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
	var asked []string
	for range requests {
		asked = append(asked, names[rng.IntN(len(names))])
	}
	go func() {
		defer close(orders)
		for _, name := range asked {
			orders <- name
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
	slices.Sort(asked)
	if loads, once := strings.Count(s.log.String(), "the model is ready"), len(slices.Compact(asked)); loads <= once {
		t.Errorf("there were %d loads of %d models; nobody had to come back", loads, once)
	}
	if t.Failed() {
		t.Log(s.log)
	}
}
