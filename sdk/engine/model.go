// model.go is the seam between serving and arithmetic: what a step is, and what the engine needs to know of a model.

package engine

import (
	"fmt"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// Form is the arithmetic a row is computed in, where two forms differ by nature.
type Form uint8

// The forms: prompt positions are computed in Prefill form, positions of the answer in Decode form.
const (
	Prefill Form = iota
	Decode
)

func (f Form) String() string {
	if f == Decode {
		return "decode"
	}
	return "prefill"
}

// Row is one position of one sequence in a step.
type Row struct {
	Token, Pos int32
	Seq        int32 // the sequence's slot, below MaxSequences; it keeps the slot while it is on board
	Form       Form
	Output     bool // logits are wanted
	Final      bool // of an Output: in place of logits its final state is
	// Choice is what the logits of an Output are for, if it is one id and nothing else. A model may make it where the logits lie.
	Choice *Choice
}

// Copy has what one sequence computed used by another, or again by itself: the cache of a block, or a state of a fixed size as it is now.
type Copy struct {
	State    bool
	Host     Host  // only of a Spiller other than Within
	From, To int32 // blocks; of a state slots, or places for snapshots, which are numbered from Config.MaxSequences on; on the host places of Spiller.Take
}

// Batch is the rows of one step. Its slices are reused for the next.
type Batch struct {
	Copies []Copy // to be made in this order, before the rows are computed
	Rows   []Row
	Tables [][]int32 // by Row.Seq: the blocks of the sequence's positions; nil for slots without rows
	Media  [][]Media // by Row.Seq: what the sequence's prompt has besides text
}

// Model computes steps. It is called from one goroutine.
type Model interface {
	// Step writes the rows' keys, values and state to the cache and returns the logits (Vocab) of each Output row, or its final
	// state (Hidden), in the order of the rows; nil for a row whose Choice it has made. They stay the engine's until the next Step, and it may
	// overwrite them. After an error the engine fails the sequences of this batch and goes on with others.
	Step(b *Batch) (logits [][]float32, err error)
}

// Config fixes an engine's limits.
type Config struct {
	Blocks       int // blocks of the cache
	MaxSequences int // slots: sequences that may have a place in the cache at once
	StepTokens   int // rows of a step at most
	Context      int // positions prompt and answer may have together
	Vocab        int
	Hidden       int // elements of a final state; 0: the model gives none
	// PrefixCache lets equal beginnings of prompts share blocks: of sequences on board, and of those that Keep freed blocks still
	// hold.
	PrefixCache bool
	Keep        int
	// OneForm says that a position of a prompt and one of an answer are computed alike, so that a prompt finds the blocks of the
	// answer that it repeats.
	OneForm bool
	// Stateful says that a sequence also has a state of a fixed size in its slot, which begins anew at position 0. Snapshots is how
	// many copies of such states are kept for the prefix cache, which finds nothing without.
	Stateful  bool
	Snapshots int
	// ChunkMultiple is where chunks of a prompt may end, 0 for BlockSize. It divides BlockSize.
	ChunkMultiple int
	// StepTime is how long a step with answers under way should take at most: so many rows of prompts go along. 0: as many as fit.
	StepTime time.Duration
	// PromptLogprobs says that the model gives up to MaxSequences-1+BlockSize rows of logits in a step, as Request.ScorePrompt
	// needs: a block of a prompt beside the answers under way. Without it a step asks for one row of each sequence at most.
	PromptLogprobs bool
	// Cores is on how many cores ids may be chosen now, for a step that has several answers; nil: as many as Go has. It is called between steps.
	Cores func() int
	// Hold, a gate for tests, is called on the caller's goroutine after the token of that index was emitted. The sequence
	// waits until it returns.
	Hold func(index int)
}

func (c *Config) validate() error {
	switch {
	case c.Blocks < 1 || c.MaxSequences < 1 || c.Vocab < 1:
		return fmt.Errorf("engine: blocks (%d), sequences (%d) and vocabulary (%d) must be at least 1", c.Blocks, c.MaxSequences, c.Vocab)
	case c.Context < 2:
		return fmt.Errorf("engine: a context of %d positions has no room for a prompt and an answer", c.Context)
	case c.ChunkMultiple < 0 || c.ChunkMultiple > 0 && BlockSize%c.ChunkMultiple != 0:
		return fmt.Errorf("engine: chunks that end at multiples of %d do not meet blocks of %d", c.ChunkMultiple, BlockSize)
	case c.StepTokens < c.MaxSequences-1+BlockSize:
		// so that a prompt always has room for a chunk beside the decode rows of all others
		return fmt.Errorf("engine: %d rows per step are too few for %d sequences; at least %d are needed",
			c.StepTokens, c.MaxSequences, c.MaxSequences-1+BlockSize)
	}
	return nil
}

// chunk is what chunks of prompts are multiples of.
func (c *Config) chunk() int {
	if c.ChunkMultiple == 0 {
		return BlockSize
	}
	return c.ChunkMultiple
}

// Sweeper is a Model that can give back the memory of blocks that hold nothing. Sweep is called between steps, after the engine
// had nothing to do for a while.
type Sweeper interface{ Sweep(blocks []int32) }

var errDraining = sdk.Errorf(sdk.ReasonState, "the model is draining; it takes no new requests")

var errClosed = &sdk.Error{Reason: sdk.ReasonState, Message: "the engine is closed"}
