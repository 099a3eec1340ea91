package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// Where weights are kept follows from the file, else from the user's cache; "none" keeps nothing.
func TestWhereWeightsAreKept(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/caches")
	dir := house(t)
	const model = "[[model]]\nid = \"m\"\npath = \"model\"\n"
	for text, want := range map[string]sdk.WeightCache{
		"":                                     {Folder: "/caches/piohost/weights", Bytes: 64 << 30},
		`cache = "here"`:                       {Folder: filepath.Join(dir, "here"), Bytes: 64 << 30},
		"cache = \"/a\"\ncache_size = \"1GB\"": {Folder: "/a", Bytes: 1e9},
		`cache = "none"`:                       {},
	} {
		c, err := load(t, dir, "[weights]\n"+text+"\n"+model)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Weights.Kept(); got != want {
			t.Errorf("%s: %+v, not %+v", text, got, want)
		}
	}
	_, err := load(t, dir, "[weights]\ncache = \"model/config.json\"\n"+model)
	if err == nil || !strings.Contains(err.Error(), `weights.cache: `) || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("a file is the folder: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if got := (Weights{}).Kept(); got != (sdk.WeightCache{}) {
		t.Errorf("without a home weights are kept in %+v", got)
	}
}
