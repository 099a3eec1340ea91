// form.go has what the answers of both endpoints share; chatform.go and textform.go have their JSON.
package api

// form is how one endpoint spells its answers.
type form interface {
	prefix() string      // of ids
	object() string      // the "object" of a stream's chunks
	promptField() string // the field that is too long when the context overflows
	whole(a *answer, list []collected) any
	// chunk is the event of a stream that shows p, false if it shows nothing.
	chunk(a *answer, p piece) (any, bool)
}

// head is what every object of an answer begins with.
type head struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	Created     int64   `json:"created"`
	Model       string  `json:"model"`
	Fingerprint *string `json:"system_fingerprint,omitempty"`
}

func (a *answer) head(object string) head {
	h := head{ID: a.id, Object: object, Created: a.created, Model: a.req.model}
	if a.finger != "" {
		h.Fingerprint = &a.finger
	}
	return h
}

// tail is the usage of a choice's chunk: absent if the client did not ask for usage, what the choice has come to if it asked for that in
// every chunk, else null.
func (a *answer) tail(choice int) any {
	switch {
	case !a.req.includeUsage:
		return nil
	case a.req.eachUsage && choice < len(a.reached):
		return &a.reached[choice]
	}
	return (*usage)(nil)
}

// tokenIDs is ids if the client asked for them.
func (a *answer) tokenIDs(ids []int32) *[]int32 {
	if !a.req.tokenIDs {
		return nil
	}
	if ids == nil {
		ids = []int32{}
	}
	return &ids
}

// usage is the extra last chunk of stream_options.include_usage.
func (a *answer) usage() any {
	return struct {
		head
		Choices []int   `json:"choices"`
		Usage   *usage  `json:"usage"`
		Timings timings `json:"timings"`
	}{a.head(a.form.object()), []int{}, &a.tally.usage, a.tally.timings()}
}
