package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

// content is so many bytes that differ from place to place.
func content(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ seed
	}
	return b
}

// tiny is a repository with the files of a checkpoint, and what else people put beside them.
func tiny() hubtest.Repo {
	return hubtest.Repo{Files: map[string][]byte{
		"config.json":            []byte(`{"model_type": "qwen3"}`),
		"tokenizer.json":         content(3000, 1),
		"model.safetensors":      content(100_000, 2),
		"empty.txt":              {},
		"copy.safetensors":       content(100_000, 2),
		"sub folder/a&b.txt":     []byte("a"),
		"pytorch_model.bin":      content(50_000, 3),
		"onnx/model.onnx":        content(10, 4),
		"original/w.safetensors": content(10, 5),
	}}
}

var taken = []string{"config.json", "copy.safetensors", "empty.txt", "model.safetensors", "sub folder/a&b.txt", "tokenizer.json"}

// quick is a client of the server that does not wait long.
func quick(t *testing.T, s *hubtest.Server) *Client {
	t.Helper()
	c := New(Home{Endpoint: s.URL, Cache: filepath.Join(t.TempDir(), "hub")}, Reference{})
	c.pauses = pauses{tries: 4, first: time.Millisecond, longest: 4 * time.Millisecond, silence: 10 * time.Second, asked: 2 * time.Second}
	return c
}

