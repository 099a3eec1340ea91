package process

import (
	"slices"
	"strings"
)

// A plugin is given these of the host's variables and no others; [[model]] env in models.toml adds to them.
var (
	allowedNames = []string{
		"PATH", "HOME", "USER", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH",
		"LANG", "TZ",
		"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK",
	}
	allowedPrefixes = []string{"LC_", "CUDA_", "NVIDIA_", "PIO_"}
	// Secrets that carry an allowed prefix stay in the host all the same.
	forbiddenWords = []string{"KEY", "TOKEN", "SECRET", "PASSW", "CREDENTIAL"}
)

// allowed filters an environment as os.Environ gives it.
func allowed(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(pair string) bool {
		name, _, ok := strings.Cut(pair, "=")
		return !ok || !allowedName(name)
	})
}

func allowedName(name string) bool {
	has := func(part string) bool { return strings.Contains(strings.ToUpper(name), part) }
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.Contains(allowedNames, name) ||
		slices.ContainsFunc(allowedPrefixes, begins) && !slices.ContainsFunc(forbiddenWords, has)
}

// lastValues leaves of several values of a name the last.
func lastValues(env []string) []string {
	last := map[string]int{}
	for i, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		last[name] = i
	}
	var kept []string
	for i, pair := range env {
		if name, _, _ := strings.Cut(pair, "="); last[name] == i {
			kept = append(kept, pair)
		}
	}
	return kept
}
