package sdk

import "time"

// Order is what the host says on the Scheduler stream; exactly one of the pointer fields is set.
type Order struct {
	ID     uint64 // answered by Report.Done with the same ID
	Budget *BudgetOrder
	Move   *MoveOrder
	Query  *QueryOrder
	Cores  *CoresOrder // for a CoreSharer, which the sdk tells; Schedule does not see it
}

// BudgetOrder changes what the process may hold on a device. By Deadline it must hold no more than Bytes.
type BudgetOrder struct {
	Device   string
	Bytes    int64
	Deadline time.Duration // from receipt
	// AsFar has the order obeyed as far as that can be: the budget becomes the least that works where Bytes is less. Without it such an
	// order is refused. The report that answers says what the budget is.
	AsFar bool
}

// MoveOrder moves one module. It takes effect at the next border of the forward pass; Done comes when it has.
type MoveOrder struct {
	Module string
	Device string
}

// QueryOrder asks for a Report with every module listed.
type QueryOrder struct{}

// CoresOrder says on how many of the machine's cores the process computes from its next piece of work on.
type CoresOrder struct {
	Cores int // at least 1; Threads of Load stay the most
}

// Report is what the plugin says on the Scheduler stream.
type Report struct {
	Done *OrderDone
	// Progress grows whenever work advances: a layer entered, a piece of a picture, a prompt tokenized, a part loaded. A host
	// ends a process that has requests on board and whose progress stands still for minutes. 0: the plugin does not tell.
	Progress              uint64
	Devices               []DeviceReport
	Modules               []ModuleReport // only in answer to a Query
	Moves                 uint64         // modules moved so far, by order or by the residency manager itself
	Prefetches, Evictions uint64
	// Experts entered that lay on their layer's device, and that did not; those of layers on the CPU count as neither.
	ExpertHits, ExpertMisses uint64
	// Pictures that were looked at, and that were sent again while it was remembered what was seen of them.
	PicturesSeen, PicturesReused uint64
	// Bytes of weights that are copied to devices again and again, and how many of them are copied from where they lie, by the link alone.
	Fetched, Registered int64
	Preemptions         uint64 // requests that lost their place and came back to another
	Prefix              PrefixReport
	Spill               SpillReport
	Running, Waiting    int     // requests on board
	StateUsed           float64 // share of the cache's blocks in use
}

// PrefixReport is what the prefix cache has done, in positions of prompts. All but Kept only grow.
type PrefixReport struct {
	Queried uint64 // looked for
	Found   uint64 // and not computed
	Kept    int64  // held now for prompts to come
	Thrown  uint64 // held and given up
}

// SpillReport is what went to the host's memory, since a cache on other devices had no room for it. All but Budget and Used only grow.
type SpillReport struct {
	Budget  int64  // bytes that there may be of it now
	Used    int64  // bytes that are taken
	Out     uint64 // bytes copied there
	Back    uint64 // and back
	Saved   uint64 // positions that were not computed again because of that
	Resumed uint64 // positions of requests that lost their place and did not have to be computed again, spilled or not
	Dropped uint64 // bytes that gave way to others
}

// OrderDone answers one order. Error is empty if it was carried out.
type OrderDone struct {
	ID    uint64
	Error string
}

// DeviceReport is the memory of one device as this process sees it.
type DeviceReport struct {
	Name   string
	Budget int64
	Used   int64 // counted against the budget; a cache counts from the time it is reserved
	Peak   int64 // the most that was ever used at once
	// Resident is the memory that the process really has there: of a cache and of mapped weights what was touched. 0: unknown.
	Resident int64
	// Free is what the process could take of the device's memory now, if its budget allowed it, and Total what the device has, whoever
	// uses the rest; both 0 if the process does not know. They are told of devices whose memory other processes take, too.
	Free, Total int64
	// Slower is how many times as long as its rates say the device takes for what the model computes there, as passes were measured, and CopyRate
	// the bytes per second at which weights come to it. 0: not measured.
	Slower, CopyRate float64
	// Lost says why the process cannot use the device any more; empty: it can. A host ends the process then, and loads anew without the device.
	Lost string
}

// ModuleReport says where one module is computed and where its weights lie.
type ModuleReport struct {
	ID       string
	Device   string   // where it is computed
	Resident []string // devices that hold its weights now
	Seconds  float64  // measured time of one pass on Device, an exponential mean
}
