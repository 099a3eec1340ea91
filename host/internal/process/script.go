package process

// script.go: a plugin may be a script. The kernel starts the interpreter that the first line names and gives it the path
// it was told to execute. That path is the sealed copy's, so what was hashed is also what the interpreter reads; for that
// the child keeps the copy open under a number of its own. The interpreter, and what the script imports, are no more
// covered by the hash than the shared libraries of a compiled plugin are.

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// scriptFD is the number the copy of a script has in the child: the first after the lifeline.
const scriptFD = lifelineFD + 1

// maxFirstLine is how much of a file the kernel reads to find the interpreter (BINPRM_BUF_SIZE).
const maxFirstLine = 256

var scriptMark = []byte("#!")

// interpreterOf reads the first line of a script; head is the file's beginning.
func interpreterOf(head []byte) (string, error) {
	line, _, whole := bytes.Cut(head[:min(len(head), maxFirstLine)], []byte("\n"))
	switch {
	case !whole:
		return "", fmt.Errorf("is a script whose first line is longer than %d bytes, of which the kernel reads no more", maxFirstLine-1)
	case bytes.HasSuffix(line, []byte("\r")):
		return "", errors.New("is a script whose first line ends in a carriage return, which the kernel takes for a part of the name; save it with Unix line ends")
	case bytes.IndexByte(line, 0) >= 0:
		return "", errors.New("is a script whose first line holds a zero byte")
	}
	words := strings.Fields(string(line[len(scriptMark):]))
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return "", fmt.Errorf("is a script whose first line is %q; it must name its interpreter by an absolute path, as in #!/usr/bin/env python3", line)
	}
	return words[0], nil
}
