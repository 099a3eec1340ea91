// need.go says what a model takes of the CPU's memory, and what of its wishes a number of bytes grants. The host divides by
// it and the plugin lays out its cache by it, so the two agree.
//
// Weights are mapped from the file and count all the same: what a token reads must stay in memory, or every token waits
// for the disk. Of the experts of a mixture a token reads a few, so the others may be left on the disk, which is slow and
// works, but for weights that are quantised, which are in memory alone. The cache counts as what it may grow to.

package plan

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Need is in bytes, where it is not in positions or sequences.
type Need struct {
	Weights     int64
	Active      int64 // of the weights, what cannot be left on the disk
	State       int64 // of fixed size, of all sequences, and the copies that are kept of it
	Scratch     int64 // activations, buffers, the tokenizer
	ScratchMost int64 // what scratch grows to if there is room: large pictures
	Position    int64 // of cache
	Context     int   // positions asked for; 0: as many as fit
	Positions   int   // of the checkpoint
	Sequences   int   // decoded together
	Spill       int64 // what the caches of other devices may spill to
}

// leastContext is what a model must have room for whose context nobody has set: with less it can hardly hold a
// conversation.
const leastContext = 4096

// NeedOf reads an inspection's table. req is what was inspected.
func NeedOf(t sdk.LayerTable, req sdk.InspectRequest) Need {
	n := Need{Context: min(req.Context, t.Context), Positions: max(1, t.Context), Sequences: max(1, t.MaxSequences), Scratch: t.ScratchBytes,
		ScratchMost: max(t.ScratchBytes, t.ScratchBytesMost)}
	for _, m := range t.Modules {
		n.Weights = add(n.Weights, m.WeightBytes)
		n.Active = add(n.Active, min(m.ActiveBytesToken, m.WeightBytes))
		n.Position = add(n.Position, m.StateBytesToken)
		n.State = add(n.State, mul(m.StateBytesSeq, int64(n.Sequences)+int64(max(0, t.Snapshots))))
	}
	if req.Weights == "dummy" || req.Quantize != "" || regular.InCodes(req.Path) { // they are in no file as they are computed with
		n.Active = n.Weights
	}
	return n
}

// WithSpill is n with so many bytes for what caches have no room for: no more than they are themselves.
func (n Need) WithSpill(bytes int64) Need {
	n.Spill = min(max(bytes, 0), add(n.State, n.cache(n.wantedPositions())))
	return n
}

// Known says whether the plugin has told what the model takes. One without tensors has no table.
func (n Need) Known() bool { return n.Weights > 0 || n.Position > 0 || n.State > 0 }

// Least is what the model cannot run with less of: one sequence of the full context.
func (n Need) Least() int64 {
	return add(add(n.fixed(), n.Active), n.cache(n.leastPositions()))
}

// Wanted is what the model has use for: all its weights in memory, and every sequence with the full context.
func (n Need) Wanted() int64 {
	return add(add(add(add(n.Weights, n.State), n.ScratchMost), n.cache(n.wantedPositions())), n.Spill)
}

func (n Need) fixed() int64 { return add(n.State, n.Scratch) }

func (n Need) cache(positions int64) int64 { return mul(n.Position, positions) }

func (n Need) leastPositions() int64 {
	if n.Context > 0 {
		return blocks(n.Context)
	}
	return blocks(min(n.Positions, leastContext))
}

func (n Need) wantedPositions() int64 {
	context := n.Context
	if context == 0 {
		context = n.Positions
	}
	return mul(blocks(context), int64(n.Sequences))
}

// blocks rounds positions up to whole blocks of the cache.
func blocks(positions int) int64 {
	const size = engine.BlockSize
	return (int64(positions) + size - 1) / size * size
}

// Fit is how a model uses its bytes.
type Fit struct {
	Context   int   // positions one sequence may have
	Positions int   // of cache, of all sequences together; whole blocks
	Weights   int64 // of them in memory
	Cache     int64
	State     int64
	Scratch   int64
	Spill     int64 // for what caches have no room for
}

