// parts.go has models that are in several files, of which the first has the keys: name-00001-of-00003.gguf and so on.

package gguf

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

const maxParts = 1 << 10

var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// Parts are the paths of all files of the model that path, whose header this is, is one of; path alone if it is whole.
func (h *Header) Parts(path string) ([]string, error) {
	v, ok := h.Keys["split.count"]
	if !ok {
		return []string{path}, nil
	}
	count, whole := v.Int()
	if !whole || count < 0 || count > maxParts {
		return nil, fmt.Errorf("split.count is %s; a number up to %d is needed", v, maxParts)
	}
	if count <= 1 {
		return []string{path}, nil
	}
	m := partName.FindStringSubmatch(filepath.Base(path))
	if m == nil || m[3] != fmt.Sprintf("%05d", count) {
		return nil, fmt.Errorf("it is one of %d files and must have its name's end: -00001-of-%05d.gguf", count, count)
	}
	parts := make([]string, count)
	for i := range parts {
		parts[i] = filepath.Join(filepath.Dir(path), fmt.Sprintf("%s-%05d-of-%05d.gguf", m[1], i+1, count))
	}
	return parts, nil
}

// FirstPart is the path of the first file of a model in several, and path itself where it is no later one by its name.
func FirstPart(path string) string {
	m := partName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return path
	}
	if n, _ := strconv.Atoi(m[2]); n <= 1 {
		return path
	}
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("%s-00001-of-%s.gguf", m[1], m[3]))
}

// CheckPart refuses a file that is not part i, from 0 on, of so many.
func (h *Header) CheckPart(i, of int) error {
	if of == 1 {
		return nil
	}
	no, ok := h.Keys["split.no"].Int()
	count, counted := h.Keys["split.count"].Int()
	if !ok || !counted || no != int64(i) || count != int64(of) {
		return fmt.Errorf("it is part %s of %s by its keys, not %d of %d", h.Keys["split.no"], h.Keys["split.count"], i, of)
	}
	return nil
}
