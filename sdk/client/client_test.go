package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/pipe"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// foreign is a plugin that was not written with the sdk, and says what the test makes it say.
type foreign struct {
	pb.UnimplementedModelServer
	pb.UnimplementedSchedulerServer
	events   []*pb.GenerateResponse
	end      error // of Generate
	loading  []*pb.LoadResponse
	forward  *pb.ForwardResponse
	inspect  *pb.InspectResponse
	describe *pb.DescribeResponse
	reports  []*pb.ScheduleResponse
}

func (f *foreign) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return f.describe, nil
}

func (f *foreign) Inspect(context.Context, *pb.InspectRequest) (*pb.InspectResponse, error) {
	return f.inspect, nil
}

func (f *foreign) Load(_ *pb.LoadRequest, s grpc.ServerStreamingServer[pb.LoadResponse]) error {
	return sendAll(s, f.loading, nil)
}

func (f *foreign) Generate(_ *pb.GenerateRequest, s grpc.ServerStreamingServer[pb.GenerateResponse]) error {
	return sendAll(s, f.events, f.end)
}

func (f *foreign) Forward(context.Context, *pb.ForwardRequest) (*pb.ForwardResponse, error) {
	return f.forward, nil
}

func (f *foreign) Embed(context.Context, *pb.EmbedRequest) (*pb.EmbedResponse, error) {
	return &pb.EmbedResponse{Vectors: [][]byte{{0, 0, 128, 63}}}, nil
}

func (f *foreign) Spell(context.Context, *pb.SpellRequest) (*pb.SpellResponse, error) {
	return &pb.SpellResponse{Tokens: []string{"a"}}, nil
}

