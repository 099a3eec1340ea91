// body.go reads a request's body: bounded, valid UTF-8, one JSON object, its members in the order they were sent.
package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// bodyTimeout bounds how long a client may take to send its body: a held connection costs a goroutine and a buffer.
const bodyTimeout = time.Minute

// member is one key of the body with its value as it was sent.
type member struct {
	key   string
	value json.RawMessage
}

// readBody reads one JSON object of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]member, error) {
	// A page on another site can post forms and plain text to a local host without asking, but not JSON.
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, newError(http.StatusUnsupportedMediaType, "", "",
			"the Content-Type must be application/json, not \""+clip(r.Header.Get("Content-Type"))+"\"")
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = c.SetReadDeadline(time.Time{}) // the server goes on reading, to notice when the client leaves
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, newError(http.StatusRequestEntityTooLarge, "", "",
			"the body is larger than "+config.FormatSize(large.Limit)+", the most this host takes")
	case err != nil:
		return nil, invalid("", "the body could not be read: %v", err)
	}
	return parseBody(body)
}

// parseBody splits a JSON object into its members. Nothing inside a value is decoded: key order and the spelling of
// numbers reach the chat template as the client wrote them.
func parseBody(body []byte) ([]member, error) {
	if !utf8.Valid(body) {
		return nil, invalid("", "the body is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		var s *json.SyntaxError
		if errors.As(err, &s) {
			line, column := position(body, s.Offset)
			return nil, invalid("", "the body is not valid JSON: line %d, column %d: %v", line, column, err)
		}
		return nil, invalid("", "the body is not valid JSON: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, invalid("", "the body must be a JSON object")
	}
	var list []member
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, invalid("", "the body is not valid JSON: %v", err)
		}
		m := member{key: key.(string)} // a key of an object is a string: the syntax was checked above
		if seen[m.key] {
			return nil, invalid(clip(m.key), "%q is given twice", clip(m.key))
		}
		seen[m.key] = true
		if err := d.Decode(&m.value); err != nil {
			return nil, invalid(clip(m.key), "%q is not valid JSON: %v", clip(m.key), err)
		}
		list = append(list, m)
	}
	return list, nil
}

// position turns the number of bytes read up to an error into a line and a column, both from 1.
func position(body []byte, offset int64) (line, column int) {
	before := body[:min(max(offset-1, 0), int64(len(body)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}
