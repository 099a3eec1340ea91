package service

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

func TestProcessIsLoadedOnceAndThenDrained(t *testing.T) {
	p := &fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error { return say(2, send) }}
	c := inProcess(t, p)
	_, err := ask(t.Context(), c)
	wantReason(t, "Generate before Load", err, sdk.ReasonState)
	if err := load(t, c); err != nil {
		t.Fatal(err)
	}
	wantReason(t, "second Load", load(t, c), sdk.ReasonState)
	if ids, err := ask(t.Context(), c); err != nil || len(ids) != 2 {
		t.Errorf("Generate gave %v, %v", ids, err)
	}
	if err := c.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = ask(t.Context(), c)
	wantReason(t, "Generate after Drain", err, sdk.ReasonState)
	if err := c.Unload(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFailedLoadLeavesNothingToCall(t *testing.T) {
	damaged := sdk.Errorf(sdk.ReasonCheckpoint, "model.safetensors is cut off")
	for name, load1 := range map[string]func(context.Context, func(sdk.Progress)) error{
		"error": func(context.Context, func(sdk.Progress)) error { return damaged },
		"panic": func(context.Context, func(sdk.Progress)) error { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			silence(t)
			c := inProcess(t, &fake{load: load1})
			want := map[string]sdk.Reason{"error": sdk.ReasonCheckpoint, "panic": sdk.ReasonInternal}[name]
			wantReason(t, "Load", load(t, c), want)
			_, err := ask(t.Context(), c)
			wantReason(t, "Generate", err, sdk.ReasonState)
			wantReason(t, "another Load", load(t, c), sdk.ReasonState)
			if err := c.Drain(t.Context()); err != nil {
				t.Errorf("Drain waits for a Load that failed: %v", err)
			}
		})
	}
}

func TestDrainWaitsForAnswers(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	c := loaded(t, &fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		close(started)
		<-finish
		return say(3, send)
	}})
	answered, drained := make(chan error, 1), make(chan error, 1)
	go func() {
		ids, err := ask(t.Context(), c)
		if err == nil && len(ids) != 3 {
			err = errors.New("the answer is not whole")
		}
		answered <- err
	}()
	<-started
	go func() { drained <- c.Drain(t.Context()) }()
	for !strings.Contains(load(t, c).Error(), "draining") { // any call tells that Drain is under way
	}
	select {
	case err := <-drained:
		t.Fatalf("Drain returned while an answer ran: %v", err)
	default:
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the running answer: %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestUnloadCutsAnswersOffAndTheHostMayResumeThem(t *testing.T) {
	started := make(chan struct{})
	c := loaded(t, &fake{generate: func(ctx context.Context, _ sdk.GenerateRequest, _ func(sdk.Event) error) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}})
	answered := make(chan error, 1)
	go func() {
		_, err := ask(context.Background(), c)
		answered <- err
	}()
	<-started
	if err := c.Unload(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-answered; !errors.Is(err, client.ErrGone) {
		t.Errorf("the running answer ended with %v, want ErrGone", err)
	}
}

func TestCancelReachesTheAuthor(t *testing.T) {
	ended := make(chan error, 1)
	c := loaded(t, &fake{generate: func(ctx context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		_ = send(sdk.Event{Start: &sdk.Start{}})
		<-ctx.Done()
		ended <- send(sdk.Event{Token: &sdk.Token{}})
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Generate(ctx, sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the host gets %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("send after the cancellation gives the author %v", err)
	}
	stop := errors.New("the listener has heard enough")
	err = c.Generate(t.Context(), sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { return stop })
	if err != stop {
		t.Errorf("a refused event gives %v", err)
	}
	<-ended
}

func TestPanicIsAnErrorAndTheProcessLives(t *testing.T) {
	log := silence(t)
	calls := 0
	c := loaded(t, &fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		if calls++; calls == 1 {
			panic("slice bounds out of range")
		}
		return say(1, send)
	}})
	_, err := ask(t.Context(), c)
	wantReason(t, "a panic", err, sdk.ReasonInternal)
	if want := "the plugin panicked at service/model_test.go:"; !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), ": slice bounds out of range") {
		t.Errorf("the error does not tell the panic and where it was: %v", err)
	}
	if !strings.Contains(log.String(), "model_test.go") {
		t.Errorf("the log does not have the stack:\n%s", log)
	}
	if _, err := ask(t.Context(), c); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}

