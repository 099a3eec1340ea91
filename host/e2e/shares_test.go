package e2e

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Two models share a device that holds one and a half of them: each begins with half of it, which is not enough for all its layers. The
// one that is asked has the room of the other once that has been idle for a while, and its answers are what they were. Whoever asks the other one again
// finds it as it was: nothing is loaded anew, and its prefix cache has the prompt still.
func TestAnIdleModelGivesWayOnADevice(t *testing.T) {
	model := tinyModel(small)
	_, d := planned(t, quickFar(64<<20)+model)
	taken := int64(of(t, d["models"].([]any)[0].(object), "far")["taken"].(float64))
	s := start(t, quickFar(taken*3/2)+model+tinyOf("qwen3_0_6b", "other", small))
	pids, before := s.plugins(), object{"model": "other", "prompt": words(150, 5), "max_tokens": 8, "temperature": 0, "ignore_eos": true}
	code, first := s.post("/v1/completions", before)
	if code != http.StatusOK {
		t.Fatalf("%d %v", code, first)
	}
	layers := func() (there int) {
		modules, _, _ := s.placement()
		for id, where := range modules {
			if strings.HasPrefix(id, "layers.") && where == "far" {
				there++
			}
		}
		return there
	}
	s.rest()
	if n := layers(); n == 0 || n == 4 {
		t.Fatalf("with half of the device %d layers are there", n)
	}
	want, err := s.complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); layers() < 4; {
		got, err := s.complete("/v1/chat/completions", long(), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("while shares change: %v\n got %+v\nwant %+v", err, got, want)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the other model does not give way:\n%s", s.log.end())
		}
	}
	if text := s.log.String(); !strings.Contains(text, `msg="the share of a device changes" model=other device=far`) {
		t.Errorf("the log does not say who gave way:\n%s", s.log.end())
	}
	_, far, _ := s.placement()
	if peak, budget := far["peak"].(float64), far["budget"].(float64); peak > budget {
		t.Errorf("the model held %v bytes of %v", peak, budget)
	}
	code, again := s.post("/v1/completions", before)
	if code != http.StatusOK || !reflect.DeepEqual(again["choices"], first["choices"]) {
		t.Errorf("the one that gave way: %d\n got %v\nwant %v", code, again["choices"], first["choices"])
	}
	if all, cached := prompted(t, again); all < 100 || cached != (all-1)/64*64 {
		t.Errorf("of a prompt of %d that it had computed %d were found", all, cached)
	}
	if loads := strings.Count(s.log.String(), "the model is ready"); loads != 2 || !reflect.DeepEqual(s.plugins(), pids) {
		t.Errorf("there were %d loads, and the processes are %v after %v", loads, s.plugins(), pids)
	}
}
