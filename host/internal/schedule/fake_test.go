package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// fakeProcess is a plugin in this process. Its model counts: the token at index i of a prompt [p] has the id p+i, and the
// text that spells it. What else it does is in the fields.
type fakeProcess struct {
	number int // of the start, from 1
	entry  config.Model

	inspect func(ctx context.Context, p *fakeProcess, req sdk.InspectRequest) (sdk.Inspection, error)
	load    func(ctx context.Context, p *fakeProcess, req sdk.LoadRequest, progress func(sdk.Progress)) error
	before  func(ctx context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) // each token
	health  func(ctx context.Context) error
	order   func(sdk.Order) sdk.Report
	refuse  func(req sdk.GenerateRequest, index int) error // instead of a token
	weights string
	modules []sdk.Module // of its table; nil: two layers of no size
	able    []sdk.Capability
	vocab   int
	queued  time.Duration                     // as its answers say
	inside  bool                              // its prompts end inside a reasoning block
	mute    bool                              // it reads orders and answers none
	deaf    bool                              // it reads no orders
	word    func(p *fakeProcess, text string) // each text to tokenize
	unload  func()                            // at its orderly end
	forward func(ctx context.Context, p *fakeProcess, req sdk.ForwardRequest) error
	calls   chan struct{} // closed when calls fail: at the death, or earlier for a process that only looks alive

	mu       sync.Mutex
	done     chan struct{}
	exit     process.Exit
	stopped  bool
	niceness []int // it was told
	loaded   sdk.LoadRequest
	reports  chan sdk.Report
	aboard   int // requests
	most     int // at once

	sequences map[string][][]int32 // what each call appended
	opened    int
}

func newFakeProcess(number int) *fakeProcess {
	return &fakeProcess{number: number, done: make(chan struct{}), calls: make(chan struct{}), reports: make(chan sdk.Report, 16)}
}

// die ends the process as a signal would.
func (p *fakeProcess) die(s syscall.Signal) { p.end(process.Exit{Code: -1, Signal: s}) }

func (p *fakeProcess) end(e process.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return
	default:
	}
	p.exit = e
	p.cutCalls()
	close(p.done)
}

func (p *fakeProcess) cutCalls() {
	select {
	case <-p.calls:
	default:
		close(p.calls)
	}
}

func (p *fakeProcess) gone(ctx context.Context) error {
	select {
	case <-p.calls:
		return client.ErrGone
	case <-ctx.Done():
		return ended(ctx)
	default:
		return nil
	}
}

// ended is the error of a call whose context is over, as package client makes it.
func ended(ctx context.Context) error { return fmt.Errorf("%w (%w)", context.Cause(ctx), ctx.Err()) }

// freeze is what a process does that was stopped: nothing, until it is killed or the call is given up.
func (p *fakeProcess) freeze(ctx context.Context) {
	select {
	case <-p.calls:
	case <-ctx.Done():
	}
}

func (p *fakeProcess) Describe(ctx context.Context) (sdk.Description, error) {
	return sdk.Description{Name: "fake", Version: "0.1.0", Kernels: "none", Capabilities: p.able}, p.gone(ctx)
}

func (p *fakeProcess) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	if p.inspect != nil {
		return p.inspect(ctx, p, req)
	}
	return sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: 100}}, p.gone(ctx)
}

func (p *fakeProcess) Load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error) {
	p.mu.Lock()
	p.loaded = req
	p.mu.Unlock()
	if p.load != nil {
		if err := p.load(ctx, p, req, progress); err != nil {
			return sdk.LayerTable{}, err
		}
	}
	modules := p.modules
	if modules == nil {
		modules = []sdk.Module{{ID: "layers.0"}, {ID: "layers.1"}}
	}
	return sdk.LayerTable{Context: 1 << 20, VocabSize: p.vocab, Weights: p.weights, Modules: modules}, p.gone(ctx)
}

