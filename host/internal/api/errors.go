// errors.go turns every failure into OpenAI's error shape with the status that clients expect of it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// statusClientGone is what the log and the metrics show for a client that left; nobody reads the answer.
const statusClientGone = 499

// Error is what a client gets: {"error": {"message", "type", "param", "code"}}.
type Error struct {
	Status     int           `json:"-"`
	RetryAfter time.Duration `json:"-"`
	Message    string        `json:"message"`
	Type       string        `json:"type"`
	Param      *string       `json:"param"`
	Code       *string       `json:"code"`
}

func (e *Error) Error() string { return e.Message }

func (e *Error) body() any {
	return struct {
		Error *Error `json:"error"`
	}{e}
}

// invalid is the 400 of a request that names the field to change; param is "" if it is about the body as a whole.
func invalid(param, format string, args ...any) *Error {
	return newError(http.StatusBadRequest, param, "", fmt.Sprintf(format, args...))
}

func newError(status int, param, code, message string) *Error {
	e := &Error{Status: status, Message: message, Type: "invalid_request_error"}
	switch {
	case status >= 500:
		e.Type = "server_error"
	case status == http.StatusTooManyRequests:
		e.Type = "requests"
	}
	if param != "" {
		e.Param = &param
	}
	if code != "" {
		e.Code = &code
	}
	return e
}

// reasons is the status and the code of each reason a plugin may give. A reason that is not here is a bug of the
// plugin: 500.
var reasons = map[sdk.Reason]struct {
	status int
	code   string
	retry  time.Duration
}{
	sdk.ReasonInvalid:       {http.StatusBadRequest, "", 0},
	sdk.ReasonTemplate:      {http.StatusBadRequest, "chat_template_error", 0},
	sdk.ReasonContext:       {http.StatusBadRequest, "context_length_exceeded", 0},
	sdk.ReasonUnimplemented: {http.StatusBadRequest, "not_supported", 0},
	sdk.ReasonNotFound:      {http.StatusNotFound, "not_found", 0},
	sdk.ReasonOverloaded:    {http.StatusServiceUnavailable, "overloaded", time.Second},
	sdk.ReasonMemory:        {http.StatusServiceUnavailable, "out_of_memory", 5 * time.Second},
	sdk.ReasonChanged:       {http.StatusServiceUnavailable, "model_changed", 2 * time.Second},
	sdk.ReasonDevice:        {http.StatusServiceUnavailable, "device_lost", 2 * time.Second},
	sdk.ReasonState:         {http.StatusServiceUnavailable, "model_not_ready", time.Second},
}

// asError finds the answer to err. param is the field to blame for an overflow of the context, which a plugin does not
// know: "messages" or "prompt".
func asError(err error, param string) *Error {
	var own *Error
	var unknown *schedule.UnknownModel
	var gone *schedule.Unavailable
	var told *sdk.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &unknown):
		return newError(http.StatusNotFound, "model", "model_not_found", err.Error())
	case errors.As(err, &gone):
		e := newError(http.StatusServiceUnavailable, "", "model_"+string(gone.State), err.Error())
		e.RetryAfter = gone.RetryAfter
		return e
	case errors.As(err, &told):
		return fromReason(told, param)
	case errors.Is(err, context.DeadlineExceeded):
		return newError(http.StatusGatewayTimeout, "", "timeout", err.Error())
	case errors.Is(err, context.Canceled):
		return newError(statusClientGone, "", "", "the client went away")
	}
	return newError(http.StatusInternalServerError, "", "internal", err.Error())
}

func fromReason(told *sdk.Error, param string) *Error {
	r, ok := reasons[told.Reason]
	if !ok {
		return newError(http.StatusInternalServerError, "", "internal", told.Message)
	}
	if told.Field != "" {
		param = told.Field
	} else if told.Reason != sdk.ReasonContext && told.Reason != sdk.ReasonTemplate {
		param = ""
	}
	e := newError(r.status, param, r.code, told.Message)
	e.RetryAfter = r.retry
	return e
}

// failure is asError for a request to a model. An overflow of the context is told in the words by which clients know it, and know
// from it how much to leave out.
func (a *api) failure(err error, f form, model string) *Error {
	return a.overflow(asError(err, f.promptField()), model)
}

func (a *api) overflow(e *Error, model string) *Error {
	if e.Code == nil || *e.Code != reasons[sdk.ReasonContext].code || strings.Contains(e.Message, "maximum context length is") {
		return e
	}
	longest := a.longest(model)
	if longest == 0 {
		return e
	}
	told := *e
	told.Message = fmt.Sprintf("This model's maximum context length is %d tokens. However, %s", longest, e.Message)
	return &told
}

// writeError sends e as the whole answer.
func writeError(w http.ResponseWriter, e *Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	writeJSON(w, e.Status, e.body())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json") // some clients hand out raw text without it
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone if this fails, and the server will notice by itself
}
