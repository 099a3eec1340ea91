// Package engine turns a model, which computes rows of logits, into answers: it batches the sequences of many requests
// into steps (continuous batching), splits long prompts into chunks, hands out the blocks of the key-value cache, samples,
// and replays a sequence whose blocks it had to take away. It knows no tensor: a [Model] is one method over ids, positions
// and block tables, so the engine is tested with a model of ten lines.
//
// # What a model may rely on
//
//   - The rows of a sequence are fed once each, in the order of their positions from 0 on. After a preemption they begin
//     at position 0 again, in another slot and other blocks. With [Config.PrefixCache] positions are left out that another
//     sequence computed, or itself before the preemption: their blocks stand in the table, and [Batch.Copies] bring what is not shared.
//   - In one step all rows of a sequence are neighbours and have one form. Rows of decode form come first.
//   - The form belongs to the position: prompt positions are always computed in prefill form, positions of the answer in
//     decode form, also when they are replayed (then several of them may be in one step).
//   - The last row of what is known of a sequence is an Output; with [Config.PromptLogprobs] other rows of one block of a
//     prompt may be, too.
//   - A chunk of a prompt ends at a multiple of [Config.ChunkMultiple] positions or at the prompt's end.
//   - An Output's Choice says what its logits are for. The model may make it in Step, and then returns no logits for the row.
//
// So if the model's arithmetic for a row depends only on the row's form, position and history, then the answer depends only
// on the prompt, the parameters and the seed: not on the batch, the chunks, preemption, or a restart of the process.
//
// # Who chooses
//
// A [Choice] is what the next id depends on besides the logits: parameters, counts of ids, ids ruled out or allowed, a number drawn by
// seed and position. One piece of code makes it, whoever calls it: the engine, from the logits that a model returns, or a model
// that leaves them on a device and brings only the largest (Choice.Candidates says how many), by Choice.Among. That tells if they do not
// decide; then the model returns the row. So both give the same id to the bit. Log-probabilities, and distributions that top_k does not cut,
// take all logits; so does a row that several requests with one prompt draw from, which has no Choice.
//
// How an answer may go on ([Request.Next]) is asked on the caller's goroutine while the loop waits for the callers, so that a mask that takes long holds up its own
// answer alone. A row of logits with a mask comes to the host. Ids that are given need no logits: they are rows of one step, as those of a replay.
//
// # Who is computed when
//
// Every answer under way has a row in every step. Beside them prompts are computed, as many rows as [Config.StepTime] allows: the
// one that needs fewest first, so that a short one does not wait for a long one, and in every fourth step the oldest, so
// that a long one does not wait for ever. A prompt that another sequence on board is computing too waits for it and takes the
// blocks over.
//
// # What gives way
//
// A sequence that loses its place sleeps: what it has in the cache is published like the beginning of a prompt, and is there when it comes
// back unless others have taken the blocks meanwhile. A model that is a [Spiller] has memory besides its cache: a block, or a state, that is
// about to be taken for something else is copied there first, and copied back for who wants it, where the model says that either is worth
// its price. Whether something is spilled or computed again changes no bit of an answer.
//
// # Who owns what
//
// One goroutine (loop.go) owns the scheduler, the block table and every sequence's tokens. Generate talks to it through one
// channel. A token is emitted on the caller's goroutine, and the sequence takes part in a step again once the caller has
// taken the token; the loop waits a moment for that, then goes on with the others, so a slow client stalls only itself.
package engine
