package conformance

// musts_test.go holds PROTOCOL.md, the cases and the twins together.

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every MUST of PROTOCOL.md has a twin that breaks it.
func TestEveryMustHasATwin(t *testing.T) {
	broken := map[string]bool{}
	for _, m := range mutants(nil) {
		broken[m.must] = true
	}
	numbers, _ := musts(t)
	if len(numbers) < 30 {
		t.Errorf("only %d MUSTs were found in PROTOCOL.md", len(numbers))
	}
	for _, number := range numbers {
		if !broken[number] {
			t.Errorf("no twin breaks %s", number)
		}
		delete(broken, number)
	}
	for number := range broken {
		t.Errorf("a twin breaks %s, which PROTOCOL.md does not have", number)
	}
}

// musts are the numbers of PROTOCOL.md, and those of each case that it names.
func musts(t *testing.T) (numbers []string, documented map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	documented = map[string][]string{}
	for _, item := range strings.Split(string(text), "\n- ") {
		number := regexp.MustCompile(`^\*\*([A-Z]\d+)\*\*`).FindStringSubmatch(item)
		if number == nil {
			continue
		}
		if slices.Contains(numbers, number[1]) {
			t.Errorf("PROTOCOL.md has two MUSTs %s", number[1])
		}
		numbers = append(numbers, number[1])
		item, _, _ = strings.Cut(item, "\n\n")
		for _, name := range regexp.MustCompile(`\[([a-z-]+)\]`).FindAllStringSubmatch(item, -1) {
			documented[name[1]] = append(documented[name[1]], number[1])
		}
	}
	return numbers, documented
}

// Every MUST that PROTOCOL.md says a case checks is that case's, and the other way round.
func TestCasesAndProtocolAgree(t *testing.T) {
	_, documented := musts(t)
	for _, c := range Cases() {
		want := slices.Sorted(slices.Values(c.Musts))
		if got := slices.Sorted(slices.Values(documented[c.Name])); !slices.Equal(got, want) {
			t.Errorf("%s: PROTOCOL.md names %v, the case %v", c.Name, got, want)
		}
		delete(documented, c.Name)
	}
	if len(documented) > 0 {
		t.Errorf("PROTOCOL.md names cases that do not exist: %v", documented)
	}
}
