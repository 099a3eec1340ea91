package schedule

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestMain(m *testing.M) {
	process.Keep() // this binary starts plugins
	os.Exit(m.Run())
}

// echoHost runs the real echo plugin in a real process, without a seam between.
func echoHost(t *testing.T) *Host {
	t.Helper()
	bounded(t)
	bin := filepath.Join(t.TempDir(), "echo")
	build := exec.Command("go", "build", "-o", bin, "github.com/inference-pio/inference-pio/sdk/examples/echo")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		t.Fatal(err)
	}
	model := t.TempDir()
	settings := `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 4194304}`
	if err := os.WriteFile(filepath.Join(model, "config.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	h := New(Options{
		Config: &config.Config{
			Server: config.Server{Wait: time.Minute},
			Models: []config.Model{{ID: "echo", Path: model, Devices: []string{"cpu"}, Numerics: sdk.NumericsExact}},
		},
		Start: func(ctx context.Context, _ config.Model) (Process, error) {
			p, err := process.Start(ctx, process.Spec{Name: "echo", Path: bin})
			if err != nil {
				return nil, err
			}
			return Running(p), nil
		},
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(context.Background())
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.Close(ctx)
		<-ended
	})
	return h
}

// kill ends the process there is; between two of them there is none, and the number 0 would be this test's own group.
func kill(h *Host) error {
	if pid := h.Models()[0].PID; pid > 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// The answer is many times longer than what the transport holds, so that the death finds it in the middle.
func TestAnAnswerOfARealProcessGoesOnAfterSIGKILL(t *testing.T) {
	h := echoHost(t)
	const tokens = 40_000
	for _, at := range []int{0, 1, 1000} {
		var got strings.Builder
		var n, starts int
		err := h.Generate(context.Background(), "echo", sdk.GenerateRequest{Text: "abc ", HasText: true, MaxTokens: tokens, IgnoreEOS: true},
			func(e sdk.Event) error {
				if e.Start != nil {
					starts++
				}
				if e.Token == nil {
					return nil
				}
				got.WriteString(e.Token.Text)
				n++
				if n == at+1 {
					return kill(h)
				}
				return nil
			})
		if err != nil {
			t.Fatalf("killed at token %d: %v", at, err)
		}
		if want := strings.Repeat("abc ", tokens/4); got.String() != want || starts != 1 {
			t.Errorf("killed at token %d: %d bytes in %d starts, equal: %v", at, got.Len(), starts, got.String() == want)
		}
	}
	if s := h.Models()[0]; s.Deaths != 3 {
		t.Errorf("%d deaths; expected 3", s.Deaths)
	}
}

// A lone answer outlives any number of kills, far apart or not: each process is killed as soon as one has followed it, and the
// client leaves after so many.
func TestAnAnswerOfARealProcessSurvivesManyKills(t *testing.T) {
	h := echoHost(t)
	const tokens, kills = 4_000_000, 12 // more than the transport holds of all these processes
	var got strings.Builder
	enough := errors.New("enough")
	n, killed := 0, map[int]bool{}
	err := h.Generate(context.Background(), "echo", sdk.GenerateRequest{Text: "abc ", HasText: true, MaxTokens: tokens, IgnoreEOS: true},
		func(e sdk.Event) error {
			if e.Token == nil {
				return nil
			}
			got.WriteString(e.Token.Text)
			if n++; n%100 != 0 {
				return nil
			}
			if len(killed) == kills {
				return enough
			}
			if pid := h.Models()[0].PID; pid > 0 && !killed[pid] {
				killed[pid] = true
				if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
					return err
				}
			}
			return nil
		})
	if text := got.String(); !errors.Is(err, enough) || text != strings.Repeat("abc ", n/4+1)[:len(text)] {
		t.Errorf("%d processes were killed; %d bytes of the answer, %v", len(killed), len(text), err)
	}
}

func TestARealProcessTakesOrders(t *testing.T) {
	h := echoHost(t)
	if err := h.Generate(context.Background(), "echo", sdk.GenerateRequest{Text: "a", HasText: true}, func(sdk.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Order(context.Background(), "echo", sdk.Order{Query: &sdk.QueryOrder{}}); err != nil {
		t.Error(err)
	}
}
