package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/weightcache"
	"github.com/inference-pio/inference-pio/sdk"
)

// quantise.go makes quantised weights, before anything is computed: every token of every answer is computed with the same ones, also after
// a restart. They are the CPU's memory, or lie in a file that the next load maps as it is. What is read of the checkpoint is given back piece by piece.

// quantiseAll makes all of them, or finds them kept, and tells of each percent.
func (i *instance) quantiseAll(ctx context.Context, f Family, req sdk.LoadRequest, progress func(sdk.Progress)) error {
	total := i.bound.QuantisedBytes()
	if total == 0 {
		return nil
	}
	if i.imagined.counted() {
		return i.outlineAll()
	}
	told := int64(-1)
	tell := func(bytes int64) {
		if percent := 100 * bytes / total; percent > told {
			told = percent
			progress(sdk.Progress{Stage: "quantize", Done: bytes, Total: total})
		}
	}
	z := nn.Quantiser{Device: i.cpu, Stop: ctx.Err, Read: i.readWhole, Done: tell}
	err := i.quantiseKept(ctx, f, req, z)
	var not *notKept
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &not):
		return err
	case not.why != nil:
		tellKept(not.why)
	}
	i.made, err = i.bound.Quantise(z)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return memoryError(err)
}

// notKept says that weights are to be made in memory: because nobody wants them kept, or because they cannot be.
type notKept struct{ why error }

func (e *notKept) Error() string { return fmt.Sprintf("weights are not kept: %v", e.why) }
func (e *notKept) Unwrap() error { return e.why }

// quantiseKept makes those in the file that keeps them which are not there.
func (i *instance) quantiseKept(ctx context.Context, f Family, req sdk.LoadRequest, z nn.Quantiser) error {
	if req.WeightCache.Folder == "" || i.checkpoint == nil {
		return &notKept{}
	}
	bytes := i.bound.QuantisedBytes()
	if err := i.cpu.Take(bytes, cuda.ForWeights); err != nil {
		return memoryError(fmt.Errorf("the quantised weights: %w", err))
	}
	tell := z.Done
	kept, err := i.openKept(ctx, f, req, tell)
	if err == nil {
		if z.Room = (keptRoom{kept, i.checkpoint}); kept.Whole() {
			z.Done = nil // there is nothing to make
		}
		if _, err = i.bound.Quantise(z); err == nil {
			err = kept.Finish(tellKept)
		}
		if err == nil {
			i.kept, i.found = kept, z.Done == nil
			tell(bytes)
			kept.Ahead(i.everyToken())
			kept.Check()
			return nil
		}
		err = i.spoiled(err, kept)
	} else {
		err = &notKept{err}
	}
	i.cpu.Give(bytes, cuda.ForWeights)
	return err
}

// spoiled closes a file that was not finished. What is the disk's fault need not be in vain; of what is there the next load takes what is whole, but
// not where the checkpoint has changed meanwhile, or the disk lost something.
func (i *instance) spoiled(err error, kept *weights.Packed) error {
	var room *nn.RoomError
	if !errors.As(err, &room) { // stopped, or the checkpoint is not what it should be
		return errors.Join(memoryError(err), kept.Close())
	}
	err = errors.Join(err, kept.Give(), kept.Close())
	if changed := i.checkpoint.Unchanged(); changed != nil {
		return sdk.Errorf(sdk.ReasonChanged, "%w", changed)
	}
	return &notKept{err}
}

func tellKept(err error) {
	if err != nil {
		slog.Warn("quantised weights are not kept: the next load makes them again", "error", err)
	}
}

// keptRoom is the file as the room of weights: what was made of a checkpoint that has changed is not noted.
type keptRoom struct {
	*weights.Packed
	source *weights.Checkpoint
}

func (k keptRoom) Made(i int) error {
	if err := k.source.Unchanged(); err != nil {
		return err
	}
	return k.Packed.Made(i)
}

// openKept opens the file, or begins it. While another process makes the same, it is waited for.
func (i *instance) openKept(ctx context.Context, f Family, req sdk.LoadRequest, others func(made int64)) (*weights.Packed, error) {
	folder := weightcache.Folder{Path: req.WeightCache.Folder, Most: req.WeightCache.Bytes}
	file, err := folder.Open(ctx, weightcache.Wish{
		Key: i.keptKey(f), Modules: i.bound.QuantisedModules(),
		About: weightcache.About{Model: req.Path, Quantize: req.Quantize, Plugin: f.Name + " " + f.Version},
	}, others)
	if err != nil {
		return nil, err
	}
	return weights.MapPacked(file)
}

// keptKey is a hash over all that the bytes of quantised weights depend on: how they are packed, the plugin, which may read another version of a checkpoint
// otherwise, the checkpoint's tensors and its config, which says what codes mean, and which weights there are in which forms. They do not depend on
// kernels: every table packs alike.
func (i *instance) keptKey(f Family) [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "packed %d by %q %q\n", nn.PackedVersion, f.Name, f.Version)
	fingerprint, config := i.checkpoint.Fingerprint(), sha256.Sum256(i.config)
	h.Write(fingerprint[:])
	h.Write(config[:])
	i.bound.Recipe(h)
	return [32]byte(h.Sum(nil))
}

// readWhole gives back pages of the file that nobody will read again.
func (i *instance) readWhole(file []byte) {
	if i.checkpoint != nil {
		i.checkpoint.Discard(file)
	}
}
