// Package anthropic speaks Anthropic's Messages API: messages with their blocks, and how many tokens they would be. Tools are those that
// the client runs by a schema of its own; what a model thinks is a thinking block, whose signature means nothing here.
package anthropic

import (
	"math"
	"net/http"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Protocol is /v1/messages.
type Protocol struct {
	Errors
	// Skipped is told of tools that nobody here can run, by their type; they are left out.
	Skipped func(tool string)
}

// Prefix is Anthropic's.
func (Protocol) Prefix() string { return "msg_" }

// PromptField is where a conversation stands.
func (Protocol) PromptField() string { return "messages" }

// Read takes what a body asks for.
func (p Protocol) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := p.parse(members, unknown)
	if err != nil {
		return nil, nil, err
	}
	return &r.Request, &writer{req: r}, nil
}

func (p Protocol) parse(members []body.Member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown)
	if err != nil {
		return nil, err
	}
	for _, tool := range r.skipped {
		p.Skipped(tool)
	}
	return r, nil
}

// API has the endpoint that is no answer of a model.
type API struct {
	*answer.Service
	Protocol
}

// CountTokens answers /v1/messages/count_tokens: what the answer's usage would say, pictures among it.
func (a *API) CountTokens(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "count_", a, func(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
		members, err := a.Members(w, r, h)
		if err != nil {
			return nil, err
		}
		req, err := a.parse(members, a.Ignored(r.URL.Path))
		if err != nil {
			return nil, err
		}
		t.Model = a.IDOf(req.Model)
		n, err := a.Count(r.Context(), &req.Request, h, a.PromptField())
		if err != nil {
			return nil, a.Failure(err, a.PromptField(), req.Model)
		}
		t.Usage.Prompt = n
		return struct {
			Input int `json:"input_tokens"`
		}{n}, nil
	})
}

// Errors refuse requests in Anthropic's shape.
type Errors struct{}

// errorBody is {"type": "error", "error": {"type", "message"}}.
type errorBody struct {
	Type      string      `json:"type"`
	Error     errorObject `json:"error"`
	RequestID string      `json:"request_id,omitempty"`
}

type errorObject struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// statusOverloaded is Anthropic's own.
const statusOverloaded = 529

// kinds are the types of errors by their status; another is a bug of the host or of a plugin.
var kinds = map[int]string{
	http.StatusBadRequest:            "invalid_request_error",
	http.StatusUnauthorized:          "authentication_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusMethodNotAllowed:      "invalid_request_error",
	http.StatusConflict:              "conflict_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusUnsupportedMediaType:  "invalid_request_error",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusGatewayTimeout:        "timeout_error",
	statusOverloaded:                 "overloaded_error",
}

// spell is an error with the status that Anthropic has for it.
func spell(e *problem.Error) (status int, body errorBody) {
	status = e.Status
	if status == http.StatusServiceUnavailable && e.Code == "overloaded" {
		status = statusOverloaded
	}
	o := errorObject{kinds[status], e.Message}
	if o.Type == "" {
		o.Type = "api_error"
	}
	if e.TooLong() { // by these words agents know that they are to compact what they have
		o.Message = "prompt is too long: " + e.Message
	}
	return status, errorBody{Type: "error", Error: o}
}

// Refuse sends e as the whole answer.
func (Errors) Refuse(w http.ResponseWriter, e *problem.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	status, body := spell(e)
	body.RequestID = w.Header().Get("X-Request-Id")
	answer.WriteJSON(w, status, body)
}
