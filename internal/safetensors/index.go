// index.go has which files of a folder a checkpoint is in, and the index of one that is in several.

package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names by which a folder has a checkpoint in one file, and the index of one in several.
const (
	SingleFile = "model.safetensors"
	IndexFile  = "model.safetensors.index.json"
)

// maxIndex bounds the index; 100,000 tensors take about ten megabytes.
const maxIndex = 100 << 20

// Files lists the safetensors files of a folder, and what its index says lies where (nil without one). read reads a file of at most so many bytes.
// That there is neither a file nor an index is fs.ErrNotExist.
func Files(dir string, read func(path string, limit int64) ([]byte, error)) (paths []string, index map[string]string, err error) {
	single, path := filepath.Join(dir, SingleFile), filepath.Join(dir, IndexFile)
	if _, err := os.Lstat(single); err == nil { // what is wrong with it is told when it is opened
		return []string{single}, nil, nil
	}
	text, err := read(path, maxIndex)
	if err != nil {
		return nil, nil, err
	}
	if index, err = parseIndex(text); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(index))) {
		paths = append(paths, filepath.Join(dir, shard))
	}
	return paths, index, nil
}

// parseIndex returns tensor -> shard, each shard a plain file name.
func parseIndex(text []byte) (map[string]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("is broken: %w", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("has no weight_map that names tensors and their files")
	}
	for name, shard := range index.WeightMap {
		if shard == "" || shard != filepath.Base(shard) || !filepath.IsLocal(shard) || strings.ContainsAny(shard, "\\\x00") {
			return nil, fmt.Errorf("says that tensor %q is in %q, which is no plain file name in the checkpoint's directory", name, shard)
		}
	}
	return index.WeightMap, nil
}

// Holds refuses an index that says of a tensor that it is in a file which does not have it. has is tensor -> file, as the headers say.
func Holds(index, has map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if has[name] != index[name] {
			return fmt.Errorf("says that tensor %q is in %s, which does not hold it", name, index[name])
		}
	}
	return nil
}
