// Command gpucheck runs on a machine with a GPU what `make gpu-check` packs beside it: whether the kernels are right, and how fast models are.
//
//	./gpu-check/run [-within 6m] [-software libcudasim.so] [OUT]
//
// Parts go in the order of what matters. Each has its time, and its share of the whole whatever those before it do; one that hangs is killed and
// named. OUT/results.jsonl has a line for each as soon as it has ended, OUT/NN-part.log what it said, OUT/table.md the figures. So a run that is
// cut short still tells.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	c := check{say: os.Stdout}
	flag.DurationVar(&c.within, "within", 6*time.Minute, "how long all parts may take")
	flag.StringVar(&c.software, "software", "", "the `library` of the software driver in place of a GPU: shapes are small, and time does not count")
	flag.StringVar(&c.only, "only", "", "run only the parts whose name has this `text` in it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bundle, err := os.Executable()
	if err == nil {
		c.bundle, err = filepath.Abs(filepath.Dir(bundle))
	}
	out := "out"
	if flag.NArg() > 0 {
		out = flag.Arg(0)
	}
	if err == nil {
		err = c.run(ctx, out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpu-check:", err)
		os.Exit(1)
	}
}

// check is one run.
type check struct {
	bundle, out string
	within      time.Duration
	software    string
	only        string
	say         io.Writer

	results *os.File
	figures []figure
	link    float64 // bytes per second; 0: unknown
	began   time.Time
	failed  []string
}

// record is a line of results.jsonl.
type record struct {
	Part     string          `json:"part"`
	Status   string          `json:"status"` // ok, failed, timed out, left out
	Why      string          `json:"why,omitempty"`
	Command  string          `json:"command,omitempty"`
	Seconds  float64         `json:"seconds"`
	Passed   int             `json:"passed,omitempty"`
	Failed   []string        `json:"failed,omitempty"`  // tests
	Skipped  []string        `json:"skipped,omitempty"` // tests, and why
	Figures  []figure        `json:"figures,omitempty"`
	Said     json.RawMessage `json:"said,omitempty"` // by a part that speaks JSON
	Log      string          `json:"log,omitempty"`
	Machine  *machine        `json:"machine,omitempty"` // in the first line
	Finished string          `json:"finished"`
}

// machine is where it runs, and what.
type machine struct {
	Commit   string  `json:"commit"`
	GPU      string  `json:"gpu"`                 // and its driver, as nvidia-smi has them
	Link     float64 `json:"link_gb_s,omitempty"` // that packets carry from the host
	CPUs     int     `json:"cpus"`
	Software bool    `json:"software,omitempty"`
}

func (c *check) run(ctx context.Context, out string) error {
	var err error
	if c.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	if c.results, err = os.Create(filepath.Join(c.out, "results.jsonl")); err != nil {
		return err
	}
	defer c.results.Close()
	c.began = time.Now()
	c.write(record{Part: "machine", Status: "ok", Machine: c.machine()})
	list := parts(c.models(), c.software != "")
	for i := range list {
		if strings.Contains(list[i].name, c.only) {
			c.write(c.part(ctx, i+1, list[i], c.limit(list, i)))
		}
	}
	if len(c.failed) > 0 {
		return fmt.Errorf("failed: %s; see %s", strings.Join(c.failed, ", "), c.out)
	}
	return nil
}

func (c *check) machine() *machine {
	m := &machine{CPUs: runtime.NumCPU(), Software: c.software != ""}
	if text, err := os.ReadFile(filepath.Join(c.bundle, "commit")); err == nil {
		m.Commit = strings.TrimSpace(string(text))
	}
	smi := exec.Command("nvidia-smi", "--query-gpu=name,memory.total,driver_version,clocks.max.sm,power.limit", "--format=csv,noheader")
	if text, err := smi.Output(); err == nil && c.software == "" {
		m.GPU = strings.TrimSpace(string(text))
	}
	smi = exec.Command("nvidia-smi", "--query-gpu=pcie.link.gen.max,pcie.link.width.max", "--format=csv,noheader")
	if text, err := smi.Output(); err == nil && c.software == "" {
		c.link = linkRate(string(text))
		m.Link = c.link / 1e9
	}
	return m
}

// models are the plugins whose checkpoints are in the bundle.
func (c *check) models() (names []string) {
	for _, name := range order {
		if _, err := os.Stat(filepath.Join(c.bundle, "plugins", name)); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// write adds a line to the results and, of a part with figures, to the table.
func (c *check) write(r record) {
	r.Finished = time.Now().UTC().Format(time.RFC3339)
	line, err := json.Marshal(r)
	if err == nil {
		_, err = c.results.Write(append(line, '\n'))
	}
	if err == nil && len(r.Figures) > 0 {
		c.figures = append(c.figures, r.Figures...)
		err = os.WriteFile(filepath.Join(c.out, "table.md"), []byte(table(c.figures)), 0o644)
	}
	if err != nil {
		fmt.Fprintln(c.say, "results cannot be written:", err)
	}
	if r.Status == "failed" || r.Status == "timed out" {
		c.failed = append(c.failed, r.Part)
	}
	fmt.Fprintf(c.say, "%-28s %-9s %6.1f s  %d passed, %d failed, %d skipped %s\n", r.Part, r.Status, r.Seconds, r.Passed, len(r.Failed), len(r.Skipped), r.Why)
	for _, f := range r.Figures {
		fmt.Fprintln(c.say, "   ", f)
	}
}

// limit is how long a part may take: its own limit, or what is left of the whole but for what is kept for those behind it. Two thirds of the whole
// are kept, by their limits, so that each has its share however many before it hang; the rest is whose who needs it first.
func (c *check) limit(list []part, i int) time.Duration {
	if c.software != "" {
		return list[i].limit * slower
	}
	var all, behind time.Duration
	for j, p := range list {
		if strings.Contains(p.name, c.only) {
			all += p.limit
			if j > i {
				behind += p.limit
			}
		}
	}
	kept := time.Duration(float64(c.within) * 2 / 3 * float64(behind) / float64(all))
	return min(list[i].limit, c.within-time.Since(c.began)-kept)
}

// part runs one, in a group of processes that ends with it.
func (c *check) part(ctx context.Context, n int, p part, limit time.Duration) record {
	r := record{Part: p.name, Status: "left out", Command: strings.Join(p.command, " ")}
	switch {
	case ctx.Err() != nil:
		r.Why = "interrupted"
		return r
	case limit <= 0:
		r.Why = "there is no time left"
		return r
	}
	program, err := c.find(p.command[0])
	if err != nil {
		r.Why = err.Error()
		return r
	}
	r.Log = fmt.Sprintf("%02d-%s.log", n, p.name)
	began := time.Now()
	said, err := c.command(ctx, limit, program, p, filepath.Join(c.out, r.Log))
	r.Seconds = time.Since(began).Seconds()
	r.read(p.name, said)
	r.share(c.link)
	switch {
	case err == nil && len(r.Failed) == 0:
		r.Status = "ok"
	case err == nil:
		r.Status = "failed"
	case r.Seconds >= limit.Seconds():
		r.Status, r.Why = "timed out", fmt.Sprintf("after %.0f s", limit.Seconds())
	case leftOut(err):
		r.Why = lastLine(said)
	default:
		r.Status, r.Why = "failed", err.Error()+": "+lastLine(said)
	}
	return r
}

// toolkit is where NVIDIA's tools are if they are in no PATH.
const toolkit = "/usr/local/cuda/bin"

// find is a program of the bundle, or one of the machine's.
func (c *check) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return filepath.Join(c.bundle, name), nil
	}
	program, err := exec.LookPath(name)
	if err != nil {
		if own, there := exec.LookPath(filepath.Join(toolkit, name)); there == nil {
			return own, nil
		}
	}
	return program, err
}

// absent is the exit status of a part that says that the machine does not have what it needs.
const absent = 77

func leftOut(err error) bool {
	exit, ok := err.(*exec.ExitError)
	return ok && exit.ExitCode() == absent
}

// command runs a part's and gives what it wrote, which is also in a file.
func (c *check) command(ctx context.Context, limit time.Duration, program string, p part, log string) (said string, err error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	f, err := os.Create(log)
	if err != nil {
		return "", err
	}
	defer f.Close()
	runtime.LockOSThread() // with which a child would end
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, program, p.command[1:]...)
	cmd.Dir, cmd.Env = filepath.Join(c.bundle, p.folder), append(os.Environ(), c.environment()...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	text, _ := os.ReadFile(log) // what cannot be read was told by Create
	return string(text), err
}

func (c *check) environment() []string {
	env := []string{"PIO_GPU_HARDWARE=1"}
	if c.software != "" {
		env = append(env, "PIO_CUDA_DRIVER="+c.software, "PIO_SIM_DEVICES=2GiB", "PIO_GPU_SMALL=1")
	}
	return env
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	line := text[strings.LastIndexByte(text, '\n')+1:]
	return line[:min(len(line), 300)]
}
