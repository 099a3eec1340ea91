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
// A request gets on when it has had 32 tokens since it boarded, and is trusted then. A death says nothing against the trusted. Of
// the others on board each was near it; who was near two in a row is a suspect. Suspects take turns: one at a time, beside the
// trusted alone, until it gets on, ends, or the process dies. That death is a strike against it, which counts only if the others
// do better without it: it sits out until they have had three times as many tokens in one process as they had beside it. At three
// strikes it fails, alone. If the process dies while no suspect is on board, or all there are sit out, none of them is to blame:
// the search ends, and the next one needs twice as many deaths to begin. So a request that kills every few tokens is stopped, and
// kills from outside, which come as soon without a suspect as with one, lose no stream and leave none waiting.
//
// Alone on board nothing tells the two apart, and nobody else suffers: whoever has had a token since it boarded goes on however
// often the process dies, and a prompt that the process dies of three times in a row before the first token fails.
//
// A question (of the tokenizer, for vectors, a call of a sequence) has no tokens to show that it gets on. One that two processes in
// a row died of sits out until a process has lived without it for three times as long as the last one lived with it; if that one
// dies too, the question is cleared, and if it is then asked twice more and the plugin dies of it both times, it fails.
//
// The first restart comes at once, the following ones after 1, 2, 4 and so on up to 30 seconds; a token begins the
// count anew.
//
// # Sequences
//
// Clients can append tokens to a sequence, call by call, and ask their logits. The host keeps the tokens, and which of them the first
// call appended, as those are computed in another form: a process that does not have the sequence is brought to where it is. What is
// not certain to be as it was, after a call that was given up or an answer that does not fit, is begun anew in the same way. A sequence
// ends after a while without a call, with its weights, and with its model.
//
// # Quarantine
//
// Five failed starts in a row put a model into quarantine: requests are refused at once, with the time of the next attempt
// as Retry-After, and the attempts go on for ever, after 15 seconds, then ever later up to 5 minutes. What keeps a model
// from starting often passes: the kernel that killed for memory, descriptors that were used up, a binary half built. So
// requests that were on board wait on, for as long as others wait for a model that loads.
//
// A refusal that no repetition changes (a checkpoint that is damaged or not there, a context that is too long, no plugin
// that fits) is quarantine at once, and tried again after a minute, then ever later up to an hour: so seldom that it costs
// nothing, so that a change nobody could see is found in the end; it ends the requests that were on board too. A Load that lacks memory is quarantine at once too, but
// tried again as often as what may pass.
//
// While a model waits, the host looks every other second at what its start depends on: the checkpoint's files, the plugin
// folders, pio.lock. When those have changed, and have been the same for one look, the next attempt comes at once. So
// missing weights are noticed when they have arrived, and not for each of their megabytes.
//
// # Weights that change
//
// A plugin that says CHECKPOINT_CHANGED computes with files that were written to: its process is ended, nobody is to blame, and the
// next one starts when what it depends on has been the same for one look. An answer of which something was told ends there, and so
// does one that would be resumed in a process whose layer table names other weights; all other requests go on.
//
// # What is not alive
//
// A process that does not answer health checks is frozen: after the first check it misses the model is not ready and nobody boards,
// after 30 seconds it is killed. One that answers while its work stands still is killed too, if somebody waits for it: work advances
// when an answer has an event, or when the progress of the reports grows, which every layer does; a step may take as long as it likes.
//
// # What is not asked for
//
// A plugin may be written by anyone. What it sends beyond max_tokens, the context, the bytes that its tokens can explain or the
// likelihoods that were asked for ends its request as the plugin's mistake; devices that its entry does not have are left out of
// its reports.
//
// # Cores
//
// Models that work at the same time share the machine's cores: two that each computed on all of them would wait for each other's threads. Who
// works is who has requests, computes for a sequence or for vectors, or loads; each plugin that can be told is told its share when that
// changes (DivideCores of sdk/plan). The niceness of the processes, by priority, is for where there are more of them than cores.
//
// # Memory
//
// The host says how many bytes each process may hold on each device; which modules fill them is the plugin's business. The
// budgets given out never exceed what there is, on any device.
//
// The CPU's memory is what [[device]] says, or what the machine and its cgroups have, less a reserve. Before a model loads
// its plugin is asked what the checkpoint takes (Inspect), and the model gets a share: from what one sequence of its context
// needs to what its max_sequences would use (plan.Need). Models that come together are served by priority, equals alike
// (plan.Share). A share is kept through deaths and restarts, until the model is stopped or in quarantine; one that does not fit
// beside the others says so and starts when there is room. A plugin that tells nothing of its size is not limited.
//
// Other devices are divided equally between the models that use them, and divided anew as these come to work and stop (arbiter.go,
// plan.Divide): who works has what it wants before who does not, higher priorities before lower, and who has stopped counts as working for a while, so
// that nothing goes back and forth. First the one shrinks, which moves no bytes, then the other grows: bytes are promised to
// somebody else when the process that had them has said that it holds less. Who grows, or was just loaded, answers meanwhile: its layers come one after the other, and the CPU computes those that
// have not come yet. A share that an operator has ordered stays. An order that changes a
// budget holds for the process's successors too. A model that is away has nothing there, and claims its share as one that works before it is
// loaded (away.go).
//
// # Pressure from outside
//
// What others take of a GPU its plugins report, and the arbiter divides what is left (crowd.go). When the machine runs short of memory models give
// up what they can do without, and then idle ones leave (squeeze.go); all shares together have a ceiling until there is enough again (tight.go).
// Less is obeyed at once and as far as a plugin can; more is given when it has been there for a while.
//
// # On demand
//
// A model may be away: its entry says so, or it has been idle for its keep_alive, or it made room. A request calls it. Before it is
// loaded it claims its share as any other, and where it does not fit one of those that do not is at a time the one that others leave
// for: idle ones, the least recently used first; else all are asked, and the first leaves that has answered those who had asked it
// before. So whoever was loaded answers all who waited for it, nobody is cut, and nobody starves. What the absent would take is known
// from a look at their checkpoints, and shares are given as if they were there.
package schedule
