// pull.go fetches a model: what is missing of it, several files at once, and then gives the snapshot its name.
package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	defaultJobs = 4
	reserve     = 64 << 20 // bytes that stay free on the disk
)

// Plan is what is to be fetched of a model.
type Plan struct {
	Reference
	Commit  string
	Files   []Planned
	Main    string // the GGUF file's path on this machine; "": the folder is the checkpoint
	Bytes   int64  // of all files
	Missing int64
	Free    int64 // bytes of the disk; less than 0: not known

	repo  string // its folder in the cache
	whole []File // what the repository lists, if all of it is to be fetched
}

// Planned is a file with how much of it there is.
type Planned struct {
	File
	Have int64
}

// Snapshot is the folder that has the files.
func (p *Plan) Snapshot() string { return filepath.Join(p.repo, "snapshots", p.Commit) }

// Repository is the model's folder in the cache.
func (p *Plan) Repository() string { return p.repo }

// Checkpoint is what to name as a path in models.toml: of a folder the repository's, so that it follows the revision that is
// called main.
func (p *Plan) Checkpoint() string {
	switch {
	case p.Main != "":
		return p.Main
	case p.Revision == defaultRevision:
		return p.repo
	}
	return p.Snapshot()
}

// Plan asks the hub what there is, and looks how much of it is here. all takes the files that nothing here reads, too.
func (c *Client) Plan(ctx context.Context, r Reference, all bool) (*Plan, error) {
	commit, err := c.resolveCommit(ctx, r)
	if err != nil {
		return nil, err
	}
	files, err := c.tree(ctx, r, commit)
	if err != nil {
		return nil, err
	}
	choice, err := Choose(r, files, all)
	if err != nil {
		return nil, final(err)
	}
	p := &Plan{Reference: r, Commit: commit, repo: filepath.Join(c.cache, folderName(r.Repo))}
	if len(choice.Files) == len(files) {
		p.whole = files
	}
	if choice.Main != "" {
		p.Main = filepath.Join(p.Snapshot(), filepath.FromSlash(choice.Main))
	}
	for _, f := range choice.Files {
		have := p.have(f)
		p.Files = append(p.Files, Planned{f, have})
		p.Bytes += f.Size
		p.Missing += f.Size - have
	}
	p.Free = freeAt(c.cache)
	return p, nil
}

// have is how much of a file is here.
func (p *Plan) have(f File) int64 {
	if isThere(p.link(f), f.Size) || isThere(p.blob(f), f.Size) {
		return f.Size
	}
	if info, err := os.Stat(p.blob(f) + ".incomplete"); err == nil && info.Size() <= f.Size {
		return info.Size()
	}
	return 0
}

func (p *Plan) link(f File) string { return filepath.Join(p.Snapshot(), filepath.FromSlash(f.Path)) }
func (p *Plan) blob(f File) string { return filepath.Join(p.repo, "blobs", f.Hash) }

// Room is the error of a disk that has none for what is missing.
func (p *Plan) Room() error {
	if p.Free < 0 || p.Missing == 0 || p.Missing+reserve <= p.Free {
		return nil
	}
	return fmt.Errorf("%s are missing of %s and %s are free at %s; make room, or name another place with HF_HUB_CACHE",
		sized(p.Missing), p.Repo, sized(p.Free), filepath.Dir(p.repo))
}

// freeAt is what a user may write at a path that perhaps is not there yet.
func freeAt(path string) int64 {
	for {
		var s unix.Statfs_t
		err := unix.Statfs(path, &s)
		if err == nil {
			return int64(min(s.Bavail, 1<<40)) * s.Bsize
		}
		up := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) || up == path {
			return -1
		}
		path = up
	}
}

// Progress is how far a pull is.
type Progress struct {
	Bytes, Total int64 // those that were here before included
	Files, Of    int
	Rate         float64       // bytes per second of late
	Left         time.Duration // 0: not known
}

