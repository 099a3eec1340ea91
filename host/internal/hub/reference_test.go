package hub

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

func TestWhatPeopleCallAModel(t *testing.T) {
	const own = "https://own.example.com/api/hub"
	for text, want := range map[string]Reference{
		"Qwen/Qwen3-0.6B":                                  {Repo: "Qwen/Qwen3-0.6B", Revision: "main"},
		" Qwen/Qwen3-0.6B ":                                {Repo: "Qwen/Qwen3-0.6B", Revision: "main"},
		"Qwen/Qwen3-0.6B@v1.0":                             {Repo: "Qwen/Qwen3-0.6B", Revision: "v1.0"},
		"unsloth/Q-GGUF:Q4_K_M":                            {Repo: "unsloth/Q-GGUF", Revision: "main", Pick: "Q4_K_M"},
		"unsloth/Q-GGUF@dev:UD-Q4_K_XL":                    {Repo: "unsloth/Q-GGUF", Revision: "dev", Pick: "UD-Q4_K_XL"},
		"unsloth/Q-GGUF:a/Q-00001-of-00002.gguf":           {Repo: "unsloth/Q-GGUF", Revision: "main", Pick: "a/Q-00001-of-00002.gguf"},
		"hf.co/unsloth/Q-GGUF:Q8_0":                        {Endpoint: DefaultEndpoint, Repo: "unsloth/Q-GGUF", Revision: "main", Pick: "Q8_0"},
		"hf://Qwen/Qwen3-0.6B":                             {Repo: "Qwen/Qwen3-0.6B", Revision: "main"},
		"hf://models/Qwen/Q@v1/b/m.gguf":                   {Repo: "Qwen/Q", Revision: "v1", Pick: "b/m.gguf"},
		"https://huggingface.co/Qwen/Qwen3-0.6B":           {Endpoint: DefaultEndpoint, Repo: "Qwen/Qwen3-0.6B", Revision: "main"},
		"https://huggingface.co/Qwen/Q/tree/main/":         {Endpoint: DefaultEndpoint, Repo: "Qwen/Q", Revision: "main"},
		"https://huggingface.co/Qwen/Q/tree/refs%2Fpr%2F1": {Endpoint: DefaultEndpoint, Repo: "Qwen/Q", Revision: "refs/pr/1"},
		"https://huggingface.co/Qwen/Q/resolve/main/Q-Q4_K_M.gguf?download=true": {Endpoint: DefaultEndpoint, Repo: "Qwen/Q", Revision: "main", Pick: "Q-Q4_K_M.gguf"},
		"https://huggingface.co/Qwen/Q/blob/main/s%20t/Q.gguf":                   {Endpoint: DefaultEndpoint, Repo: "Qwen/Q", Revision: "main", Pick: "s t/Q.gguf"},
		"http://127.0.0.1:5000/Qwen/Q":                                           {Endpoint: "http://127.0.0.1:5000", Repo: "Qwen/Q", Revision: "main"},
		own + "/Qwen/Q:Q8_0":                                                     {Endpoint: own, Repo: "Qwen/Q", Revision: "main", Pick: "Q8_0"},
	} {
		if got, err := Parse(text, own); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                     "is no repository of a model; expected ORG/NAME",
		"qwen3":                                "is no repository of a model",
		"a/b/c":                                "is no repository of a model",
		"../b":                                 "is no repository of a model",
		"a/..":                                 "is no repository of a model",
		"a--b/c":                               "is no repository of a model",
		"a/b@../../x":                          "is no revision",
		"a/b@-x":                               "is no revision",
		"a/b:../x.gguf":                        "is no file of a repository",
		"a/b:model-00001.safetensors":          "is one file of a checkpoint, which needs its others; pull a/b",
		"ftp://a/b":                            "ftp is not spoken",
		"https://huggingface.co/":              "names no repository",
		"https://huggingface.co/Qwen":          "names no repository",
		"https://u:p@huggingface.co/a/b":       "is no URL of a model",
		"https://huggingface.co/datasets/a/b":  "is neither a repository nor a file in one",
		"https://huggingface.co/datasets/a":    "is no model",
		"https://example.com/x/y/z/model.gguf": "is neither a repository nor a file in one",
	} {
		if got, err := Parse(text, own); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, got, err, want)
		}
	}
}

