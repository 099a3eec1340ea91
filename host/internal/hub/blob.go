// blob.go fetches one file's bytes. They are appended to HASH.incomplete; a connection that breaks, or a process that is
// killed, is gone on with where the file ends. It has its name when its hash is the one that the hub lists.
package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errIdle is why a request ends whose server has stopped sending.
var errIdle = errors.New("it sends nothing")

// blob is a file that is being fetched.
type blob struct {
	File
	client *Client
	url    string
	ref    Reference
	path   string // that it will have

	file  *os.File
	hash  hash.Hash
	have  int64
	clean bool // every byte came in this run
	tally *tally
}

// lockEvery is how often a file that another process fetches is looked at.
const lockEvery = 200 * time.Millisecond

// fetch brings the file, or finds that another process has.
func (b *blob) fetch(ctx context.Context) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if isThere(b.path, b.Size) {
		b.tally.bytes.Add(b.Size)
		return nil
	}
	if b.file, err = os.OpenFile(b.path+".incomplete", os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return wrap(err)
	}
	defer b.file.Close()
	if err := b.resume(ctx); err != nil {
		return err
	}
	if err := b.complete(ctx); err != nil {
		return err
	}
	if err := b.file.Sync(); err != nil { // a name stands for bytes that are on the disk
		return wrap(err)
	}
	return wrap(os.Rename(b.file.Name(), b.path))
}

// complete fetches what is missing, and once more from the beginning what is wrong.
func (b *blob) complete(ctx context.Context) error {
	for {
		err := b.client.persist(ctx, func() (bool, error) {
			before := b.have
			if b.have == b.Size {
				return false, nil
			}
			err := b.ask(ctx)
			return b.have > before, err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", b.Path, err)
		}
		if b.have < b.Size {
			continue
		}
		sum := hex.EncodeToString(b.hash.Sum(nil))
		if sum == b.Hash {
			return nil
		}
		again := !b.clean
		if err := b.begin(); err != nil {
			return err
		}
		if !again {
			return fmt.Errorf("%s: what %s sends has the hash %s, and it lists %s; nothing of it is kept", b.Path, b.client.endpoint, sum, b.Hash)
		}
		b.client.tell(b.Path + ": what there was of it is damaged; it is fetched anew")
	}
}

// resume takes what an earlier run has left.
func (b *blob) resume(ctx context.Context) error {
	info, err := b.file.Stat()
	if err != nil {
		return wrap(err)
	}
	if info.Size() == 0 || info.Size() > b.Size {
		return b.begin()
	}
	b.hash = b.newHash()
	n, err := io.Copy(b.hash, reading{ctx, b.file})
	if err != nil {
		return wrap(err)
	}
	b.have = n
	b.tally.bytes.Add(n)
	return nil
}

// reading ends with its context: what is there may take a while to read.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// begin forgets what there is.
func (b *blob) begin() error {
	if err := b.file.Truncate(0); err != nil {
		return wrap(err)
	}
	_, err := b.file.Seek(0, io.SeekStart)
	b.tally.bytes.Add(-b.have)
	b.have, b.hash, b.clean = 0, b.newHash(), true
	return wrap(err)
}

// newHash is git's of a blob, or plain sha256.
func (b *blob) newHash() hash.Hash {
	if b.lfs() {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", b.Size)
	return h
}

// ask makes one request for what is missing, up to a piece.
func (b *blob) ask(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{}
	if b.have > 0 || b.Size > b.client.piece {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.have, min(b.have+b.client.piece, b.Size)-1))
	}
	resp, err := b.client.get(ctx, b.url, b.ref, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	most, err := b.place(resp)
	if err != nil {
		return err
	}
	idle := time.AfterFunc(b.client.pauses.silence, func() { cancel(errIdle) })
	defer idle.Stop()
	err = b.take(io.LimitReader(resp.Body, most+1), most, func() { idle.Reset(b.client.pauses.silence) })
	if err != nil && errors.Is(context.Cause(ctx), errIdle) {
		err = fmt.Errorf("%s has sent nothing for %v, after %d bytes", resp.Request.URL.Host, b.client.pauses.silence, b.have)
	}
	return err
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)

// place finds where in the file an answer's bytes belong, and how many there are at most.
func (b *blob) place(resp *http.Response) (most int64, err error) {
	host := resp.Request.URL.Host
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return 0, final(fmt.Errorf("%s sends it in the encoding %.40q, which was not asked for", host, e))
	}
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		if b.have == 0 {
			return 0, final(fmt.Errorf("%s has no such part of it", host))
		}
		if err := b.begin(); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%s has no such part of it; it is fetched from its beginning", host)
	case http.StatusPartialContent:
		m := contentRange.FindStringSubmatch(resp.Header.Get("Content-Range"))
		if m == nil {
			return 0, final(fmt.Errorf("%s sends a part of it and does not say which", host))
		}
		first, _ := strconv.ParseInt(m[1], 10, 64)
		last, _ := strconv.ParseInt(m[2], 10, 64)
		if m[3] != "*" && m[3] != strconv.FormatInt(b.Size, 10) {
			return 0, final(fmt.Errorf("%s has %s bytes of it, and the hub lists %d", host, m[3], b.Size))
		}
		if first != b.have || last < first || last >= b.Size {
			return 0, final(fmt.Errorf("%s sends another part of it than was asked for: %.60q", host, resp.Header.Get("Content-Range")))
		}
		return last - first + 1, nil
	}
	if resp.ContentLength >= 0 && resp.ContentLength != b.Size {
		return 0, final(fmt.Errorf("%s sends %d bytes of it, and the hub lists %d", host, resp.ContentLength, b.Size))
	}
	if b.have > 0 { // it does not send parts
		if err := b.begin(); err != nil {
			return 0, err
		}
	}
	return b.Size, nil
}

