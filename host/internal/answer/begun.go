package answer

import "github.com/inference-pio/inference-pio/host/internal/problem"

// begun.go is for answers of which the request has the beginning.

// ContinueFinal is the template's variable by which an answer goes on from the last message, the assistant's, as transformers names it.
const ContinueFinal = "continue_final_message"

// ContinueLast has the answer begin with the text of the last message; what is sent is what comes behind it.
func (r *Request) ContinueLast() error {
	if r.Constraint != nil {
		return problem.Invalid(r.ConstrainedBy, "%s holds a whole answer to a form, and this one has begun; leave out one of them", r.ConstrainedBy)
	}
	r.ChatOf() // whose messages may not have been set yet
	r.SetKwarg(ContinueFinal, "true")
	return nil
}
