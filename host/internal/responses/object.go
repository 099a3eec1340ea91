// object.go has the JSON of a response and of the items in it.
package responses

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/openai"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// object is a response: as it begins, and as it ends.
type object struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	CreatedAt         int64             `json:"created_at"`
	CompletedAt       *int64            `json:"completed_at"`
	Status            string            `json:"status"`
	Background        bool              `json:"background"`
	Error             *failure          `json:"error"`
	Incomplete        *incomplete       `json:"incomplete_details"`
	Instructions      json.RawMessage   `json:"instructions"`
	MaxOutputTokens   *int              `json:"max_output_tokens"`
	Metadata          json.RawMessage   `json:"metadata"`
	Model             string            `json:"model"`
	Output            []item            `json:"output"`
	ParallelToolCalls bool              `json:"parallel_tool_calls"`
	Previous          *string           `json:"previous_response_id"`
	Reasoning         json.RawMessage   `json:"reasoning"`
	ServiceTier       string            `json:"service_tier"`
	Store             bool              `json:"store"`
	Temperature       *float64          `json:"temperature"`
	Text              json.RawMessage   `json:"text"`
	ToolChoice        json.RawMessage   `json:"tool_choice"`
	Tools             []json.RawMessage `json:"tools"`
	TopLogprobs       int               `json:"top_logprobs"`
	TopP              *float64          `json:"top_p"`
	Truncation        string            `json:"truncation"`
	Usage             *usage            `json:"usage"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

type usage struct {
	Input       int          `json:"input_tokens"`
	InputPart   inputDetails `json:"input_tokens_details"`
	Output      int          `json:"output_tokens"`
	OutputPart  outputDetail `json:"output_tokens_details"`
	TotalTokens int          `json:"total_tokens"`
}

type inputDetails struct {
	Cached  int `json:"cached_tokens"`
	Written int `json:"cache_write_tokens"` // nothing costs more for being kept
}

type outputDetail struct {
	Reasoning int `json:"reasoning_tokens"`
}

// The ways in which responses and items stand.
const (
	inProgress = "in_progress"
	completed  = "completed"
	cut        = "incomplete"
	failed     = "failed"
)

// begun is the response before anything came of it.
func (r *request) begun(a *answer.Answer) object {
	say := func(field, otherwise string) json.RawMessage {
		if v, ok := r.said[field]; ok {
			return v
		}
		return json.RawMessage(otherwise)
	}
	o := object{
		ID: a.ID, Object: "response", CreatedAt: a.Created.Unix(), Status: inProgress, Model: r.Model, Output: []item{}, Tools: r.taken,
		Instructions: say("instructions", "null"), Metadata: say("metadata", "{}"), Reasoning: say("reasoning", `{"effort":null,"summary":null}`),
		Text: say("text", `{"format":{"type":"text"}}`), ToolChoice: say("tool_choice", `"auto"`), ParallelToolCalls: !r.calls.Single,
		Temperature: r.Sampling.Temperature, TopP: r.Sampling.TopP, TopLogprobs: r.Sampling.TopLogprobs, ServiceTier: "default", Truncation: "disabled",
	}
	if o.Tools == nil {
		o.Tools = []json.RawMessage{}
	}
	if r.MaxTokens > 0 {
		o.MaxOutputTokens = &r.MaxTokens
	}
	return o
}

// ended is the response with all that came of it.
func (r *request) ended(a *answer.Answer, output []item, reason sdk.FinishReason) object {
	o := r.begun(a)
	u := a.Tally.Usage
	o.Output = output
	o.Usage = &usage{u.Prompt, inputDetails{Cached: u.Cached}, u.Generated, outputDetail{u.Reasoning}, u.Prompt + u.Generated}
	if reason == sdk.FinishLength {
		o.Status, o.Incomplete = cut, &incomplete{"max_output_tokens"}
		return o
	}
	now := time.Now().Unix()
	o.Status, o.CompletedAt = completed, &now
	return o
}

// broken is the response that was cut by an error. Its codes are a list of OpenAI's.
func (r *request) broken(a *answer.Answer, output []item, e *problem.Error) object {
	o := r.begun(a)
	o.Status, o.Output, o.Error = failed, output, &failure{"server_error", e.Message}
	switch {
	case e.Status == http.StatusTooManyRequests:
		o.Error.Code = "rate_limit_exceeded"
	case e.Status < 500:
		o.Error.Code = "invalid_prompt"
	}
	return o
}

// item is one of what came: a message, a call or reasoning.
type item struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Status    string  `json:"status"`
	Role      string  `json:"role,omitempty"`
	Content   *[]part `json:"content,omitempty"`
	Summary   *[]part `json:"summary,omitempty"`
	CallID    string  `json:"call_id,omitempty"`
	Name      string  `json:"name,omitempty"`
	Namespace string  `json:"namespace,omitempty"`
	Arguments *string `json:"arguments,omitempty"`
	Input     *string `json:"input,omitempty"`
}

// part is a text of a message, with what stands beside it, or of a summary.
type part struct {
	Type        string            `json:"type"`
	Text        string            `json:"text"`
	Annotations *[]struct{}       `json:"annotations,omitempty"`
	Logprobs    *[]openai.Logprob `json:"logprobs,omitempty"`
}

func outputText(text string, scored []answer.Scored) part {
	logprobs := openai.Logprobs(scored)
	return part{Type: "output_text", Text: text, Annotations: &[]struct{}{}, Logprobs: &logprobs}
}

func newMessage(id, status string, parts ...part) item {
	content := append([]part{}, parts...)
	return item{ID: id, Type: "message", Status: status, Role: "assistant", Content: &content}
}

func newReasoning(id, status string, texts ...string) item {
	summary := []part{}
	for _, t := range texts {
		summary = append(summary, part{Type: "summary_text", Text: t})
	}
	return item{ID: id, Type: "reasoning", Status: status, Summary: &summary}
}

// newCall is a call of a function, or of a custom tool by its input.
func newCall(id, status string, of called, call sdk.ToolCallDelta) item {
	i := item{ID: id, Type: "function_call", Status: status, CallID: call.ID, Name: of.name, Namespace: of.namespace, Arguments: &call.Arguments}
	if of.custom {
		input := ""
		if call.Arguments != "" {
			input = inputOf(call.Arguments)
		}
		i.Type, i.Arguments, i.Input = "custom_tool_call", nil, &input
	}
	return i
}