func mustParse(t *testing.T, text string) Reference {
	t.Helper()
	r, err := Parse(text, DefaultEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pull(t *testing.T, c *Client, name string) (*Plan, error) {
	t.Helper()
	p, err := c.Plan(context.Background(), mustParse(t, name), false)
	if err != nil {
		return nil, err
	}
	return p, c.Pull(context.Background(), p, nil)
}

// files lists what is below a folder; links with where they lead.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if to, err := os.Readlink(path); err == nil {
			name += " -> " + to
		}
		list = append(list, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// holds checks that a snapshot has these files with the server's bytes.
func holds(t *testing.T, p *Plan, repo hubtest.Repo, paths []string) {
	t.Helper()
	for _, path := range paths {
		got, err := os.ReadFile(filepath.Join(p.Snapshot(), path))
		if err != nil || !bytes.Equal(got, repo.Files[path]) {
			t.Errorf("%s: %d bytes, %v; want %d", path, len(got), err, len(repo.Files[path]))
		}
	}
}

func TestAPullIsWhatTheHubsLibraryKeeps(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny-1", repo)
	s.Page = 2
	c := quick(t, s)
	p, err := pull(t, c, "Org/Tiny-1")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, p, repo, taken)
	commit := repo.Commit()
	weights, config := hubtest.SHA256(repo.Files["model.safetensors"]), hubtest.GitHash(repo.Files["config.json"])
	got := files(t, c.cache)
	for _, want := range []string{
		"CACHEDIR.TAG", "models--Org--Tiny-1/refs/main",
		"models--Org--Tiny-1/blobs/" + weights, "models--Org--Tiny-1/blobs/" + config,
		"models--Org--Tiny-1/snapshots/" + commit + "/config.json -> ../../blobs/" + config,
		"models--Org--Tiny-1/snapshots/" + commit + "/copy.safetensors -> ../../blobs/" + weights,
		"models--Org--Tiny-1/snapshots/" + commit + "/sub folder/a&b.txt -> ../../../blobs/" + hubtest.GitHash([]byte("a")),
		".locks/models--Org--Tiny-1/" + weights + ".lock",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("there is no %s among\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, file := range got {
		if strings.Contains(file, "incomplete") || strings.Contains(file, ".tmp") || strings.Contains(file, "pytorch") || strings.Contains(file, "onnx") ||
			strings.Contains(file, "original") || strings.Contains(file, "trees") {
			t.Errorf("there is %s", file)
		}
	}
	if ref, _ := os.ReadFile(filepath.Join(p.Repository(), "refs/main")); string(ref) != commit {
		t.Errorf("main is %q", ref)
	}
	if p.Checkpoint() != p.Repository() {
		t.Errorf("the checkpoint is %s", p.Checkpoint())
	}
	gets := 0
	for _, r := range s.Requests() {
		if r.Server == "cdn" {
			gets++
		}
		if !strings.HasPrefix(r.Agent, "inference-pio/") {
			t.Errorf("%+v", r)
		}
	}
	if gets != 1 {
		t.Errorf("two files with the same bytes were fetched %d times", gets)
	}
}

// What is there is not asked for again; of another commit only what is new is.
func TestOnlyWhatIsMissingIsFetched(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	if _, err := pull(t, c, "Org/Tiny"); err != nil {
		t.Fatal(err)
	}
	s.Requests()
	p, err := pull(t, c, "Org/Tiny")
	if err != nil || p.Missing != 0 {
		t.Errorf("%d bytes are missing, %v", p.Missing, err)
	}
	for _, r := range s.Requests() {
		if strings.Contains(r.Path, "resolve") || r.Server == "cdn" {
			t.Errorf("it was asked for %s again", r.Path)
		}
	}
	next := tiny()
	next.Files["config.json"] = []byte(`{"model_type": "qwen3", "new": 1}`)
	s.Add("Org/Tiny", next)
	p, err = pull(t, c, "Org/Tiny")
	if err != nil || p.Missing != int64(len(next.Files["config.json"])) {
		t.Fatalf("%d bytes are missing, %v", p.Missing, err)
	}
	holds(t, p, next, taken)
	if ref, _ := os.ReadFile(filepath.Join(p.Repository(), "refs/main")); string(ref) != next.Commit() {
		t.Errorf("main is %q", ref)
	}
	old, err := c.Plan(context.Background(), mustParse(t, "Org/Tiny@"+next.Commit()), true)
	if err != nil || old.Snapshot() != p.Snapshot() || old.whole == nil || old.Missing == 0 || old.Checkpoint() != p.Snapshot() {
		t.Errorf("by its commit, with everything: %+v, %v", old, err)
	}
	if err := c.Pull(context.Background(), old, nil); err != nil {
		t.Fatal(err)
	}
	holds(t, old, next, slices.Collect(maps.Keys(next.Files)))
	if _, err := os.Stat(filepath.Join(p.Repository(), "trees", next.Commit()+".json")); err != nil {
		t.Error(err)
	}
}

// A pull goes on from every byte, whether what there is was left by this program or damaged since.
func TestAPullGoesOnFromAnyByte(t *testing.T) {
	s := hubtest.New(t)
	weights := content(200, 9)
	repo := hubtest.Repo{Files: map[string][]byte{"config.json": []byte("{}"), "model.safetensors": weights}}
	s.Add("Org/M", repo)
	c := quick(t, s)
	for n := range len(weights) + 2 {
		p, err := c.Plan(context.Background(), mustParse(t, "Org/M"), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.prepare(p); err != nil {
			t.Fatal(err)
		}
		blob := filepath.Join(p.Repository(), "blobs", hubtest.SHA256(weights))
		_ = os.Remove(blob)
		left := append(slices.Clone(weights), 'x')[:n]
		damaged := n%3 == 2
		if damaged {
			left[n/2] ^= 4
		}
		if err := os.WriteFile(blob+".incomplete", left, 0o666); err != nil {
			t.Fatal(err)
		}
		s.Requests()
		p, err = pull(t, c, "Org/M")
		if err != nil {
			t.Fatalf("from byte %d: %v", n, err)
		}
		holds(t, p, repo, []string{"config.json", "model.safetensors"})
		var ranges []string
		for _, r := range s.Requests() {
			if r.Server == "cdn" {
				ranges = append(ranges, r.Range)
			}
		}
		want := []string{fmt.Sprintf("bytes=%d-199", n)}
		switch {
		case n == 0 || n > 200 || n == 200 && damaged:
			want = []string{""}
		case n == 200:
			want = nil
		case damaged:
			want = append(want, "")
		}
		if !slices.Equal(ranges, want) {
			t.Errorf("from byte %d: asked for %q, want %q", n, ranges, want)
		}
	}
}

func TestFaults(t *testing.T) {
	const path = "model.safetensors"
	for name, c := range map[string]struct {
		fault  hubtest.Fault
		fails  string   // in the error; "": it works
		ranges []string // of the requests for the file's bytes
	}{
		"cut once":             {fault: hubtest.Fault{Times: 1, Cut: 30_000}, ranges: []string{"", "bytes=30000-99999"}},
		"cut again and again":  {fault: hubtest.Fault{Times: 3, Cut: 30_000}, ranges: []string{"", "bytes=30000-99999", "bytes=60000-99999", "bytes=90000-99999"}},
		"cut at once, always":  {fault: hubtest.Fault{Times: -1, Status: 502}, fails: "answers 502 Bad Gateway (4 times in a row)", ranges: []string{"", "", "", ""}},
		"no ranges":            {fault: hubtest.Fault{Times: 1, Cut: 30_000, NoRanges: true}, ranges: []string{"", "bytes=30000-99999"}},
		"too many requests":    {fault: hubtest.Fault{Times: 1, Status: 429, RetryAfter: "1"}, ranges: []string{"", ""}},
		"a window of requests": {fault: hubtest.Fault{Times: 1, Status: 429, RateLimit: `"resolvers";r=0;t=0`}, ranges: []string{"", ""}},
		"asks for too long":    {fault: hubtest.Fault{Times: 1, Status: 429, RetryAfter: "3600"}, fails: "asks to be left alone for 1h0m0s", ranges: []string{""}},
		"unavailable":          {fault: hubtest.Fault{Times: 2, Status: 503}, ranges: []string{"", "", ""}},
		"longer":               {fault: hubtest.Fault{Times: -1, Longer: 5}, fails: "sends 100005 bytes of it, and the hub lists 100000", ranges: []string{""}},
		"shorter":              {fault: hubtest.Fault{Times: -1, Longer: -5}, fails: "sends 99995 bytes of it, and the hub lists 100000", ranges: []string{""}},
		"another hash":         {fault: hubtest.Fault{Times: -1, Flip: true}, fails: "nothing of it is kept", ranges: []string{""}},
		"another encoding":     {fault: hubtest.Fault{Times: -1, Encoding: "gzip"}, fails: `in the encoding "gzip"`, ranges: []string{""}},
		"signed for nobody":    {fault: hubtest.Fault{Times: 1, Elsewhere: "cdn"}}, // after a 403
		"to nowhere":           {fault: hubtest.Fault{Times: -1, Elsewhere: "http://127.0.0.1:1/x?Signature=s3cr3t"}, fails: "no answer from 127.0.0.1:1: nobody listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			s, repo := hubtest.New(t), tiny()
			delete(repo.Files, "copy.safetensors")
			s.Add("Org/Tiny", repo)
			if c.fault.Elsewhere == "cdn" {
				c.fault.Elsewhere = s.CDN + "/" + hubtest.SHA256(repo.Files[path]) + "?Signature=old"
			}
			s.Spoil(path, c.fault)
			client := quick(t, s)
			p, err := pull(t, client, "Org/Tiny")
			switch {
			case c.fails == "" && err != nil:
				t.Fatal(err)
			case c.fails == "":
				holds(t, p, repo, []string{path})
			case err == nil || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), path):
				t.Errorf("got %v, want %q", err, c.fails)
			case strings.Contains(err.Error(), "s3cr3t"):
				t.Errorf("it tells a signed URL: %v", err)
			}
			if c.fails != "" {
				for _, f := range files(t, client.cache) {
					if strings.HasSuffix(f, "refs/main") || strings.HasSuffix(f, hubtest.SHA256(repo.Files[path])) || strings.Contains(f, path) {
						t.Errorf("after the error there is %s", f)
					}
				}
			}
			var ranges []string
			for _, r := range s.Requests() {
				if r.Server == "cdn" {
					ranges = append(ranges, r.Range)
				}
			}
			if c.fault.Elsewhere != "" {
				return
			}
			if !slices.Equal(ranges, c.ranges) {
				t.Errorf("asked for %q, want %q", ranges, c.ranges)
			}
		})
	}
}

