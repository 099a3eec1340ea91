// Package hubtest is a hub for tests: two servers of this machine that speak as huggingface.co does, one with the API and the small
// files, one with the large ones behind signed URLs, and the faults that networks and servers have.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Repo is a repository. Everything else follows from its files.
type Repo struct {
	Files   map[string][]byte // by path
	LFS     func(path string) bool
	Private bool // there only for who has the token
	Gated   bool // open to who has the token
	Branch  string
}

// Request is one that was made.
type Request struct {
	Server string // "hub" or "cdn"
	Method string
	Path   string
	Range  string
	Token  bool // with an Authorization header
	Agent  string
}

// Server is the hub.
type Server struct {
	URL   string
	CDN   string
	Token string // that opens what is private
	Page  int    // entries of a listing's page; 0: 1000

	t     testing.TB
	mu    sync.Mutex
	repos map[string]Repo
	fault map[string]*Fault
	made  []Request
}

// Fault is what goes wrong with the bytes of a file, so many times, less than 0: always.
type Fault struct {
	Times int

	Status     int    // in place of the file
	RetryAfter string // beside it
	RateLimit  string
	Cut        int64               // the connection ends after so many bytes of an answer, 0: it does not
	Stall      int64               // nothing comes after so many bytes of an answer, until the client leaves
	Stalled    func(sent int64)    // is told
	Flip       bool                // a bit is another
	Longer     int64               // bytes more than there are, or less
	NoRanges   bool                // the whole file, whatever was asked for
	Encoding   string              // a lie about it
	Elsewhere  string              // where it redirects to
	Part       func(string) string // another Content-Range
}

// New starts a hub that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{t: t, Token: "hf_secret", repos: map[string]Repo{}, fault: map[string]*Fault{}}
	hub, cdn := httptest.NewServer(http.HandlerFunc(s.hub)), httptest.NewServer(http.HandlerFunc(s.cdn))
	s.URL, s.CDN = hub.URL, cdn.URL
	t.Cleanup(func() {
		hub.CloseClientConnections()
		cdn.CloseClientConnections()
		hub.Close()
		cdn.Close()
	})
	return s
}

// Add puts a repository there, or in place of the one that was.
func (s *Server) Add(name string, r Repo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.LFS == nil {
		r.LFS = func(p string) bool { return strings.HasSuffix(p, ".safetensors") || strings.HasSuffix(p, ".gguf") }
	}
	if r.Branch == "" {
		r.Branch = "main"
	}
	s.repos[name] = r
}

// Spoil makes the next answers with a file's bytes wrong. path is that in its repository.
func (s *Server) Spoil(path string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault[path] = &f
}

// Requests are those so far; they are forgotten.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.made
	s.made = nil
	return made
}

