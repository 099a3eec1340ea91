// The README's table of what a published config comes to.

package configtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// Sizes is what a model comes to.
type Sizes struct {
	Parameters int64
	Elements   map[string]int64 // by module
	Position   int64            // bytes of the caches of all layers for one position
	Sequence   int64            // and for one sequence, whatever its length
}

// Under is the elements of a module and all below it.
func (s Sizes) Under(module string) (n int64) {
	for id, elements := range s.Elements {
		if id == module || strings.HasPrefix(id, module+".") {
			n += elements
		}
	}
	return n
}

// SizesOf counts a model that has no weights yet, whose names begin with "model.".
func SizesOf(t testing.TB, m interface{ Caches() []nn.CacheSpec }) Sizes {
	t.Helper()
	outline, elements, err := nn.Outline(m, "model.")
	if err != nil {
		t.Fatal(err)
	}
	s := Sizes{Parameters: outline.Parameters, Elements: elements}
	for _, spec := range m.Caches() {
		s.Position, s.Sequence = s.Position+spec.PositionBytes(), s.Sequence+spec.SequenceBytes()
	}
	return s
}

// Table checks that a Markdown file has these rows, with numbers as people write them.
func Table(t testing.TB, file string, rows map[string]int64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range rows {
		if want := fmt.Sprintf("| %s | %s |", name, Thousands(n)); !strings.Contains(string(text), want) {
			t.Errorf("%s lacks the line %q", file, want)
		}
	}
}

// Thousands is a number as people write it.
func Thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", Thousands(n/1000), n%1000)
}