// A server that sends parts must send the one that was asked for.
func TestPartsAreTheOnesAskedFor(t *testing.T) {
	for part, fails := range map[string]string{
		"":                          "does not say which",
		"bytes 0-49999/100000":      "another part of it",
		"bytes 50000-99999/100001":  "has 100001 bytes of it",
		"bytes 50000-100000/100000": "another part of it",
		"bytes 50000-49999/100000":  "another part of it",
		"bytes 50000-99999/*":       "",
	} {
		s, repo := hubtest.New(t), tiny()
		s.Add("Org/Tiny", repo)
		c := quick(t, s)
		c.piece = 50_000
		delete(repo.Files, "copy.safetensors")
		s.Spoil("model.safetensors", hubtest.Fault{Times: -1, Part: func(at string) string {
			if strings.HasPrefix(at, "bytes 0-") {
				return at
			}
			return part
		}})
		p, err := pull(t, c, "Org/Tiny")
		if fails == "" && err == nil {
			holds(t, p, repo, taken[3:4])
		} else if fails == "" || err == nil || !strings.Contains(err.Error(), fails) {
			t.Errorf("%q: %v", part, err)
		}
	}
}

// A connection that stays open and says nothing is given up, and the file gone on with.
func TestAServerThatFallsSilentIsLeft(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	delete(repo.Files, "copy.safetensors")
	s.Add("Org/Tiny", repo)
	s.Spoil("model.safetensors", hubtest.Fault{Times: 1, Stall: 40_000})
	c := quick(t, s)
	c.pauses.silence = time.Second
	var mu sync.Mutex
	var told []string
	c.Told = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
	}
	p, err := pull(t, c, "Org/Tiny")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, p, repo, []string{"model.safetensors"})
	if len(told) != 1 || !strings.Contains(told[0], "has sent nothing for 1s, after 40000 bytes; the next attempt is in 1ms") {
		t.Errorf("told %q", told)
	}
}

