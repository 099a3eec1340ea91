package sdk

import (
	"encoding/json"
	"time"
)

// GenerateRequest asks for one answer. Exactly one of Text, Tokens, Chat is set.
type GenerateRequest struct {
	ID      string // for logs; unique per request
	Text    string // a raw prompt
	HasText bool   // Text is the prompt, even if it is empty
	Tokens  []int32
	Chat    *Chat

	Sampling  Sampling
	MaxTokens int // 0 means as many as the context holds
	MinTokens int // neither an end token nor a stop string ends the answer before so many
	Stop      []string
	IgnoreEOS bool
	Choice    int // which of the n answers to one prompt: keys the generator together with the seed
	// PromptLogprobs asks for Start.PromptLogprobs, with Sampling.TopLogprobs alternatives. Nothing is asked for when resuming.
	PromptLogprobs bool
	// Constraint is what the answer is held to, behind reasoning if there is any; nil is nothing.
	Constraint *Constraint

	Resume *Resume
}

// Constraint is a language that an answer's text belongs to: exactly one of its fields but Strict is set.
type Constraint struct {
	JSONSchema json.RawMessage // JSON values that are valid under it
	JSONObject bool            // JSON objects
	Regex      string          // the whole text matches; the syntax is package regexp's
	Choices    []string        // one of these
	Grammar    string          // GBNF, as sdk/grammar reads it
	// Strict refuses what of JSONSchema cannot be held. Else that is left out, and an answer may be valid only as far as the rest says.
	Strict bool
}

// Chat is a conversation as the client sent it. The JSON is kept as it was: key order and the difference between 1 and
// 1.0 reach the template.
type Chat struct {
	Messages json.RawMessage // array
	Tools    json.RawMessage // array, or nil
	Kwargs   json.RawMessage // object of further template variables, such as {"enable_thinking": false}, or nil
	// ToolChoice is "" or "auto", "none", "required" or a function's name in the form "function:NAME". With "none" the tools
	// still reach the template, but nothing is taken for a call. With the last two the answer begins with a call's opening,
	// whose ids are sent like sampled ones; with a name it is one call of that function.
	ToolChoice string
	// SingleCall ends the answer with its first tool call, as parallel_tool_calls = false asks for.
	SingleCall bool
	// Images are files (PNG, JPEG and the like) as the client sent them: one for each part {"type": "image"} of Messages, in order.
	// They are decoded here, in the plugin's process.
	Images [][]byte
}

// Sampling holds what the client asked for; a nil field takes the checkpoint's generation_config, then the neutral value.
// Seed is always set: the host draws it, so that the answer can be resumed. The order in which they work is sdk/engine's Params'.
type Sampling struct {
	Seed              uint64
	Temperature       *float64 // 0 is greedy
	TopP              *float64
	TopK              *int // 0 or -1: all
	MinP              *float64
	PresencePenalty   *float64
	FrequencyPenalty  *float64
	RepetitionPenalty *float64
	LogitBias         map[int32]float64
	Logprobs          bool
	TopLogprobs       int
}

// Resume continues an answer of a process that died. Prompt are the ids its Start event named, Generated the ids of the
// events received. The plugin replays them and sends the events that follow: no Start, and the first event has index
// len(Generated).
type Resume struct {
	Prompt    []int32
	Generated []int32
	// InReasoning is Start.InReasoning of the stream being resumed.
	InReasoning bool
}

// Event is one message of an answer; exactly one field is set.
type Event struct {
	Start  *Start
	Token  *Token
	Finish *Finish
}

// Start is the first event. It has all that a later Resume needs.
type Start struct {
	Prompt      []int32
	InReasoning bool // the prompt ends inside an opened reasoning block
	// ContextLength is the most positions prompt and answer may have together.
	ContextLength int
	// PromptLogprobs says how likely each id of the prompt was after those before it, if that was asked for. There is one
	// for each id; the first, which nothing goes before, has its Bytes alone.
	PromptLogprobs []TokenLogprob
	// Constrained says that the answer is held to the request's Constraint.
	Constrained bool
}

// Token is one sampled id. Text is what became certain with it: it may be empty while a rune, a stop string or a tag is
// held back, and may then carry the words of several ids.
type Token struct {
	Index     int // of this id in the answer, from 0
	ID        int32
	Text      string
	Reasoning string
	ToolCalls []ToolCallDelta
	Offset    int // bytes of the raw decoded answer before this id, reasoning and tags included
	Logprob   *TokenLogprob
}

// ToolCallDelta is a piece of a tool call: ID and Name come once and first, Arguments in pieces that add up to a JSON object.
// Index counts the calls of the answer from 0. IDs are unique, and the same when the answer is resumed.
type ToolCallDelta struct {
	Index     int
	ID        string
	Name      string
	Arguments string
}

// TokenLogprob has the natural-log probability of the sampled id and of the best ones.
type TokenLogprob struct {
	Logprob float64
	Bytes   []byte
	Top     []TopLogprob
}

// TopLogprob is one of the likeliest ids at a position.
type TopLogprob struct {
	ID      int32
	Bytes   []byte
	Logprob float64
}

// FinishReason says why an answer ended.
type FinishReason string

// The reasons, as the OpenAI API spells them.
const (
	FinishStop      FinishReason = "stop"       // an end token or a stop string
	FinishLength    FinishReason = "length"     // MaxTokens or the context is used up
	FinishToolCalls FinishReason = "tool_calls" // the answer ends in tool calls
)

// Finish is the last event. Text and Reasoning are what was held back and is now certain.
type Finish struct {
	Reason           FinishReason
	Text             string
	Reasoning        string
	ToolCalls        []ToolCallDelta
	PromptTokens     int
	CompletionTokens int
	ReasoningTokens  int
	CachedTokens     int
	Queued           time.Duration // how long the request waited in this process before its prompt was begun
	Stop             string        // the stop string that ended the answer; "" if none did
}

// ForwardRequest appends tokens to an open sequence.
type ForwardRequest struct {
	Sequence string
	Tokens   []int32
	Rows     []int // indices into Tokens whose logits are wanted; nil means the last
}

// ForwardResult has one row of VocabSize logits per row asked for, flattened.
type ForwardResult struct {
	Logits []float32
	Vocab  int
	Length int // positions in the sequence now
}

// EmbedRequest asks for one vector of each text.
type EmbedRequest struct {
	Texts  []string
	Tokens [][]int32 // in place of Texts
}

// Len is how many vectors are asked for.
func (r EmbedRequest) Len() int { return len(r.Texts) + len(r.Tokens) }

// EmbedResult holds the vectors in the order of the texts, and how many tokens each was.
type EmbedResult struct {
	Vectors [][]float32
	Tokens  []int
}
