package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// tree writes files, by their paths below a new folder; a name that ends in a slash is a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

func TestPathsOfCheckpoints(t *testing.T) {
	dir := tree(t, map[string]string{
		"plain/config.json":                               "{}",
		"models--a--main/snapshots/11/config.json":        "{}",
		"models--a--main/snapshots/22/config.json":        "{}",
		"models--a--main/refs/main":                       "22\n",
		"models--a--single/snapshots/33/config.json":      "{}",
		"models--a--several/snapshots/44/config.json":     "{}",
		"models--a--several/snapshots/55/config.json":     "{}",
		"models--a--gone/snapshots/66/config.json":        "{}",
		"models--a--gone/refs/main":                       "77",
		"models--a--outside/snapshots/88/config.json":     "{}",
		"models--a--outside/snapshots/99/config.json":     "{}",
		"models--a--outside/refs/main":                    "../../plain",
		"lfs/config.json":                                 pointer,
		"torch/pytorch_model.bin":                         "PK",
		"gguf/model-q4.gguf":                              "GGUF",
		"empty/":                                          "",
		"plain/model.safetensors":                         "",
		"plain/weights.bin":                               "",
		"model.GGUF":                                      "",
		"whole.gguf":                                      "GGUF",
		"hub/models--a--b/snapshots/1/config.json":        "{}",
		"models--a--empty/snapshots/":                     "",
		"models--a--broken/snapshots/aa/pytorch_model.pt": "",
	})
	for path, want := range map[string]string{
		"plain":              "plain",
		"models--a--main":    "models--a--main/snapshots/22",
		"models--a--single":  "models--a--single/snapshots/33",
		"models--a--gone":    "models--a--gone/snapshots/66",
		"models--a--several": "! is the cache of a model's revisions; name one of them, such as DIR/models--a--several/snapshots/44",
		"models--a--outside": "! is the cache of a model's revisions; name one of them, such as DIR/models--a--outside/snapshots/88",
		"models--a--empty":   "! is the cache of a model's revisions; name one of them",
		"models--a--broken":  "! holds pytorch_model.pt and no config.json; a checkpoint is the folder that Hugging Face publishes",
		"hub":                "! is the cache of many models; name one of them, such as DIR/hub/models--a--b",
		"lfs":                "! is a git-lfs pointer, the file itself was not downloaded; run `git lfs pull` in DIR/lfs",
		"torch":              "! holds pytorch_model.bin and no config.json",
		"gguf":               "! holds model-q4.gguf and no config.json",
		"empty":              "! there is no config.json",
		"nowhere":            "! there is no such folder",
		"model.GGUF":         "! is named as a GGUF file and is none",
		"whole.gguf":         "whole.gguf",
		"absent.gguf":        "! there is no such file",
		"plain/weights.bin":  "! is a PyTorch file, which is not read",

		"plain/model.safetensors": "! is a file of a checkpoint; name its folder, DIR/plain;",
	} {
		got, err := Checkpoint(filepath.Join(dir, path))
		sentence, failure := strings.CutPrefix(want, "!")
		switch {
		case failure && (err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(sentence, "DIR", dir))):
			t.Errorf("%s: %v, want %s", path, err, sentence)
		case !failure && (err != nil || got != filepath.Join(dir, want)):
			t.Errorf("%s: %s, %v, want %s", path, got, err, want)
		}
	}
}

func TestHubCacheInTheFileIsNoted(t *testing.T) {
	dir := tree(t, map[string]string{"bin/plugins/": "", "models--a--b/snapshots/1/config.json": "{}", "models--a--b/refs/main": "1"})
	c, err := load(t, dir, "[[model]]\nid = \"m\"\npath = \"models--a--b\"\n")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "models--a--b")
	want := filepath.Join(dir, "models.toml") + ":3: model[0].path: " + root + " is a hub cache; the revision " + root + "/snapshots/1 is used"
	if c.Models[0].Path != root+"/snapshots/1" || len(c.Notes) != 1 || c.Notes[0].String() != want {
		t.Errorf("%s, %v", c.Models[0].Path, c.Notes)
	}
}

func TestHome(t *testing.T) {
	dir := tree(t, map[string]string{"home/m/config.json": "{}", "home/plugins/": "", "home/pictures/": ""})
	home := filepath.Join(dir, "home")
	t.Setenv("HOME", home)
	c, err := load(t, dir, "[plugins]\ndirs = [\"~/plugins\"]\n[pictures]\ndirs = [\"~/pictures\"]\n[[model]]\nid = \"m\"\npath = \"~/m\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := []string{c.Plugins.Dirs[0], c.Pictures.Dirs[0], c.Models[0].Path}, []string{home + "/plugins", home + "/pictures", home + "/m"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	for path, want := range map[string]string{"~": home, "~/a": home + "/a", "~you/a": "~you/a", "a/~/b": "a/~/b", "": ""} {
		if got := Expand(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// A checkpoint that no file lists has what the file says of all others.
func TestAlone(t *testing.T) {
	dir := tree(t, map[string]string{"bin/plugins/": "", "m/config.json": "{}", "a b\u00a0\"c/config.json": "{}", "m.gguf": "GGUF"})
	c, err := Alone(filepath.Join(dir, "m"), "", nil, []string{filepath.Join(dir, "bin/plugins")})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Models[0]
	if m.ID != "m" || m.Path != filepath.Join(dir, "m") || m.Plugin != "" || len(c.Models) != 1 || c.Plugins.Dirs[0] != filepath.Join(dir, "bin/plugins") || c.Plugins.AllowUnlocked {
		t.Errorf("%+v", c)
	}
	base, err := load(t, dir, "[plugins]\nallow_unlocked = true\n[[device]]\nname = \"far\"\nmemory = \"1MiB\"\n[[model]]\nid = \"other\"\npath = \"m\"\n")
	if err != nil {
		t.Fatal(err)
	}
	c, err = Alone(filepath.Join(dir, "a b\u00a0\"c"), "echo", base, nil)
	if err != nil {
		t.Fatal(err)
	}
	m = c.Models[0]
	if m.ID != `a-b-"c` || m.Plugin != "echo" || !c.Plugins.AllowUnlocked || !reflect.DeepEqual(m.Devices, []string{"cpu", "far"}) || len(c.Models) != 1 || len(base.Models) != 1 || base.Models[0].ID != "other" {
		t.Errorf("%+v", c)
	}
	for _, base := range []*Config{nil, base} {
		c, err := Alone(filepath.Join(dir, "m.gguf"), "", base, []string{filepath.Join(dir, "bin/plugins")})
		if err != nil || c.Models[0].Path != filepath.Join(dir, "m.gguf") || c.Plugins.Dirs[0] != filepath.Join(dir, "bin/plugins") {
			t.Errorf("a file: %+v, %v", c, err)
		}
	}
	for _, c := range []struct{ path, plugin, want string }{
		{"nowhere", "", "there is no such folder"},
		{"m", "../x", `"../x" is not a plugin's name`},
	} {
		if _, err := Alone(filepath.Join(dir, c.path), c.plugin, base, nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "model[0]") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := Alone(filepath.Join(dir, "m"), "", nil, []string{filepath.Join(dir, "lib")}); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("plugins in no folder: %v", err)
	}
}