// Whoever gives up keeps what has come.
func TestACancelledPullKeepsWhatHasCome(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	s.Spoil("copy.safetensors", hubtest.Fault{Times: 1, Stall: 40_000})
	p, err := c.Plan(ctx, mustParse(t, "Org/Tiny"), false)
	if err != nil {
		t.Fatal(err)
	}
	leave := func(at Progress) {
		if at.Bytes >= 40_000 {
			cancel()
		}
	}
	if err := c.Pull(ctx, p, leave); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if p, err = c.Plan(context.Background(), mustParse(t, "Org/Tiny"), false); err != nil || p.Missing > 2*100_000-40_000+4000 {
		t.Errorf("%d bytes are missing, %v", p.Missing, err)
	}
	if err := c.Pull(context.Background(), p, nil); err != nil {
		t.Fatal(err)
	}
	holds(t, p, repo, taken)
}

// Several that pull the same at the same time fetch every file once.
func TestPullsAtOnceShareTheirFiles(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	first := quick(t, s)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			c := *first
			p, err := c.Plan(context.Background(), mustParse(t, "Org/Tiny"), false)
			if err == nil {
				err = c.Pull(context.Background(), p, nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
			holds(t, p, repo, taken)
		})
	}
	all.Wait()
	cdn := 0
	for _, r := range s.Requests() {
		if r.Server == "cdn" {
			cdn++
		}
	}
	if cdn != 1 {
		t.Errorf("the weights were fetched %d times", cdn)
	}
}

