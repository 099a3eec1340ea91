// Quantised weights: which of them a model has, and how they are made of those that a checkpoint has.

package nn

import (
	"fmt"
	"io"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// PackedVersion is the version of what is made of weights: of the bytes, not of the code. Quantised weights are kept in files, and those of another
// version are made anew.
const PackedVersion = 1

// formOf is the form that a weight is quantised to, and nil for what stays in the file's:
//
//   - vectors, and what is no map of rows, such as a convolution's window;
//   - what a model tags with keep: a router, for another expert is no rounding; the maps that say how much a state forgets, whose errors
//     add up over a sequence; tables that are read in parts;
//   - what would not become a quarter smaller than in bf16, since blocks are whole: gates of one row, narrow maps.
//
// All else is a linear map, an expert, an embedding or a head, and has the form that was asked for. In q4 that is so for the decoder layers
// and for embedding and head; what else a model has, such as the tower of one that sees, is in q8: a token never reads it, and a picture's
// errors reach every token after it.
func formOf(l leaf, quantise string) *cuda.Layout {
	if quantise == cuda.Q4 && !strings.HasPrefix(l.path[0], "layers") && l.path[0] != "embed_tokens" && l.path[0] != "lm_head" {
		quantise = cuda.Q8
	}
	form, shape := cuda.Quantised(quantise), l.weight.Shape
	if form == nil || l.keep || len(shape) != 2 || 4*form.DeviceBytes(shape[0], shape[1]) > 3*cuda.Plain(cuda.BF16).DeviceBytes(shape[0], shape[1]) {
		return nil
	}
	return form
}

// formsOf is the form of each leaf; nil is the file's.
func formsOf(leaves []leaf, quantise string) ([]*cuda.Layout, error) {
	forms := make([]*cuda.Layout, len(leaves))
	if quantise == "" {
		return forms, nil
	}
	if quantise != cuda.Q8 && quantise != cuda.Q4 {
		return nil, fmt.Errorf("weights are quantised to %q or %q, not %q", cuda.Q8, cuda.Q4, quantise)
	}
	for i, l := range leaves {
		forms[i] = formOf(l, quantise)
	}
	return forms, nil
}

// unquantised is a weight whose data is still to be made.
type unquantised struct {
	leaf
	file  cuda.Matrix    // without a layout: coded has the numbers, or from invents it when it is asked
	coded weights.Coded  // nil: file or from has them
	from  weights.Source // of names of its own
	block [2]int         // of scales, rows and columns
}

// read is the weight as its source has it.
func (u unquantised) read() (cuda.Matrix, error) {
	if !u.file.IsZero() {
		return u.file, nil
	}
	f := finder{src: u.from, block: u.block, used: map[string]bool{}}
	m, _ := f.find(u.leaf)
	if f.report.any() {
		return m, &f.report
	}
	return m, nil
}

// QuantisedBytes is what the quantised weights take.
func (b *Bound) QuantisedBytes() (n int64) {
	for _, u := range b.later {
		n += u.weight.Bytes()
	}
	return n
}

// QuantisedModules is what the quantised weights of each module take that has any, in the order in which Quantise makes them.
func (b *Bound) QuantisedModules() (bytes []int64) {
	for rest := b.later; len(rest) > 0; {
		module := rest[:sameModule(rest)]
		rest, bytes = rest[len(module):], append(bytes, bytesOf(module))
	}
	return bytes
}

// Recipe writes what of a model its quantised weights depend on besides the numbers of the source: which there are, of what sizes and in what forms.
func (b *Bound) Recipe(w io.Writer) {
	for _, u := range b.later {
		m := u.weight.File()
		fmt.Fprintf(w, "%q %q %d x %d in %s\n", u.weight.Module.ID, u.name, m.Rows, m.Cols, m.Layout.Name)
	}
}

// Room is memory for quantised weights that may have them already: it keeps what is made.
type Room interface {
	// Module is the memory of one of QuantisedModules, and whether its weights are there.
	Module(i int) (mem cuda.Memory, made bool)
	// Made says that they are there now.
	Made(i int) error
}

// RoomError is a Room's: what was made there is worth nothing.
type RoomError struct{ Err error }

func (e *RoomError) Error() string { return e.Err.Error() }
func (e *RoomError) Unwrap() error { return e.Err }

// Quantiser says how weights are quantised.
type Quantiser struct {
	Device cuda.Device // who computes, and whose memory they take: one that works on the memory of this process
	Room   Room        // that they lie in instead; nil: none

	Stop func() error      // asked before each piece, whose error ends it; nil never does
	Read func(file []byte) // told of what will not be read again; nil: nobody wants to know
	Done func(bytes int64) // told what is made so far; nil: nobody wants to know

	wide []float32 // a piece of what was codes
}

// pieceBytes is what is read of a matrix before the next look at Stop, and what is there of it beside what is made: some 10 ms of work.
const pieceBytes = 4 << 20

// Quantise makes the weights that Bind has left out, each module's in a piece of memory of its own, which the caller frees; or in a room, of
// which nothing is to be freed. After an error it may be called again.
func (b *Bound) Quantise(z Quantiser) (made []cuda.Memory, err error) {
	q := z.Device.NewQueue()
	defer q.Close()
	defer func() {
		if err == nil {
			return
		}
		for _, m := range made {
			z.Device.Free(m)
		}
		made = nil
	}()
	done, rest := int64(0), b.later
	for i := 0; len(rest) > 0; i++ {
		module := rest[:sameModule(rest)]
		rest = rest[len(module):]
		if z.Room != nil {
			err = z.keep(q, module, i, done)
		} else {
			var mem cuda.Memory
			if mem, err = z.Device.Alloc(bytesOf(module), cuda.ForWeights); err != nil {
				return made, fmt.Errorf("the weights of %s: %w", module[0].weight.Module.ID, err)
			}
			made = append(made, mem)
			err = z.module(q, module, mem, done)
		}
		if err != nil {
			return made, err
		}
		done += bytesOf(module)
	}
	return made, nil
}

// keep makes the weights of a module in the room, unless they are there. done is what was made before it.
func (z *Quantiser) keep(q cuda.Queue, module []unquantised, i int, done int64) error {
	mem, made := z.Room.Module(i)
	if made {
		at := int64(0)
		for _, u := range module {
			m, err := layOut(z.Device, u, mem, at)
			if err != nil {
				return err
			}
			u.weight.Quantised(m)
			at += u.weight.Bytes()
		}
		z.tell(done + at)
		return nil
	}
	if err := z.module(q, module, mem, done); err != nil {
		return err
	}
	if err := z.Room.Made(i); err != nil {
		return &RoomError{fmt.Errorf("the weights of %s: %w", module[0].weight.Module.ID, err)}
	}
	return nil
}

// module makes the weights of a module.
func (z *Quantiser) module(q cuda.Queue, module []unquantised, mem cuda.Memory, done int64) error {
	at := int64(0)
	for _, u := range module {
		if err := z.make(q, u, mem, at, done+at); err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
		at += u.weight.Bytes()
	}
	return nil
}

// layOut is where a weight lies in a piece of memory.
func layOut(d cuda.Device, u unquantised, mem cuda.Memory, offset int64) (cuda.Matrix, error) {
	m := u.weight.File()
	return m.Layout.Lay(d, mem, offset, m.Rows, m.Cols)
}

func (z *Quantiser) tell(done int64) {
	if z.Done != nil {
		z.Done(done)
	}
}

// sameModule counts the weights of one module at the beginning.
func sameModule(list []unquantised) int {
	n := 1
	for n < len(list) && list[n].weight.Module == list[0].weight.Module {
		n++
	}
	return n
}

func bytesOf(list []unquantised) (n int64) {
	for _, u := range list {
		n += u.weight.Bytes()
	}
	return n
}

// make makes one weight at an offset of a piece of memory, piece by piece. done is what was made before it.
func (z *Quantiser) make(q cuda.Queue, u unquantised, mem cuda.Memory, offset, done int64) error {
	dst, err := layOut(z.Device, u, mem, offset)
	if err != nil {
		return err
	}
	src := cuda.Matrix{Rows: dst.Rows, Cols: dst.Cols, Layout: cuda.Plain(cuda.F32)}
	if u.coded == nil {
		if src, err = u.read(); err != nil {
			return err
		}
	}
	rows := pieceRows(dst, src)
	for from := 0; from < dst.Rows; from += rows {
		if z.Stop != nil {
			if err := z.Stop(); err != nil {
				return err
			}
		}
		end := min(from+rows, dst.Rows)
		switch {
		case fits(u.coded, dst.Layout.Name):
			err = z.recode(dst, u.coded.(weights.Whole), from, end)
		case keeps(u.coded) == dst.Layout.Name:
			z.reorder(dst, u.coded, from, end)
		case u.coded != nil:
			err = z.widen(q, dst, u.coded, from, end)
		default:
			err = z.piece(q, dst, src, from, end)
		}
		if err != nil {
			return err
		}
		z.tell(done + u.weight.Bytes()*int64(end)/int64(dst.Rows))
	}
	u.weight.Quantised(dst)
	return nil
}

// pieceRows is how many rows are made at a time: both matrices can be cut there.
func pieceRows(dst, src cuda.Matrix) int {
	both := cuda.Layout{Planes: append(append([]cuda.Plane(nil), dst.Layout.Planes...), src.Layout.Planes...)}
	step, row := both.RowStep(), max(1, src.Bytes()/int64(max(1, src.Rows)))
	return step * int(max(1, pieceBytes/row/int64(step)))
}

// piece makes some rows.
func (z *Quantiser) piece(q cuda.Queue, dst, src cuda.Matrix, from, to int) error {
	dst, err := dst.Slice(from, to)
	if err != nil {
		return err
	}
	if src, err = src.Slice(from, to); err != nil {
		return err
	}
	q.Fill(dst, src)
	if err := q.Sync(); err != nil {
		return err
	}
	if z.Read != nil {
		for i := range src.Layout.Planes {
			z.Read(src.Plane(i).Raw())
		}
	}
	return nil
}
