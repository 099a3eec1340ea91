package schedule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"

	"github.com/inference-pio/inference-pio/sdk"
)

// scrape reads every metric as Prometheus does.
func (w *world) scrape() map[string]*dto.MetricFamily {
	page := httptest.NewRecorder()
	w.o.Metrics.Handler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(names.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return families
}

// sums reads the histograms of the one model.
func (w *world) sums() map[string]float64 {
	out := map[string]float64{}
	for _, f := range w.scrape() {
		for _, m := range f.GetMetric() {
			if h := m.GetHistogram(); h != nil && h.GetSampleCount() > 0 {
				out[f.GetName()] += h.GetSampleSum()
			}
			out[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// A request waits while it has no process, and while its process says that it has no place; one whose prompt is read does not wait.
func TestWaitingIsWhatWaits(t *testing.T) {
	var hold, loaded chan struct{}
	inWorld(t, func(p *fakeProcess) error {
		hold, loaded = make(chan struct{}), make(chan struct{})
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error { <-loaded; return nil }
		p.before = func(context.Context, *fakeProcess, sdk.GenerateRequest, int) { <-hold }
		return nil
	}, func(w *world) {
		check := func(when string, running, waiting int) {
			t.Helper()
			synctest.Wait()
			sums := w.sums()
			if s := w.Models()[0]; s.Running != running || s.Waiting != waiting ||
				sums["vllm:num_requests_running"] != float64(running) || sums["vllm:num_requests_waiting"] != float64(waiting) {
				t.Errorf("%s %d run and %d wait, in the metrics %v and %v; want %d and %d", when, s.Running, s.Waiting,
					sums["vllm:num_requests_running"], sums["vllm:num_requests_waiting"], running, waiting)
			}
		}
		var asked []*outcome
		for range 3 {
			asked = append(asked, w.ask(100, 2))
		}
		check("while the model loads", 0, 3)
		close(loaded)
		check("with prompts under way", 3, 0)
		w.process(1).reports <- sdk.Report{Running: 1, Waiting: 2}
		check("with two without a place", 1, 2)
		w.process(1).reports <- sdk.Report{Running: 1, Waiting: 9}
		check("with a report of requests that there are not", 0, 3)
		w.process(1).reports <- sdk.Report{Running: 3}
		check("with places for all", 3, 0)
		close(hold)
		for _, o := range asked {
			o.complete(w, 100, 2)
		}
		check("at the end", 0, 0)
	})
}

// What the plugin's engine and its prefix cache have done is known from its reports alone, over the lives of its processes.
func TestThePluginsCountsAreMetrics(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		w.process(1).reports <- sdk.Report{Preemptions: 2, Prefix: sdk.PrefixReport{Queried: 100, Found: 60, Kept: 64, Thrown: 10}}
		synctest.Wait()
		w.process(1).die(syscall.SIGKILL)
		synctest.Wait()
		if kept := w.sums()["pio_prefix_cache_kept"]; kept != 0 {
			t.Errorf("a process that is gone keeps %v positions", kept)
		}
		w.process(2).reports <- sdk.Report{Preemptions: 1, Prefix: sdk.PrefixReport{Queried: 5, Found: 4, Kept: 128, Thrown: 3}}
		w.ask(100, 2).complete(w, 100, 2)
		synctest.Wait()
		got := w.sums()
		for name, want := range map[string]float64{
			"vllm:num_preemptions_total": 3, "vllm:prefix_cache_queries_total": 105, "vllm:prefix_cache_hits_total": 64,
			"pio_prefix_cache_kept": 128, "pio_prefix_cache_thrown_total": 13,
		} {
			if got[name] != want {
				t.Errorf("%s is %v; want %v", name, got[name], want)
			}
		}
	})
}

// An answer to an order for cores has nothing of what the process holds: that stays what it told before.
func TestAnAnswerAloneTellsOfNothing(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		w.process(1).reports <- sdk.Report{Devices: []sdk.DeviceReport{{Name: "far", Used: 7, Budget: 9}}, StateUsed: .5, Spill: sdk.SpillReport{Budget: 3},
			Fetched: 8, Registered: 2}
		w.process(1).reports <- sdk.Report{Done: &sdk.OrderDone{ID: 1 << 40}}
		synctest.Wait()
		if d := w.Models()[0].Report.Devices; len(d) != 1 || d[0].Used != 7 {
			t.Errorf("it is said to hold %+v", d)
		}
		if got := w.sums(); got["vllm:kv_cache_usage_perc"] != .5 || got["pio_kv_spill_budget_bytes"] != 3 {
			t.Errorf("of its cache %v is in use, and it may spill %v", got["vllm:kv_cache_usage_perc"], got["pio_kv_spill_budget_bytes"])
		} else if got["pio_fetched_weights_bytes"] != 8 || got["pio_registered_weights_bytes"] != 2 {
			t.Errorf("%v of %v bytes are registered", got["pio_registered_weights_bytes"], got["pio_fetched_weights_bytes"])
		}
	})
}

// What a request waits for its process and in it, its prompt and its answer add up to the whole.
func TestTimesOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		name                   string
		dies                   int // the first process, before that token
		queued                 time.Duration
		queue, prefill, decode float64
	}{
		{"", -1, 0, 5, 3, 4},
		{"with a wait in the plugin", -1, time.Second, 6, 2, 4},
		{"with a plugin that claims more than there was", -1, time.Hour, 8, 0, 4},
		{"with a death in the prompt", 0, time.Second, 9, 2, 4}, // the first process took three seconds for nothing
		{"with a death after the first token", 1, time.Second, 5, 3, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(p *fakeProcess) error {
				p.queued = c.queued
				p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
					if p.number == 1 {
						time.Sleep(5 * time.Second)
					}
					return nil
				}
				p.before = func(_ context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
					if index == 0 || req.Resume != nil && index == len(req.Resume.Generated) {
						time.Sleep(3 * time.Second) // the prompt
					} else {
						time.Sleep(2 * time.Second)
					}
					if p.number == 1 && index == c.dies {
						p.die(syscall.SIGKILL)
					}
				}
				return nil
			}, func(w *world) {
				w.ask(100, 3).complete(w, 100, 3)
				got := w.sums()
				for name, want := range map[string]float64{"queue": c.queue, "prefill": c.prefill, "decode": c.decode} {
					if s := got["vllm:request_"+name+"_time_seconds"]; s != want {
						t.Errorf("%s took %v; want %v", name, s, want)
					}
				}
			})
		})
	}
}

