// requestid.go gives every answer its X-Request-Id, by which the log can be searched: the client's own if it sent one.
package answer

import (
	"net/http"
	"strings"
)

// longestRequestID is in bytes: a UUID has 36.
const longestRequestID = 128

// Identified sets the header before anybody can answer.
func Identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		if id == "" {
			id = NewID("req-")
		}
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r)
	})
}

// requestID is the client's own name of its request, "" if it has none that may stand in a log and in a header.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if len(id) > longestRequestID || strings.ContainsFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("-_.:/+=@", c)
	}) {
		return ""
	}
	return id
}

// answerID is the id of an answer. Clients send one id several times, so theirs is only a part of it; one that sent none gets ours.
func answerID(w http.ResponseWriter, r *http.Request, prefix string) string {
	if id := requestID(r); id != "" {
		return NewID(prefix + id + "-")
	}
	id := NewID(prefix)
	w.Header().Set("X-Request-Id", id)
	return id
}
