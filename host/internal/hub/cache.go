// cache.go is what the cache has of models, whoever has fetched them, and how something of it is removed.
package hub

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/internal/regular"
)

const folderPrefix = "models--"

// folderName is a repository's in the cache.
func folderName(repo string) string { return folderPrefix + strings.ReplaceAll(repo, "/", "--") }

// Cached is a repository of which there is something.
type Cached struct {
	Repo string
	Dir  string
}

// List is what the cache has, sorted. That there is no cache is no error.
func List(cache string) ([]Cached, error) {
	names, err := os.ReadDir(cache)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Cached
	for _, n := range names {
		if repo, ok := strings.CutPrefix(n.Name(), folderPrefix); ok && n.IsDir() {
			list = append(list, Cached{strings.ReplaceAll(repo, "--", "/"), filepath.Join(cache, n.Name())})
		}
	}
	return list, nil
}

// Find is a repository in the cache; ok is false if there is nothing of it.
func Find(cache, repo string) (c Cached, ok bool) {
	c = Cached{repo, filepath.Join(cache, folderName(repo))}
	info, err := os.Lstat(c.Dir)
	return c, err == nil && info.IsDir()
}

// Holding is the repository in whose folder a path lies.
func Holding(cache, path string) (c Cached, ok bool) {
	rel, err := filepath.Rel(cache, path)
	if err != nil || !filepath.IsLocal(rel) {
		return Cached{}, false
	}
	name, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	repo, ok := strings.CutPrefix(name, folderPrefix)
	if !ok {
		return Cached{}, false
	}
	return Find(cache, strings.ReplaceAll(repo, "--", "/"))
}

// Snapshot is the revision that is called main, else the only one, else the one that was changed last; "" if there is none.
func (c Cached) Snapshot() string {
	if path, ok := regular.Snapshot(c.Dir); ok {
		return path
	}
	if main, err := regular.Read(filepath.Join(c.Dir, "refs", defaultRevision), 256); err == nil && commit.Match(main) {
		if path := filepath.Join(c.Dir, "snapshots", string(main)); isDir(path) {
			return path
		}
	}
	newest, path := int64(0), ""
	entries, _ := os.ReadDir(filepath.Join(c.Dir, "snapshots"))
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.IsDir() && info.ModTime().UnixNano() > newest {
			newest, path = info.ModTime().UnixNano(), filepath.Join(c.Dir, "snapshots", e.Name())
		}
	}
	return path
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Files are those of a snapshot, as a hub would list them. Links that lead nowhere are left out.
func Files(snapshot string) (list []File, err error) {
	err = filepath.WalkDir(snapshot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if len(list) > maxFiles {
			return fmt.Errorf("%s has more than %d files", snapshot, maxFiles)
		}
		name, err := filepath.Rel(snapshot, path)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			list = append(list, File{Path: filepath.ToSlash(name), Size: info.Size()})
		}
		return nil
	})
	return list, err
}

// Models are the checkpoints among files, as [Choose] would have them: the folder, and each GGUF file or group of them.
func Models(files []File) (list []Choice) {
	if isFolder(files) {
		list = append(list, Choice{Files: folderFiles(files, false)})
	}
	for _, g := range ggufGroups(files) {
		list = append(list, withTower(files, g))
	}
	return list
}

// Kind is what a GGUF file's name says of its types, "" if nothing.
func Kind(path string) string { return group{name: path}.kind() }

// Removal is what goes.
type Removal struct {
	Cached
	Links []string // in snapshots, or nil: all there is
	Blobs []string
	Bytes int64 // that become free, as far as is known
}

