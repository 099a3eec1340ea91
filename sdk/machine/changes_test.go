package machine

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What is written to a limit is told, also of the group that the process was moved to, and not of the one that it has left.
func TestChangesOfLimitsAreTold(t *testing.T) {
	root := t.TempDir()
	put := func(file, text string) {
		t.Helper()
		name := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("proc/self/cgroup", "0::/a/b\n")
	put("proc/self/mountinfo", v2)
	for _, dir := range []string{"a", "a/b", "c"} {
		put("sys/fs/cgroup/"+dir+"/memory.max", "max\n")
		put("sys/fs/cgroup/"+dir+"/memory.current", "4096\n")
	}
	t.Setenv(EnvRoot, root)
	w, now := NewWatch(Root()), time.Now()
	changes := w.Changes(t.Context())
	w.Look(now)
	told := func(file string, want bool) {
		t.Helper()
		put(file, "1073741824\n")
		patience := 10 * time.Second
		if !want {
			patience = 100 * time.Millisecond
		}
		select {
		case <-changes:
			if !want {
				t.Errorf("%s is told of", file)
			}
			for settled := false; !settled; { // a write may be told as two
				select {
				case <-changes:
				case <-time.After(50 * time.Millisecond):
					settled = true
				}
			}
		case <-time.After(patience):
			if want {
				t.Errorf("%s is not told of", file)
			}
		}
	}
	told("sys/fs/cgroup/a/b/memory.max", true)
	told("sys/fs/cgroup/a/memory.max", true) // of a group around it
	told("sys/fs/cgroup/a/memory.current", false)
	told("sys/fs/cgroup/c/memory.max", false)
	put("proc/self/cgroup", "0::/c\n")
	w.Look(now.Add(findEvery))
	told("sys/fs/cgroup/c/memory.max", true)
	told("sys/fs/cgroup/a/b/memory.max", false)
}

// However many processors there are, all may take memory at once.
func TestHowLongMemoryLasts(t *testing.T) {
	f := files(map[string]string{"sys/devices/system/cpu/online": "0-1023,1030\n"})
	w := NewWatch(f)
	w.Look(time.Now())
	if got := w.Lasts(1025 * fastest); got != time.Second {
		t.Errorf("what 1,025 processors write in a second lasts %v", got)
	}
	if got := w.Lasts(-1); got != 0 {
		t.Errorf("less than nothing lasts %v", got)
	}
}
