// home.go finds where the hub's library keeps things: the variables and files are its own.
package hub

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// DefaultEndpoint is the hub's own.
const DefaultEndpoint = "https://huggingface.co"

// maxToken bounds what is read of a token's file.
const maxToken = 16 << 10

// Home is what the environment says of the hub.
type Home struct {
	Endpoint string // without a slash at its end
	Cache    string // absolute
	Token    string // "": none
	Offline  bool   // nothing is to be fetched
}

// FindHome reads the environment, and the token's file.
func FindHome() (Home, error) {
	h := Home{Endpoint: strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), DefaultEndpoint), "/")}
	if !strings.HasPrefix(h.Endpoint, "https://") && !strings.HasPrefix(h.Endpoint, "http://") {
		return h, fmt.Errorf("HF_ENDPOINT is %.100q; expected a URL such as %s", h.Endpoint, DefaultEndpoint)
	}
	base, err := hfHome()
	if err != nil {
		return h, err
	}
	cache := cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE"), filepath.Join(base, "hub"))
	if h.Cache, err = filepath.Abs(expand(cache)); err != nil {
		return h, err
	}
	h.Offline = truthy("HF_HUB_OFFLINE") || truthy("TRANSFORMERS_OFFLINE")
	if h.Token = clean(cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN"))); h.Token == "" && !truthy("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		file := expand(cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(base, "token")))
		if text, err := regular.Read(file, maxToken); err == nil {
			h.Token = clean(string(text))
		}
	}
	return h, nil
}

func hfHome() (string, error) {
	if home := os.Getenv("HF_HOME"); home != "" {
		return expand(home), nil
	}
	cache, err := os.UserCacheDir() // XDG_CACHE_HOME, or .cache at home
	if err != nil {
		return "", fmt.Errorf("there is no place for the hub's cache: %w; set HF_HOME", err)
	}
	return filepath.Join(cache, "huggingface"), nil
}

// expand puts variables and the home in a path.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if home, err := os.UserHomeDir(); err == nil && (path == "~" || strings.HasPrefix(path, "~/")) {
		path = filepath.Join(home, path[1:])
	}
	return path
}

func truthy(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

func clean(token string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(token))
}