func (p *fakeProcess) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	p.board(1)
	defer p.board(-1)
	prompt, next := req.Tokens, 0
	if r := req.Resume; r != nil {
		prompt, next = r.Prompt, len(r.Generated)
		for i, id := range r.Generated {
			if id != prompt[0]+int32(i) {
				return sdk.Errorf(sdk.ReasonInternal, "the resumed ids are wrong: %v", r.Generated)
			}
		}
	} else if err := send(sdk.Event{Start: &sdk.Start{Prompt: prompt, InReasoning: p.inside}}); err != nil {
		return err
	}
	for i := next; i < req.MaxTokens; i++ {
		if p.before != nil {
			p.before(ctx, p, req, i)
		}
		if err := p.gone(ctx); err != nil {
			return err
		}
		if p.refuse != nil {
			if err := p.refuse(req, i); err != nil {
				return err
			}
		}
		if err := send(sdk.Event{Token: &sdk.Token{Index: i, ID: prompt[0] + int32(i), Text: fmt.Sprint(prompt[0]+int32(i), " ")}}); err != nil {
			return err
		}
	}
	return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishLength, CompletionTokens: req.MaxTokens, Queued: p.queued}})
}

// The fake's tokenizer counts bytes.

func (p *fakeProcess) Tokenize(ctx context.Context, text string) ([]int32, error) {
	if p.word != nil {
		p.word(p, text)
	}
	return []int32{int32(len(text))}, p.gone(ctx)
}

func (p *fakeProcess) Detokenize(ctx context.Context, ids []int32) (string, error) {
	return fmt.Sprint(ids), p.gone(ctx)
}

func (p *fakeProcess) Spell(ctx context.Context, ids []int32) ([]string, error) {
	return make([]string, len(ids)), p.gone(ctx)
}

func (p *fakeProcess) Render(ctx context.Context, chat sdk.Chat) (string, error) {
	return "<" + string(chat.Messages) + ">", p.gone(ctx)
}

func (p *fakeProcess) Embed(ctx context.Context, req sdk.EmbedRequest) (r sdk.EmbedResult, err error) {
	for _, text := range req.Texts {
		r.Vectors = append(r.Vectors, []float32{float32(len(text))})
	}
	return r, p.gone(ctx)
}

// A sequence of the fake has a vocabulary of two: a hash of the tokens so far, of which those of the first call count otherwise, and
// the last token.

func (p *fakeProcess) OpenSequence(ctx context.Context, seq string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sequences == nil {
		p.sequences = map[string][][]int32{}
	}
	if _, taken := p.sequences[seq]; taken || seq == "" {
		return sdk.Errorf(sdk.ReasonInvalid, "%q is taken", seq)
	}
	p.sequences[seq] = nil
	p.opened++
	return p.gone(ctx)
}

func (p *fakeProcess) ForkSequence(ctx context.Context, from, to string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls, open := p.sequences[from]
	if !open {
		return sdk.Errorf(sdk.ReasonNotFound, "no sequence %q", from)
	}
	p.sequences[to] = slices.Clone(calls)
	return p.gone(ctx)
}

func (p *fakeProcess) CloseSequence(ctx context.Context, seq string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, open := p.sequences[seq]; !open {
		return sdk.Errorf(sdk.ReasonNotFound, "no sequence %q", seq)
	}
	delete(p.sequences, seq)
	return p.gone(ctx)
}

