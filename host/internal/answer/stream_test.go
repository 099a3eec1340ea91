package answer

import (
	"net/http/httptest"
	"testing"
	"time"
)

// The timer of a stream may fire as its handler returns: nothing is written then, to a response that is another's by now.
func TestNothingIsWrittenAfterTheStream(t *testing.T) {
	w := httptest.NewRecorder()
	s := newEvents(w, Events, time.Hour)
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	s.keepAlive()
	if got := w.Body.String(); got != ": waiting\n\n" {
		t.Fatalf("a silent stream says %q", got)
	}
	if err := s.send(Event{Text: "[DONE]"}); err != nil {
		t.Fatal(err)
	}
	s.close()
	before := w.Body.String()
	s.keepAlive()
	if got := w.Body.String(); got != before {
		t.Errorf("after its end the stream says %q", got[len(before):])
	}
}

// A stream that never began says nothing, however long it takes: its failure is to have a status of its own.
func TestNothingIsWrittenBeforeTheStream(t *testing.T) {
	w := httptest.NewRecorder()
	s := newEvents(w, Events, time.Nanosecond)
	s.close()
	if s.begun() || w.Body.Len() > 0 || w.Flushed {
		t.Errorf("%v, %q", s.begun(), w.Body)
	}
}