// Fit lays a model out in that many bytes; false if they are less than Least. What is beyond goes to the weights that
// could be left on the disk, then to scratch and to cache, and a quarter of what the cache has use for to what it spills to.
func (n Need) Fit(bytes int64) (Fit, bool) {
	rest := bytes - n.Least()
	if rest < 0 {
		return Fit{}, false
	}
	f := Fit{Weights: n.Active + min(rest, n.Weights-n.Active), State: n.State, Scratch: n.Scratch}
	rest -= f.Weights - n.Active
	f.Scratch += min(rest/2, n.ScratchMost-n.Scratch)
	rest -= f.Scratch - n.Scratch
	positions := n.wantedPositions()
	f.Spill = min(n.Spill, max(rest/spillPart, rest-n.cache(positions)+n.cache(n.leastPositions())))
	rest -= f.Spill
	if n.Position > 0 {
		positions = min(positions, n.leastPositions()+rest/n.Position/engine.BlockSize*engine.BlockSize)
	}
	f.Positions, f.Cache = int(positions), n.cache(positions)
	if f.Context = n.Context; f.Context == 0 {
		f.Context = min(n.Positions, round(f.Positions))
	}
	return f, true
}

// spillPart of what a cache might have goes to what it spills to, if there is not enough for both.
const spillPart = 4

// Bytes adds up.
func (f Fit) Bytes() int64 { return f.Weights + f.Cache + f.State + f.Scratch + f.Spill }

// round makes a number of positions one that a person can remember.
func round(positions int) int {
	if positions >= 8192 {
		return positions &^ 1023
	}
	return positions &^ (engine.BlockSize - 1)
}

// Takes says what the least goes to.
func (n Need) Takes() string {
	parts := []string{size(n.Active) + " for weights", size(n.cache(n.leastPositions())) + fmt.Sprintf(" for a cache of %d positions", n.leastPositions())}
	if n.Active < n.Weights {
		parts[0] = fmt.Sprintf("%s for those of its %s of weights that a token reads", size(n.Active), size(n.Weights))
	}
	if n.State > 0 {
		parts = append(parts, fmt.Sprintf("%s for the state of %d sequences", size(n.State), n.Sequences))
	}
	return strings.Join(append(parts, size(n.Scratch)+" for scratch"), ", ")
}

// Advice says which key of the model's entry would make it fit that many bytes, or "" if none would.
func (n Need) Advice(bytes int64) string {
	if context := n.contextFor(bytes); context > 0 {
		return fmt.Sprintf("set context = %d", context)
	}
	if each := n.State / int64(n.Sequences); each > 0 {
		fewer := n
		fewer.Context, fewer.State = engine.BlockSize, 0
		if k := (bytes - fewer.Least()) / each; k > 0 && k < int64(n.Sequences) {
			fewer.State = k * each
			return fmt.Sprintf("set max_sequences = %d and context = %d", k, fewer.contextFor(bytes))
		}
	}
	return ""
}

// contextFor is the largest context of one sequence that fits, 0 if none does.
func (n Need) contextFor(bytes int64) int {
	n.Context = 1
	rest := bytes - n.Least() + n.cache(n.leastPositions())
	if n.Position == 0 || rest < n.cache(engine.BlockSize) {
		return 0
	}
	return min(n.Positions, round(int(min(rest/n.Position, 1<<31))))
}

// Size writes bytes as a person reads them: "1.5 GiB".
func Size(bytes int64) string { return size(bytes) }

// A plugin may tell any numbers: sums and products stop here, far beyond any machine and far from overflowing.
const ceiling = 1 << 60

func add(a, b int64) int64 { return min(a, ceiling-min(b, ceiling)) + min(b, ceiling) }

func mul(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi > 0 || lo > ceiling {
		return ceiling
	}
	return int64(lo)
}
