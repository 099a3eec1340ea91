// Package body reads what clients send: bounded, valid UTF-8, one JSON object, its members in the order they were sent. A body is in
// memory once: its members are parts of it. Errors say which field is wrong, and what was expected instead.
package body

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

const (
	// Small is the size up to which a body is not weighed: as many as there are requests take little, and a prompt of a few pages need
	// not wait for a slow client's pictures.
	Small = 64 << 10
	// bodyTimeout bounds how long a client may take to send its body: a held connection costs a goroutine and a buffer.
	bodyTimeout = time.Minute
	// MaxDepth is how deep a body may nest; templates take messages as deep as this.
	MaxDepth = 200
	// maxMembers is what one body may have; there are some eighty fields.
	maxMembers = 1000
	// MaxValues bounds what a field has in it, but for lists of ids: a plugin takes a hundred bytes for each, however short it
	// is. A conversation of ten thousand turns has 50,000.
	MaxValues = 1 << 18
)

// Member is one key of the body with its value as it was sent.
type Member struct {
	Key   string
	Value json.RawMessage
}

// Room waits until there is some for a body of n bytes.
type Room func(ctx context.Context, n int64) error

// Read reads one JSON object of at most limit bytes. room is asked for what is larger than Small; nil where limit is not.
func Read(w http.ResponseWriter, r *http.Request, limit int64, room Room) ([]Member, error) {
	// A page on another site can post forms and plain text to a local host without asking, but not JSON.
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, problem.New(http.StatusUnsupportedMediaType, "", "",
			"the Content-Type must be application/json, not \""+Clip(r.Header.Get("Content-Type"))+"\"")
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, problem.New(http.StatusUnsupportedMediaType, "", "", "the body has the Content-Encoding \""+Clip(e)+"\", which this host does not read; send it without")
	}
	c := http.NewResponseController(w)
	body, err := readAll(r, limit, room, func() { _ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) })
	_ = c.SetReadDeadline(time.Time{}) // the server goes on reading, to notice when the client leaves
	if err != nil {
		return nil, err
	}
	return Members(body)
}

// readAll begins with what needs no room, and reads the rest when there is some for the size that the client named, or for the
// largest. hurry starts the client's time.
func readAll(r *http.Request, limit int64, room Room, hurry func()) ([]byte, error) {
	size := r.ContentLength
	if size > limit {
		return nil, tooLarge(limit)
	}
	if size < 0 {
		size = limit + 1 // one more, to see that there is more
	}
	hurry()
	body, ended, err := fill(r.Body, make([]byte, 0, min(size, Small)))
	if err == nil && !ended && size > Small {
		if err := room(r.Context(), size); err != nil {
			return nil, err
		}
		hurry()
		body, _, err = fill(r.Body, append(make([]byte, 0, size), body...))
	}
	switch {
	case err != nil:
		return nil, problem.Invalid("", "the body could not be read: %v", err)
	case int64(len(body)) > limit:
		return nil, tooLarge(limit)
	}
	return body, nil
}

// fill reads into what b has room for; ended says that there is no more.
func fill(r io.Reader, b []byte) (filled []byte, ended bool, err error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return b, false, nil
}

func tooLarge(limit int64) error {
	return problem.New(http.StatusRequestEntityTooLarge, "", "",
		"the body is larger than "+config.FormatSize(limit)+", the most this host takes")
}

// valid is what a JSON text is read into that is only to be checked: nothing is kept and nothing copied.
type valid struct{}

func (*valid) UnmarshalJSON([]byte) error { return nil }

// Members splits a JSON object into its members. Nothing inside a value is decoded: key order and the spelling of
// numbers reach the chat template as the client wrote them.
func Members(body []byte) ([]Member, error) {
	if !utf8.Valid(body) {
		return nil, problem.Invalid("", "the body is not valid UTF-8")
	}
	if err := json.Unmarshal(body, new(valid)); err != nil {
		var s *json.SyntaxError
		if errors.As(err, &s) {
			line, column := position(body, s.Offset)
			return nil, problem.Invalid("", "the body is not valid JSON: line %d, column %d: %v", line, column, err)
		}
		return nil, problem.Invalid("", "the body is not valid JSON: %v", err)
	}
	start := skip(body, 0)
	if body[start] != '{' {
		return nil, problem.Invalid("", "the body must be a JSON object")
	}
	if _, depth := Extent(body); depth > MaxDepth {
		return nil, problem.Invalid("", "the body nests %d deep; expected at most %d", depth, MaxDepth)
	}
	var list []Member
	seen := map[string]bool{}
	for key, at := range FieldsOf(body, start) {
		if seen[key] {
			return nil, problem.Invalid(Clip(key), "%q is given twice", Clip(key))
		}
		if seen[key] = true; len(seen) > maxMembers {
			return nil, problem.Invalid("", "the body has more than %d fields", maxMembers)
		}
		list = append(list, Member{key, body[at.From:at.To:at.To]})
	}
	return list, nil
}

// NotTooMany refuses a value that holds more of them than anybody means.
func NotTooMany(v json.RawMessage) error {
	if n, _ := Extent(v); n > MaxValues {
		return fmt.Errorf("holds %d values; expected at most %d", n, MaxValues)
	}
	return nil
}

// position turns the number of bytes read up to an error into a line and a column, both from 1.
func position(body []byte, offset int64) (line, column int) {
	before := body[:min(max(offset-1, 0), int64(len(body)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}
