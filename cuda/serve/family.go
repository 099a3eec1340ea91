// Package serve is where a model meets the sdk: it turns a Model (weights and a Forward) into an sdk.Plugin. It loads
// checkpoints, plans and keeps residency, batches through sdk/engine and speaks text through sdk/text, so that the main of
// a plugin is one call of Main. Only plugins import it.
package serve

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/hfgguf"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Family is what a plugin says of itself: who it is, which checkpoints it runs, how it opens one.
type Family struct {
	Name          string   // as models.toml writes it
	Version       string   // semantic version of the plugin
	Architectures []string // class names in config.json
	// Open reads config.json and returns the model with its shapes and without weights. An error is about the file: it
	// names the key and what is expected.
	Open func(config []byte, o OpenOptions) (Model, error)
	// GGUF is how GGUF files have the architecture; nil: they are not read.
	GGUF *hfgguf.Architecture
	// Far is what a test has its far devices of; nil is a machine where they run at once.
	Far func(c *cpu.Device) *far.Machine
	// Imagined is the machine that a test has the plugin run on; nil is this one.
	Imagined *Imagined
}

// machine is where a loaded model's devices come from.
func (f Family) machine(c *cpu.Device) *far.Machine {
	if f.Far == nil {
		return far.NewMachine(c, far.Now())
	}
	return f.Far(c)
}

// OpenOptions change what is opened.
type OpenOptions struct {
	Layers int // only the first n decoder layers; 0 means all
	// Has says whether the checkpoint has a tensor, for models that are published in two spellings. Of weights that are
	// invented it says no; a model is then what the published one is.
	Has func(tensor string) bool
}

// Model is what a plugin's model.go gives. It is a pointer to a struct whose fields carry `weight` tags for nn.Bind. Its
// Forward is a function of weights, batch and caches and is called by one goroutine at a time.
type Model interface {
	Shape() Shape
	// Caches says what each decoder layer keeps of a sequence, in layer order.
	Caches() []nn.CacheSpec
	// Forward returns the final hidden rows of b.Outputs: (outputs, hidden).
	Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor
	// Unembed turns them into logits: (outputs, vocab).
	Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor
	// IgnoreTensor says whether a tensor of the checkpoint is known and not needed.
	IgnoreTensor(name string) bool
}

// Respeller is a Model that is also published with its tensors cut or joined in another way. Respell gives a source that
// answers to the names of the model's tags, and lists the names that Bind shall see.
type Respeller interface {
	Respell(src weights.Source) weights.Source
}

// Shape is what the engine and the planner need to know of a model.
type Shape struct {
	Vocab   int
	Context int // positions of the checkpoint
	Layers  int
	Hidden  int
	// TwoForms says that positions of prompts and of answers are computed in forms that differ in their last bits.
	TwoForms  bool
	Published bool // the dimensions of the published model, not only its architecture
	// Of a mixture: the experts of a layer, and how many of them a token is routed to. Their ids are layers.N.mlp.experts.E.
	Experts, ExpertsPerToken int
}
