package answer

import (
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Protocol is how an endpoint is asked, and how it answers.
type Protocol interface {
	// Prefix is what the ids of answers begin with.
	Prefix() string
	// PromptField is the field to blame for a prompt that is too long.
	PromptField() string
	// Read takes what a body asks for, and has the writer of its answer. unknown is told of fields that nobody knows.
	Read(members []body.Member, unknown func(string)) (*Request, Writer, error)
	// Refuse answers with an error alone.
	Refuse(w http.ResponseWriter, e *problem.Error)
}

// Writer spells one answer: with Whole, or as a stream with the other methods, which are called one at a time.
type Writer interface {
	// Whole is the body of an answer that is complete.
	Whole(a *Answer, choices []Collected) any
	// Framing is how the events of a stream follow each other.
	Framing() Framing
	// Begin is what comes before the first piece.
	Begin(a *Answer) []Event
	// Piece is what a piece adds; nothing if a client sees nothing of it. The piece with a choice's end has nothing else.
	Piece(a *Answer, p Piece) []Event
	// End is what comes behind the last piece of an answer that is complete.
	End(a *Answer) []Event
	// Fail is the last of a stream that was cut.
	Fail(a *Answer, e *problem.Error) []Event
}

// Pinger is a Writer whose protocol has events that say nothing but that the answer is still to come.
type Pinger interface {
	Ping() []Event
}

// Event is one of a stream: Data as JSON, or where that is nil, Text as it is.
type Event struct {
	Name string // "" where the framing has no names
	Data any
	Text string
}
