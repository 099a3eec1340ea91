// tree.go reads what a repository holds: the commit that a revision stands for, and its files with their sizes and hashes.
package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a repository may have; the largest models have some hundred files.
const (
	maxFiles = 100_000
	maxPages = 1000
	maxPage  = 16 << 20 // bytes
	maxSize  = 1 << 50
)

// File is one of a repository's.
type File struct {
	Path string // in the repository, with slashes
	Size int64
	Hash string // sha256 in hex where the hub has it in LFS, else git's sha1 of the blob; its name in the cache

	gitID, xet string // as the hub lists them
}

// lfs says that the file's hash is the sha256 of its bytes.
func (f File) lfs() bool { return len(f.Hash) == 64 }

var sha1Hex, sha256Hex = regexp.MustCompile(`^[0-9a-f]{40}$`), regexp.MustCompile(`^[0-9a-f]{64}$`)

// resolveCommit asks for the commit that a revision stands for.
func (c *Client) resolveCommit(ctx context.Context, r Reference) (string, error) {
	if commit.MatchString(r.Revision) {
		return r.Revision, nil
	}
	var info struct{ Sha string }
	_, err := c.getJSON(ctx, c.endpoint+"/api/models/"+r.Repo+"/revision/"+url.PathEscape(r.Revision), r, &info)
	switch {
	case err != nil:
		return "", err
	case !commit.MatchString(info.Sha):
		return "", fmt.Errorf("%s does not say which commit %s is; is it a hub?", c.endpoint, r.Revision)
	}
	return info.Sha, nil
}

// tree lists the files of a commit.
func (c *Client) tree(ctx context.Context, r Reference, commit string) ([]File, error) {
	base := c.endpoint + "/api/models/" + r.Repo + "/tree/" + commit
	query := "recursive=True&expand=False"
	var files []File
	for range maxPages {
		var page []json.RawMessage
		header, err := c.getJSON(ctx, base+"?"+query, r, &page)
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			f, isFile, err := parseEntry(entry)
			if err != nil {
				return nil, fmt.Errorf("%s lists a file of %s that cannot be taken: %w", c.endpoint, r.Repo, err)
			}
			if isFile {
				files = append(files, f)
			}
		}
		if len(files) > maxFiles {
			return nil, fmt.Errorf("%s has more than %d files", r.Repo, maxFiles)
		}
		if query = nextQuery(header); query == "" {
			slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
			return files, distinct(files)
		}
	}
	return nil, fmt.Errorf("%s lists the files of %s without end", c.endpoint, r.Repo)
}

// distinct refuses two files that cannot both be there.
func distinct(files []File) error {
	for i := 1; i < len(files); i++ {
		if a, b := files[i-1].Path, files[i].Path; a == b || strings.HasPrefix(b, a+"/") {
			return fmt.Errorf("the hub lists both %.200q and %.200q", a, b)
		}
	}
	return nil
}

// parseEntry reads one element of a listing. isFile is false for what is of another kind.
func parseEntry(text []byte) (f File, isFile bool, err error) {
	var e struct {
		Type, Path, Oid string
		Size            *int64
		LFS             *struct {
			Oid  string
			Size int64
		}
		XetHash string
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return f, false, fmt.Errorf("it is not understood: %w", err)
	}
	if e.Type != "file" {
		return f, false, nil
	}
	if !filepath.IsLocal(e.Path) || filepath.ToSlash(filepath.Clean(e.Path)) != e.Path || strings.ContainsAny(e.Path, "\\\x00\n\r") || len(e.Path) > 1000 {
		return f, false, fmt.Errorf("its path is %.200q", e.Path)
	}
	if e.Size == nil || *e.Size < 0 || *e.Size > maxSize {
		return f, false, fmt.Errorf("%.200q has no size", e.Path)
	}
	f = File{Path: e.Path, Size: *e.Size, Hash: e.Oid, gitID: e.Oid, xet: e.XetHash}
	if !sha1Hex.MatchString(e.Oid) {
		return f, false, fmt.Errorf("%.200q has no hash", e.Path)
	}
	if e.LFS != nil {
		f.Hash, f.Size = strings.TrimPrefix(e.LFS.Oid, "sha256:"), e.LFS.Size
		if !sha256Hex.MatchString(f.Hash) || f.Size < 0 || f.Size > maxSize {
			return f, false, fmt.Errorf("%.200q has no sha256 or size", e.Path)
		}
	}
	if !sha256Hex.MatchString(f.xet) {
		f.xet = ""
	}
	return f, true, nil
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,]*\brel="?next"?`)

// nextQuery is the query of a listing's next page, "" at the last. Where it is asked is no matter of the answer.
func nextQuery(h http.Header) string {
	for _, value := range h.Values("Link") {
		if m := nextLink.FindStringSubmatch(value); m != nil {
			if u, err := url.Parse(m[1]); err == nil {
				return u.RawQuery
			}
		}
	}
	return ""
}

// resolveURL is where a file's bytes are had.
func (c *Client) resolveURL(r Reference, commit string, f File) string {
	parts := strings.Split(f.Path, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return c.endpoint + "/" + r.Repo + "/resolve/" + commit + "/" + strings.Join(parts, "/")
}

// treeFile is the listing as the hub's library keeps it.
func treeFile(files []File) ([]byte, error) {
	type entry struct {
		Size      int64  `json:"size"`
		BlobID    string `json:"blob_id"`
		LFSSha256 string `json:"lfs_sha256,omitempty"`
		LFSSize   *int64 `json:"lfs_size,omitempty"`
		XetHash   string `json:"xet_hash,omitempty"`
	}
	entries := map[string]entry{}
	for _, f := range files {
		e := entry{Size: f.Size, BlobID: f.gitID, XetHash: f.xet}
		if f.lfs() {
			e.LFSSha256, e.LFSSize = f.Hash, &f.Size
		}
		entries[f.Path] = e
	}
	return json.MarshalIndent(map[string]any{"format_version": 1, "files": entries}, "", " ")
}

// sized is a number of bytes as people read them, in the units of disks and networks.
func sized(n int64) string {
	switch {
	case n >= 1e12:
		return strconv.FormatFloat(float64(n)/1e12, 'f', 2, 64) + " TB"
	case n >= 1e9:
		return strconv.FormatFloat(float64(n)/1e9, 'f', 2, 64) + " GB"
	case n >= 1e6:
		return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
	case n >= 1e3:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " kB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// Size is [sized] for others.
func Size(n int64) string { return sized(n) }
