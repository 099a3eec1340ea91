package machine

import (
	"fmt"
	"math"
	"testing"
	"testing/fstest"
	"time"
)

const mib = int64(1) << 20

// files are a machine's, which a test changes as the kernel does.
func files(add map[string]string) fstest.MapFS {
	f := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
	for name, text := range add {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

// What the kernel writes of a group: of its memory what holds files is given up before anybody is killed, and what is in use is not.
func TestRoomInACgroup(t *testing.T) {
	const stat2 = "anon 1073741824\nfile 2147483648\ninactive_anon 1073741824\nactive_anon 0\ninactive_file 1610612736\nactive_file 268435456\nslab_reclaimable 4096\n"
	const stat1 = "cache 2147483648\nrss 1073741824\ninactive_file 4096\nactive_file 4096\nhierarchical_memory_limit 4294967296\n" +
		"total_cache 2147483648\ntotal_rss 1073741824\ntotal_inactive_file 1610612736\ntotal_active_file 268435456\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64 // MiB available
	}{
		{"version 2", map[string]string{
			"proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/app/memory.max": "4294967296\n", "sys/fs/cgroup/app/memory.high": "max\n",
			"sys/fs/cgroup/app/memory.current": "3221225472\n", "sys/fs/cgroup/app/memory.stat": stat2,
		}, 4096 - 3072 + 1536 + 256},
		{"version 2, a mark below the limit", map[string]string{
			"proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/app/memory.max": "4294967296\n", "sys/fs/cgroup/app/memory.high": "2147483648\n",
			"sys/fs/cgroup/app/memory.current": "3221225472\n", "sys/fs/cgroup/app/memory.stat": stat2,
		}, 2048 - 3072 + 1536 + 256},
		{"version 2, used up by its neighbours further up", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "4096\n",
			"sys/fs/cgroup/a/memory.max": "1073741824\n", "sys/fs/cgroup/a/memory.current": "1063256064\n", "sys/fs/cgroup/a/memory.stat": "anon 1063256064\ninactive_file 0\n",
		}, 10},
		{"version 2, over its limit", map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "1048576\n", "sys/fs/cgroup/a/memory.current": "2097152\n",
		}, 0},
		{"version 1", map[string]string{
			"proc/self/cgroup": "4:memory:/jobs\n", "proc/self/mountinfo": v1, "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "4294967296\n",
			"sys/fs/cgroup/memory/jobs/memory.usage_in_bytes": "3221225472\n", "sys/fs/cgroup/memory/jobs/memory.stat": stat1,
		}, 4096 - 3072 + 1536 + 256},
		{"version 1 without a limit", map[string]string{
			"proc/self/cgroup": "4:memory:/jobs\n", "proc/self/mountinfo": v1, "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/jobs/memory.usage_in_bytes": "3221225472\n",
		}, 4096},
		{"a group that does not tell what it uses", map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "2147483648\n",
		}, 2048},
	} {
		if got := NewWatch(files(c.files)).Look(time.Now()).Available; got != c.want*mib {
			t.Errorf("%s: %d MiB are available, want %d", c.name, got/mib, c.want)
		}
	}
}

// Memory that is taken, a limit that is lowered: the next look knows it.
func TestALookIsOfNow(t *testing.T) {
	f := files(map[string]string{
		"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/memory.max": "8589934592\n", "sys/fs/cgroup/a/memory.current": "1073741824\n",
	})
	w := NewWatch(f)
	look := func(total, available int64) {
		t.Helper()
		if s := w.Look(time.Now()); s.Total != total*mib || s.Available != available*mib {
			t.Errorf("%d MiB of %d, want %d of %d", s.Available/mib, s.Total/mib, available, total)
		}
	}
	look(8192, 4096)
	f["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemTotal: 16777216 kB\nMemAvailable: 1048576 kB\n")}
	look(8192, 1024)
	f["sys/fs/cgroup/a/memory.max"] = &fstest.MapFile{Data: []byte("1610612736\n")}
	look(1536, 512)
	f["proc/self/cgroup"] = &fstest.MapFile{Data: []byte("0::/\n")} // to another group
	look(1536, 512)
	w.Look(time.Now().Add(findEvery))
	look(16384, 1024)
}

// Half of a second in which somebody stands still is half, one look at it less, and it is forgotten again.
func TestStallsAreThoseOfLate(t *testing.T) {
	const own = "sys/fs/cgroup/a/memory.pressure"
	f := files(map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2})
	total := int64(1_000_000)
	say := func(file string, total int64) {
		f[file] = &fstest.MapFile{Data: fmt.Appendf(nil, "some avg10=1.00 avg60=0.20 avg300=0.00 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", total)}
	}
	say("proc/pressure/memory", 5)
	say(own, total)
	w, now := NewWatch(f), time.Now()
	for i := range 30 {
		s := w.Look(now)
		switch {
		case i == 0 && s.Stalled != 0:
			t.Errorf("the first look knows of %v", s.Stalled)
		case i == 1 && math.Abs(s.Stalled-.05) > 1e-6:
			t.Errorf("after a tenth of a second of it %v", s.Stalled)
		}
		now, total = now.Add(100*time.Millisecond), total+50_000
		say(own, total)
	}
	if s := w.Look(now); s.Stalled < .45 || s.Stalled > .5 || s.Where != "/"+own {
		t.Errorf("stalled half of the time: %v by %s", s.Stalled, s.Where)
	}
	if s := w.Look(now.Add(10 * time.Second)); s.Stalled > .01 {
		t.Errorf("ten seconds without: %v", s.Stalled)
	}
	delete(f, own)
	f["proc/pressure/memory"] = &fstest.MapFile{Data: []byte("some\nfull total=\nsome avg10=0 total=many\n")}
	if s := w.Look(now.Add(time.Minute)); s.Stalled != 0 {
		t.Errorf("a file that makes no sense: %v", s.Stalled)
	}
}