func (p *fakeProcess) Forward(ctx context.Context, req sdk.ForwardRequest) (r sdk.ForwardResult, err error) {
	if p.forward != nil {
		if err := p.forward(ctx, p, req); err != nil {
			return r, err
		}
	}
	if err := p.gone(ctx); err != nil {
		return r, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	calls, open := p.sequences[req.Sequence]
	if !open {
		return r, sdk.Errorf(sdk.ReasonNotFound, "no sequence %q", req.Sequence)
	}
	calls = append(slices.Clone(calls), req.Tokens)
	p.sequences[req.Sequence] = calls
	rows := rowsOf(calls)
	r = sdk.ForwardResult{Vocab: 2, Length: len(rows)}
	asked := req.Rows
	if asked == nil {
		asked = []int{len(req.Tokens) - 1}
	}
	for _, row := range asked {
		r.Logits = append(r.Logits, rows[len(rows)-len(req.Tokens)+row]...)
	}
	return r, nil
}

// rowsOf are the fake's logits behind each token.
func rowsOf(calls [][]int32) (rows [][]float32) {
	hash := uint32(1)
	for i, call := range calls {
		for _, id := range call {
			hash = hash*31 + uint32(id)*2
			if i == 0 {
				hash++
			}
			rows = append(rows, []float32{float32(hash % 65521), float32(id)})
		}
	}
	return rows
}

func (p *fakeProcess) board(by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aboard += by
	p.most = max(p.most, p.aboard)
}

func (p *fakeProcess) Schedule(ctx context.Context) (Stream, error) {
	return fakeStream{p, ctx}, p.gone(ctx)
}

type fakeStream struct {
	p   *fakeProcess
	ctx context.Context
}

func (s fakeStream) Send(o sdk.Order) error {
	if err := s.p.gone(s.ctx); err != nil {
		return err
	}
	if s.p.deaf {
		s.p.freeze(s.ctx)
		return s.p.gone(s.ctx)
	}
	if s.p.mute {
		return nil
	}
	r := sdk.Report{}
	if s.p.order != nil {
		r = s.p.order(o)
	}
	if r.Done == nil {
		r.Done = &sdk.OrderDone{}
	}
	r.Done.ID = o.ID
	select {
	case s.p.reports <- r:
	case <-s.p.calls: // a process without reports has accepted the order and dies before it answers
	}
	return nil
}

func (s fakeStream) Recv() (sdk.Report, error) {
	select {
	case r := <-s.p.reports:
		return r, nil
	case <-s.p.calls:
		return sdk.Report{}, client.ErrGone
	case <-s.ctx.Done():
		return sdk.Report{}, ended(s.ctx)
	}
}

func (p *fakeProcess) Health(ctx context.Context) error {
	if p.health != nil {
		return p.health(ctx)
	}
	return nil
}

func (p *fakeProcess) Done() <-chan struct{} { return p.done }

func (p *fakeProcess) Exit() process.Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// ended says whether the host has stopped it.
func (p *fakeProcess) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (p *fakeProcess) Stop(context.Context) error {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	if p.unload != nil {
		p.unload()
	}
	p.end(process.Exit{})
	return nil
}

func (p *fakeProcess) Nice(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.niceness = append(p.niceness, n)
	return nil
}

func (p *fakeProcess) Kill()        { p.end(process.Exit{Code: -1, Signal: syscall.SIGKILL, Killed: true}) }
func (p *fakeProcess) PID() int     { return 1000 + p.number }
func (p *fakeProcess) Path() string { return "/plugins/fake" }

// world is a host with one model, "m", inside a synctest bubble.
type world struct {
	*Host
	t   *testing.T
	log lines

	mu     sync.Mutex
	mark   string
	starts []time.Duration // since the begin
	procs  []*fakeProcess
	states []State
	why    string // the newest reason there was
}

// lines is what a host has logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// inWorld runs a host whose processes setup prepares; setup's error is a failed start. test begins when all is quiet.
func inWorld(t *testing.T, setup func(p *fakeProcess) error, test func(w *world)) {
	t.Helper()
	bounded(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t}
		began := time.Now()
		c := &config.Config{
			Server:  config.Server{Wait: 10 * time.Second, Drain: time.Minute},
			Plugins: config.Plugins{Health: 30 * time.Second},
			Devices: []config.Device{{Name: "far", Memory: 1000}},
			Models:  []config.Model{{ID: "m", Aliases: []string{"alias"}, Devices: []string{"cpu", "far"}, Stall: 2 * time.Minute}},
		}
		w.Host = New(Options{
			Config: c,
			Start: func(ctx context.Context, entry config.Model) (Process, error) {
				w.mu.Lock()
				w.starts = append(w.starts, time.Since(began))
				p := newFakeProcess(len(w.starts))
				p.entry = entry
				w.procs = append(w.procs, p)
				w.mu.Unlock()
				if err := setup(p); err != nil {
					p.end(process.Exit{Code: 1})
					return nil, err
				}
				return p, nil
			},
			Log: slog.New(slog.NewTextHandler(&w.log, nil)),
			Mark: func(config.Model) string {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.mark
			},
			Notify: func(s Status) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if s.Reason != "" {
					w.why = s.Reason
				}
				if n := len(w.states); n == 0 || w.states[n-1] != s.State {
					w.states = append(w.states, s.State)
				}
			},
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(context.Background())
		}()
		synctest.Wait()
		test(w)
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.Close(closing)
		<-ended
		for _, s := range w.Models() {
			if s.State != StateStopped {
				t.Errorf("the closed host's model %s is %s", s.ID, s.State)
			}
		}
		for _, p := range w.procs {
			select {
			case <-p.done:
			default:
				t.Errorf("process %d is left", p.number)
			}
		}
	})
}

