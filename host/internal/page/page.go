// Package page has what a browser shows at /: a chat over the host's own API, and a view of its models, devices and log. It is plain HTML,
// CSS and JavaScript in files/, served as it is: nothing is built, and nothing comes from another host.
//
// What a model says is hostile. The page makes elements of it one by one and never HTML of a text; that nothing of it runs, and that nothing
// is fetched or sent elsewhere, its Content-Security-Policy sees to, whatever the scripts do.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed files
var files embed.FS

// Folder is where the files are found, but for the page itself.
const Folder = "/page/"

// policy lets scripts and styles come from the host alone, and be files: none stands in the page, none is made from text. Pictures are those that
// a user has dropped.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers are the same for every file.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-cache", // asked about each time, which costs a 304: another version of the host has other files
}

// types are said here, not asked of the machine, whose tables differ.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one that is served, by its path.
type file struct {
	kind, tag string
	content   []byte
}

// New makes the handler for / and what is below [Folder].
func New() (http.Handler, error) {
	entries, err := files.ReadDir("files")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	served := map[string]file{}
	for _, e := range entries {
		content, err := files.ReadFile("files/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		kind := types[path.Ext(e.Name())]
		if kind == "" {
			return nil, fmt.Errorf("page: %s is of no type that is known here", e.Name())
		}
		sum := sha256.Sum256(content)
		served[Folder+e.Name()] = file{kind, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, content}
	}
	served["/"] = served[Folder+"index.html"]
	delete(served, Folder+"index.html")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, served) }), nil
}

// serve answers with a file, or that the browser has it.
func serve(w http.ResponseWriter, r *http.Request, served map[string]file) {
	f, ok := served[r.URL.Path]
	if !ok {
		http.Error(w, "there is no such file of the page", http.StatusNotFound)
		return
	}
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", f.tag)
	http.ServeContent(w, r, strings.TrimPrefix(r.URL.Path, Folder), time.Time{}, bytes.NewReader(f.content))
}