// Whatever is written, what it is taken for stays in its folder and is taken for the same again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"Qwen/Qwen3-0.6B@v1:Q4_K_M", "hf://models/a/b@c/d.gguf", "https://huggingface.co/a/b/resolve/main/c.gguf", "http://[::1]:1/a/b/tree/%2e%2e", "a/b:c:d@e"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text, DefaultEndpoint)
		if err != nil {
			return
		}
		for _, path := range []string{folderName(r.Repo), r.Revision, r.Pick} {
			if path != "" && !filepath.IsLocal(path) {
				t.Errorf("%q: %q leads elsewhere", text, path)
			}
		}
		if strings.Contains(folderName(r.Repo), "/") {
			t.Errorf("%q: %q", text, folderName(r.Repo))
		}
		again, err := Parse(r.String(), DefaultEndpoint)
		if again.Endpoint = r.Endpoint; err != nil || again != r {
			t.Errorf("%q is %+v, and %q is %+v, %v", text, r, r.String(), again, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	sha := strings.Repeat("a", 40)
	for _, text := range []string{
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a/b"}`, `{"type":"directory","path":"a"}`, `{"type":"file","path":"../a"}`,
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a","lfs":{"oid":"` + strings.Repeat("b", 64) + `","size":9,"pointerSize":134},"xetHash":"c"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, isFile, err := parseEntry(text)
		if err != nil || !isFile {
			return
		}
		if !filepath.IsLocal(file.Path) || strings.Contains(file.Path, "..") && slices.Contains(strings.Split(file.Path, "/"), "..") {
			t.Errorf("%q leads elsewhere", file.Path)
		}
		if file.Size < 0 || !sha1Hex.MatchString(file.Hash) && !sha256Hex.MatchString(file.Hash) {
			t.Errorf("%+v", file)
		}
	})
}