func TestTheTokenStaysAtTheEndpoint(t *testing.T) {
	s, repo := hubtest.New(t), tiny() // its cdn fails the test if it is given a token
	repo.Private = true
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	if _, err := pull(t, c, "Org/Tiny"); err == nil || !strings.Contains(err.Error(), "there is no repository Org/Tiny at "+s.URL+", or it is private; set HF_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	c.token = "wrong"
	if _, err := pull(t, c, "Org/Tiny"); err == nil || !strings.Contains(err.Error(), "the token that is set may not read it") {
		t.Errorf("with another token: %v", err)
	}
	c.token = s.Token
	p, err := pull(t, c, "Org/Tiny")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, p, repo, taken)
	for _, r := range s.Requests() {
		if r.Server == "cdn" && r.Token {
			t.Errorf("%+v", r)
		}
	}
	h := Home{Endpoint: "https://mirror.example.com", Token: "t"}
	for endpoint, token := range map[string]string{"": "t", "https://mirror.example.com": "t", DefaultEndpoint: "t", "https://stranger.example.com": ""} {
		if got := New(h, Reference{Endpoint: endpoint}); got.token != token {
			t.Errorf("a URL at %q has the token %q", endpoint, got.token)
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	s, gated := hubtest.New(t), tiny()
	gated.Gated = true
	s.Add("Org/Gated", gated)
	s.Add("Org/Tiny", tiny())
	s.Add("Org/Nothing", hubtest.Repo{Files: map[string][]byte{"README.md": nil}})
	c := quick(t, s)
	for name, want := range map[string]string{
		"Org/Gated":     "accept them at " + s.URL + "/Org/Gated; set HF_TOKEN",
		"Org/Absent":    "there is no repository Org/Absent at " + s.URL,
		"Org/Tiny@v7":   `Org/Tiny has no revision "v7"`,
		"Org/Tiny:Q4_K": "Org/Tiny holds no GGUF file; pull Org/Tiny without :Q4_K",
		"Org/Nothing":   "holds neither *.safetensors with a config.json nor a GGUF file; it has README.md",
	} {
		if _, err := pull(t, c, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.endpoint = "http://127.0.0.1:1"
	if _, err := pull(t, c, "Org/Tiny"); err == nil || err.Error() != "no answer from 127.0.0.1:1: nobody listens there (4 times in a row)" {
		t.Errorf("nobody: %v", err)
	}
}

func TestADiskWithoutRoomIsToldBefore(t *testing.T) {
	s := hubtest.New(t)
	s.Add("Org/Tiny", tiny())
	c := quick(t, s)
	p, err := c.Plan(context.Background(), mustParse(t, "Org/Tiny"), false)
	if err != nil {
		t.Fatal(err)
	}
	if p.Free <= 0 || p.Missing != p.Bytes || p.Room() != nil {
		t.Errorf("%d bytes are free, %d of %d missing", p.Free, p.Missing, p.Bytes)
	}
	p.Free = reserve + p.Missing - 1
	s.Requests()
	if err := c.Pull(context.Background(), p, nil); err == nil || !strings.Contains(err.Error(), "make room, or name another place with HF_HUB_CACHE") {
		t.Error(err)
	}
	if made := s.Requests(); len(made) > 0 {
		t.Errorf("it was asked for %v", made)
	}
	p.Free++
	if err := c.Pull(context.Background(), p, nil); err != nil {
		t.Error(err)
	}
}

func TestProgressHasRateAndTimeLeft(t *testing.T) {
	var ta tally
	m := meter{plan: &Plan{Bytes: 10_000_000, Files: make([]Planned, 3)}, tally: &ta}
	now := time.Now()
	ta.bytes.Store(4_000_000) // was there before
	if got := m.at(now).String(); got != "40% of 10.0 MB, 0 of 3 files" {
		t.Error(got)
	}
	ta.bytes.Add(1_000_000)
	ta.came.Add(1_000_000)
	ta.files.Add(1)
	if got := m.at(now.Add(2 * time.Second)).String(); got != "50% of 10.0 MB, 1 of 3 files, 500.0 kB/s, 10s left" {
		t.Error(got)
	}
	for i := range 20 { // it stands still: what was before the span is forgotten
		m.at(now.Add(time.Duration(3+i) * time.Second))
	}
	if p := m.at(now.Add(30 * time.Second)); p.Rate != 0 || len(m.samples) > 12 {
		t.Errorf("%+v of %d samples", p, len(m.samples))
	}
}
