// A batch: the rows of one forward pass, of one or many sequences.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Batch is what a model's Forward is given. Rows of one sequence stand together, in the order of their positions.
type Batch struct {
	cuda.Pages             // the rows' positions, sequences and cache blocks
	Tokens     cuda.Tensor // (rows) i32
	Outputs    cuda.Tensor // (outputs) i32: the rows whose hidden state is wanted
	Slots      cuda.Tensor // (rows) i32: the sequence's slot in states of a fixed size, which begins anew at position 0
	Forms      cuda.Tensor // (rows) i32: the row's Form
	Caches     []*Cache    // of each decoder layer
	Segments   []Segment   // the rows by sequence and form; they cover all rows in order

	// Of models that see; both are the zero value for others.
	Axes   cuda.Tensor // (rows, 3) i32: the rope's positions in time, row and column; zero where all three are Positions
	Visual Visual
}

// Visual is what rows that stand for pieces of pictures are given in place of a token's embedding. Without such rows in a
// batch it is the zero Visual.
type Visual struct {
	Rows cuda.Tensor // (n) i32: which rows of the batch
	// Features are (n, hidden) each: the first replaces the embedding, the others are added behind decoder layers 0, 1, ..
	// (DeepStack).
	Features []cuda.Tensor
}

// Form says how a position came into its sequence. Where a formula has two forms that differ in their last bits, the
// position's form decides, so that a replay computes the same.
type Form uint8

// The two forms.
const (
	Prefill Form = iota // part of the prompt
	Decode              // generated
)

// Segment is a run of rows of one sequence in one form.
type Segment struct {
	Seq      int // row of Tables
	From, To int // rows From..To-1 of the batch
	Start    int // position of row From
	Form     Form
}
