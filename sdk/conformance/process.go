package conformance

// process.go: what the cases share: a process under test, and words for what it should have done.

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// process is one running plugin.
type process struct {
	*client.Client
	t       T
	config  Config
	cancels []context.CancelFunc
	stop    func()
}

// start starts a process; end must be called.
func start(t T, c Config) *process {
	t.Helper()
	p := &process{t: t, config: c}
	var err error
	if p.Client, p.stop, err = c.Start(p.ctx()); err != nil {
		p.stop = func() {}
		p.end()
		t.Fatalf("the plugin did not start: %v", err)
	}
	return p
}

// end also looks whether the process is still there: one that ended by itself has told nobody why.
func (p *process) end() {
	p.t.Helper()
	if p.Client != nil && p.config.LastWords != nil {
		if words := p.config.LastWords(p.Client); words != "" {
			p.t.Errorf("the process ended by itself: %s", lastWords(words))
		}
	}
	p.stop()
	for _, cancel := range p.cancels {
		cancel()
	}
}

// ctx is the context of one call.
func (p *process) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), p.config.Timeout)
	p.cancels = append(p.cancels, cancel)
	return ctx
}

func (p *process) loadRequest() sdk.LoadRequest {
	req := p.config.Load
	req.Path = p.config.Model
	if len(req.Devices) == 0 {
		req.Devices = []sdk.DeviceBudget{{Name: "cpu"}}
	}
	return req
}

// load loads the model; without it the case has nothing to check.
func (p *process) load() sdk.LayerTable {
	p.t.Helper()
	table, err := p.Load(p.ctx(), p.loadRequest(), nil)
	if err != nil {
		p.t.Fatalf("L2: Load failed: %v", err)
	}
	return table
}

// answer is one generation as it arrived.
type answer struct {
	start  *sdk.Start // nil when resuming
	tokens []sdk.Token
	finish sdk.Finish
}

func (a *answer) add(e sdk.Event) {
	switch {
	case e.Start != nil:
		a.start = e.Start
	case e.Token != nil:
		a.tokens = append(a.tokens, *e.Token)
	case e.Finish != nil:
		a.finish = *e.Finish
	}
}

func (a *answer) ids() []int32 {
	out := make([]int32, len(a.tokens))
	for i, t := range a.tokens {
		out[i] = t.ID
	}
	return out
}

// text is all that it said outside of reasoning and calls.
func (a *answer) text() string {
	var b strings.Builder
	for _, t := range a.tokens {
		b.WriteString(t.Text)
	}
	return b.String() + a.finish.Text
}

// calls are the pieces of its tool calls.
func (a *answer) calls() (list []sdk.ToolCallDelta) {
	for _, t := range a.tokens {
		list = append(list, t.ToolCalls...)
	}
	return append(list, a.finish.ToolCalls...)
}

// generate collects an answer. The client has checked the order of its events.
func (p *process) generate(req sdk.GenerateRequest) (*answer, error) {
	a := &answer{}
	err := p.Generate(p.ctx(), req, func(e sdk.Event) error {
		a.add(e)
		return nil
	})
	return a, err
}

// mustGenerate ends the case if there is no answer.
func (p *process) mustGenerate(must string, req sdk.GenerateRequest) *answer {
	p.t.Helper()
	a, err := p.generate(req)
	if err != nil {
		p.t.Fatalf("%s: Generate failed: %v", must, err)
	}
	return a
}

// text is a request every model can answer: the same prompt, sampling greedily.
func text(max int) sdk.GenerateRequest {
	greedy := 0.0
	return sdk.GenerateRequest{
		ID: "conformance", Text: "The quick brown fox", HasText: true, MaxTokens: max, Sampling: sdk.Sampling{Seed: 1, Temperature: &greedy},
	}
}

// refuses complains unless err has one of the reasons.
func refuses(t T, must, what string, err error, reasons ...sdk.Reason) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: %s succeeded; it must fail with %s", must, what, reasons[0])
	case !slices.Contains(reasons, sdk.ReasonOf(err)):
		t.Errorf("%s: %s failed with %s (%v); it must fail with %s", must, what, sdk.ReasonOf(err), err, reasons[0])
	}
}

// folder makes a checkpoint folder with a config.json of the given text.
func folder(t T, config string) (dir string, remove func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "conformance")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600)
	}
	if err != nil {
		t.Fatalf("cannot make a folder to inspect: %v", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

// missing is a path at which nothing is.
const missing = "/nonexistent/checkpoint"