func TestListingsThatCannotBeTaken(t *testing.T) {
	sha, sum := strings.Repeat("a", 40), strings.Repeat("b", 64)
	for text, want := range map[string]string{
		`{"type":"file","oid":"` + sha + `","size":3,"path":"../a"}`:                                    "its path is",
		`{"type":"file","oid":"` + sha + `","size":3,"path":"/etc/passwd"}`:                             "its path is",
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a//b"}`:                                    "its path is",
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a\u0000b"}`:                                "its path is",
		`{"type":"file","oid":"` + sha + `","path":"a"}`:                                                "has no size",
		`{"type":"file","oid":"` + sha + `","size":-3,"path":"a"}`:                                      "has no size",
		`{"type":"file","oid":"../../x","size":3,"path":"a"}`:                                           "has no hash",
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a","lfs":{"oid":"../x","size":3}}`:         "has no sha256",
		`{"type":"file","oid":"` + sha + `","size":3,"path":"a","lfs":{"oid":"` + sum + `","size":-1}}`: "has no sha256 or size",
		`[]`: "is not understood",
	} {
		if f, _, err := parseEntry([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", text, f, err)
		}
	}
	if err := distinct([]File{{Path: "a"}, {Path: "a/b"}}); err == nil {
		t.Error("a file and a folder of the same name")
	}
}

func names(files []File) string {
	var list []string
	for _, f := range files {
		list = append(list, f.Path)
	}
	return strings.Join(list, " ")
}

func TestWhichFilesMakeAModel(t *testing.T) {
	gguf := "Q-BF16.gguf Q-IQ4_XS.gguf Q-Q4_K_M.gguf Q-Q4_K_S.gguf Q-UD-Q4_K_XL.gguf README.md imatrix.gguf mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf"
	folder := "README.md config.json consolidated.safetensors model.safetensors model.safetensors.index.json pytorch_model.bin sub/model.safetensors tokenizer.json"
	parts := "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf Q4_K_M/Q-Q4_K_M-00002-of-00002.gguf Q8_0/Q-Q8_0-00001-of-00001.gguf"
	for _, c := range []struct{ files, pick, want, main string }{
		{folder, "", "README.md config.json model.safetensors model.safetensors.index.json tokenizer.json", ""},
		{gguf, "q4_k_m", "Q-Q4_K_M.gguf mmproj-BF16.gguf", "Q-Q4_K_M.gguf"},
		{gguf, "Q4_K_XL", "Q-UD-Q4_K_XL.gguf mmproj-BF16.gguf", "Q-UD-Q4_K_XL.gguf"},
		{gguf, "UD-Q4_K_XL", "Q-UD-Q4_K_XL.gguf mmproj-BF16.gguf", "Q-UD-Q4_K_XL.gguf"},
		{gguf, "BF16", "Q-BF16.gguf mmproj-BF16.gguf", "Q-BF16.gguf"},
		{gguf, "Q-IQ4_XS.gguf", "Q-IQ4_XS.gguf mmproj-BF16.gguf", "Q-IQ4_XS.gguf"},
		{parts, "Q4_K_M", "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf Q4_K_M/Q-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf"},
		{parts, "Q-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf Q4_K_M/Q-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf"},
		{"m.gguf m.mmproj.gguf mmproj-F16.gguf other.mmproj.gguf", "", "m.gguf m.mmproj.gguf", "m.gguf"},
		{"config.json model.gguf", "", "model.gguf", "model.gguf"},
		{"a.Q4_0.gguf config.json model.safetensors", "", "config.json model.safetensors", ""},
		{"a.Q4_0.gguf config.json model.safetensors", "Q4_0", "a.Q4_0.gguf", "a.Q4_0.gguf"},
	} {
		var files []File
		for name := range strings.FieldsSeq(c.files) {
			files = append(files, File{Path: name, Size: 1e9})
		}
		got, err := Choose(Reference{Repo: "a/b", Pick: c.pick}, files, false)
		if err != nil || names(got.Files) != c.want || got.Main != c.main {
			t.Errorf("%s of %s: %s, %q, %v", c.pick, c.files, names(got.Files), got.Main, err)
		}
	}
	for _, c := range []struct{ files, pick, want string }{
		{gguf, "", "a/b holds 5 models as GGUF files; say which one, as in a/b:Q4_K_M\n    BF16           1.00 GB  Q-BF16.gguf\n    IQ4_XS "},
		{gguf, "Q6_K", "a/b holds no GGUF file Q6_K; it has\n    BF16"},
		{gguf, "Q4_K", "a/b holds no GGUF file Q4_K; it has"},
		{"x-Q8_0.gguf y-Q8_0.gguf", "Q8_0", "several files of a/b are Q8_0; say which one, as in a/b:x-Q8_0.gguf"},
		{"pytorch_model.bin config.json", "", "holds neither"},
		{"", "", "it has no file at all"},
	} {
		var files []File
		for name := range strings.FieldsSeq(c.files) {
			files = append(files, File{Path: name, Size: 1e9})
		}
		if got, err := Choose(Reference{Repo: "a/b", Pick: c.pick}, files, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: %+v, %v", c.pick, c.files, got, err)
		}
	}
}

func TestTheEnvironmentIsTheLibrarys(t *testing.T) {
	for _, name := range []string{"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE",
		"TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	check := func(want Home) {
		t.Helper()
		if got, err := FindHome(); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	cache := filepath.Join(home, ".cache/huggingface/hub")
	check(Home{Endpoint: DefaultEndpoint, Cache: cache})
	if err := os.MkdirAll(filepath.Dir(cache), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(cache), "token"), []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(Home{Endpoint: DefaultEndpoint, Cache: cache, Token: "of the file"})
	t.Setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
	check(Home{Endpoint: DefaultEndpoint, Cache: cache})
	t.Setenv("HUGGING_FACE_HUB_TOKEN", "old")
	t.Setenv("HF_ENDPOINT", "https://hub.example.com/")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "xdg"))
	check(Home{Endpoint: "https://hub.example.com", Cache: filepath.Join(home, "xdg/huggingface/hub"), Token: "old"})
	t.Setenv("HF_TOKEN", " new\n")
	t.Setenv("HF_HOME", "~/hf")
	t.Setenv("HF_HUB_OFFLINE", "yes")
	check(Home{Endpoint: "https://hub.example.com", Cache: filepath.Join(home, "hf/hub"), Token: "new", Offline: true})
	t.Setenv("HUGGINGFACE_HUB_CACHE", "/old")
	check(Home{Endpoint: "https://hub.example.com", Cache: "/old", Token: "new", Offline: true})
	t.Setenv("HF_HUB_CACHE", "$HOME/c")
	check(Home{Endpoint: "https://hub.example.com", Cache: filepath.Join(home, "c"), Token: "new", Offline: true})
	t.Setenv("HF_ENDPOINT", "hub.example.com")
	if _, err := FindHome(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
		t.Error(err)
	}
}

func TestHowLongAServerWantsToBeLeftAlone(t *testing.T) {
	for _, c := range []struct {
		key, value string
		low, high  time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second, 7 * time.Second},
		{"Retry-After", "0", time.Second, time.Second},
		{"Retry-After", time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat), 28 * time.Second, 31 * time.Second},
		{"Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), time.Second, time.Second},
		{"Retry-After", "soon", 0, 0},
		{"Retry-After", "-7", 0, 0},
		{"RateLimit", `"api";r=0;t=55`, 56 * time.Second, 56 * time.Second},
		{"RateLimit", `"api";r=12;t=55`, 0, 0},
	} {
		h := http.Header{}
		h.Set(c.key, c.value)
		if got := retryAfter(h); got < c.low || got > c.high {
			t.Errorf("%s: %s is %v", c.key, c.value, got)
		}
	}
}

// The fake hub's hashes are git's and the library's own.
func TestHashesAreGits(t *testing.T) {
	if got := hubtest.GitHash([]byte("hello\n")); got != "ce013625030ba8dba906f756967f9e9ca394464a" { // git hash-object
		t.Error(got)
	}
	if got := hubtest.GitHash(nil); got != "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" {
		t.Error(got)
	}
}
