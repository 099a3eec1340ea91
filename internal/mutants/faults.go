package main

// faults.go reads the list of faults:
//
//	== what a user would suffer from
//	file cuda/nn/rope.go
//	test ./cuda/nn -run Rope
//	-	the lines that stand there,
//	-	exactly once in the file
//	+	the lines in their place; none is a deletion
//
// Lines in front of the first fault and those that begin with # are for the reader.

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

type fault struct {
	name     string
	file     string
	test     []string // arguments of go test
	old, new []string // whole lines
	line     int      // where it begins in the list
}

func readList(path string) ([]fault, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	faults, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return faults, nil
}

func parse(text string) (faults []fault, err error) {
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "==" {
			faults = append(faults, fault{name: rest, line: i + 1})
			continue
		}
		if len(faults) == 0 || line == "" || line[0] == '#' {
			continue
		}
		f := &faults[len(faults)-1]
		switch {
		case line[0] == '-':
			f.old = append(f.old, line[1:])
		case line[0] == '+':
			f.new = append(f.new, line[1:])
		case word == "file":
			f.file = rest
		case word == "test" && strings.ContainsAny(rest, `'"`): // no shell reads it, and a quoted pattern matches no test
			return nil, fmt.Errorf("%d: %q: leave the quotes away", i+1, line)
		case word == "test":
			f.test = strings.Fields(rest)
		default:
			return nil, fmt.Errorf("%d: %q is no line of a fault", i+1, line)
		}
	}
	for _, f := range faults {
		if f.name == "" || f.file == "" || f.test == nil || f.old == nil {
			return nil, fmt.Errorf("%d: a fault has a name, a file, a test and lines that it replaces", f.line)
		}
	}
	return faults, nil
}

// plant is the fault's file with the fault in it.
func (f fault) plant() ([]byte, error) {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return nil, err
	}
	have, at, n := strings.Split(string(text), "\n"), 0, 0
	for i := range have {
		if i+len(f.old) <= len(have) && slices.Equal(have[i:i+len(f.old)], f.old) {
			at, n = i, n+1
		}
	}
	if n != 1 {
		return nil, fmt.Errorf("its lines stand %d times in %s and not once: write %s:%d anew for what the code has become, or delete it there", n, f.file, list, f.line)
	}
	return []byte(strings.Join(slices.Replace(have, at, at+len(f.old), f.new...), "\n")), nil
}
