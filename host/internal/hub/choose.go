// choose.go says which files of a repository make one model. Repositories hold the same weights several times: for other
// libraries, and as GGUF files of a dozen kinds.
package hub

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Choice is what is to be fetched.
type Choice struct {
	Files []File
	Main  string // the GGUF file to name, in the repository; "": the folder is the checkpoint
}

// otherForms are weights that nothing here reads, and archives.
var otherForms = []string{".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".gguf", ".tflite", ".mlmodel", ".mlpackage",
	".ckpt", ".pkl", ".pickle", ".tar", ".gz", ".zip", ".7z", ".npz", ".engine", ".dduf"}

var (
	towerName = regexp.MustCompile(`(?i)mmproj[^/]*\.gguf$`)
	noModel   = regexp.MustCompile(`(?i)(^|[-._/])(imatrix|draft)[^/]*\.gguf$`)
	partName  = regexp.MustCompile(`(?i)-\d{5}-of-\d{5}\.gguf$`)
)

// Choose picks the files of the model that r means. all takes everything there is.
func Choose(r Reference, files []File, all bool) (Choice, error) {
	groups := ggufGroups(files)
	switch {
	case r.Pick != "":
		return pick(r, files, groups)
	case isFolder(files) || all:
		return Choice{Files: folderFiles(files, all)}, nil
	case len(groups) == 1:
		return withTower(files, groups[0]), nil
	case len(groups) > 1:
		return Choice{}, fmt.Errorf("%s holds %d models as GGUF files; say which one, as in %s:%s\n%s",
			r.Repo, len(groups), r.Repo, exampleKind(groups), listGroups(groups))
	}
	return Choice{}, fmt.Errorf("%s holds neither *.safetensors with a config.json nor a GGUF file; it has %s", r.Repo, someNames(files))
}

// isFolder says that there is a checkpoint as a folder.
func isFolder(files []File) bool {
	has := func(match func(string) bool) bool {
		return slices.ContainsFunc(files, func(f File) bool { return match(f.Path) })
	}
	return has(func(p string) bool { return p == "config.json" }) && has(ownWeights)
}

// ownWeights: those in folders below, and Mistral's consolidated ones, are the same once more.
func ownWeights(p string) bool {
	return path.Dir(p) == "." && path.Ext(p) == ".safetensors" && !strings.HasPrefix(p, "consolidated")
}

func folderFiles(files []File, all bool) []File {
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		ext := strings.ToLower(path.Ext(f.Path))
		return !all && (slices.Contains(otherForms, ext) || ext == ".safetensors" && !ownWeights(f.Path))
	})
}

// group is a model in one GGUF file or in several.
type group struct {
	name  string // without what counts the parts
	files []File
}

func (g group) size() (n int64) {
	for _, f := range g.files {
		n += f.Size
	}
	return n
}

// ggufGroups are the models, in the order of their names.
func ggufGroups(files []File) (groups []group) {
	for _, f := range files { // sorted by path: parts stand together
		if !isGGUF(f.Path) || towerName.MatchString(f.Path) || noModel.MatchString(f.Path) {
			continue
		}
		name := partName.ReplaceAllString(f.Path, ".gguf")
		if n := len(groups); n > 0 && groups[n-1].name == name && name != f.Path {
			groups[n-1].files = append(groups[n-1].files, f)
			continue
		}
		groups = append(groups, group{name, []File{f}})
	}
	return groups
}

// pick finds the model that a person has named by its file or its kind.
func pick(r Reference, files []File, groups []group) (Choice, error) {
	if len(groups) == 0 {
		return Choice{}, fmt.Errorf("%s holds no GGUF file; pull %s without :%s", r.Repo, r.Repo, r.Pick)
	}
	named := func(g group) bool { return slices.ContainsFunc(g.files, func(f File) bool { return f.Path == r.Pick }) }
	based := func(g group) bool {
		return slices.ContainsFunc(g.files, func(f File) bool { return path.Base(f.Path) == r.Pick })
	}
	for _, is := range []func(group) bool{named, based, r.hasKind} {
		found := slices.DeleteFunc(slices.Clone(groups), func(g group) bool { return !is(g) })
		if len(found) == 1 {
			return withTower(files, found[0]), nil
		}
		if len(found) > 1 {
			return Choice{}, fmt.Errorf("several files of %s are %s; say which one, as in %s:%s\n%s", r.Repo, r.Pick, r.Repo, path.Base(found[0].files[0].Path), listGroups(found))
		}
	}
	return Choice{}, fmt.Errorf("%s holds no GGUF file %s; it has\n%s", r.Repo, r.Pick, listGroups(groups))
}

// hasKind says whether a file's name has the kind as a word: Q4_K is no Q4_K_M.
func (r Reference) hasKind(g group) bool {
	return regexp.MustCompile(`(?i)(^|[-._/])` + regexp.QuoteMeta(r.Pick) + `([-./]|$)`).MatchString(g.name)
}

var kindName = regexp.MustCompile(`(?i)(^|[-._/])((UD-)?I?Q[0-9]_[A-Z0-9_]+|BF16|F16|F32|MXFP4(_MOE)?|NVFP4|TQ[12]_0)(\.gguf|[-/])`)

// kind is what a file's name says of its types, "" if nothing.
func (g group) kind() string {
	if m := kindName.FindAllStringSubmatch(g.name, -1); m != nil {
		return m[len(m)-1][2]
	}
	return ""
}

func exampleKind(groups []group) string {
	for _, g := range groups {
		if k := g.kind(); strings.EqualFold(k, "Q4_K_M") {
			return k
		}
	}
	for _, g := range groups {
		if k := g.kind(); k != "" {
			return k
		}
	}
	return path.Base(groups[0].files[0].Path)
}

// listGroups lists models with their sizes, of many not all.
func listGroups(groups []group) string {
	const most = 60
	var b strings.Builder
	for i, g := range groups {
		if i == most {
			fmt.Fprintf(&b, "    and %d more\n", len(groups)-most)
			break
		}
		fmt.Fprintf(&b, "    %-12s %9s  %s\n", g.kind(), sized(g.size()), g.name)
	}
	return strings.TrimRight(b.String(), "\n")
}

// withTower adds the file of the part that sees, where there is one beside the model: one is enough.
func withTower(files []File, g group) Choice {
	c := Choice{Files: slices.Clone(g.files), Main: g.files[0].Path}
	own := strings.TrimSuffix(g.name, path.Ext(g.name)) + ".mmproj.gguf"
	best, rank := File{}, -1
	for _, f := range files {
		name := strings.ToLower(path.Base(f.Path))
		if !towerName.MatchString(f.Path) || path.Dir(f.Path) != path.Dir(c.Main) || strings.HasSuffix(name, ".mmproj.gguf") && f.Path != own {
			continue
		}
		r := 0
		for i, kind := range []string{"f32", "q8", "f16", "bf16"} { // f32 is twice the bytes of the same numbers
			if strings.Contains(name, kind) {
				r = i + 1
			}
		}
		if f.Path == own {
			r = 9
		}
		if r > rank {
			best, rank = f, r
		}
	}
	if rank >= 0 {
		c.Files = append(c.Files, best)
	}
	return c
}

func someNames(files []File) string {
	const most = 10
	var names []string
	for _, f := range files[:min(most, len(files))] {
		names = append(names, f.Path)
	}
	switch {
	case len(names) == 0:
		return "no file at all"
	case len(files) > most:
		names = append(names, fmt.Sprintf("and %d more", len(files)-most))
	}
	return strings.Join(names, ", ")
}
