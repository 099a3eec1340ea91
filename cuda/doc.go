// Package cuda is the tensor library: tensors, the devices they lie on, and the steps that compute with them.
//
// # Tensors and matrices
//
// A [Tensor] is a small value that views contiguous row-major elements in the memory of one device. Heads, Flat and Slice
// look at the same elements under another shape. A view never owns its memory and a view that does not fit is the zero
// Tensor, which every op refuses, so a forward pass is written without an error in every line.
//
// Weights are matrices. A [Matrix] lies in memory as its [Layout] says: planes of blocks, of which elements one after the other, as most
// files have them, are the simplest. A [Weight] is a handle on one: its truth is the mapped file and it may have copies on devices, each in
// the layout that the device wants. What ops change (a kv cache, a recurrent state) is a [State]; it lies on one device and moves with its
// [Module], the unit of placement. A [Mixture] is the experts of a layer, each a module of its own.
//
// # Devices and queues
//
// A [Device] is memory with a budget. A [Queue] is work on one: ops, copies, frees, in order, now or later. It has no error results: it keeps
// the first error and tells it at Sync. Between queues an [Event] says how far one has come. Package cuda/cpu is the device everybody has, and
// runs everything at once; it is a device like any other, but that its tensors are those of this process and that a matrix in the file's
// form needs no copy. Package cuda/far stands in for a GPU in tests, at once or late; late it finds what a GPU would punish: a read before a
// copy has arrived, memory used after it was freed, a wait that is missing.
//
// # Steps
//
// A [Step] runs forward passes over several devices. Its methods are what a model computes with. An op with a weight or a state runs
// where the module of that was entered, any other where the layer is; an activation that lies elsewhere is copied there
// once and remembered. EnterLayer is the hook of placement: with nothing to do it is one atomic load, otherwise it asks
// the [Residency], which says where the layer's weights are and what to wait for. Nothing waits for a device in the middle of a pass: End
// does, once. Where a mixture's rows go is told to the Residency after that.
//
// Activations have no names and are never freed. What is made before the first layer lasts for the step, what layer i
// makes lasts until layer i+1 ends: two arenas in turn. What only a part of a layer needs, between StartPart and EndPart, lasts until the
// next part: one arena for all. Work done in many pieces gives their memory back with Mark and Rewind. Use after that is an error, not a wrong number. Measure runs a pass that computes nothing and says how large the arenas must
// be; Reserve takes them from a device's budget. After a few passes a step allocates nothing on the Go heap.
//
// # What may fail when
//
// Shapes of weights are checked when a model is bound, shapes of activations by the ops, integers that look something up once, where they
// come in ([Step.Input], [Step.Pages]). Within a pass the first error sticks to the step, with layer, op and weight; later ops do nothing,
// and End gives it. It may be a shape, an index out of range, a weight that is not where its module was entered, an activation used after
// its time, no room for a batch larger than was measured, or what a queue or the Residency says. The next Begin forgets it.
// Alloc gives a *[BudgetError] when the budget does not allow it. Nothing here panics on what callers pass.
//
// # Same bits
//
// Rows are independent in every op: a row's result is the same to the bit whatever rows are computed with it, however
// they are cut into batches, on however many threads and, between devices that use one kernel table, wherever its layers
// lie and in whatever layout, where that keeps all bits of a weight. One op asks something of its batches: prompts that go through
// [Step.DeltaRule] are cut at multiples of 64 positions. Attention in tiles ([Step.AttendTile]) takes keys in groups of 64 from position 0,
// as attention over a cache does. Between kernel tables results agree within the bounds that the tests state.
//
// Activations and caches are in f32, or in bf16 where whoever makes them says so, caches also in codes of 8 bits (Q8Row): an op computes in
// f32 and rounds what it gives.
//
// # Adding an op
//
// An op stands in four places, which a test holds together (TestAnOpStandsInFourPlaces in cuda/cpu):
//
//  1. a line of the list in op.go, with its operands in order;
//  2. a method of Step in ops*.go, with formula and shapes: a few lines, since call.go does what all ops have in common;
//  3. what it computes in plain Go, in cuda/spec;
//  4. its kernel, run_NAME in a header of cuda/cpu, after "make generate" has written the list for C.
//
// Test it in cuda/cpu against the specification, with a bound that its own rounding explains. Any number of rows and threads, activations in
// bf16 and operands elsewhere are tested for every op of the list (everyop_test.go); sample in sample_test.go wants to know what operands it takes.
package cuda