// Wherever it is that the author's code goes wrong, the error names his line, not that of the library that noticed.
func TestPanicNamesTheAuthorsLine(t *testing.T) {
	silence(t)
	var none []int
	nothing := func() map[string]int { return nil }
	for name, fault := range map[string]func(){
		"index":    func() { none[len(none)]++ },
		"nil map":  func() { nothing()[name(t)] = 1 },
		"library":  func() { _ = strings.Repeat("a", len(none)-1) },
		"deferred": func() { defer func() { panic(recover()) }(); panic("first") },
	} {
		t.Run(name, func(t *testing.T) {
			c := loaded(t, &fake{generate: func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
				fault()
				return nil
			}})
			_, err := ask(t.Context(), c)
			if err == nil || !strings.HasPrefix(err.Error(), "the plugin panicked at service/model_test.go:") {
				t.Errorf("got %v", err)
			}
		})
	}
	for function, want := range map[string]bool{
		"runtime.panicIndex": true, "strings.Repeat": true, "encoding/json.Unmarshal": true, "main.(*plugin).Generate": false,
		"example.com/author/echo.f": false, "github.com/a/b.(*T[...]).m.func1": false,
	} {
		if got := ofStandardLibrary(function); got != want {
			t.Errorf("%s is of the standard library: %v", function, got)
		}
	}
}

func name(t *testing.T) string { return t.Name() }

// silence catches the default log, so that a panic on purpose does not look like one.
func silence(t *testing.T) *bytes.Buffer {
	var b bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &b
}

func TestWhatIsNotImplementedSaysSo(t *testing.T) {
	c := loaded(t, &fake{})
	d, err := c.Describe(t.Context())
	if err != nil || len(d.Capabilities) != 0 || d.SDKVersion != sdk.Version || len(d.Majors) != 1 {
		t.Errorf("Describe gave %+v, %v", d, err)
	}
	_, embed := c.Embed(t.Context(), sdk.EmbedRequest{})
	_, tokenize := c.Tokenize(t.Context(), "")
	_, detokenize := c.Detokenize(t.Context(), nil)
	_, spell := c.Spell(t.Context(), nil)
	_, render := c.Render(t.Context(), sdk.Chat{})
	_, forward := c.Forward(t.Context(), sdk.ForwardRequest{Tokens: []int32{1}})
	for what, err := range map[string]error{
		"Embed": embed, "Tokenize": tokenize, "Detokenize": detokenize, "Spell": spell, "Render": render, "Forward": forward,
		"OpenSequence": c.OpenSequence(t.Context(), "a"), "ForkSequence": c.ForkSequence(t.Context(), "a", "b"),
		"CloseSequence": c.CloseSequence(t.Context(), "a"),
	} {
		wantReason(t, what, err, sdk.ReasonUnimplemented)
	}
}

// able has logits besides.
type able struct {
	fake
	closed []string
}

func (a *able) OpenSequence(context.Context, string) error         { return nil }
func (a *able) ForkSequence(context.Context, string, string) error { return nil }
func (a *able) CloseSequence(_ context.Context, seq string) error {
	a.closed = append(a.closed, seq)
	return nil
}
func (a *able) Forward(_ context.Context, r sdk.ForwardRequest) (sdk.ForwardResult, error) {
	const vocab = 1 << 20
	out := sdk.ForwardResult{Vocab: vocab, Length: len(r.Tokens), Logits: make([]float32, vocab*max(1, len(r.Rows)))}
	for i, row := range r.Rows {
		out.Logits[i*vocab] = float32(r.Tokens[row])
	}
	return out, nil
}

func TestLogitsComeInTheOrderAskedUpToTheLimit(t *testing.T) {
	p := &able{}
	c := loaded(t, p)
	req := sdk.ForwardRequest{Sequence: "a", Tokens: []int32{5, 6, 7, 8}, Rows: []int{2, 0}}
	r, err := c.Forward(t.Context(), req)
	if err != nil || r.Logits[0] != 7 || r.Logits[r.Vocab] != 5 || r.Length != 4 {
		t.Fatalf("got %v, %v of %d, %v", r.Logits[:1], r.Vocab, r.Length, err)
	}
	req.Rows = make([]int, 16) // 16 rows of 4 MiB and some bytes more
	_, err = c.Forward(t.Context(), req)
	wantReason(t, "64 MiB of logits", err, sdk.ReasonInvalid)
	if !strings.Contains(err.Error(), "at most 15") {
		t.Errorf("the error does not say what fits: %v", err)
	}
	req.Rows = []int{4}
	_, err = c.Forward(t.Context(), req)
	wantReason(t, "a row that does not exist", err, sdk.ReasonInvalid)
	if err := c.CloseSequence(t.Context(), "a"); err != nil || len(p.closed) != 1 {
		t.Errorf("CloseSequence: %v, %v", err, p.closed)
	}
}

