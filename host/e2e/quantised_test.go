package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// quantised_test.go has models.toml quantise weights.

// An answer in q4 is the same to the token after its plugin died, whose next process maps what the first has kept.
func TestAQuantisedModelGoesOnAfterItsDeath(t *testing.T) {
	q4 := `quantize = "q4"`
	body := ask("What is the capital of Japan?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 16, "ignore_eos": true})
	want, err := start(t, tinyModel(q4)).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.IDs) != 16 {
		t.Fatalf("the uninterrupted answer is %+v", want)
	}
	for _, i := range []int{0, 7, 14} {
		killedAt(t, i, body, want, tinyModel(q4, hold(i)))
	}
}

// What one host has quantised another maps, and answers the same; `piohost models` tells of it, and a process that uses it keeps it.
func TestQuantisedWeightsAreKept(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	tables := fmt.Sprintf("[weights]\ncache = %q\n%s", kept, tinyModel(`quantize = "q4"`))
	body := ask("What is the capital of Japan?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 7, "max_tokens": 16, "ignore_eos": true})
	first := start(t, tables)
	want, err := first.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	list := keptBy(t, first)
	if len(list) != 1 || list[0]["whole"] != true || list[0]["in_use"] != false || list[0]["quantize"] != "q4" || list[0]["model"] != tinyDir("qwen3_0_6b") {
		t.Fatalf("after the first there is %v", list)
	}
	file := fmt.Sprint(list[0]["path"])
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, tables)
	got, err := second.complete("/v1/chat/completions", body, nil)
	if err != nil || !slices.Equal(got.IDs, want.IDs) {
		t.Errorf("%v; the second answers %v, the first %v", err, got.IDs, want.IDs)
	}
	for what, told := range map[*server]string{first: `GB/s, packed to [0-9.]+ MB of q4`, second: `\([0-9.]+ MB of q4( and q8)?, kept by an earlier load\)`} {
		if !regexp.MustCompile(told).MatchString(what.log.String()) {
			t.Errorf("the log has no %s:\n%s", told, what.log)
		}
	}
	if list := keptBy(t, second); len(list) != 1 || list[0]["in_use"] != true {
		t.Errorf("while it is served there is %v", list)
	}
	if after, err := os.Stat(file); err != nil || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(after, before) {
		t.Errorf("the second has written to it: %v", err)
	}
}

// keptBy is what `piohost models` lists of the folder that a server's file names.
func keptBy(t *testing.T, s *server) (list []object) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "piohost"), "models", "--json", "--config", filepath.Join(s.dir, "models.toml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Kept []object }
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return d.Kept
}

// What an entry takes is told before it is served: less with fewer bits.
func TestTheCheckCountsQuantisedWeights(t *testing.T) {
	weights := func(keys ...string) float64 {
		code, d := checked(t, tinyModel(keys...))
		models, _ := d["models"].([]any)
		if code != 0 || len(models) != 1 {
			t.Fatalf("%v: exit code %d, %v", keys, code, d)
		}
		return models[0].(object)["memory"].(object)["weights"].(float64)
	}
	file, q8, q4 := weights(), weights(`quantize = "q8"`), weights(`quantize = "q4"`)
	if !(q8 < 0.6*file && q4 < 0.35*file) {
		t.Errorf("%v bytes as the file has them, %v in q8, %v in q4", file, q8, q4)
	}
	code, d := checked(t, tinyModel(`quantize = "q5"`))
	if told := fmt.Sprint(d["problems"]); code == 0 || told == "" {
		t.Errorf("q5: exit code %d, %s", code, told)
	}
}
