package e2e

// soak_fault_test.go is what is done to the host during the soak. Signals go to processes below the host alone, by their pid.

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// chaos chooses what happens next. Its methods are called by one goroutine, but for what follows in a process's next life.
type chaos struct {
	t   *testing.T
	k   *soak
	rng *rand.Rand

	others    sync.WaitGroup // what goes on by itself
	reloading sync.Mutex
	frozen    []int

	mu           sync.Mutex
	kills        int
	done, orders map[string]int
	busy         map[string]bool // families whose next life is being waited for
}

func newChaos(t *testing.T, k *soak, rng *rand.Rand) *chaos {
	return &chaos{t: t, k: k, rng: rng, done: map[string]int{}, orders: map[string]int{}, busy: map[string]bool{}}
}

// run does something after every few answers, until it has killed so often or ctx ends.
func (c *chaos) run(ctx context.Context, kills int) {
	c.t.Helper()
	defer c.others.Wait()
	for c.killed() < kills {
		if c.k.progress(ctx, 50+c.rng.IntN(600)) != nil {
			return
		}
		for range 1 + c.rng.IntN(3) {
			c.order()
		}
		c.thaw()
		c.harm(ctx)
	}
}

func (c *chaos) killed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kills
}

func (c *chaos) count(what string, kills int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[what]++
	c.kills += kills
}

// counted is what was done, and how often.
func counted(done map[string]int) string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(done)) {
		list = append(list, fmt.Sprintf("%d %s", done[what], what))
	}
	return strings.Join(list, ", ")
}

// harm ends or freezes a process.
func (c *chaos) harm(ctx context.Context) {
	family := families[c.rng.IntN(len(families))]
	pid := c.k.s.pluginOf(family)
	c.mu.Lock()
	busy := c.busy[family]
	c.mu.Unlock()
	if pid == 0 || busy || !c.k.s.isReady(family) { // five kills while it loads would be quarantine, by design
		return
	}
	switch n := c.rng.IntN(20); {
	case n < 10:
		c.signal(pid, syscall.SIGKILL)
		c.count("SIGKILL", 1)
	case n < 11:
		c.signal(parent(pid), syscall.SIGKILL)
		c.count("SIGKILL of a keeper", 1)
	case n < 14:
		c.signal(pid, syscall.SIGKILL)
		c.count("SIGKILL", 1)
		c.follow(ctx, family, pid, 1+c.rng.IntN(3), time.Duration(c.rng.IntN(60))*time.Millisecond)
	case n < 16:
		c.signal(pid, syscall.SIGSTOP)
		c.frozen = append(c.frozen, pid)
		c.count("SIGSTOP", 1)
	case n < 18:
		c.operate("restart", family)
	case n < 19 && c.rng.IntN(2) == 0:
		c.reload(family)
	case n < 19:
		for _, pid := range c.k.s.plugins() { // all at once, as when memory runs out; those that load die too
			if c.rng.IntN(2) == 0 && c.spare(pid) {
				c.signal(pid, syscall.SIGKILL)
				c.count("SIGKILL in company", 1)
			}
		}
	default:
		c.signal(pid, syscall.SIGKILL)
		c.count("SIGKILL", 1)
		c.operate("start", family) // ends the wait, if there is one
	}
}

// spare says whether a plugin is one that may be killed: ready, and not followed.
func (c *chaos) spare(pid int) bool {
	for _, family := range families {
		if c.k.s.pluginOf(family) == pid {
			c.mu.Lock()
			busy := c.busy[family]
			c.mu.Unlock()
			return !busy && c.k.s.isReady(family)
		}
	}
	return false
}

// thaw lets some of the frozen go on, if the host has not killed them yet.
func (c *chaos) thaw() {
	for _, pid := range c.frozen {
		if c.rng.IntN(2) == 0 && slices.Contains(c.k.s.plugins(), pid) {
			c.signal(pid, syscall.SIGCONT)
			c.count("SIGCONT in time", -1) // then it was no kill
		}
	}
	c.frozen = nil
}