// A kill in the middle of a prompt, or of an answer, is told to whoever sends the answer on, and in the log.
func TestPausesAreTold(t *testing.T) {
	for at, tokens := range map[int]string{0: "tokens=0", 2: "tokens=2"} {
		inWorld(t, func(p *fakeProcess) error {
			p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
				time.Sleep(4 * time.Second)
				return nil
			}
			p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
				if p.number <= 2 && index == at {
					p.die(syscall.SIGKILL)
				}
			}
			return nil
		}, func(w *world) {
			time.Sleep(5 * time.Second)
			told := 0
			ctx := OnPause(context.Background(), func() { told++ })
			w.askWith(ctx, sdk.GenerateRequest{ID: "r", Tokens: []int32{100}, MaxTokens: 3}, nil).complete(w, 100, 3)
			if told != 2 {
				t.Errorf("a death before token %d was told %d times; there were 2", at, told)
			}
			for _, line := range []string{
				`msg="a request goes on in the next process" model=m request=r prompt=1 ` + tokens,
				`msg="an answer goes on after a pause" model=m request=r pause=9s`,
			} {
				if !strings.Contains(w.log.String(), line) {
					t.Errorf("the log lacks %q:\n%s", line, w.log.String())
				}
			}
		})
	}
	Paused(context.Background()) // nobody listens
}
