package cuda

// queue.go holds what a queue is: work on one device, done in order, now or later. A Step has one for each of its devices, whoever
// brings weights has others. Nothing here gives an error at once: a queue keeps the first it meets, does no more after it, and tells
// it at Sync.

// Queue is work in order. One goroutine at a time may add to it. What an op reads must have been made by what is before it in this queue,
// or be waited for; what it uses must stay until it has run.
type Queue interface {
	// Run adds an op, which is copied.
	Run(op *Op)
	// CopyIn fills dst, which lies on the device, from src in the memory of this process, which must stay as it is until the copy is
	// made. CopyOut is the other way round. The tensors have as many bytes.
	CopyIn(dst, src Tensor)
	CopyOut(dst, src Tensor)
	// Fill brings a matrix from the memory of this process to the device, into the layout that dst has.
	Fill(dst, src Matrix)
	// Free gives memory back once all that is before it has run.
	Free(m Memory)
	// Mark is an event that happens once all that is before it has run; nil if that is already so.
	Mark() Event
	// Wait lets what is added after it run only when an event has happened. A nil event has.
	Wait(e Event)
	// Sync waits until all has run, gives the first error there was, and forgets it.
	Sync() error
	// Close ends the queue. Nothing may be in it.
	Close()
}

// Starter is a Queue that keeps what is added to it until somebody waits, or until Start. What is added after that is another piece of work to
// it, so that only who has something else to do meanwhile should ask.
type Starter interface{ Start() }

// Neighbour is a Queue that can take a tensor from another device's memory, with nothing of this process's between.
type Neighbour interface {
	// CopyFrom adds a copy of src, which is made in the other device's queue, to dst, which lies on this device, and says whether it can. What
	// is added to the other queue afterwards runs after the copy.
	CopyFrom(dst, src Tensor, from Queue) bool
}

// Event is something that happens once: a copy has arrived, a queue has come so far.
type Event interface {
	// Happened does not wait.
	Happened() bool
	// Wait blocks until it has, and says if it cannot be relied on: a copy that failed. A queue that waits for it keeps the error.
	Wait() error
}
