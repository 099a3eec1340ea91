package answer

import (
	"bytes"
	"encoding/json"
)

// Framing is how the events of a stream follow each other. Clients choose it by the endpoint, never by what they accept.
type Framing struct {
	contentType string
	prefix      string // of the data
	names       bool
	end         string // behind the line of an event
	comments    bool   // lines that clients pass over
}

// The framings that there are.
var (
	// Events are server-sent, without names.
	Events = Framing{contentType: "text/event-stream", prefix: "data: ", end: "\n", comments: true}
	// NamedEvents have a line with their name before the data.
	NamedEvents = Framing{contentType: "text/event-stream", prefix: "data: ", names: true, end: "\n", comments: true}
	// Lines are JSON texts, one a line.
	Lines = Framing{contentType: "application/x-ndjson"}
)

func (f Framing) write(to *bytes.Buffer, e Event) error {
	if f.names && e.Name != "" {
		to.WriteString("event: " + e.Name + "\n")
	}
	to.WriteString(f.prefix)
	if e.Data == nil {
		to.WriteString(e.Text + "\n")
	} else {
		enc := json.NewEncoder(to) // which ends the line
		enc.SetEscapeHTML(false)
		if err := enc.Encode(e.Data); err != nil {
			return err
		}
	}
	to.WriteString(f.end)
	return nil
}