// take appends what comes, at most so many bytes.
func (b *blob) take(from io.Reader, most int64, beat func()) error {
	buffer := make([]byte, 256<<10)
	for got := int64(0); ; {
		n, err := from.Read(buffer)
		if n > 0 {
			beat()
			if got += int64(n); got > most {
				return final(fmt.Errorf("the server sends more than the %d bytes that the hub lists", b.Size))
			}
			if _, err := b.file.Write(buffer[:n]); err != nil {
				return final(wrap(err))
			}
			b.hash.Write(buffer[:n])
			b.have += int64(n)
			b.tally.bytes.Add(int64(n))
			b.tally.came.Add(int64(n))
		}
		switch {
		case got == most && (err == nil || errors.Is(err, io.EOF)):
			if err != nil {
				return nil
			}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the connection was cut after %d of %d bytes", b.have, b.Size)
		case err != nil:
			return fmt.Errorf("the connection broke after %d of %d bytes: %w", b.have, b.Size, err)
		}
	}
}

// lock is the file's own, as the hub's library takes it: it may be fetching the same.
func (b *blob) lock(ctx context.Context) (unlock func(), err error) {
	repo := filepath.Dir(filepath.Dir(b.path))
	dir := filepath.Join(filepath.Dir(repo), ".locks", filepath.Base(repo))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, wrap(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, b.Hash+".lock"), os.O_RDWR|os.O_CREATE, 0o664)
	if err != nil {
		return nil, wrap(err)
	}
	for told := false; ; told = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which unlocks it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return func() { _ = f.Close() }, nil // a file system without locks: names are given to whole files all the same
		}
		if !told {
			b.client.tell(b.Path + ": another process is fetching it")
		}
		if err := sleep(ctx, lockEvery); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// isThere says whether a path leads to a file of that size.
func isThere(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// wrap says what to do where the disk is full or not ours.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room, or name another place with HF_HUB_CACHE; what has come is kept", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; name another place with HF_HUB_CACHE", err)
	}
	return err
}
