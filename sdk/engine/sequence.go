// sequence.go holds one answer in the making. Its tokens and its place in the cache belong to the loop; the channels join
// it to the Generate call that waits for it.

package engine

import (
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// Request asks for one answer.
type Request struct {
	Prompt    []int32
	Generated []int32 // the answer so far, if it is being resumed
	Sampling  Params
	Media     []Media // what stands in the prompt besides text, in order
	Choice    int     // which of the answers to one prompt; keys the generator together with the seed
	Forced    []int32 // ids that the answer begins with, whatever the model would say; Generated may end among them
	MaxTokens int     // of the whole answer; 0 means as many as the context and the cache hold
	MinTokens int     // of the whole answer: before so many, none of EOS is drawn
	EOS       []int32
	IgnoreEOS bool
	// Next says how the answer may go on; nil is as it will, always. It is asked on the goroutine that calls Generate, before the first id and
	// after each that was emitted, but not with an id of Forced before the last.
	Next func() Next

	// ScorePrompt asks for the logprobs of the prompt's ids, as Sampling.TopLogprobs has them, with the first id of the answer.
	// Such a prompt takes nothing from the prefix cache and goes one block to a step. It needs Config.PromptLogprobs.
	ScorePrompt bool
}

// Next is how an answer may go on.
type Next struct {
	// Given are ids that come next whatever the model would say. They are emitted at once, without a step for each, and Next is asked again behind
	// them. Log-probabilities are not known of them.
	Given []int32
	// Allowed are the ids of which the next is one, as Choice.Allowed, if none is given; nil is all. It is not to change before Next is
	// asked again. Where it leaves nothing but ends, MinTokens does not hold.
	Allowed []uint32
}

// maxScores bounds what a scored prompt comes to: ids and alternatives, of which each takes some tens of bytes.
const maxScores = 1 << 20

// Sampled is one id of the answer.
type Sampled struct {
	Index   int // in the answer, from 0
	ID      int32
	Logprob *sdk.TokenLogprob // nil unless asked for
	// Prompt comes with the id of index 0 if it was asked for: one entry for each id of the prompt, of which the first, that
	// nothing goes before, is zero.
	Prompt []sdk.TokenLogprob
}

// Result says how an answer ended.
type Result struct {
	Reason     sdk.FinishReason
	Completion int           // ids in the answer, those resumed and an end token included
	Cached     int           // positions of the prompt found in the prefix cache
	Queued     time.Duration // until the request was placed the first time
}

type phase uint8

const (
	waiting phase = iota // for a slot and blocks
	running              // has a slot and blocks
	gone                 // the loop has forgotten it
)

type sequence struct {
	prompt    int // length
	limit     int // of tokens
	least     int // of the answer, before which it does not end
	eos       []int32
	forced    []int32
	arrival   uint64        // order of arrival: who goes first, and who gives way last
	since     time.Time     // when it arrived
	queued    time.Duration // from then until it was placed
	out       chan delivery
	end       chan outcome
	sampler   *Sampler
	tokens    []int32 // prompt and answer
	media     []Media
	keys      []int32 // of the prompt, for the prefix cache
	prepared  bool    // the model has done what its media need
	phase     phase
	fed       int // positions in the cache
	table     []int32
	slot      int32
	published int                // blocks of the prompt known to the prefix cache
	content   content            // what they hold
	cached    int                // positions found in the prefix cache
	placed    bool               // has had a place before
	preempted bool               // and lost it
	asleep    bool               // what it had computed then was published
	slept     int                // positions of that, the last time
	session   bool               // a Session's: nothing is sampled
	final     bool               // final states are wanted in place of logits
	asks      []*ask             // calls on it that are not answered yet
	wanted    []int              // positions whose logits they want
	got       [][]float32        // what they have so far
	marks     []int              // positions where the state is to be kept, ascending; chunks end there
	awaiting  bool               // the caller has yet to take the last token
	late      time.Time          // since when it is too late for that; zero if it is not
	scores    []sdk.TokenLogprob // of the prompt, nil if not asked for
	scored    int                // how many of them are known
}

// delivery is a sampled id on its way to the caller. With a reason it is the last.
type delivery struct {
	Sampled
	reason sdk.FinishReason
}

// outcome ends a sequence without another id.
type outcome struct {
	reason sdk.FinishReason
	err    error
}

// newSequence checks a request against the engine's limits.
func (c *Config) newSequence(r Request, work *workspace) (*sequence, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	limit, err := c.limit(r)
	if err != nil {
		return nil, err
	}
	q := &sequence{prompt: len(r.Prompt), limit: limit, least: r.MinTokens, out: make(chan delivery, 1), end: make(chan outcome, 1),
		tokens: slices.Concat(r.Prompt, r.Generated), sampler: newSampler(r.Sampling, r.Choice, work), forced: r.Forced,
		media: r.Media, keys: keys(r.Prompt, r.Media), slot: -1, since: time.Now()}
	if !r.IgnoreEOS {
		q.eos = r.EOS
	}
	if r.ScorePrompt {
		q.scores, q.scored = make([]sdk.TokenLogprob, len(r.Prompt)), 1
	}
	q.sampler.Prompt(r.Prompt...)
	q.sampler.Answer(r.Generated...)
	return q, nil
}

func (c *Config) check(r Request) error {
	if len(r.Prompt) == 0 {
		return invalid("prompt", "the prompt is empty; it needs at least one token")
	}
	if r.MaxTokens < 0 {
		return invalid("max_tokens", "max_tokens is %d; it must be positive", r.MaxTokens)
	}
	if r.MinTokens < 0 || r.MaxTokens > 0 && r.MinTokens > r.MaxTokens {
		return invalid("min_tokens", "min_tokens is %d; it must lie between 0 and max_tokens, which is %d", r.MinTokens, r.MaxTokens)
	}
	if err := c.checkIDs("prompt", slices.Concat(r.Prompt, r.Generated, r.Forced)); err != nil {
		return err
	}
	if err := checkMedia(r.Media, len(r.Prompt)); err != nil {
		return err
	}
	if err := r.Sampling.Validate(c.Vocab); err != nil || !r.ScorePrompt {
		return err
	}
	switch scores := len(r.Prompt) * (1 + r.Sampling.TopLogprobs); {
	case !c.PromptLogprobs:
		return invalid("prompt_logprobs", "this model gives no logprobs of prompts")
	case scores > maxScores:
		return invalid("prompt_logprobs", "the logprobs of the prompt are %d numbers; at most %d are sent", scores, maxScores)
	}
	return nil
}

func (c *Config) checkIDs(field string, ids []int32) error {
	for i, id := range ids {
		if id < 0 || int(id) >= c.Vocab {
			return invalid(field, "token %d is %d; the vocabulary has ids 0 to %d", i, id, c.Vocab-1)
		}
	}
	return nil
}

// limit is the most tokens, prompt included, the sequence may come to. The last is never fed, so it needs no position.
func (c *Config) limit(r Request) (int, error) {
	prompt, capacity := len(r.Prompt), c.Blocks*BlockSize+1
	if prompt > c.Context-1 {
		return 0, sdk.Errorf(sdk.ReasonContext, "the prompt has %d tokens; the context holds %d, with room for at least one token of the answer",
			prompt, c.Context)
	}
	if prompt >= capacity {
		return 0, sdk.Errorf(sdk.ReasonMemory, "the prompt has %d tokens; the cache has %d positions, and the answer needs one at least", prompt, capacity-1)
	}
	room := min(c.Context, capacity) - prompt
	if r.MaxTokens > 0 { // clients ask for more than there can be, and mean all of it
		room = min(room, r.MaxTokens)
	}
	return prompt + room, nil
}

// finished says why no further id is to be sampled, "" if one is.
func (q *sequence) finished() sdk.FinishReason {
	n := len(q.tokens)
	switch {
	case n > q.prompt && slices.Contains(q.eos, q.tokens[n-1]):
		return sdk.FinishStop
	case n >= q.limit:
		return sdk.FinishLength
	}
	return ""
}

// ask is the choice of the next id.
func (q *sequence) ask() *Choice {
	c, index := q.sampler.Ask(len(q.tokens)), len(q.tokens)-q.prompt
	switch {
	case index < len(q.forced):
		c.Given = q.forced[index]
	case index < q.least && leavesOther(c.Allowed, q.eos):
		c.Without = q.eos
	}
	return c
}

// leavesOther says that ids are allowed which are no ends.
func leavesOther(allowed []uint32, ends []int32) bool {
	if allowed == nil {
		return true
	}
	for at, word := range allowed {
		for _, id := range ends {
			if id >= 0 && int(id>>5) == at {
				word &^= 1 << (id & 31)
			}
		}
		if word != 0 {
			return true
		}
	}
	return false
}

// give appends ids that were not sampled.
func (q *sequence) give(ids []int32) {
	q.tokens = append(q.tokens, ids...)
	q.sampler.Answer(ids...)
}

// prompted are the scores that go along with the id of the answer with this index.
func (q *sequence) prompted(index int) []sdk.TokenLogprob {
	if index > 0 {
		return nil
	}
	return q.scores
}

func (q *sequence) result(reason sdk.FinishReason) Result {
	return Result{Reason: reason, Completion: len(q.tokens) - q.prompt, Cached: q.cached, Queued: q.queued}
}

// scoring says that logprobs of the prompt are still missing.
func (q *sequence) scoring() bool { return q.scored < len(q.scores) }

// left is how many known tokens are not in the cache yet.
func (q *sequence) left() int { return len(q.tokens) - q.fed }

func (q *sequence) ready() bool { return q.phase == running && !q.awaiting && q.prepared }

// key is what the prefix cache compares of the block that begins at a position.
func (q *sequence) key(from int) []int32 {
	to := from + BlockSize
	if to <= q.prompt {
		return q.keys[from:to]
	}
	return slices.Concat(q.keys[min(from, q.prompt):], q.tokens[max(from, q.prompt):to])
}
