// Package problem has what can go wrong with a request, in no protocol's words: a status that clients expect of it, a code, the field to
// change. Each protocol spells it in its own shape.
package problem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// StatusClientGone is what the log and the metrics show for a client that left; nobody reads the answer.
const StatusClientGone = 499

// Error is a failure as a client is to hear of it.
type Error struct {
	Status     int
	Code       string // what a program can decide on, "" if the status says it all
	Field      string // of the request, "" if it is about the request as a whole
	Message    string
	RetryAfter time.Duration // 0: somebody has to do something first
}

func (e *Error) Error() string { return e.Message }

// Invalid is the 400 of a request that names the field to change; field is "" if it is about the body as a whole.
func Invalid(field, format string, args ...any) *Error {
	return New(http.StatusBadRequest, field, "", fmt.Sprintf(format, args...))
}

// New is a failure that there is no sense in trying again.
func New(status int, field, code, message string) *Error {
	return &Error{Status: status, Field: field, Code: code, Message: message}
}

// codeContext is that of a prompt which leaves no room for an answer.
const codeContext = "context_length_exceeded"

// reasons is the status and the code of each reason a plugin may give. A reason that is not here is a bug of the
// plugin: 500.
var reasons = map[sdk.Reason]struct {
	status int
	code   string
	retry  time.Duration
}{
	sdk.ReasonInvalid:       {http.StatusBadRequest, "", 0},
	sdk.ReasonTemplate:      {http.StatusBadRequest, "chat_template_error", 0},
	sdk.ReasonContext:       {http.StatusBadRequest, codeContext, 0},
	sdk.ReasonUnimplemented: {http.StatusBadRequest, "not_supported", 0},
	sdk.ReasonNotFound:      {http.StatusNotFound, "not_found", 0},
	sdk.ReasonOverloaded:    {http.StatusServiceUnavailable, "overloaded", time.Second},
	sdk.ReasonMemory:        {http.StatusServiceUnavailable, "out_of_memory", 5 * time.Second},
	sdk.ReasonChanged:       {http.StatusServiceUnavailable, "model_changed", 2 * time.Second},
	sdk.ReasonDevice:        {http.StatusServiceUnavailable, "device_lost", 2 * time.Second},
	sdk.ReasonState:         {http.StatusServiceUnavailable, "model_not_ready", time.Second},
}

// From finds what a client is to hear of err. field is the one to blame for an overflow of the context, which a plugin does not
// know: "messages" or "prompt".
func From(err error, field string) *Error {
	var own *Error
	var unknown *schedule.UnknownModel
	var gone *schedule.Unavailable
	var told *sdk.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &unknown):
		return New(http.StatusNotFound, "model", "model_not_found", err.Error())
	case errors.As(err, &gone):
		e := New(http.StatusServiceUnavailable, "", "model_"+string(gone.State), err.Error())
		e.RetryAfter = gone.RetryAfter
		return e
	case errors.As(err, &told):
		return fromReason(told, field)
	case errors.Is(err, context.DeadlineExceeded):
		return New(http.StatusGatewayTimeout, "", "timeout", err.Error())
	case errors.Is(err, context.Canceled):
		return New(StatusClientGone, "", "", "the client went away")
	}
	return New(http.StatusInternalServerError, "", "internal", err.Error())
}

func fromReason(told *sdk.Error, field string) *Error {
	r, ok := reasons[told.Reason]
	if !ok {
		return New(http.StatusInternalServerError, "", "internal", told.Message)
	}
	if told.Field != "" {
		field = told.Field
	} else if told.Reason != sdk.ReasonContext && told.Reason != sdk.ReasonTemplate {
		field = ""
	}
	e := New(r.status, field, r.code, told.Message)
	e.RetryAfter = r.retry
	return e
}

// TooLong says whether the prompt leaves no room for an answer.
func (e *Error) TooLong() bool { return e.Code == codeContext }
