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
		kernelSays(t, root, "proc/meminfo", fmt.Sprintf("MemTotal:       67108864 kB\nMemFree:         1024 kB\nMemAvailable:   %d kB\n", available>>10))
	}
	set(available)
	t.Setenv("PIO_MACHINE_ROOT", root)
	return set
}

// kernelSays has a file of the kernel's say something: a reader sees that or what it said before.
func kernelSays(t *testing.T, root, file, text string) {
	t.Helper()
	name := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// The limit of the cgroup is lowered below what two models were promised, while one of them answers: the other one leaves, the answer is the one that it would
// have been, and who has left comes when the limit is raised and it is asked.
func TestAnIdleModelLeavesALowerCgroup(t *testing.T) {
	machineWith(t, 60<<30)
	root := os.Getenv("PIO_MACHINE_ROOT")
	kernelSays(t, root, "proc/self/cgroup", "0::/host\n")
	kernelSays(t, root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n")
	limit := func(bytes int64) { kernelSays(t, root, "sys/fs/cgroup/host/memory.max", fmt.Sprintln(bytes)) }
	limit(32 << 30)
	s := start(t, tinyModel(small)+tinyOf("qwen3_0_6b", "other", small))
	want, err := s.complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, report := s.placement()
	promised := int64(report["devices"].([]any)[0].(object)["budget"].(float64)) // to each of the two
	got, err := s.complete("/v1/chat/completions", long(), func(n int) {
		if n == 30 {
			limit(3 * promised) // of which half is the reserve
			for deadline := time.Now().Add(time.Minute); !strings.Contains(s.log.String(), `msg="the model was unloaded" model=other`); {
				if time.Now().After(deadline) {
					t.Fatalf("nobody leaves:\n%s", s.log.end())
				}
				time.Sleep(10 * time.Millisecond)
			}
			limit(32 << 30)
		}
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with a lower limit: %v\n got %+v\nwant %+v", err, got, want)
	}
	if !strings.Contains(s.log.String(), "from=/sys/fs/cgroup/host/memory.max") || strings.Contains(s.log.String(), "the plugin died") {
		t.Errorf("the log:\n%s", s.log.end())
	}
	body := long()
	body["model"] = "other"
	if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the one that has left: %v\n got %+v\nwant %+v", err, got, want)
	}
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
