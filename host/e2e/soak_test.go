package e2e

// soak_test.go keeps all families under load while processes are killed, frozen, restarted and killed again as they load, layers
// move and budgets change. Every answer must be the quiet host's, and none may be lost. `make soak` runs it at length, the tests a little
// of it; soak_ask_test.go has what is asked, soak_fault_test.go what is done to the host.

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// knob is a setting of the environment.
func knob[T any](t *testing.T, name string, standard T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// TestSoak ends after SOAK_KILLS, or after SOAK_TIME with what was done until then. SOAK_SEED chooses another run;
// SOAK_LOG names a file for what the host said.
func TestSoak(t *testing.T) {
	kills := knob(t, "SOAK_KILLS", 10, strconv.Atoi)
	limit := knob(t, "SOAK_TIME", 5*time.Minute, time.ParseDuration)
	seed := knob(t, "SOAK_SEED", 1, strconv.Atoi)

	tables := ""
	for _, f := range families {
		tables += tinyOf(f, f, "context = 1024\nmax_sequences = 4\nstep_tokens = 128")
	}
	quiet := start(t, tables)
	k := &soak{s: quiet, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: soakClients}}, worst: map[string]time.Duration{}, reloaded: map[string]bool{}}
	known := k.questions(t)
	quiet.stop()

	// Frozen plugins are waited for 3 s instead of 30, so that a run has more of them.
	k.s = start(t, "health = \"3s\"\n[[device]]\nname = \"far\"\nmemory = \"12MiB\"\ncopy = \"2GB/s\"\nread = \"20GB/s\"\n"+tables)
	k.all(t, "before", known)
	before := k.footprint(t)

	if file := os.Getenv("SOAK_LOG"); file != "" {
		t.Cleanup(func() { write(t, file, k.s.log.String()) })
	}

	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	asking, enough := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for i := range soakClients {
		clients.Go(func() { k.ask(asking, known, rand.New(rand.NewPCG(uint64(seed), uint64(i)))) })
	}
	c := newChaos(t, k, rand.New(rand.NewPCG(uint64(seed), soakClients)))
	c.run(ctx, kills)
	enough()
	clients.Wait()
	took := time.Since(began)
	k.recovered(t)
	k.all(t, "afterwards", known)
	after := k.settled(t, before)

	k.mu.Lock()
	defer k.mu.Unlock()
	t.Logf(`seed %d, %v
kills        %d of %d: %s
orders       %s
answers      %d, %d more given up by their clients
differences  %d
lost         %d
worst pause  %s
host         resumes %.0f, deaths %.0f, kills by the watchdog %.0f; of the prompts %.0f%% in the prefix cache
before       %s
after        %s`, seed, took.Round(time.Second), c.kills, kills, counted(c.done), counted(c.orders), k.answers, k.givenUp, k.differences, k.lost, k.pauses(),
		k.s.sum("pio_resumes_total"), k.s.sum("pio_plugin_deaths_total"), k.s.sum("pio_plugin_kills_total"),
		100*k.s.sum("vllm:prefix_cache_hits_total")/k.s.sum("vllm:prefix_cache_queries_total"), before, after)
	if c.kills < kills {
		t.Errorf("%d of %d kills in %v: the rest found no time\n%s", c.kills, kills, limit, k.s.log.end())
	}
	if after.processes != before.processes || after.files > before.files {
		t.Errorf("processes or descriptors are left over\nbefore %v\nafter  %v", before, after)
	}
}

// recovered waits until every model is ready again: attempts that failed are behind them.
func (k *soak) recovered(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); slices.ContainsFunc(families, func(f string) bool { return !k.s.isReady(f) }); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not ready a minute after the last kill:\n%s", k.s.log.end())
		}
	}
}

// end is the newest that was logged.
func (l *tail) end() string {
	text := l.String()
	return text[max(0, len(text)-4000):]
}

// sum is that of a metric's series, of all models.
func (s *server) sum(name string) (sum float64) {
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if series, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (series == name || strings.HasPrefix(series, name+"{")) {
			v, _ := strconv.ParseFloat(value, 64)
			sum += v
		}
	}
	return sum
}

// footprint is what the host and its processes hold of the machine.
type footprint struct {
	host, plugins int64 // bytes in memory
	files         int   // descriptors of the host
	pluginFiles   int
	processes     int
	goroutines    float64
}

func (f footprint) String() string {
	return fmt.Sprintf("host %d MB, %d descriptors, %.0f goroutines; plugins together %d MB, %d descriptors; %d processes below the host",
		f.host/1e6, f.files, f.goroutines, f.plugins/1e6, f.pluginFiles, f.processes)
}

func (k *soak) footprint(t *testing.T) footprint {
	t.Helper()
	k.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	host := k.s.cmd.Process.Pid
	keepers := children([]int{host})
	plugins := children(keepers)
	f := footprint{host: inMemory(host), files: descriptors(host), processes: len(keepers) + len(plugins)}
	for _, p := range plugins {
		f.plugins += inMemory(p)
		f.pluginFiles += descriptors(p)
	}
	f.goroutines = k.s.sum("go_goroutines")
	return f
}

// settled is the footprint as soon as it is no more than it was but for memory: connections take a moment to close.
func (k *soak) settled(t *testing.T, before footprint) footprint {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		f := k.footprint(t)
		if f.processes == before.processes && f.files <= before.files || time.Now().After(deadline) {
			return f
		}
	}
}

func inMemory(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if f := strings.Fields(string(text)); len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0 // it has ended
}

func descriptors(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}