// bounded ends the test binary if t waits for ever, with what every goroutine waits for. The bubble does not notice by itself: its
// clock runs on as long as anything in it ticks, as health checks do.
func bounded(t *testing.T) {
	const patience = time.Minute // of the real clock; no test passes because it is over
	timer := time.AfterFunc(patience, func() {
		stacks := make([]byte, 4<<20)
		fmt.Fprintf(os.Stderr, "%s still waits after %v. Who waits for whom:\n%s\n", t.Name(), patience, stacks[:runtime.Stack(stacks, true)])
		os.Exit(1)
	})
	t.Cleanup(func() { timer.Stop() })
}

// outcome of one request.
type outcome struct {
	text   string
	starts int
	finish *sdk.Finish
	err    error
	done   chan struct{}
}

// ask generates n tokens from a prompt in the background.
func (w *world) ask(prompt int32, n int) *outcome {
	return w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{prompt}, MaxTokens: n}, nil)
}

func (w *world) askWith(ctx context.Context, req sdk.GenerateRequest, hook func(sdk.Event) error) *outcome {
	return w.askModel(ctx, "m", req, hook)
}

func (w *world) askModel(ctx context.Context, model string, req sdk.GenerateRequest, hook func(sdk.Event) error) *outcome {
	o := &outcome{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.err = w.Generate(ctx, model, req, func(e sdk.Event) error {
			switch {
			case e.Start != nil:
				o.starts++
			case e.Token != nil:
				o.text += e.Token.Text
			case e.Finish != nil:
				o.finish = e.Finish
			}
			if hook != nil {
				return hook(e)
			}
			return nil
		})
	}()
	return o
}

func (w *world) process(number int) *fakeProcess {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.procs[number-1]
}

// touch changes what a start depends on.
func (w *world) touch(mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark = mark
}

func (w *world) startTimes() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Duration(nil), w.starts...)
}

// wait returns when the request has ended. One that does not end within a day of the bubble's clock waits for ever: the test
// ends with who waits for whom.
func (o *outcome) wait(w *world) {
	select {
	case <-o.done:
		return
	case <-time.After(24 * time.Hour):
	}
	m := w.models[0]
	m.mu.Lock()
	var states strings.Builder
	fmt.Fprintf(&states, "model %s, %d requests, patience %d, %d suspects\n", m.status.State, m.flying, m.patience, len(m.suspects))
	if m.life != nil {
		for f := range m.life.aboard {
			fmt.Fprintf(&states, "on board: request %d: %d tokens, %+v\n", f.number, len(f.ids), f.conduct)
		}
	}
	for _, f := range m.suspects {
		fmt.Fprintf(&states, "suspect: request %d: %d tokens, %+v\n", f.number, len(f.ids), f.conduct)
	}
	m.mu.Unlock()
	stacks := make([]byte, 1<<20)
	panic(fmt.Sprintf("a request has not ended after a day: %q so far\n%s\n%s", o.text, &states, stacks[:runtime.Stack(stacks, true)]))
}

// complete fails the test if o is not the whole answer, each event once.
func (o *outcome) complete(w *world, prompt int32, n int) {
	w.t.Helper()
	o.wait(w)
	t := w.t
	want := ""
	for i := range n {
		want += fmt.Sprint(prompt+int32(i), " ")
	}
	if o.err != nil || o.text != want || o.starts != 1 || o.finish == nil {
		t.Errorf("request %d: %q, %d starts, finish %v, error %v; want %q", prompt, o.text, o.starts, o.finish, o.err, want)
	}
}
