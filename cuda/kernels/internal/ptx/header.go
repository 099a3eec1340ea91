package ptx

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// header.go holds our cuda.h to NVIDIA's: each number, and each struct's size and layout, is printed by a program that is compiled with
// the one and with the other.

var (
	constant = regexp.MustCompile(`\b(CU(?:DA)?_[A-Z0-9_a-z]+) = `)
	defined  = regexp.MustCompile(`(?m)^#define (CU_[A-Z_]+) \d+$`)
	structs  = regexp.MustCompile(`(?s)typedef struct \{\n([^}]*)\} (CUDA_\w+);`)
	field    = regexp.MustCompile(`(\w+)\s*[,;]`)
)

// gone are numbers that NVIDIA's newer headers have no more: of devices that its drivers no longer drive.
var gone = regexp.MustCompile(`^CU_TARGET_COMPUTE_[12]\d$`)

// CompareHeaders says how a folder's cuda.h differs from ours in what both have; an error if ours has what theirs has not.
func CompareHeaders(ours, theirs string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(ours, "cuda.h"))
	if err != nil {
		return nil, err
	}
	program := program(string(text))
	a, err := printed(program, ours)
	if err != nil {
		return nil, err
	}
	b, err := printed(program, theirs)
	if err != nil {
		return nil, err
	}
	if len(a) != len(b) || len(a) < 300 {
		return nil, fmt.Errorf("%d and %d numbers: nothing is compared", len(a), len(b))
	}
	var differ []string
	for i := range a {
		if a[i] != b[i] {
			differ = append(differ, a[i]+", theirs "+b[i])
		}
	}
	return differ, nil
}

func program(header string) string {
	var b strings.Builder
	// The first form of this struct, which we use, has another name in newer headers.
	b.WriteString("#include <cuda.h>\n#include <stddef.h>\n#include <stdio.h>\n#if CUDA_VERSION > 12000\n#define CUDA_KERNEL_NODE_PARAMS CUDA_KERNEL_NODE_PARAMS_v1\n#endif\nint main(void) {\n")
	for _, pattern := range []*regexp.Regexp{constant, defined} {
		for _, m := range pattern.FindAllStringSubmatch(header, -1) {
			if !gone.MatchString(m[1]) {
				fmt.Fprintf(&b, "printf(\"%s %%lld\\n\", (long long)%s);\n", m[1], m[1])
			}
		}
	}
	for _, m := range structs.FindAllStringSubmatch(header, -1) {
		fmt.Fprintf(&b, "printf(\"%s %%zu\\n\", sizeof(%s));\n", m[2], m[2])
		for _, f := range field.FindAllStringSubmatch(m[1], -1) {
			fmt.Fprintf(&b, "printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));\n", m[2], f[1], m[2], f[1])
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func printed(program, include string) ([]string, error) {
	dir, err := os.MkdirTemp("", "header")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "print")
	cmd := exec.Command("gcc", "-I", include, "-x", "c", "-o", exe, "-")
	cmd.Stdin = strings.NewReader(program)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", include, err, bytes.TrimSpace(said))
	}
	out, err := exec.Command(exe).Output()
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
}
