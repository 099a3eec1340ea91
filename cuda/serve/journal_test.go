package serve

// journal_test.go reads in the log what has moved, why, and what it cost.

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

// journalOf has the log be kept from now on, and gives what it has told of moves since it was asked last, without times.
func journalOf(t *testing.T, y *toy) func() string {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	times := regexp.MustCompile(`time=\S+ level=INFO | took=\S+| "on the link"=\S+`)
	return func() string {
		y.r.mu.Lock() // whoever has carried out an order has told of it then
		defer y.r.mu.Unlock()
		text := strings.TrimSpace(times.ReplaceAllString(log.String(), ""))
		log.Reset()
		return text
	}
}

// Once nothing is on its way the log says what has gone where, why, and how many bytes were copied for it. Weights that a device gives up are dropped: no byte
// of them is copied, and what layers that leave it cost are their states.
func TestWhatMovesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := closedRoad(t)
		told := journalOf(t, y)
		says := func(what, want string) {
			t.Helper()
			if got := told(); got != want {
				t.Errorf("%s:\n got %s\nwant %s", what, got, want)
			}
		}
		if err := y.r.load(); err != nil {
			t.Fatal(err)
		}
		y.pass(nil)
		says("while layers come", "")
		d.reopen()
		y.come()
		y.pass(nil)
		says("when they are there", `msg="modules have moved" from=cpu to=far modules=4 which="layers.0 to layers.3" why="the model was loaded" copied="20.0 KiB" freed="4.0 KiB"`)
		there, back := d.filled(), d.back()
		if err := y.obey(budget(toyTwo)); err != nil {
			t.Fatal(err)
		}
		says("half of the weights give way", `msg="modules have moved" from=far to=cpu modules=0 "given up"=2 why="far may hold 12.5 KiB" copied="0 bytes" freed="8.0 KiB"`)
		if d.filled() != there || d.back() != back {
			t.Errorf("to give weights up %d were copied, and %d bytes back", d.filled()-there, d.back()-back)
		}
		if err := y.obey(budget(0)); err != nil {
			t.Fatal(err)
		}
		says("all leave", `msg="modules have moved" from=far to=cpu modules=4 which="layers.0 to layers.3" "given up"=1 why="far may hold 0 bytes" copied="4.0 KiB" freed="12.0 KiB"`)
		if d.filled() != there || d.back() != back+toyStates {
			t.Errorf("%d weights were copied, and %d bytes back; states are %d", d.filled()-there, d.back()-back, toyStates)
		}
		y.pass(nil)
		says("a pass moves nothing", "")
		if err := y.obey(budget(1 << 20)); err != nil {
			t.Fatal(err)
		}
		y.come()
		told()
		if err := y.obey(move("layers.1", "cpu")); err != nil {
			t.Fatal(err)
		}
		says("an order", `msg="modules have moved" from=far to=cpu modules=1 which=layers.1 why="it was ordered" copied="1.0 KiB" freed="5.0 KiB"`)
		y.pass(nil)
	})
}