func TestMessagesBeyondGRPCsDefaultPassAndAboveOursDoNot(t *testing.T) {
	got := 0
	c := loaded(t, &fake{generate: func(_ context.Context, r sdk.GenerateRequest, send func(sdk.Event) error) error {
		got = len(r.Text)
		return say(0, send)
	}})
	send := func(n int) error {
		return c.Generate(t.Context(), sdk.GenerateRequest{HasText: true, Text: strings.Repeat("a", n)}, func(sdk.Event) error { return nil })
	}
	if err := send(5 << 20); err != nil || got != 5<<20 {
		t.Errorf("5 MiB: %v", err)
	}
	wantReason(t, "65 MiB", send(65<<20), sdk.ReasonInvalid)
}

func TestProgressNeverHoldsUpLoading(t *testing.T) {
	var late func(sdk.Progress)
	c := inProcess(t, &fake{load: func(_ context.Context, progress func(sdk.Progress)) error {
		late = progress
		for i := range 100_000 { // far more than a host that reads nothing has room for
			progress(sdk.Progress{Stage: "map", Done: int64(i)})
		}
		return nil
	}})
	last, seen := int64(-1), 0
	_, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/m"}}, func(p sdk.Progress) {
		if p.Done <= last {
			t.Errorf("progress went from %d to %d", last, p.Done)
		}
		last = p.Done
		seen++
	})
	if err != nil || seen == 0 {
		t.Errorf("Load: %v, with %d reports of progress", err, seen)
	}
	late(sdk.Progress{}) // after the end it is nothing, not a crash
}

func TestSlowReaderIsWaitedForAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read := make(chan *pb.GenerateResponse)
		q := newEventSender(ctx, func(m *pb.GenerateResponse) error {
			select {
			case read <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, 4, time.Minute)
		token := func() error { return q.send(sdk.Event{Token: &sdk.Token{}}) }
		begin := time.Now()
		for range 4 {
			if err := token(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // one of them is being sent
		if err := token(); err != nil || time.Since(begin) != 0 {
			t.Errorf("with room in the queue send took %v: %v", time.Since(begin), err)
		}
		go func() {
			time.Sleep(59 * time.Second)
			<-read
		}()
		if err := token(); err != nil || time.Since(begin) != 59*time.Second {
			t.Errorf("with a full queue send took %v: %v", time.Since(begin), err)
		}
		begin = time.Now()
		wantReason(t, "nothing read", token(), sdk.ReasonOverloaded)
		if time.Since(begin) != time.Minute {
			t.Errorf("the answer was given up after %v", time.Since(begin))
		}
		wantReason(t, "another event", token(), sdk.ReasonOverloaded)
		wantReason(t, "the end", q.close(), sdk.ReasonOverloaded) // with an event still being sent
	})
}

// A host that does not read holds up neither the end of the call nor Unload.
func TestUnloadDoesNotWaitForAReaderThatDoesNotRead(t *testing.T) {
	sending := make(chan struct{})
	c := loaded(t, &fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		err := send(sdk.Event{Start: &sdk.Start{}})
		for i := range 3000 { // 3 MB: less than the queue holds, and far more than the transport's window
			err = errors.Join(err, send(sdk.Event{Token: &sdk.Token{Index: i, Text: strings.Repeat("a", 1000)}}))
		}
		close(sending)
		return err
	}})
	read, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		answered <- c.Generate(context.Background(), sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { <-read; return nil })
	}()
	<-sending
	if err := c.Unload(t.Context()); err != nil {
		t.Error(err)
	}
	close(read)
	if err := <-answered; err != nil && !errors.Is(err, client.ErrGone) {
		t.Errorf("the answer ended with %v", err)
	}
}

func TestAuthorsEventsAreCheckedBeforeTheyAreSent(t *testing.T) {
	for name, e := range map[string]sdk.Event{
		"nothing set":    {},
		"two set":        {Start: &sdk.Start{}, Token: &sdk.Token{}},
		"unknown reason": {Finish: &sdk.Finish{Reason: "because"}},
	} {
		c := loaded(t, &fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error { return send(e) }})
		_, err := ask(t.Context(), c)
		wantReason(t, name, err, sdk.ReasonInternal)
	}
}
