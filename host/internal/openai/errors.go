// errors.go spells errors as the OpenAI API does.
package openai

import (
	"math"
	"net/http"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// ErrorBody is {"error": {"message", "type", "param", "code"}}, where the last two may be null.
type ErrorBody struct {
	Error errorObject `json:"error"`
}

type errorObject struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// NewErrorBody spells e, also in a stream.
func NewErrorBody(e *problem.Error) ErrorBody {
	o := errorObject{Message: e.Message, Type: "invalid_request_error"}
	switch {
	case e.Status >= 500:
		o.Type = "server_error"
	case e.Status == http.StatusTooManyRequests:
		o.Type = "requests"
	}
	if e.Field != "" {
		o.Param = &e.Field
	}
	if e.Code != "" {
		o.Code = &e.Code
	}
	return ErrorBody{o}
}

// Errors refuse requests in OpenAI's shape.
type Errors struct{}

// Refuse sends e as the whole answer.
func (Errors) Refuse(w http.ResponseWriter, e *problem.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	answer.WriteJSON(w, e.Status, NewErrorBody(e))
}
