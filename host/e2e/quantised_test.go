package e2e

import (
	"fmt"
	"testing"
)

// quantised_test.go has models.toml quantise weights.

// An answer in q4 is the same to the token after its plugin died, which quantises anew.
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
