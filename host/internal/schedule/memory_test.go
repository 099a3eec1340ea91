package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
)

// town is a host with several models, inside a synctest bubble.
type town struct {
	*Host
	t   *testing.T
	log lines

	mu    sync.Mutex
	procs map[string][]*fakeProcess // by model, oldest first
}

// takes is a checkpoint of so many bytes of weights, and of 1 byte of cache for each of 1000 positions.
func takes(weights int64, sequences int) func(context.Context, *fakeProcess, sdk.InspectRequest) (sdk.Inspection, error) {
	return func(_ context.Context, _ *fakeProcess, req sdk.InspectRequest) (sdk.Inspection, error) {
		context := req.Context
		if context == 0 {
			context = 1000
		}
		return sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: context, MaxSequences: sequences, Modules: []sdk.Module{
			{ID: "layers.0", WeightBytes: weights, ActiveBytesToken: weights, StateBytesToken: 1},
		}}}, nil
	}
}

// inTown runs a host with so much memory for models. setup prepares a process of a model; its error is a failed start.
func inTown(t *testing.T, bytes int64, models []config.Model, setup func(id string, p *fakeProcess) error, test func(*town)) {
	t.Helper()
	inTownThat(t, nil, bytes, models, setup, test)
}

// inTownThat is inTown on a machine that is looked at.
func inTownThat(t *testing.T, watch Watch, bytes int64, models []config.Model, setup func(id string, p *fakeProcess) error, test func(*town)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for i := range models {
			models[i].Devices = []string{"cpu"}
		}
		w := &town{t: t, procs: map[string][]*fakeProcess{}}
		w.Host = New(Options{
			Config: &config.Config{
				Server: config.Server{Wait: 10 * time.Second, Drain: time.Second}, Devices: []config.Device{{Name: "cpu", Memory: bytes}}, Models: models,
			},
			Machine: func() machine.Memory { return first(watch) },
			Cores:   func() int { return 4 },
			Watch:   watch,
			Log:     slog.New(slog.NewTextHandler(&w.log, nil)),
			Start: func(_ context.Context, m config.Model) (Process, error) {
				w.mu.Lock()
				p := newFakeProcess(len(w.procs[m.ID]) + 1)
				w.procs[m.ID] = append(w.procs[m.ID], p)
				w.mu.Unlock()
				if err := setup(m.ID, p); err != nil {
					return nil, err
				}
				return p, nil
			},
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(context.Background())
		}()
		synctest.Wait()
		test(w)
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.Close(closing)
		<-ended
	})
}

// first is what a machine that is looked at has in the beginning.
func first(watch Watch) machine.Memory {
	if watch == nil {
		return machine.Memory{}
	}
	return watch.Look(time.Now()).Memory
}

func (w *town) status(id string) Status {
	w.t.Helper()
	for _, s := range w.Models() {
		if s.ID == id {
			return s
		}
	}
	w.t.Fatalf("no model %s", id)
	return Status{}
}

// newest is a model's newest process.
func (w *town) newest(id string) *fakeProcess {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.procs[id]); n > 0 {
		return w.procs[id][n-1]
	}
	return nil
}