// Removal of the whole repository, or of the GGUF files that pick means, in all snapshots.
func (c Cached) Removal(pick string) (r Removal, err error) {
	r = Removal{Cached: c}
	links := map[string][]string{} // by blob
	err = filepath.WalkDir(filepath.Join(c.Dir, "snapshots"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			blob := path
			if to, err := os.Readlink(path); err == nil {
				blob = filepath.Join(filepath.Dir(path), to)
			}
			links[blob] = append(links[blob], path)
		}
		return err
	})
	if err != nil {
		return r, err
	}
	goes := func(string) bool { return true }
	if pick != "" {
		if goes, err = c.picked(pick); err != nil {
			return r, err
		}
	}
	staying := 0
	for blob, paths := range links {
		left := slices.DeleteFunc(slices.Clone(paths), goes)
		staying += len(left)
		r.Links = append(r.Links, slices.DeleteFunc(paths, func(p string) bool { return !goes(p) })...)
		if len(left) == 0 {
			r.Blobs = append(r.Blobs, blob)
		}
	}
	if staying == 0 {
		r.Links, r.Blobs = nil, c.blobs()
	}
	slices.Sort(r.Links)
	slices.Sort(r.Blobs)
	for _, blob := range r.Blobs {
		r.Bytes += freedBy(blob)
	}
	return r, nil
}

// picked says which links are of the model that pick means, by their paths in the snapshots; a tower goes with the last model that it
// stands beside.
func (c Cached) picked(pick string) (func(string) bool, error) {
	going := map[string]bool{}
	snapshots, err := os.ReadDir(filepath.Join(c.Dir, "snapshots"))
	if err != nil {
		return nil, err
	}
	var first error
	for _, s := range snapshots {
		dir := filepath.Join(c.Dir, "snapshots", s.Name())
		files, err := Files(dir)
		if err != nil {
			return nil, err
		}
		choice, err := Choose(Reference{Repo: c.Repo, Revision: defaultRevision, Pick: pick}, files, false)
		if err != nil {
			first = err
			continue
		}
		alone := len(ggufGroups(files)) == 1
		for _, f := range choice.Files {
			if alone || !towerName.MatchString(f.Path) {
				going[filepath.Join(dir, filepath.FromSlash(f.Path))] = true
			}
		}
	}
	if len(going) == 0 && first == nil {
		first = fmt.Errorf("there is nothing of %s", c.Repo)
	}
	if len(going) == 0 {
		return nil, first
	}
	return func(path string) bool { return going[path] }, nil
}

// blobs are the files with bytes, those that are incomplete among them.
func (c Cached) blobs() (list []string) {
	entries, _ := os.ReadDir(filepath.Join(c.Dir, "blobs"))
	for _, e := range entries {
		list = append(list, filepath.Join(c.Dir, "blobs", e.Name()))
	}
	return list
}

// freedBy is how many bytes go with a blob; of one that is shared with other repositories none are known to.
func freedBy(blob string) int64 {
	info, err := os.Lstat(blob)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// Do removes it. What is shared with other repositories stays as long as one of them has it.
func (r Removal) Do() error {
	var shared []string
	for _, blob := range r.Blobs {
		if to, ok := sharedBlob(r.Dir, blob); ok {
			shared = append(shared, to)
		}
	}
	cache := filepath.Dir(r.Dir)
	if r.Links == nil {
		if err := errors.Join(os.RemoveAll(r.Dir), os.RemoveAll(filepath.Join(cache, ".locks", filepath.Base(r.Dir)))); err != nil {
			return err
		}
	}
	for _, path := range slices.Concat(r.Links, r.Blobs) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, blob := range shared {
		if err := sweep(cache, blob); err != nil {
			return err
		}
	}
	return nil
}

var sharedName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// sharedBlob is where the bytes of a blob are that the library keeps for several repositories: CACHE/blobs/XX/HASH.
func sharedBlob(repo, blob string) (string, bool) {
	to, err := os.Readlink(blob)
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(blob), to)
	}
	hash := filepath.Base(to)
	if !sharedName.MatchString(hash) || to != filepath.Join(filepath.Dir(repo), "blobs", hash[:2], hash) {
		return "", false
	}
	return to, true
}

// sweep removes a shared blob that no repository has any more: none of those that its list names has a link to it. Without a list
// it stays.
func sweep(cache, blob string) error {
	lock, err := os.OpenFile(blob+".lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	list, err := regular.Read(blob+".refs", 16<<20)
	if err != nil {
		return nil // whoever cannot know leaves it
	}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		if name := filepath.FromSlash(lines.Text()); filepath.IsLocal(name) {
			user := filepath.Join(cache, name)
			if to, ok := sharedBlob(filepath.Dir(filepath.Dir(user)), user); ok && to == blob {
				return nil
			}
		}
	}
	return errors.Join(os.Remove(blob), os.Remove(blob+".refs"))
}
