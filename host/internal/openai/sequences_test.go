package openai

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

// The likeliest come in order, of equals the smallest id first, whatever the order in the row.
func TestTheLikeliest(t *testing.T) {
	row := make([]float32, 1000)
	for i := range row {
		row[i] = float32((i * 619) % 500)
	}
	top, ok := topOf(row, 5)
	var got []string
	for _, e := range top {
		got = append(got, fmt.Sprint(e.ID, " ", e.Logit))
	}
	var want []string
	for logit := float32(499); len(want) < 5; logit-- {
		for id, x := range row {
			if x == logit && len(want) < 5 {
				want = append(want, fmt.Sprint(id, " ", x))
			}
		}
	}
	if !ok {
		t.Error("numbers were refused")
	}
	answertest.EqualLines(t, got, want)
}