func (f *foreign) Schedule(s grpc.BidiStreamingServer[pb.ScheduleRequest, pb.ScheduleResponse]) error {
	for _, r := range f.reports {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func sendAll[M any](s grpc.ServerStreamingServer[M], messages []*M, end error) error {
	for _, m := range messages {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return end
}

// serve connects a Client to f. kill ends the server as a crash does.
func serve(t *testing.T, f *foreign) (c *Client, kill func()) {
	t.Helper()
	waiting.Bound(t)
	server := grpc.NewServer()
	pb.RegisterModelServer(server, f)
	pb.RegisterSchedulerServer(server, f)
	conn, stop, err := pipe.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return New(conn), server.Stop
}

func start() *pb.GenerateResponse {
	return &pb.GenerateResponse{Event: &pb.GenerateResponse_Start{Start: &pb.Start{}}}
}

func token(index, offset int64) *pb.GenerateResponse {
	return &pb.GenerateResponse{Event: &pb.GenerateResponse_Token{Token: &pb.Token{Index: index, Offset: offset}}}
}

func finish() *pb.GenerateResponse {
	return &pb.GenerateResponse{Event: &pb.GenerateResponse_Finish{Finish: &pb.Finish{Reason: pb.FinishReason_FINISH_REASON_STOP}}}
}

func TestAnswersThatBreakTheContractAreErrors(t *testing.T) {
	resume := &sdk.Resume{Generated: []int32{5, 6}}
	for _, c := range []struct {
		name   string
		resume *sdk.Resume
		events []*pb.GenerateResponse
		want   string // "" for a good answer
	}{
		{"whole", nil, []*pb.GenerateResponse{start(), token(0, 0), token(1, 0), finish()}, ""},
		{"empty", nil, []*pb.GenerateResponse{start(), finish()}, ""},
		{"resumed", resume, []*pb.GenerateResponse{token(2, 9), finish()}, ""},
		{"resumed at the end", resume, []*pb.GenerateResponse{finish()}, ""},
		{"nothing", nil, nil, "without a finish"},
		{"no start", nil, []*pb.GenerateResponse{token(0, 0)}, "not a start"},
		{"two starts", nil, []*pb.GenerateResponse{start(), start()}, "start where none was due"},
		{"start when resuming", resume, []*pb.GenerateResponse{start()}, "start where none was due"},
		{"resumed from the beginning", resume, []*pb.GenerateResponse{token(0, 0)}, "index 0 where 2 was due"},
		{"token left out", nil, []*pb.GenerateResponse{start(), token(0, 0), token(2, 0)}, "index 2 where 1 was due"},
		{"offset falls", nil, []*pb.GenerateResponse{start(), token(0, 4), token(1, 3)}, "offset of token 1 is 3"},
		{"negative id", nil, []*pb.GenerateResponse{start(), {Event: &pb.GenerateResponse_Token{Token: &pb.Token{Id: -1}}}}, "token.id is -1"},
		{"fewer scores than ids", nil, []*pb.GenerateResponse{{Event: &pb.GenerateResponse_Start{Start: &pb.Start{Prompt: []int32{1, 2},
			PromptLogprobs: []*pb.TokenLogprob{{}}}}}}, "start.prompt_logprobs has 1 entries for 2 ids"},
		{"no end", nil, []*pb.GenerateResponse{start(), token(0, 0)}, "without a finish, after 1 tokens"},
		{"more after the end", nil, []*pb.GenerateResponse{start(), finish(), token(0, 0)}, "after the finish"},
		{"event of a later major", nil, []*pb.GenerateResponse{start(), {}}, "event is missing"},
		{"finish without reason", nil, []*pb.GenerateResponse{start(), {Event: &pb.GenerateResponse_Finish{Finish: &pb.Finish{}}}}, "finish.reason is 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := serve(t, &foreign{events: c.events})
			seen := 0
			err := client.Generate(t.Context(), sdk.GenerateRequest{HasText: true, Resume: c.resume}, func(sdk.Event) error { seen++; return nil })
			if c.want == "" {
				if err != nil || seen != len(c.events) {
					t.Errorf("got %v after %d events", err, seen)
				}
				return
			}
			if err == nil || sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestErrorAfterSomeEventsIsThePluginsOwn(t *testing.T) {
	c, _ := serve(t, &foreign{events: []*pb.GenerateResponse{start(), token(0, 0)}, end: status.Error(codes.OutOfRange, "the context is full")})
	seen := 0
	err := c.Generate(t.Context(), sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { seen++; return nil })
	if sdk.ReasonOf(err) != sdk.ReasonContext || err.Error() != "the context is full" || seen != 2 {
		t.Errorf("got %v after %d events", err, seen)
	}
}

func TestPluginThatDiesIsGone(t *testing.T) {
	f := &foreign{events: []*pb.GenerateResponse{start(), token(0, 0)}, end: status.FromContextError(context.Canceled).Err()}
	c, kill := serve(t, f)
	if err := c.Generate(t.Context(), sdk.GenerateRequest{HasText: true}, func(sdk.Event) error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("an answer cut off by the plugin itself: %v", err)
	}
	f.events = []*pb.GenerateResponse{start()}
	for i := range int64(100_000) { // enough for flow control to stop it in the middle
		f.events = append(f.events, token(i, 0))
	}
	err := c.Generate(t.Context(), sdk.GenerateRequest{HasText: true}, func(e sdk.Event) error {
		if e.Token != nil && e.Token.Index == 3 {
			kill()
		}
		return nil
	})
	if !errors.Is(err, ErrGone) {
		t.Errorf("a connection that broke: %v", err)
	}
	if _, err := c.Describe(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("a call of the dead: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Describe(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrGone) {
		t.Errorf("a call the host had given up: %v", err)
	}
}

func TestOtherAnswersThatCannotBe(t *testing.T) {
	table := func(m *pb.Module) *pb.LayerTable { return &pb.LayerTable{Modules: []*pb.Module{m}} }
	good := &pb.LoadResponse{Message: &pb.LoadResponse_Table{Table: table(&pb.Module{Id: "a"})}}
	c, _ := serve(t, &foreign{
		describe: &pb.DescribeResponse{},
		inspect:  &pb.InspectResponse{Fit: pb.Fit_FIT_EXACT, Table: table(&pb.Module{Id: "layers.0", WeightBytes: -4})},
		loading:  []*pb.LoadResponse{{Message: &pb.LoadResponse_Progress{Progress: &pb.LoadProgress{Stage: "map"}}}},
		forward:  &pb.ForwardResponse{Logits: make([]byte, 12), Vocab: 2},
		reports:  []*pb.ScheduleResponse{{StateUsed: 2}},
	})
	_, describe := c.Describe(t.Context())
	_, inspect := c.Inspect(t.Context(), sdk.InspectRequest{Path: "/m"})
	_, load := c.Load(t.Context(), sdk.LoadRequest{}, nil)
	_, forward := c.Forward(t.Context(), sdk.ForwardRequest{Tokens: []int32{1}})
	_, embed := c.Embed(t.Context(), sdk.EmbedRequest{Texts: []string{"a", "b"}})
	s, err := c.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, report := s.Recv()
	for want, err := range map[string]error{
		"has no name": describe, "weight_bytes is -4": inspect, "no layer table": load, "3 logits of a vocabulary of 2": forward,
		"1 vectors for 2 texts": embed, "state_used is 2": report,
	} {
		if err == nil || sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), want) {
			t.Errorf("want something about %q, got %v", want, err)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, ErrGone) {
		t.Errorf("the stream that the plugin ended gives %v", err)
	}
	loading := &pb.LoadResponse{Message: &pb.LoadResponse_Progress{Progress: &pb.LoadProgress{Stage: "map"}}}
	for name, messages := range map[string][]*pb.LoadResponse{"two tables": {good, good}, "progress after the table": {loading, good, loading}} {
		c, _ := serve(t, &foreign{loading: messages})
		_, err := c.Load(t.Context(), sdk.LoadRequest{}, func(sdk.Progress) {})
		if err == nil || sdk.ReasonOf(err) != sdk.ReasonInternal || !strings.Contains(err.Error(), "after the layer table") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ = serve(t, &foreign{loading: []*pb.LoadResponse{loading, good}})
	if got, err := c.Load(t.Context(), sdk.LoadRequest{}, nil); err != nil || len(got.Modules) != 1 {
		t.Errorf("a good table: %+v, %v", got, err)
	}
}

func TestEveryTokenIsSpelledOrNone(t *testing.T) {
	c, _ := serve(t, &foreign{})
	if tokens, err := c.Spell(t.Context(), []int32{7}); err != nil || len(tokens) != 1 || tokens[0] != "a" {
		t.Errorf("%q, %v", tokens, err)
	}
	for _, ids := range [][]int32{{7, 8}, {}} {
		if tokens, err := c.Spell(t.Context(), ids); err == nil || sdk.ReasonOf(err) != sdk.ReasonInternal || tokens != nil {
			t.Errorf("one token for %d ids: %q, %v", len(ids), tokens, err)
		}
	}
}

func TestTextThatProtobufRefusesNamesItsField(t *testing.T) {
	c, _ := serve(t, &foreign{})
	_, tokenize := c.Tokenize(t.Context(), "\xff")
	_, embed := c.Embed(t.Context(), sdk.EmbedRequest{Texts: []string{"\xff"}})
	for field, err := range map[string]error{
		"text":  tokenize,
		"texts": embed,
		"stop": c.Generate(t.Context(), sdk.GenerateRequest{HasText: true, Stop: []string{"a\xc3"}},
			func(sdk.Event) error { return nil }),
	} {
		var e *sdk.Error
		if !errors.As(err, &e) || e.Reason != sdk.ReasonInvalid || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
