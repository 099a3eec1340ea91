package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// maxFile bounds what is parsed; a models.toml of a hundred models has some 20 KiB.
const maxFile = 256 << 10

// Load reads and checks a models.toml. Its error is of type [Problems].
func Load(path string) (*Config, error) {
	c, err := Patient(path)
	if err == nil {
		err = c.Absent.orNil()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Patient is Load for a host that waits for checkpoints: one that is not there is no mistake.
func Patient(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	return parse(path, data, disk{os.Stat, Checkpoint})
}

// MTLS reads plugins.mtls alone, for commands that start a plugin and serve nothing: what else is wrong with the file does
// not matter to them. A file that is not there says nothing, which is the default.
func MTLS(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return defaultMTLS, nil
	}
	data, err := readFile(path)
	if err != nil {
		return false, Problems{{File: path, Text: err.Error()}}
	}
	var values map[string]any
	if _, err := toml.Decode(string(data), &values); err != nil {
		return false, Problems{syntaxProblem(path, err)}
	}
	r := &reader{document: &document{file: path, lines: locate(string(data))}}
	on := r.table("", values).sub("plugins").flag("mtls", defaultMTLS)
	return on, r.problems.orNil()
}

// readFile reads a bounded regular file and says in a sentence why it cannot.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file; name one with --config")
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a folder; expected a TOML file such as models.toml in it")
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("is larger than %d KiB; is it a models.toml?", maxFile>>10)
	}
	return data, nil
}

// parse checks the text of a file.
func parse(file string, data []byte, files disk) (*Config, error) {
	var values map[string]any
	if _, err := toml.Decode(string(data), &values); err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, Problems{{File: file, Text: err.Error()}}
	}
	r := &reader{
		document: &document{file: file, lines: locate(string(data))},
		disk:     files,
		dir:      filepath.Dir(absolute),
	}
	c := r.config(values)
	c.File, c.Notes = absolute, r.notes
	if len(r.problems) > 0 {
		return nil, append(r.problems, r.absent...).orNil()
	}
	c.Absent = r.absent
	return c, nil
}

func syntaxProblem(file string, err error) Problem {
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		return Problem{File: file, Text: err.Error()}
	}
	text := syntax.Message
	if text == "" { // the parser puts what it knows only into Error in some cases
		text = syntax.Error()
	}
	return Problem{File: file, Line: syntax.Position.Line, Text: "not valid TOML: " + text}
}
