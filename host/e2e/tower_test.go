package e2e

// tower_test.go places what pictures go through on devices that have room for it, and that have not.

import (
	"fmt"
	"net/http"
	"reflect"
	"testing"
)

// Each module of the tower can be the only one on a device, whose room for activations is then taken for it alone.
func TestEachModuleOfTheTowerAlone(t *testing.T) {
	s := start(t, roomyFar+tinyOf(vision, "tiny", small))
	placed, _, _ := s.placement()
	tower := towerModules(placed)
	for _, m := range tower {
		s.move(m, "cpu")
	}
	for i, m := range tower {
		s.move(m, "far")
		picture := fmt.Sprintf("unseen/%02d.png", i) // one that is not remembered
		if got, err := s.complete("/v1/chat/completions", look(pictureFile(t, picture)), nil); err != nil || got.Text == "" {
			t.Errorf("%s: %+v, %v", m, got, err)
		}
		s.move(m, "cpu")
	}
	if _, _, report := s.placement(); report["pictures_seen"] != float64(len(tower)) {
		t.Errorf("%v pictures were looked at, not %d", report["pictures_seen"], len(tower))
	}
}

// A device that holds the tower's weights and has no room for what a picture needs beside them gives the tower up.
func TestATowerWithoutRoomGoesHome(t *testing.T) {
	body := look(pictureFile(t, "picture4.png"))
	body["max_tokens"], body["ignore_eos"] = 24, true
	want, err := start(t, tinyOf(vision, "tiny", small)).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, roomyFar+tinyOf(vision, "tiny", small))
	placed, _, _ := s.placement()
	tower := towerModules(placed)
	for _, m := range tower {
		s.move(m, "far")
	}
	_, far, _ := s.placement()
	used, _ := far["used"].(float64)
	if used == 0 {
		t.Fatalf("the tower's weights take nothing of %v", far)
	}
	if code, out := s.post("/admin/budget/tiny", object{"device": "far", "bytes": used + 1000}); code != http.StatusOK {
		t.Fatalf("%d %v", code, out)
	}
	if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	placed, _, _ = s.placement()
	for _, m := range tower {
		if placed[m] != "cpu" {
			t.Errorf("%s is still on %s", m, placed[m])
		}
	}
}