// Pull fetches what p is missing. show is told several times a second how far it is; nil tells nobody.
func (c *Client) Pull(ctx context.Context, p *Plan, show func(Progress)) error {
	if err := p.Room(); err != nil {
		return err
	}
	if err := c.prepare(p); err != nil {
		return err
	}
	var t tally
	if show != nil {
		stop := (&meter{plan: p, tally: &t}).run(show)
		defer stop()
	}
	jobs, ctx := errgroup.WithContext(ctx)
	jobs.SetLimit(cmp.Or(c.Jobs, defaultJobs))
	for _, same := range p.bySize() {
		jobs.Go(func() error {
			if err := c.bring(ctx, p, same, &t); err != nil {
				return err
			}
			t.files.Add(int64(len(same)))
			return nil
		})
	}
	if err := jobs.Wait(); err != nil {
		return err
	}
	return p.name()
}

// prepare makes the folders, and marks the cache as one for programs that make copies of disks.
func (c *Client) prepare(p *Plan) error {
	for _, dir := range []string{filepath.Join(p.repo, "blobs"), p.Snapshot()} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return wrap(err)
		}
	}
	tag := filepath.Join(c.cache, "CACHEDIR.TAG")
	if _, err := os.Lstat(tag); err == nil {
		return nil
	}
	return wrap(os.WriteFile(tag, []byte("Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache; see https://bford.info/cachedir/\n"), 0o666))
}

// bySize are the files, the largest first, those with the same bytes together.
func (p *Plan) bySize() (groups [][]File) {
	at := map[string]int{}
	for _, f := range p.Files {
		i, ok := at[f.Hash]
		if !ok {
			i, at[f.Hash] = len(groups), len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], f.File)
	}
	slices.SortStableFunc(groups, func(a, b []File) int { return cmp.Compare(b[0].Size, a[0].Size) })
	return groups
}

// bring fetches the bytes of files that have the same, and links them into the snapshot.
func (c *Client) bring(ctx context.Context, p *Plan, same []File, t *tally) error {
	f := same[0]
	linked := !slices.ContainsFunc(same, func(f File) bool { return !isThere(p.link(f), f.Size) })
	if linked {
		t.bytes.Add(f.Size * int64(len(same)))
		return nil
	}
	b := &blob{File: f, client: c, url: c.resolveURL(p.Reference, p.Commit, f), ref: p.Reference, path: p.blob(f), tally: t}
	if err := b.fetch(ctx); err != nil {
		return err
	}
	t.bytes.Add(f.Size * int64(len(same)-1))
	for _, f := range same {
		if err := p.connect(f); err != nil {
			return wrap(err)
		}
	}
	return nil
}

// connect makes a snapshot's link to a blob, in place of whatever is there.
func (p *Plan) connect(f File) error {
	at := p.link(f)
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return err
	}
	to, err := filepath.Rel(filepath.Dir(at), p.blob(f))
	if err != nil {
		return err
	}
	if now, err := os.Readlink(at); err == nil && now == to {
		return nil
	}
	return p.replacing(at, func(temporary string) error { return os.Symlink(to, temporary) })
}

// replacing has a file made under another name, in the repository's folder, where no one looks for files, and gives it its own.
func (p *Plan) replacing(at string, make func(temporary string) error) error {
	temporary := filepath.Join(p.repo, ".new-"+rand.Text())
	if err := make(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, at); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// name says that the snapshot is there: what it holds, and which revision it is.
func (p *Plan) name() error {
	if p.whole != nil {
		text, err := treeFile(p.whole)
		if err != nil {
			return err
		}
		if err := p.write(filepath.Join("trees", p.Commit+".json"), text); err != nil {
			return err
		}
	}
	if p.Revision == p.Commit {
		return nil
	}
	return p.write(filepath.Join("refs", filepath.FromSlash(p.Revision)), []byte(p.Commit))
}

// write puts a small file into the repository's folder, whole or not at all.
func (p *Plan) write(name string, text []byte) error {
	at := filepath.Join(p.repo, name)
	if old, err := os.ReadFile(at); err == nil && string(old) == string(text) {
		return nil // perhaps the cache is not ours to write
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return wrap(err)
	}
	return wrap(p.replacing(at, func(temporary string) error { return os.WriteFile(temporary, text, 0o666) }))
}