// Commit is the repository's: another for other files.
func (r Repo) Commit() string {
	h := sha1.New()
	for _, path := range slices.Sorted(maps.Keys(r.Files)) {
		fmt.Fprintf(h, "%s %s\n", path, GitHash(r.Files[path]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// GitHash is what git calls the bytes.
func GitHash(b []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(b))
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// SHA256 is what LFS calls them.
func SHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *Server) note(server string, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, Request{server, r.Method, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization") != "", r.UserAgent()})
}

// refuse answers as the hub does: the reason is in headers.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	s.note("hub", r)
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/api/models/"); ok {
		s.api(w, r, rest)
		return
	}
	cached := strings.HasPrefix(path, "/api/resolve-cache/models/")
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/api/resolve-cache/models"), "/"), "/")
	if cached && len(parts) > 3 {
		parts = slices.Insert(parts, 2, "resolve")
	}
	if len(parts) < 5 || parts[2] != "resolve" {
		refuse(w, http.StatusNotFound, "", "Sorry, we can't find the page you are looking for.")
		return
	}
	repo, ok := s.open(w, r, parts[0]+"/"+parts[1], parts[3])
	if !ok {
		return
	}
	name, _ := url.PathUnescape(strings.Join(parts[4:], "/"))
	s.resolve(w, r, repo, parts[0]+"/"+parts[1], name, cached)
}

// open finds the repository and the revision, or has answered.
func (s *Server) open(w http.ResponseWriter, r *http.Request, name, revision string) (Repo, bool) {
	s.mu.Lock()
	repo, ok := s.repos[name]
	s.mu.Unlock()
	known := r.Header.Get("Authorization") == "Bearer "+s.Token
	revision, _ = url.PathUnescape(revision)
	switch {
	case !ok && !known, ok && repo.Private && !known:
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
	case !ok:
		refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	case revision != repo.Branch && revision != repo.Commit():
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
	default:
		return repo, true
	}
	return Repo{}, false
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, rest string) {
	parts := strings.Split(rest, "/")
	if len(parts) == 2 {
		parts = append(parts, "revision", "main")
	}
	if len(parts) < 4 {
		refuse(w, http.StatusNotFound, "", "not found")
		return
	}
	name := parts[0] + "/" + parts[1]
	repo, ok := s.open(w, r, name, parts[3])
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	switch parts[2] {
	case "revision":
		siblings := []map[string]string{}
		for _, path := range slices.Sorted(maps.Keys(repo.Files)) {
			siblings = append(siblings, map[string]string{"rfilename": path})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"_id": "0", "id": name, "modelId": name, "sha": repo.Commit(), "private": repo.Private,
			"gated": false, "disabled": false, "tags": []string{}, "downloads": 0, "likes": 0, "siblings": siblings})
	case "tree":
		s.tree(w, r, repo)
	default:
		refuse(w, http.StatusNotFound, "", "not found")
	}
}

// tree lists the files, and the folders, a page at a time.
func (s *Server) tree(w http.ResponseWriter, r *http.Request, repo Repo) {
	var entries []map[string]any
	folders := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(repo.Files)) {
		if dir, _, ok := strings.Cut(path, "/"); ok && !folders[dir] {
			folders[dir] = true
			entries = append(entries, map[string]any{"type": "directory", "oid": GitHash([]byte(dir)), "size": 0, "path": dir})
		}
		content := repo.Files[path]
		e := map[string]any{"type": "file", "oid": GitHash(content), "size": len(content), "path": path}
		if repo.LFS(path) {
			pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", SHA256(content), len(content))
			e["oid"] = GitHash([]byte(pointer))
			e["lfs"] = map[string]any{"oid": SHA256(content), "size": len(content), "pointerSize": len(pointer)}
		}
		entries = append(entries, e)
	}
	page, from := s.Page, 0
	if page == 0 {
		page = 1000
	}
	fmt.Sscan(r.URL.Query().Get("cursor"), &from)
	to := min(len(entries), from+page)
	if to < len(entries) {
		q := r.URL.Query()
		q.Set("cursor", fmt.Sprint(to))
		w.Header().Set("Link", fmt.Sprintf("<%s%s?%s>; rel=\"next\"", s.URL, r.URL.EscapedPath(), q.Encode()))
	}
	_ = json.NewEncoder(w).Encode(entries[min(from, to):to])
}

// resolve answers with a small file, or says where a large one is.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, repo Repo, name, path string, cached bool) {
	w.Header().Set("X-Repo-Commit", repo.Commit())
	content, ok := repo.Files[path]
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
	case repo.Gated && r.Header.Get("Authorization") != "Bearer "+s.Token:
		refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to model "+name+" is restricted.")
	case repo.LFS(path):
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
		w.Header().Set("X-Linked-Etag", `"`+SHA256(content)+`"`)
		to := fmt.Sprintf("%s/%s?%s", s.CDN, SHA256(content), url.Values{"name": {path}, "Signature": {"s3cr3t"}}.Encode())
		if f := s.faulty(path, func(f *Fault) bool { return f.Elsewhere != "" }); f != nil {
			to = f.Elsewhere
		}
		http.Redirect(w, r, to, http.StatusFound)
	case !cached: // where it is kept at the edge
		http.Redirect(w, r, "/api/resolve-cache/models/"+name+"/"+repo.Commit()+"/"+(&url.URL{Path: path}).EscapedPath()+"?etag=x", http.StatusTemporaryRedirect)
	default:
		w.Header().Set("ETag", `"`+GitHash(content)+`"`)
		s.send(w, r, path, content)
	}
}

