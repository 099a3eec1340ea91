package sdk

import "context"

// Plugin is the required core. Its methods may be called concurrently, but Load comes before any of the others that need
// a model, and is called once.
type Plugin interface {
	// Describe says who this is. It must be quick, needs no model and touches no GPU.
	Describe() Description

	// Inspect reads a checkpoint's headers and says whether the plugin can run it and what it would take. It must not
	// load weights. A checkpoint of another family is not an error: it answers Fit == FitNone with a Reason.
	Inspect(ctx context.Context, req InspectRequest) (Inspection, error)

	// Load makes the model ready. progress may be called from any goroutine, and not after Load has returned.
	Load(ctx context.Context, req LoadRequest, progress func(Progress)) (LayerTable, error)

	// Generate produces one answer. send must be called from one goroutine at a time: first a Start event, then one
	// event per sampled id, then exactly one Finish. When ctx ends or send fails, Generate stops at the end of the
	// running step and returns the context's error.
	Generate(ctx context.Context, req GenerateRequest, send func(Event) error) error
}

// Unloader frees what Load took. It is called once, after a Load that succeeded, when no call uses the model any more. Without
// it the memory is freed with the process, which the host ends next.
type Unloader interface {
	Unload(ctx context.Context) error
}

// Drainer is told that nothing new is admitted, which the sdk sees to. It is called after a Load that succeeded. With or
// without it the sdk waits for the calls under way.
type Drainer interface {
	Drain(ctx context.Context) error
}

// Forwarder exposes logits. Sequences are named by the host; all methods return ReasonNotFound for an unknown name.
type Forwarder interface {
	OpenSequence(ctx context.Context, seq string) error
	ForkSequence(ctx context.Context, from, to string) error
	CloseSequence(ctx context.Context, seq string) error
	// Forward appends tokens to a sequence and returns the logits of the rows asked for, in the order asked.
	Forward(ctx context.Context, req ForwardRequest) (ForwardResult, error)
}

// Embedder turns texts into vectors.
type Embedder interface {
	Embed(ctx context.Context, req EmbedRequest) (EmbedResult, error)
}

// Tokenizer exposes the model's tokenizer.
type Tokenizer interface {
	Tokenize(ctx context.Context, text string) ([]int32, error)
	Detokenize(ctx context.Context, ids []int32) (string, error)
}

// Speller tells how the vocabulary writes tokens: "Ġthe" where the text is " the".
type Speller interface {
	// Spell returns one string for each id, empty where there is no such token.
	Spell(ctx context.Context, ids []int32) ([]string, error)
}

// Renderer renders a chat through the checkpoint's own template.
type Renderer interface {
	Render(ctx context.Context, chat Chat) (string, error)
}

// Scheduled is a plugin that holds memory the host may give and take. Schedule runs for the life of the process, from
// the handshake on; it returns when ctx ends, and orders is not closed. report may be called from several goroutines: an order
// that waits for its turn must not hold up reports, whose Progress shows that the plugin works. Without it the sdk answers the
// orders.
type Scheduled interface {
	Schedule(ctx context.Context, orders <-chan Order, report func(Report) error) error
}

// Advancing is a plugin without Schedule that tells whether its work advances between the events of its answers, such as in a long
// prompt: the sdk reports it each second. A host ends a process that somebody waits for and whose work stands still; of one
// that does not tell it can only see the events, and is more patient with it.
type Advancing interface {
	// Progress grows whenever work advances, however little, and is more than 0. It must not wait for the work.
	Progress() uint64
}

// CoreSharer is a plugin that computes on as many of the machine's cores as the host says, so that models which work at the same time
// do not get in each other's way. Without it a plugin keeps the Threads of its Load, and the system divides.
type CoreSharer interface {
	// UseCores says on how many cores to compute from the next piece of work on, at least 1; Threads of Load stay the most. It may be
	// called at any time, also before Load and during it, from several goroutines, and must not wait for the work. No answer
	// may depend on it.
	UseCores(n int)
}

// Capability names an ability in Description.Capabilities.
type Capability string

// The capabilities of protocol major 1, each with the interface it is derived from.
const (
	CapabilityUnload   Capability = "unload"   // Unloader
	CapabilityDrain    Capability = "drain"    // Drainer
	CapabilityForward  Capability = "forward"  // Forwarder
	CapabilityEmbed    Capability = "embed"    // Embedder
	CapabilityTokenize Capability = "tokenize" // Tokenizer
	CapabilitySpell    Capability = "spell"    // Speller
	CapabilityRender   Capability = "render"   // Renderer
	CapabilitySchedule Capability = "schedule" // Scheduled
	CapabilityCores    Capability = "cores"    // CoreSharer
)

// Capabilities lists what p implements beyond the core, in the order above.
func Capabilities(p Plugin) []Capability {
	var list []Capability
	add := func(ok bool, c Capability) {
		if ok {
			list = append(list, c)
		}
	}
	_, ok := p.(Unloader)
	add(ok, CapabilityUnload)
	_, ok = p.(Drainer)
	add(ok, CapabilityDrain)
	_, ok = p.(Forwarder)
	add(ok, CapabilityForward)
	_, ok = p.(Embedder)
	add(ok, CapabilityEmbed)
	_, ok = p.(Tokenizer)
	add(ok, CapabilityTokenize)
	_, ok = p.(Speller)
	add(ok, CapabilitySpell)
	_, ok = p.(Renderer)
	add(ok, CapabilityRender)
	_, ok = p.(Scheduled)
	add(ok, CapabilitySchedule)
	_, ok = p.(CoreSharer)
	add(ok, CapabilityCores)
	return list
}
