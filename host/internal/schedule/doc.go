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
// begins the count anew. Five failed starts in a row, or one Load that the plugin refuses for a reason that no repetition
// changes, put the model into quarantine until the host is restarted.
//
// # Memory
//
// The host says how many bytes each process may hold on each device; which modules fill them is the plugin's business.
// A device that one model uses is its own; a device that several use is divided equally. The sum of the budgets given out
// never exceeds the device's memory. An order that changes a budget holds for the process's successors too.
package schedule
