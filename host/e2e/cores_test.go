package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listed is a number that /v1/models tells of a model.
func (s *server) listed(model, key string) int {
	s.t.Helper()
	resp, err := http.Get(s.url + "/v1/models/" + model)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	n, _ := decode(s.t, resp)[key].(float64)
	return int(n)
}

// Two models that answer at the same time get half of the cores each, in the middle of their answers, and say what they say alone. When they
// have nothing to do any more each may use all again.
func TestModelsThatWorkAtOnceShareTheCores(t *testing.T) {
	const tokens = 900
	s := start(t, tinyModel()+tinyOf("qwen3_0_6b", "twin"))
	body := func(model string) object {
		return ask("What is 27 + 38?", object{"model": model, "temperature": 1, "top_p": 1, "top_k": 0, "seed": 3, "max_tokens": tokens, "ignore_eos": true, "stream": true})
	}
	want, err := s.complete("/v1/chat/completions", body("tiny"), nil)
	if err != nil || len(want.IDs) != tokens {
		t.Fatalf("alone: %d ids, %v", len(want.IDs), err)
	}
	twin := make(chan answer, 1)
	during := map[string]int{}
	got, err := s.complete("/v1/chat/completions", body("tiny"), func(n int) {
		if n != 20 {
			return
		}
		going := make(chan struct{})
		go func() {
			a, err := s.complete("/v1/chat/completions", body("twin"), func(n int) {
				if n == 20 {
					close(going)
				}
			})
			if err != nil {
				t.Error(err)
			}
			twin <- a
		}()
		<-going // this answer is not read meanwhile, but goes on
		during["tiny"], during["twin"] = s.listed("tiny", "cores"), s.listed("twin", "cores")
	})
	if err != nil {
		t.Fatal(err)
	}
	for model, a := range map[string]answer{"tiny": got, "twin": <-twin} {
		if !reflect.DeepEqual(a, want) {
			t.Errorf("%s beside the other\n got %+v\nwant %+v", model, a, want)
		}
	}
	cores := runtime.GOMAXPROCS(0)
	if sum := during["tiny"] + during["twin"]; sum != max(2, cores) || during["twin"] != max(1, cores/2) {
		t.Errorf("of %d cores the two had %v while both worked", cores, during)
	}
	log := s.log.String()
	for model, other := range map[string]string{"tiny": "twin", "twin": "tiny"} {
		if !strings.Contains(log, fmt.Sprintf(`model=%s cores=%d of=%d`, model, during[model], cores)) || !strings.Contains(log, `"it works at the same time as `+other+`"`) {
			t.Errorf("the log does not say how many cores %s had, and why:\n%s", model, log)
		}
	}
	if strings.Contains(log, "was not told") {
		t.Errorf("an order was not carried out:\n%s", log)
	}
	for began := time.Now(); s.listed("tiny", "cores") != cores || s.listed("twin", "cores") != cores; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("nobody works, and of %d cores the two have %d and %d", cores, s.listed("tiny", "cores"), s.listed("twin", "cores"))
		}
	}
}

// A host whose two models have nothing to do uses next to no processor time, nor do they: what is left is a report of each a second and a
// health check now and then.
func TestAnIdleHostIsIdle(t *testing.T) {
	s := start(t, tinyModel()+tinyOf("qwen3_0_6b", "twin"))
	for _, model := range []string{"tiny", "twin"} {
		if _, err := s.complete("/v1/chat/completions", ask("Hello", object{"model": model, "max_tokens": 40, "ignore_eos": true}), nil); err != nil {
			t.Fatal(err)
		}
	}
	pids := append([]int{s.cmd.Process.Pid}, children([]int{s.cmd.Process.Pid})...)
	pids = append(pids, s.plugins()...)
	if len(pids) != 5 {
		t.Fatalf("host, two keepers and two plugins are %v", pids)
	}
	const share = 0.02 // one thread that looks out for work would use all of a core
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for { // the first seconds after a request have the collector's rest in them
		used, began := usedBy(t, pids), time.Now()
		time.Sleep(2 * time.Second) // the claim is about time that passes with nothing to do
		used, passed := usedBy(t, pids)-used, time.Since(began)
		t.Logf("in %v host, keepers and plugins used %v", passed, used)
		if float64(used) <= share*float64(passed) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("an idle host and its models used %v in %v", used, passed)
		}
	}
}

// usedBy is the processor time that processes have used, all their threads.
func usedBy(t testing.TB, pids []int) (sum time.Duration) {
	const tick = 10 * time.Millisecond // of the kernel's interface, whatever its own is
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
		for _, field := range strings.Fields(rest)[11:13] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
