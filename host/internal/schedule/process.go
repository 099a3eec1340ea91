// process.go is what the supervisor needs of a running plugin, so that its rules can be tested without binaries.
package schedule

import (
	"context"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// Process is a started plugin. Calls fail with client.ErrGone once it is dead.
type Process interface {
	Describe(ctx context.Context) (sdk.Description, error)
	Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error)
	Load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error)
	Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error
	Tokenize(ctx context.Context, text string) ([]int32, error)
	Detokenize(ctx context.Context, ids []int32) (string, error)
	Spell(ctx context.Context, ids []int32) ([]string, error)
	Render(ctx context.Context, chat sdk.Chat) (string, error)
	Embed(ctx context.Context, req sdk.EmbedRequest) (sdk.EmbedResult, error)
	OpenSequence(ctx context.Context, seq string) error
	ForkSequence(ctx context.Context, from, to string) error
	CloseSequence(ctx context.Context, seq string) error
	Forward(ctx context.Context, req sdk.ForwardRequest) (sdk.ForwardResult, error)
	Schedule(ctx context.Context) (Stream, error)
	Health(ctx context.Context) error

	Done() <-chan struct{} // closed when the process has ended
	Exit() process.Exit    // valid after Done
	Stop(ctx context.Context) error
	Kill()
	Nice(n int) error // to other processes, in what the system's scheduler gives; 0 is as nice as the host
	PID() int
	Path() string
}

// Stream is the host's end of the Scheduler stream.
type Stream interface {
	Send(sdk.Order) error
	Recv() (sdk.Report, error)
}

// Running makes a Process of a started one.
func Running(p *process.Process) Process { return running{p, p.Client()} }

type running struct {
	*process.Process
	*client.Client
}

func (r running) Health(ctx context.Context) error { return r.Client.Health(ctx) } // both have it

func (r running) Schedule(ctx context.Context) (Stream, error) {
	s, err := r.Client.Schedule(ctx)
	if err != nil {
		return nil, err // not s: a nil pointer in an interface is not nil
	}
	return s, nil
}