// stands says how every model stands: "a ready 3000, b quarantined".
func (w *town) stands() string {
	var parts []string
	for _, s := range w.Models() {
		text := fmt.Sprintf("%s %s", s.ID, s.State)
		if s.State == StateReady {
			text += fmt.Sprint(" ", w.newest(s.ID).loaded.Devices[0].Bytes)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func (w *town) stand(want string) {
	w.t.Helper()
	synctest.Wait()
	if got := w.stands(); got != want {
		w.t.Errorf("the models stand: %s\nwant: %s", got, want)
	}
}

func TestMemoryIsPromisedOnce(t *testing.T) {
	three := []config.Model{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	sized := func(weights int64) func(string, *fakeProcess) error {
		return func(_ string, p *fakeProcess) error {
			p.inspect = takes(weights, 8)
			return nil
		}
	}
	t.Run("enough for all", func(t *testing.T) {
		inTown(t, 100_000, three, sized(2000), func(w *town) { w.stand("a ready 10192, b ready 10192, c ready 10192") })
	})
	t.Run("less: each gets an equal share", func(t *testing.T) {
		inTown(t, 12_000, three, sized(2000), func(w *town) { w.stand("a ready 4000, b ready 4000, c ready 4000") })
	})
	t.Run("not enough for one sequence each", func(t *testing.T) {
		inTown(t, 8_000, three, sized(2000), func(w *town) {
			w.stand("a ready 4000, b ready 4000, c quarantined")
			const want = `there is not enough memory for it: it takes at least 3.0 KiB (2.0 KiB for weights, 1.0 KiB for a cache of 1024 positions, 0 bytes for scratch), ` +
				`and of 7.8 KiB for models (memory of [[device]] "cpu") 1.9 KiB are free beside a (3.0 KiB), b (3.0 KiB); stop one of them, or set a smaller context`
			if s := w.status("c"); !strings.HasPrefix(s.Reason, want) {
				t.Errorf("the reason is %q\nwant %q", s.Reason, want)
			}
			err := w.Generate(context.Background(), "c", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 1}, nil)
			var e *Unavailable
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "there is not enough memory for it") {
				t.Errorf("a request gets %v", err)
			}
			if w.newest("c").loaded.Path != "" || !w.newest("c").ended() {
				t.Error("its process was given something to load, or runs on")
			}
		})
	})
	t.Run("a smaller context would fit", func(t *testing.T) {
		inTown(t, 3_000, []config.Model{{ID: "a", Context: 1000}}, sized(2000), func(w *town) {
			w.stand("a quarantined")
			if s := w.status("a"); !strings.HasSuffix(s.Reason, "2.9 KiB are free; set context = 960 in its [[model]]") {
				t.Error(s.Reason)
			}
		})
	})
	t.Run("a smaller context would fit beside the others", func(t *testing.T) {
		inTown(t, 8_600, three, sized(2000), func(w *town) {
			const advice = "2.5 KiB are free beside a (3.0 KiB), b (3.0 KiB); set context = 512 in its [[model]]"
			if s := w.status("c"); !strings.HasSuffix(s.Reason, advice) {
				t.Error(s.Reason)
			}
		})
		followed := append(three[:2:2], config.Model{ID: "c", Context: 512})
		inTown(t, 8_600, followed, sized(2000), func(w *town) { w.stand("a ready 3024, b ready 3024, c ready 2552") })
	})
	t.Run("priority comes first", func(t *testing.T) {
		inTown(t, 9_000, []config.Model{{ID: "a"}, {ID: "b", Priority: -1}, {ID: "c", Priority: 7}}, sized(2000), func(w *town) {
			w.stand("a ready 3024, b quarantined, c ready 5976")
		})
	})
	t.Run("a plugin that tells nothing is not limited", func(t *testing.T) {
		inTown(t, 9_000, three, func(id string, p *fakeProcess) error {
			if id != "b" {
				p.inspect = takes(2000, 1)
			}
			return nil
		}, func(w *town) { w.stand("a ready 3024, b ready 0, c ready 3024") })
	})
}

// Whoever waits for memory starts when others give theirs back: the highest priority first.
func TestWhoWaitsForMemoryStartsWhenThereIsSome(t *testing.T) {
	models := []config.Model{{ID: "a", Priority: 9}, {ID: "b"}, {ID: "c", Priority: 5}}
	inTown(t, 4_000, models, func(_ string, p *fakeProcess) error {
		p.inspect = takes(2000, 1)
		return nil
	}, func(w *town) {
		w.stand("a ready 3024, b quarantined, c quarantined")
		if err := w.StopModel(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		w.stand("a stopped, b quarantined, c ready 3024")
		go func() { _ = w.StartModel(context.Background(), "a") }()
		w.stand("a quarantined, b quarantined, c ready 3024")
		if err := w.StopModel(context.Background(), "c"); err != nil {
			t.Fatal(err)
		}
		w.stand("a ready 3024, b quarantined, c stopped")
	})
}

// A death gives nothing back: the next process has the share, at once and without being asked what the model takes.
func TestADeathKeepsTheShare(t *testing.T) {
	asked := 0
	inTown(t, 4_000, []config.Model{{ID: "a"}, {ID: "b"}}, func(id string, p *fakeProcess) error {
		p.inspect = func(ctx context.Context, p *fakeProcess, req sdk.InspectRequest) (sdk.Inspection, error) {
			if id == "a" {
				asked++
			}
			return takes(2000, 1)(ctx, p, req)
		}
		return nil
	}, func(w *town) {
		w.newest("a").die(syscall.SIGKILL)
		w.stand("a ready 3024, b quarantined")
		if asked != 1 || len(w.procs["a"]) != 2 {
			t.Errorf("asked %d times in %d lives", asked, len(w.procs["a"]))
		}
	})
}

// The division waits for those that are still coming up, but neither for those that do not start nor for ever.
func TestTheDivisionWaitsForThoseThatCome(t *testing.T) {
	gate := sync.OnceValue(func() chan struct{} { return make(chan struct{}) }) // in the bubble
	inTown(t, 8_000, []config.Model{{ID: "a"}, {ID: "b"}, {ID: "c"}}, func(id string, p *fakeProcess) error {
		p.inspect = takes(2000, 8)
		switch id {
		case "b":
			inner := p.inspect
			p.inspect = func(ctx context.Context, p *fakeProcess, req sdk.InspectRequest) (sdk.Inspection, error) {
				<-gate()
				return inner(ctx, p, req)
			}
		case "c":
			return errors.New("it has no x bit")
		}
		return nil
	}, func(w *town) {
		w.stand("a starting, b starting, c restarting")
		close(gate())
		w.stand("a ready 4000, b ready 4000, c restarting")
	})
	inTown(t, 8_000, []config.Model{{ID: "a"}, {ID: "b"}}, func(id string, p *fakeProcess) error {
		p.inspect = takes(2000, 8)
		if id == "b" {
			p.inspect = func(ctx context.Context, _ *fakeProcess, _ sdk.InspectRequest) (sdk.Inspection, error) {
				<-ctx.Done()
				return sdk.Inspection{}, ctx.Err()
			}
		}
		return nil
	}, func(w *town) {
		time.Sleep(dealTime - time.Second)
		w.stand("a starting, b starting")
		time.Sleep(2 * time.Second)
		w.stand("a ready 8000, b starting")
		time.Sleep(inspectTime)
		if s := w.status("b"); s.Reason != "its plugin does not say within 1m0s what the checkpoint takes" {
			t.Errorf("b is %s: %q", s.State, s.Reason)
		}
	})
}

// A budget that the host has not, that the plugin refuses, or that the next process could not load with, is not remembered.
func TestOnlyBudgetsThatAreKeptAreRemembered(t *testing.T) {
	const refusal = "3100 bytes are too few for the cpu; the least that works is 3500"
	inTown(t, 10_000, []config.Model{{ID: "a"}, {ID: "b"}}, func(_ string, p *fakeProcess) error {
		p.inspect = takes(2000, 1)
		p.order = func(o sdk.Order) sdk.Report {
			if o.Budget.Bytes == 3100 {
				return sdk.Report{Done: &sdk.OrderDone{Error: refusal}}
			}
			return sdk.Report{}
		}
		return nil
	}, func(w *town) {
		order := func(bytes int64) error {
			_, err := w.Order(context.Background(), "a", sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: bytes}})
			return err
		}
		if err := order(3100); err == nil || !strings.Contains(err.Error(), refusal) {
			t.Errorf("less than works: %v", err)
		}
		if err := order(3023); err == nil || !strings.Contains(err.Error(), "the least that works is 3024") { // the process would obey
			t.Errorf("less than its successor could load with: %v", err)
		}
		if err := order(7000); err == nil || !strings.Contains(err.Error(), "the most that works is 6976") {
			t.Errorf("more than there is: %v", err)
		}
		w.newest("a").die(syscall.SIGKILL)
		w.stand("a ready 3024, b ready 3024")
		if err := order(6976); err != nil {
			t.Error(err)
		}
		w.newest("a").die(syscall.SIGKILL)
		time.Sleep(time.Minute) // the pause after one more death
		w.stand("a ready 6976, b ready 3024")
		if err := order(3024); err != nil {
			t.Error(err)
		}
		w.newest("a").die(syscall.SIGKILL)
		time.Sleep(time.Minute)
		w.stand("a ready 3024, b ready 3024")
	})
}

func TestWhatThereIsForModels(t *testing.T) {
	m := machine.Memory{Total: 24 << 30, From: "/proc/meminfo"}
	if got, want := BudgetOf(emptyConfig(), m), (Budget{22 << 30, "24.0 GiB in /proc/meminfo, less a reserve"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	c := emptyConfig()
	c.Devices = []config.Device{{Name: "far", Memory: 5}, {Name: "cpu", Memory: 7}}
	if got := BudgetOf(c, m); got.Bytes != 7 {
		t.Errorf("an entry for the cpu: %+v", got)
	}
}
