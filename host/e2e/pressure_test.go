package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// machineWith makes a folder of the kernel's files for a machine of 64 GiB, of which so much is available, and has the hosts that are started
// from here on read them.
func machineWith(t *testing.T, available int64) (set func(available int64)) {
	t.Helper()
	root := t.TempDir()
	set = func(available int64) {
		t.Helper()
		text := fmt.Sprintf("MemTotal:       67108864 kB\nMemFree:         1024 kB\nMemAvailable:   %d kB\n", available>>10)
		name := filepath.Join(root, "proc", "meminfo")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil { // a reader sees the one or the other
			t.Fatal(err)
		}
	}
	set(available)
	t.Setenv("PIO_MACHINE_ROOT", root)
	return set
}

// The machine runs short while a model answers: what is idle leaves, the answer is the one that it would have been, and who has left comes
// when it is asked.
func TestAnIdleModelLeavesAMachineThatRunsShort(t *testing.T) {
	set := machineWith(t, 32<<30)
	s := start(t, tinyModel(small)+tinyOf("qwen3_0_6b", "other", small))
	want, err := s.complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.complete("/v1/chat/completions", long(), func(n int) {
		if n == 30 {
			set(100 << 20)
			for deadline := time.Now().Add(time.Minute); !strings.Contains(s.log.String(), `msg="the model was unloaded" model=other`); {
				if time.Now().After(deadline) {
					t.Fatalf("nobody leaves:\n%s", s.log.end())
				}
				time.Sleep(10 * time.Millisecond)
			}
			set(32 << 30)
		}
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("while the machine is short of memory: %v\n got %+v\nwant %+v", err, got, want)
	}
	for _, piece := range []string{"the machine runs short of memory; the models give way", "the machine runs short of memory; it comes back when it is asked for"} {
		if !strings.Contains(s.log.String(), piece) {
			t.Errorf("the log does not say %q:\n%s", piece, s.log.end())
		}
	}
	if pids := s.plugins(); len(pids) != 1 {
		t.Errorf("%d processes are left", len(pids))
	}
	body := long()
	body["model"] = "other"
	if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the one that has left: %v\n got %+v\nwant %+v", err, got, want)
	}
}
