// Package schedule keeps the models of one host alive and hands requests to them.
//
// Each entry of models.toml is one model with one goroutine, its supervisor: it starts the plugin's process, opens the
// Scheduler stream, loads the checkpoint, watches, and starts again when the process dies. Requests wait for a model that
// is loading, survive its deaths, and end with it only when the host has given the model up.
//
// # What a death does
//
// A request's whole state is in the host: the prompt's ids, the ids received so far, the seed and the parameters. When the
// process dies the request waits for the next one and continues there; its client sees a pause.
//
// A request that was on board at two deaths is a suspect. While there are suspects they run one at a time, oldest first,
// and nobody else boards. A death with a single request on board is a strike against it; at three it fails, alone.
//
// The first restart comes at once, the following ones after 1, 2, 4 and so on up to 30 seconds; a request that finishes
// begins the count anew.
//
// # Quarantine
//
// Five failed starts in a row put a model into quarantine: requests are refused at once, with the time of the next attempt
// as Retry-After, and the attempts go on for ever, after 15 seconds, then ever later up to 5 minutes. What keeps a model
// from starting often passes: the kernel that killed for memory, descriptors that were used up, a binary half built.
//
// A refusal that no repetition changes (a checkpoint that is damaged or not there, a context that is too long, no plugin
// that fits) is quarantine at once, and tried again after a minute, then ever later up to an hour: so seldom that it costs
// nothing, so that a change nobody could see is found in the end. A Load that lacks memory is quarantine at once too, but
// tried again as often as what may pass.
//
// While a model waits, the host looks every other second at what its start depends on: the checkpoint's files, the plugin
// folders, pio.lock. When those have changed, and have been the same for one look, the next attempt comes at once. So
// missing weights are noticed when they have arrived, and not for each of their megabytes.
//
// # Memory
//
// The host says how many bytes each process may hold on each device; which modules fill them is the plugin's business.
// A device that one model uses is its own; a device that several use is divided equally. The sum of the budgets given out
// never exceeds the device's memory. An order that changes a budget holds for the process's successors too.
package schedule
