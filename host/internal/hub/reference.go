// reference.go reads what a person calls a model: a repository, perhaps with a revision and one of its files, or a URL of either.
package hub

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

const defaultRevision = "main"

// Reference is a model of a hub.
type Reference struct {
	Endpoint string // where a URL names one, else ""
	Repo     string // "Qwen/Qwen3-0.6B"
	Revision string // a branch, a tag or a commit
	Pick     string // which GGUF file: a kind such as "Q4_K_M", or its path in the repository; "": not said
}

func (r Reference) String() string {
	text := r.Repo
	if r.Revision != defaultRevision {
		text += "@" + r.Revision
	}
	if r.Pick != "" {
		text += ":" + r.Pick
	}
	return text
}

var (
	repoPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$`)
	revision = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}$`)
	commit   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// shortHosts are written without a scheme, as other programs take them.
var shortHosts = []string{"hf.co/", "huggingface.co/"}

const expected = "expected ORG/NAME such as Qwen/Qwen3-0.6B, ORG/NAME:Q4_K_M for a GGUF file, or a URL of either"

// Parse reads what a person has written. endpoint is the configured one, below which a URL may be.
func Parse(text, endpoint string) (Reference, error) {
	text = strings.TrimSpace(text)
	for _, host := range shortHosts {
		if strings.HasPrefix(text, host) {
			text = "https://" + text
		}
	}
	var r Reference
	var err error
	switch scheme, rest, ok := strings.Cut(text, "://"); {
	case !ok:
		r = short(text)
	case scheme == "hf":
		r = ofHF(rest)
	case scheme == "http" || scheme == "https":
		r, err = ofURL(text, endpoint)
	default:
		err = fmt.Errorf("%.100q: %s is not spoken; %s", text, scheme, expected)
	}
	if err != nil {
		return Reference{}, err
	}
	if r.Revision == "" {
		r.Revision = defaultRevision
	}
	return r, r.check(text)
}

// short reads ORG/NAME[@REVISION][:PICK].
func short(text string) (r Reference) {
	text, r.Pick, _ = strings.Cut(text, ":")
	r.Repo, r.Revision, _ = strings.Cut(text, "@")
	return r
}

// ofHF reads what follows hf://, ORG/NAME[@REVISION][/FILE][:PICK].
func ofHF(text string) Reference {
	text = strings.TrimPrefix(text, "models/")
	parts := strings.SplitN(text, "/", 3)
	r := short(strings.Join(parts[:min(2, len(parts))], "/"))
	if len(parts) == 3 && parts[2] != "" {
		r.Pick = parts[2]
	}
	return r
}

// ofURL reads ENDPOINT/ORG/NAME[:PICK], .../tree/REVISION, and .../resolve/REVISION/FILE as well as .../blob/REVISION/FILE.
func ofURL(text, endpoint string) (Reference, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return Reference{}, fmt.Errorf("%.100q is no URL of a model; %s", text, expected)
	}
	base, below := u.Scheme+"://"+u.Host, u.EscapedPath()
	if rest, ok := strings.CutPrefix(base+below, strings.TrimRight(endpoint, "/")+"/"); ok {
		base, below = strings.TrimRight(endpoint, "/"), rest
	} else if u.Host == "hf.co" {
		base = DefaultEndpoint
	}
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(below, "/"), "/") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return Reference{}, fmt.Errorf("%.100q is no URL of a model; %s", text, expected)
		}
		parts = append(parts, plain)
	}
	if len(parts) < 2 {
		return Reference{}, fmt.Errorf("%.100q names no repository; %s", text, expected)
	}
	r := short(parts[0] + "/" + parts[1])
	r.Endpoint = base
	switch rest := parts[2:]; {
	case len(rest) == 0:
	case len(rest) == 2 && rest[0] == "tree":
		r.Revision = rest[1]
	case len(rest) > 2 && (rest[0] == "resolve" || rest[0] == "blob"):
		r.Revision, r.Pick = rest[1], path.Join(rest[2:]...)
	default:
		return Reference{}, fmt.Errorf("%.100q is neither a repository nor a file in one; %s", text, expected)
	}
	return r, nil
}

// Check is for a reference that was changed since it was parsed.
func (r Reference) Check() error { return r.check(r.String()) }

func (r Reference) check(text string) error {
	org, name, ok := strings.Cut(r.Repo, "/")
	switch {
	case org == "datasets" || org == "spaces":
		return fmt.Errorf("%.100q is no model; %s", text, expected)
	case !ok || !repoName(org) || !repoName(name):
		return fmt.Errorf("%.100q is no repository of a model; %s", text, expected)
	case !revision.MatchString(r.Revision) || !filepath.IsLocal(r.Revision) || strings.Contains(r.Revision, ".."):
		return fmt.Errorf("%.100q is no revision; expected a branch, a tag or a commit", r.Revision)
	case len(r.Pick) > 500 || r.Pick != "" && !filepath.IsLocal(r.Pick) || strings.ContainsAny(r.Pick, "\\\x00\n"):
		return fmt.Errorf("%.100q is no file of a repository; %s", r.Pick, expected)
	case strings.Contains(r.Pick, "/") && !isGGUF(r.Pick), strings.HasSuffix(r.Pick, ".safetensors"):
		return fmt.Errorf("%.100q is one file of a checkpoint, which needs its others; pull %s", r.Pick, r.Repo)
	}
	return nil
}

// repoName: the hub has no name with two dots or two hyphens, of which its cache makes its folders.
func repoName(s string) bool {
	return repoPart.MatchString(s) && !strings.Contains(s, "..") && !strings.Contains(s, "--") && !strings.HasSuffix(s, ".")
}

func isGGUF(name string) bool { return strings.EqualFold(path.Ext(name), ".gguf") }
