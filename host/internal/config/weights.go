package config

import (
	"os"
	"path/filepath"

	"github.com/inference-pio/inference-pio/sdk"
)

// weights.go reads where quantised weights are kept between loads.

// CacheNone is a cache that there is none of.
const CacheNone = "none"

const (
	defaultCacheSize = 64 << 30 // a handful of models; of the disk a part stays free in any case
	leastCacheSize   = 1 << 20
	mostCacheSize    = 64 << 40
)

// weights reads [weights].
func (r *reader) weights(t *table) Weights {
	w := Weights{CacheSize: t.bounded("cache_size", defaultCacheSize, leastCacheSize, mostCacheSize)}
	if cache := t.text("cache", "", `a folder, or "none"`); cache == CacheNone {
		w.Cache = cache
	} else if cache != "" {
		w.Cache = r.absolute(cache)
		if info, err := r.stat(w.Cache); err == nil && !info.IsDir() {
			t.problem("cache", "%s is a file; expected a folder, which need not be there, or %q", w.Cache, CacheNone)
		}
	}
	t.finish()
	return w
}

// DefaultCache is the folder of a user who has named none: below XDG_CACHE_HOME, or .cache at home. "" without a home.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "piohost", "weights")
}

// Kept is where plugins are to keep weights; without a folder nowhere.
func (w Weights) Kept() sdk.WeightCache {
	c := sdk.WeightCache{Folder: w.Cache, Bytes: w.CacheSize}
	switch w.Cache {
	case CacheNone:
		return sdk.WeightCache{}
	case "":
		c.Folder = DefaultCache()
	}
	if c.Folder == "" {
		return sdk.WeightCache{}
	}
	return c
}
