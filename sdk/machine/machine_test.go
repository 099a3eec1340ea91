package machine

import (
	"testing"
	"testing/fstest"
)

const (
	meminfo = "MemTotal:       16777216 kB\nMemFree:         100 kB\nMemAvailable:    4194304 kB\n"
	v2      = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	v1      = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
)

// The trees are those of machines as they are: what the kernel writes, without the files that nobody asks for.
func TestMemoryIsWhatTheMachineAndEveryCgroupAllow(t *testing.T) {
	const gib = int64(1) << 30
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Memory
	}{
		{"no cgroups", map[string]string{}, Memory{16 * gib, 4 * gib, "/proc/meminfo"}},
		{"version 2, its own limit", map[string]string{
			"proc/self/cgroup": "0::/app.service\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app.service/memory.max":  "2147483648\n",
			"sys/fs/cgroup/app.service/memory.high": "max\n",
		}, Memory{2 * gib, 2 * gib, "/sys/fs/cgroup/app.service/memory.max"}},
		{"version 2, a tighter one further up", map[string]string{
			"proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope/memory.max": "8589934592\n",
			"sys/fs/cgroup/user.slice/user-1000.slice/memory.max":                 "max\n",
			"sys/fs/cgroup/user.slice/memory.max":                                 "3221225472\n",
		}, Memory{3 * gib, 3 * gib, "/sys/fs/cgroup/user.slice/memory.max"}},
		{"version 2, slowed down above its high mark", map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.high": "1073741824\n",
		}, Memory{gib, gib, "/sys/fs/cgroup/a/memory.high"}},
		{"version 2, in a container: the root is its own group", map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "900 899 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory.max": "1073741824\n",
		}, Memory{gib, gib, "/sys/fs/cgroup/memory.max"}},
		{"version 2, moved out of its namespace", map[string]string{
			"proc/self/cgroup": "0::/../other\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/other/memory.max": "1\n",
		}, Memory{gib, gib, "/sys/fs/cgroup/memory.max"}},
		{"a limit above what the machine has", map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "1099511627776\n",
		}, Memory{16 * gib, 4 * gib, "/proc/meminfo"}},
		{"version 1", map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:memory:/jobs/7\n1:cpu:/\n0::/\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/jobs/memory.limit_in_bytes":   "2147483648\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":        "9223372036854771712\n",
		}, Memory{2 * gib, 2 * gib, "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes"}},
		{"version 1, in a container that sees its path on the machine", map[string]string{
			"proc/self/cgroup":                                  "4:cpu,memory:/docker/0123\n",
			"proc/self/mountinfo":                               "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":        "1073741824\n",
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes": "1\n",
		}, Memory{gib, gib, "/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"version 1, limited by a group that is not mounted here", map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/0123\n",
			"proc/self/mountinfo":                        "35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.stat":           "cache 5\nhierarchical_memory_limit 1073741824\nhierarchical_memsw_limit 3\n",
		}, Memory{gib, gib, "/sys/fs/cgroup/memory/memory.stat"}},
		{"files that make no sense", map[string]string{
			"proc/self/cgroup": "0\n::\n0::/a\n", "proc/self/mountinfo": "30 23\n - \n" + v2, "sys/fs/cgroup/a/memory.max": "lots\n",
		}, Memory{16 * gib, 4 * gib, "/proc/meminfo"}},
	} {
		files := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
		for name, text := range c.files {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := read(files); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestASystemThatTellsNothingHasUnknownMemory(t *testing.T) {
	if got := read(fstest.MapFS{}); got != (Memory{}) || got.Usable() != 0 {
		t.Errorf("%+v, of which %d is usable", got, got.Usable())
	}
}

func TestTheReserve(t *testing.T) {
	for total, want := range map[int64]int64{24 << 30: 22 << 30, 8 << 30: 7 << 30, 512 << 20: 256 << 20, 0: 0} {
		if got := (Memory{Total: total}).Usable(); got != want {
			t.Errorf("of %d, %d is usable, want %d", total, got, want)
		}
	}
}

func TestThisMachineHasMemory(t *testing.T) {
	if m := Read(); m.Total < 64<<20 || m.Available <= 0 || m.Available > m.Total || m.From == "" {
		t.Errorf("%+v", m)
	}
}
