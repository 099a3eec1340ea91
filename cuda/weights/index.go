// The index of a sharded checkpoint: which tensor lies in which file.

package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// maxIndex bounds the index; 100,000 tensors take about ten megabytes.
const maxIndex = 100 << 20

// readIndex returns tensor -> shard, each shard a plain file name.
func readIndex(path string) (map[string]string, error) {
	text, err := regular.Read(path, maxIndex)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return index, nil
}

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
