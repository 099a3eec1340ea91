// Package cuda is the tensor library: tensors, the devices they lie on, and the steps that compute with them.
//
// # Tensors
//
// A [Tensor] is a small value that views contiguous row-major elements in the memory of one device. Heads, Flat and Slice
// look at the same elements under another shape. A view never owns its memory and a view that does not fit is the zero
// Tensor, which every op refuses, so a forward pass is written without an error in every line.
//
// A checkpoint's tensors are [Weight]s: handles whose truth is the mapped file and which may have copies on devices. A matrix
// of 8-bit floats points at the scales of its blocks and is otherwise like any other; see [Tensor.Scaled]. What
// ops change (a kv cache, a recurrent state) is a [State]; it lies on one device and moves with its [Module], the unit of
// placement.
//
// # Devices
//
// A [Device] is memory with a budget, copies to and from this process, and a table of [Ops]. [NewCPU] is the device
// everybody has; its kernels are in cuda/cpu. Package cuda/far is a second one for tests of placement. A device never computes
// on memory that is not its own: its ops check, and give an error.
//
// # Steps
//
// A [Step] runs forward passes over several devices. Its methods are the list of ops. An op with a weight or a state runs
// where the module of that was entered, any other where the layer is; an activation that lies elsewhere is copied there
// once and remembered. EnterLayer is the hook of placement: with nothing to do it is one atomic load, otherwise it asks
// the [Residency].
//
// Activations have no names and are never freed. What is made before the first layer lasts for the step, what layer i
// makes lasts until layer i+1 ends: two arenas in turn. Work done in parts gives their memory back with Mark and Rewind. Use
// after that is an error, not a wrong number. Measure runs a pass that computes nothing and says how large the arenas must
// be; Reserve takes them from a device's budget. After a few passes a step allocates nothing on the Go heap.
//
// # What may fail when
//
// Shapes of weights are checked when a model is bound, shapes of activations by the ops. Within a pass the first error
// sticks to the step, with layer, op and weight; later ops do nothing, and End gives it. It may be a shape, an index out of
// range (a token, a row, a block), a weight that is not where its module was entered, an activation used after its time,
// no room for a batch larger than was measured, or what a device or the Residency says. The next Begin forgets it.
// Alloc gives a *[BudgetError] when the budget does not allow it. Nothing here panics on what callers pass.
//
// # Same bits
//
// Rows are independent in every op: a row's result is the same to the bit whatever rows are computed with it, however
// they are cut into batches, on however many threads and, between devices that use one kernel table, wherever its layers
// lie. One op asks something of its batches: prompts that go through [Step.DeltaRule] are cut at multiples of 64 positions.
// Attention in tiles ([Step.AttendTile]) takes keys in groups of 64 from position 0, as attention over a cache does.
// [CPUKernels] names the table; between tables results agree within the bounds that the tests state.
//
// # Adding an op
//
// Say what it is in cuda/cpu/ref.go, in plain Go. Give it a method on Step in ops.go, with formula and shapes, and one in
// Ops. Implement that in hostops.go by a method of cpu.Pool (cuda/cpu/ops.go), which checks sizes and indices and calls a
// kernel in cuda/cpu/template.h or a file beside it, or the specification itself where speed does not matter. Test it in cuda/cpu against the
// specification, alone and in batches, with a bound that its own rounding explains, and in cuda/far for operands elsewhere.
package cuda
