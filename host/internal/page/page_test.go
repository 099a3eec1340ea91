package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func get(t *testing.T, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// texts are the embedded files by their names.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		all[path.Base(name)] = string(text)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

// address is where a file is served.
func address(name string) string {
	if name == "index.html" {
		return "/"
	}
	return Folder + name
}

func TestEveryFileComesWithItsTypeAndIsNotSentTwice(t *testing.T) {
	kinds := map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	tags := map[string]string{}
	for name, text := range texts(t) {
		w := get(t, address(name))
		if w.Code != http.StatusOK || w.Body.String() != text {
			t.Errorf("%s: status %d, %d bytes", name, w.Code, w.Body.Len())
		}
		if got := w.Header().Get("Content-Type"); got != kinds[path.Ext(name)] || got == "" {
			t.Errorf("%s has the type %q", name, got)
		}
		tag := w.Header().Get("ETag")
		if other, ok := tags[tag]; ok || !regexp.MustCompile(`^"[\w-]{16}"$`).MatchString(tag) {
			t.Errorf("%s has the tag %s, which %q has too", name, tag, other)
		}
		tags[tag] = name
		if w := get(t, address(name), "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s, which the browser has: status %d, %d bytes", name, w.Code, w.Body.Len())
		}
		if w := get(t, address(name), "If-None-Match", `"another"`); w.Code != http.StatusOK {
			t.Errorf("%s, of which the browser has another version: status %d", name, w.Code)
		}
	}
	for _, path := range []string{"/page/", "/page/none.js", "/page/index.html", "/page/../page.go", "/none"} {
		if w := get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestABrowserIsToldWhatThePageMayDo(t *testing.T) {
	for name := range texts(t) {
		h := get(t, address(name)).Header()
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-cache",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		may := map[string]string{}
		for _, directive := range strings.Split(h.Get("Content-Security-Policy"), "; ") {
			what, sources, _ := strings.Cut(directive, " ")
			may[what] = sources
		}
		for what, sources := range map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self' data: blob:",
			"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
		} {
			if may[what] != sources {
				t.Errorf("%s: %s is %q, want %q", name, what, may[what], sources)
			}
			delete(may, what)
		}
		if len(may) > 0 {
			t.Errorf("%s: a policy that no line here asks for: %v", name, may)
		}
	}
}

// elements are those of the page.
func elements(t *testing.T) (list []*html.Node) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(texts(t)["index.html"]))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			list = append(list, n)
		}
	}
	return list
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// What the policy forbids must not be needed: it would fail in the browser alone.
func TestThePageHasNoScriptOrStyleInIt(t *testing.T) {
	for _, n := range elements(t) {
		if n.Data == "script" && (attribute(n, "src") == "" || n.FirstChild != nil) || n.Data == "style" {
			t.Errorf("<%s> stands in the page", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s=", n.Data, a.Key)
			}
		}
	}
}

// Everything that a file names is here: nothing comes from elsewhere, and nothing is missing.
func TestEveryLinkLeadsToAFileOfThePage(t *testing.T) {
	all, used := texts(t), map[string]bool{"index.html": true}
	use := func(from, name string) {
		if _, ok := all[name]; !ok {
			t.Errorf("%s names %s, which is not there", from, name)
		}
		used[name] = true
	}
	for _, n := range elements(t) {
		for _, key := range []string{"src", "href", "action", "srcset", "data", "poster"} {
			switch link := attribute(n, key); {
			case link == "" || strings.HasPrefix(link, "#"):
			case strings.HasPrefix(link, Folder):
				use("index.html", strings.TrimPrefix(link, Folder))
			default:
				t.Errorf("<%s> leads to %s", n.Data, link)
			}
		}
	}
	imports := regexp.MustCompile(`(?m)^(?:import|export) [^;]*?from '([^']*)';|\bimport\(`)
	elsewhere := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]|@import|(?-i:\burl\()|\b(wss?|ftp):`)
	for name, text := range all {
		for _, m := range imports.FindAllStringSubmatch(text, -1) {
			file, ok := strings.CutPrefix(m[1], "./")
			if !ok {
				t.Errorf("%s imports %q", name, m[0])
			}
			use(name, file)
		}
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "") // a name, not an address
		if found := elsewhere.FindString(text); found != "" {
			t.Errorf("%s leads elsewhere: %q", name, found)
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("nothing names %s", name)
		}
	}
}

// A text of a model that became HTML would be a hole; the policy stops most of it, this all of it.
func TestNoScriptMakesHTMLOrCodeOfText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|setHTML|parseHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\b|new Function|javascript:|setTimeout\(['"]`)
	for name, text := range texts(t) {
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

// Names that scripts look for are those that the page has.
func TestScriptsFindWhatTheyLookFor(t *testing.T) {
	ids := map[string]bool{}
	for _, n := range elements(t) {
		if id := attribute(n, "id"); ids[id] && id != "" {
			t.Errorf("two elements are called %s", id)
		} else {
			ids[id] = true
		}
	}
	looked := regexp.MustCompile(`byId\('([\w-]+)'\)`)
	icons := regexp.MustCompile(`\b(?:icon|iconButton)\('([\w-]+)'`)
	seen := 0
	for name, text := range texts(t) {
		for _, m := range looked.FindAllStringSubmatch(text, -1) {
			seen++
			if !ids[m[1]] {
				t.Errorf("%s looks for %s, which the page does not have", name, m[1])
			}
		}
		for _, m := range icons.FindAllStringSubmatch(text, -1) {
			seen++
			if !ids["i-"+m[1]] {
				t.Errorf("%s shows the symbol %s, which the page does not have", name, m[1])
			}
		}
	}
	for _, n := range elements(t) {
		for _, key := range []string{"for", "aria-controls", "aria-labelledby", "aria-describedby"} {
			if id := attribute(n, key); id != "" && !ids[id] {
				t.Errorf("<%s> names %s, which the page does not have", n.Data, id)
			}
		}
		if link := attribute(n, "href"); strings.HasPrefix(link, "#") && !ids[link[1:]] {
			t.Errorf("<%s> leads to %s, which the page does not have", n.Data, link)
		}
	}
	if seen < 40 {
		t.Errorf("only %d names were seen", seen)
	}
}

// Whoever does not see the page hears what its controls are.
func TestEveryControlHasAName(t *testing.T) {
	for _, n := range elements(t) {
		switch n.Data {
		case "button", "select", "textarea", "input":
		default:
			continue
		}
		named := attribute(n, "aria-label") != "" || attribute(n, "id") == "files" // hidden behind a button
		for p := n.Parent; p != nil; p = p.Parent {
			named = named || p.Data == "label"
		}
		for c := range n.Descendants() {
			named = named || c.Type == html.TextNode && strings.TrimSpace(c.Data) != ""
		}
		if !named {
			t.Errorf("<%s id=%s> has no name", n.Data, attribute(n, "id"))
		}
	}
}