// follow kills a family's next processes too, each some time after it has appeared.
func (c *chaos) follow(ctx context.Context, family string, pid, times int, delay time.Duration) {
	c.mu.Lock()
	c.busy[family] = true
	c.mu.Unlock()
	c.others.Go(func() {
		for range times {
			next := c.k.s.nextPlugin(ctx, family, pid)
			if next == 0 {
				break
			}
			pid = next
			time.Sleep(delay) // anywhere in its start, not: until something has happened
			c.signal(pid, syscall.SIGKILL)
			c.count("SIGKILL while it starts", 1)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy[family] = false
	})
}

// signal reaches what is below the host now and nothing else.
func (c *chaos) signal(pid int, s syscall.Signal) {
	keepers := children([]int{c.k.s.cmd.Process.Pid})
	if !slices.Contains(keepers, pid) && !slices.Contains(children(keepers), pid) {
		return // it has ended
	}
	if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
		c.t.Error(err)
	}
}

// operate gives an order of an operator and does not wait for what comes of it. That it is overtaken by another, or that the model
// died meanwhile, is an answer.
func (c *chaos) operate(order, family string) {
	c.count(order+" by order", 0)
	c.others.Go(func() {
		resp, err := http.Post(c.k.s.url+"/admin/"+order+"/"+family, "", nil)
		if err != nil {
			c.t.Error(err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		switch resp.StatusCode {
		case http.StatusOK, http.StatusConflict, http.StatusServiceUnavailable:
		default:
			c.t.Errorf("%s %s: %d %s", order, family, resp.StatusCode, text)
		}
	})
}

// reload changes a family's entry in models.toml: its requests finish in the process there is, and others wait for the next one.
func (c *chaos) reload(family string) {
	if !c.reloading.TryLock() {
		return
	}
	file := filepath.Join(c.k.s.dir, "models.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	mark := fmt.Sprintf("plugin = %q\ncontext = 1024\nmax_sequences = ", family)
	before, after, ok := strings.Cut(string(text), mark)
	if !ok {
		c.t.Fatalf("no %q in %s", mark, text)
	}
	text = fmt.Appendf(nil, "%s%s%d%s", before, mark, 4+3-int(after[0]-'0'), after[1:]) // 4, or 3
	c.count("reload", 0)
	c.k.mu.Lock()
	c.k.reloaded[family] = true
	c.k.mu.Unlock()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.others.Go(func() {
		defer c.reloading.Unlock()
		resp, err := http.Post(c.k.s.url+"/admin/reload", "", nil)
		if err != nil {
			c.t.Error(err)
			return
		}
		defer resp.Body.Close()
		if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(said), family) {
			c.t.Errorf("reload of %s: %d %s", family, resp.StatusCode, said)
		}
	})
}

// order moves a layer or changes a budget. That there is no room, that the model is being started, or that it is frozen, is an answer.
func (c *chaos) order() {
	family := families[c.rng.IntN(len(families))]
	path, body := "/admin/move/", object{"module": fmt.Sprint("layers.", c.rng.IntN(3)), "device": []string{"cpu", "far"}[c.rng.IntN(2)], "deadline_ms": 1000}
	switch n := c.rng.IntN(6); {
	case n == 0:
		path, body = "/admin/budget/", object{"device": "far", "bytes": 100_000 << c.rng.IntN(5), "deadline_ms": 1000}
	case n == 1:
		path, body = "/admin/budget/", object{"device": "cpu", "bytes": 1_000_000 << c.rng.IntN(10), "deadline_ms": 1000}
	case n == 2 && family == vision:
		body["module"] = fmt.Sprint("visual.blocks.", c.rng.IntN(2))
	}
	code, out := c.k.s.post(path+family, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch code {
	case http.StatusOK, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		c.orders[fmt.Sprint(filepath.Base(path), " ", code)]++
	default:
		c.t.Errorf("%s%v: %d %v", path, body, code, out)
	}
}

// pluginOf is the pid of a family's process, 0 if there is none.
func (s *server) pluginOf(family string) int {
	for _, pid := range s.plugins() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		program, _, _ := strings.Cut(string(text), "\x00")
		if filepath.Base(program) == family {
			return pid
		}
	}
	return 0
}

// nextPlugin waits for a family's process after the one there was.
func (s *server) nextPlugin(ctx context.Context, family string, before int) int {
	for {
		if pid := s.pluginOf(family); pid != 0 && pid != before {
			return pid
		}
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (s *server) isReady(model string) bool {
	resp, err := http.Get(s.url + "/readyz/" + model)
	if err != nil {
		s.t.Error(err)
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// parent is the pid of the process above.
func parent(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var ppid int
	var state string
	if _, rest, ok := strings.Cut(string(text), ") "); ok {
		fmt.Sscan(rest, &state, &ppid)
	}
	return ppid
}
