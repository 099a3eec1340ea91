// Package discover finds checkpoints that are on this machine already: in the cache of the Hugging Face hub, in Ollama's store and in LM
// Studio's folder. It reads names, sizes and manifests; what is in the files is for a plugin to judge. Folders that are not there hold nothing,
// and what cannot be read is told and passed over.
package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/hub"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// Where a checkpoint was found.
const (
	Hub      = "hub"
	Ollama   = "ollama"
	LMStudio = "lmstudio"
)

// Found is a checkpoint.
type Found struct {
	Source string // one of the above
	Name   string // as its program calls it: "Qwen/Qwen3-0.6B", "unsloth/Qwen3-0.6B-GGUF:Q4_K_M", "qwen3:0.6b"
	Path   string // for models.toml
	Bytes  int64
}

// Places are the folders to look in.
type Places struct {
	Hub      string
	Ollama   string
	LMStudio []string
}

// Folders are those that are looked in.
func (p Places) Folders() []string {
	return slices.DeleteFunc(append([]string{p.Hub, p.Ollama}, p.LMStudio...), func(dir string) bool { return dir == "" })
}

// Here are the places on this machine, as the environment and the programs' own files say.
func Here(cache string) Places {
	p := Places{Hub: cache, Ollama: os.Getenv("OLLAMA_MODELS")}
	home, err := os.UserHomeDir()
	if err != nil {
		return p
	}
	if p.Ollama == "" {
		p.Ollama = filepath.Join(home, ".ollama", "models")
		const service = "/usr/share/ollama/.ollama/models" // where its installer puts those of the service
		if !isFolder(p.Ollama) && isFolder(service) {
			p.Ollama = service
		}
	}
	p.LMStudio = lmStudio(home)
	return p
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// lmStudio lists the folders of its versions: the one that its settings name, the one of its home, and the one of old.
func lmStudio(home string) []string {
	own := filepath.Join(home, ".lmstudio")
	if text, err := regular.Read(filepath.Join(home, ".lmstudio-home-pointer"), 4<<10); err == nil {
		if to := strings.TrimSpace(string(text)); filepath.IsAbs(to) {
			own = to
		}
	}
	var list []string
	var settings struct {
		Folder string `json:"downloadsFolder"`
	}
	if text, err := regular.Read(filepath.Join(own, "settings.json"), 1<<20); err == nil && json.Unmarshal(text, &settings) == nil && filepath.IsAbs(settings.Folder) {
		list = append(list, settings.Folder)
	}
	list = append(list, filepath.Join(own, "models"), filepath.Join(home, ".cache", "lm-studio", "models"))
	slices.Sort(list)
	return slices.Compact(list)
}

// All is what the places hold, sorted by source and name. problems are what could not be read.
func (p Places) All() (list []Found, problems []error) {
	add := func(found []Found, err error) {
		list = append(list, found...)
		if err != nil {
			problems = append(problems, err)
		}
	}
	if p.Hub != "" {
		add(inHub(p.Hub))
	}
	if p.Ollama != "" {
		add(inOllama(p.Ollama))
	}
	seen := map[string]bool{}
	for _, dir := range p.LMStudio {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !seen[real] {
			seen[real] = true
			add(inFolder(dir))
		}
	}
	slices.SortStableFunc(list, func(a, b Found) int { return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name)) })
	return list, problems
}

// inHub lists the models of a hub's cache.
func inHub(cache string) (list []Found, err error) {
	repos, err := hub.List(cache)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, c := range repos {
		snapshot := c.Snapshot()
		if snapshot == "" {
			continue
		}
		files, err := hub.Files(snapshot)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range hub.Models(files) {
			f := of(Hub, c.Repo, snapshot, m)
			if m.Main == "" && followsMain(c, snapshot) {
				f.Path = c.Dir
			}
			list = append(list, f)
		}
	}
	return list, errors.Join(errs...)
}

// followsMain says that the folder of the repository stands for the snapshot: an entry with it has the next one too.
func followsMain(c hub.Cached, snapshot string) bool {
	path, ok := regular.Snapshot(c.Dir)
	return ok && path == snapshot
}

// of describes a model among the files of a folder. One of several in a repository has its kind behind the name.
func of(source, name, dir string, m hub.Choice) Found {
	f := Found{Source: source, Name: name, Path: dir}
	if m.Main != "" {
		f.Path = filepath.Join(dir, filepath.FromSlash(m.Main))
		f.Name += ":" + cmp.Or(hub.Kind(m.Main), filepath.Base(f.Path))
	}
	for _, file := range m.Files {
		f.Bytes += file.Size
	}
	return f
}

// LM Studio has PUBLISHER/REPOSITORY/files below its folder.
func inFolder(dir string) (list []Found, err error) {
	publishers, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range publishers {
		repos, err := os.ReadDir(filepath.Join(dir, p.Name()))
		if err != nil {
			continue // a file
		}
		for _, r := range repos {
			at := filepath.Join(dir, p.Name(), r.Name())
			if !isFolder(at) {
				continue
			}
			files, err := hub.Files(at)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for _, m := range hub.Models(files) {
				list = append(list, of(LMStudio, p.Name()+"/"+r.Name(), at, m))
			}
		}
	}
	return list, errors.Join(errs...)
}

const (
	maxManifest  = 1 << 20 // bytes; they have some kilobytes
	maxManifests = 10_000
	weightsType  = "application/vnd.ollama.image.model"
)

// inOllama lists what the manifests name: DIR/manifests/HOST/SPACE/MODEL/TAG. The weights are DIR/blobs/sha256-HASH, GGUF files without that
// end.
func inOllama(dir string) (list []Found, err error) {
	root := filepath.Join(dir, "manifests")
	var errs []error
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil || d.IsDir():
			return err
		case len(list) >= maxManifests:
			return fmt.Errorf("%s has more than %d manifests", root, maxManifests)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		if len(parts) != 4 || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		text, err := regular.Read(path, maxManifest)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		switch f, err := manifest(text, dir); {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		case f.Path != "":
			f.Name = ollamaName(parts)
			list = append(list, f)
		}
		return nil
	})
	return list, errors.Join(append(errs, err)...)
}

// ollamaName is how Ollama shows a model.
func ollamaName(parts []string) string {
	name := parts[2] + ":" + parts[3]
	if parts[0] != "registry.ollama.ai" {
		return parts[0] + "/" + parts[1] + "/" + name
	}
	if parts[1] != "library" {
		return parts[1] + "/" + name
	}
	return name
}

// manifest finds the weights that a manifest names; the path is "" if it names none in one file.
func manifest(text []byte, dir string) (f Found, err error) {
	var m struct {
		Layers []struct {
			MediaType, Digest string
			Size              int64
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return f, fmt.Errorf("is no manifest: %w", err)
	}
	for _, l := range m.Layers {
		if l.MediaType != weightsType {
			continue
		}
		blob := strings.Replace(l.Digest, ":", "-", 1)
		if !regular.IsBlob(blob) {
			return f, fmt.Errorf("names its weights %.80q; expected sha256: and a hash", l.Digest)
		}
		return Found{Source: Ollama, Path: filepath.Join(dir, "blobs", blob), Bytes: max(0, l.Size)}, nil
	}
	return f, nil
}
