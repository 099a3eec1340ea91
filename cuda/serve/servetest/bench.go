package servetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// TinyInProcess times a generation through the contract without a process, a socket file or HTTP: see BenchmarkTinyOverHTTP of
// host/e2e.
func (p Plugin) TinyInProcess(b *testing.B) {
	const tokens = 500
	c, req := p.With(b, p.Checkpoints[0]), Greedy(tokens)
	req.Chat, req.IgnoreEOS = &sdk.Chat{Messages: json.RawMessage(`[{"role": "user", "content": "What is 27 + 38?"}]`)}, true
	for b.Loop() {
		if n := len(Tokens(b, c, req, nil)); n != tokens {
			b.Fatalf("%d tokens", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens, "us/token")
}

// Load writes a checkpoint of a published config, of its first layers if layers > 0, and times its Load through the contract. Beside
// the time of a load it reports the gigabytes of the file; the megabytes of memory of its own that the process has more after the
// first load, the weights being mapped from the file; and the time until the first prompt, one token, has an answer, with the gigabytes
// of weights that it reads in a second, beside the least that the same takes afterwards, which is to read them once. So with weights that
// are quantised, of which it also reports the gigabytes of the file that are quantised in a second. The file lies in memory and on the
// disk; the tokenizer is that of the tiny checkpoint.
func (p Plugin) Load(b *testing.B, config []byte, layers int) {
	dir := b.TempDir()
	bytes, err := p.Suite(nntest.Suite{}).Write(dir, config, layers)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "preprocessor_config.json"} {
		text, err := os.ReadFile(filepath.Join(p.Checkpoints[0], name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	unix.Sync() // or it is written to the disk while it is read
	for _, quantize := range []string{"", cuda.Q8, cuda.Q4} {
		b.Run(cmp.Or(quantize, "file"), func(b *testing.B) {
			p.loads(b, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Layers: layers, Context: 4096, MaxSequences: 1, Quantize: quantize}})
			b.ReportMetric(float64(bytes)/1e9, "GB")
			if quantize != "" {
				b.ReportMetric(float64(bytes)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GB/s-quantised")
			}
		})
	}
}

// loads times loads, and looks closer at the first.
func (p Plugin) loads(b *testing.B, req sdk.LoadRequest) {
	debug.FreeOSMemory()
	before, first := anonymous(b), true
	for b.Loop() {
		b.StopTimer()
		c, stop, err := p.Start(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		table, err := c.Load(b.Context(), req, func(sdk.Progress) {})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		if first {
			first = false
			b.ReportMetric(float64(anonymous(b)-before)/1e6, "MB-anon")
			firstPrompt(b, c, table)
		}
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/load")
}

// firstPrompt times a prompt of one token. It reads what a generated token reads of the weights, and is the first to touch it.
func firstPrompt(b *testing.B, c *client.Client, table sdk.LayerTable) {
	b.Helper()
	read := 0.0
	for _, m := range table.Modules {
		if !strings.HasPrefix(m.ID, "visual") { // a text is not seen
			read += float64(m.ActiveBytesToken)
		}
	}
	first := onePrompt(b, c, table.VocabSize/2)
	next := onePrompt(b, c, table.VocabSize/2+1)
	for i := range 4 {
		next = min(next, onePrompt(b, c, table.VocabSize/2+2+i))
	}
	b.ReportMetric(1e3*first, "ms/first")
	b.ReportMetric(1e3*next, "ms/next")
	b.ReportMetric(read/first/1e9, "GB/s")
}

// onePrompt is the seconds until a prompt of one token has an answer of one.
func onePrompt(b *testing.B, c *client.Client, id int) float64 {
	b.Helper()
	req := Greedy(1)
	req.Tokens, req.IgnoreEOS = []int32{int32(id)}, true
	begin := time.Now()
	if n := len(Tokens(b, c, req, nil)); n != 1 {
		b.Fatalf("%d tokens", n)
	}
	return time.Since(begin).Seconds()
}

// anonymous is the memory that this process has of its own, in bytes: none of mapped files.
func anonymous(t testing.TB) int64 {
	t.Helper()
	for line := range strings.Lines(string(nntest.Read(t, "/proc/self/status"))) {
		if kb, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			if err != nil {
				t.Fatal(fmt.Errorf("/proc/self/status: %w", err))
			}
			return n << 10
		}
	}
	t.Fatal("/proc/self/status has no RssAnon")
	return 0
}