// cdn has the large files by their hashes. A request that it is not signed for it refuses, and one with a token, as S3 does.
func (s *Server) cdn(w http.ResponseWriter, r *http.Request) {
	s.note("cdn", r)
	q := r.URL.Query()
	if r.Header.Get("Authorization") != "" {
		s.t.Errorf("the token was sent to %s", r.Host)
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	var content []byte
	for _, repo := range s.repos {
		if b, ok := repo.Files[q.Get("name")]; ok && "/"+SHA256(b) == r.URL.Path {
			content = b
		}
	}
	s.mu.Unlock()
	if q.Get("Signature") != "s3cr3t" || content == nil {
		http.Error(w, "AccessDenied", http.StatusForbidden)
		return
	}
	w.Header().Set("ETag", `"`+SHA256(content)[:32]+`"`) // the store's own
	s.send(w, r, q.Get("name"), content)
}

// faulty takes one of a file's faults, nil if it has none of this kind left.
func (s *Server) faulty(path string, kind func(*Fault) bool) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fault[path]
	if f == nil || f.Times == 0 || !kind(f) {
		return nil
	}
	f.Times--
	return f
}

// send writes a file or a part of it.
func (s *Server) send(w http.ResponseWriter, r *http.Request, path string, content []byte) {
	f := &Fault{}
	if r.Method == http.MethodGet {
		if one := s.faulty(path, func(f *Fault) bool { return f.Elsewhere == "" }); one != nil {
			f = one
		}
	}
	if f.Status != 0 {
		set(w, "Retry-After", f.RetryAfter)
		set(w, "RateLimit", f.RateLimit)
		http.Error(w, "not now", f.Status)
		return
	}
	first, last := 0, len(content)-1
	w.Header().Set("Accept-Ranges", "bytes")
	set(w, "Content-Encoding", f.Encoding)
	status := http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" && !f.NoRanges {
		n, _ := fmt.Sscanf(asked, "bytes=%d-%d", &first, &last)
		if last = min(last, len(content)-1); n == 0 || first > last {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", len(content)))
			http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
			return
		}
		status = http.StatusPartialContent
		at := fmt.Sprintf("bytes %d-%d/%d", first, last, len(content))
		if f.Part != nil {
			at = f.Part(at)
		}
		set(w, "Content-Range", at)
	}
	part := slices.Clone(content[first : last+1])
	s.write(w, r, status, part, f)
}

func set(w http.ResponseWriter, key, value string) {
	if value != "" {
		w.Header().Set(key, value)
	}
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, part []byte, f *Fault) {
	if f.Flip && len(part) > 0 {
		part[len(part)/2] ^= 1
	}
	if f.Longer > 0 {
		part = append(part, make([]byte, f.Longer)...)
	} else {
		part = part[:max(0, int64(len(part))+f.Longer)]
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(part)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	sent := part
	if f.Cut > 0 {
		sent = part[:min(int64(len(part)), f.Cut)]
	}
	if f.Stall > 0 {
		sent = part[:min(int64(len(part)), f.Stall)]
	}
	_, _ = w.Write(sent)
	if len(sent) == len(part) {
		return
	}
	_ = http.NewResponseController(w).Flush()
	if f.Stall > 0 {
		if f.Stalled != nil {
			f.Stalled(int64(len(sent)))
		}
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler) // the connection ends
}
