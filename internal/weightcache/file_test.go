package weightcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// contents are what the modules of the tests hold, which follows from their sizes.
func contents(w Wish) (all [][]byte) {
	for i, n := range w.Modules {
		b := make([]byte, n)
		rng := rand.New(rand.NewPCG(uint64(i), uint64(n)))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		all = append(all, b)
	}
	return all
}

// image is a file as it is now, in place of a mapping.
func image(t testing.TB, x *File) []byte {
	t.Helper()
	b := make([]byte, x.Size)
	if _, err := x.Descriptor().ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

func nobody(int64) {}

func opened(t testing.TB, d Folder, w Wish) *File {
	t.Helper()
	x, err := d.Open(context.Background(), w, nobody)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// finish makes what is missing of a file, as a plugin does, and says what that was.
func finish(t testing.TB, x *File, w Wish) (made []int) {
	t.Helper()
	for i, b := range contents(w) {
		if x.Made(i) && x.Compare(i, image(t, x)) {
			continue
		}
		made = append(made, i)
		if _, err := x.f.WriteAt(b, x.At[i]); err != nil {
			t.Fatal(err)
		}
		if err := x.Note(i, image(t, x)); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Seal(); err != nil {
		t.Fatal(err)
	}
	return made
}

// holds compares the modules of a file with what they should be.
func holds(t testing.TB, x *File, w Wish) {
	t.Helper()
	b := image(t, x)
	for i, want := range contents(w) {
		if !x.Made(i) || !bytes.Equal(x.Module(i, b), want) {
			t.Errorf("module %d is another", i)
		}
	}
}

func folder(t testing.TB) Folder { return Folder{Path: filepath.Join(t.TempDir(), "a", "b")} }

// What was made once is found by whoever asks for it again, and by several at once.
func TestAFinishedFileIsFound(t *testing.T) {
	d, w := folder(t), wish(10, 5000, 0, 3*Align)
	x := opened(t, d, w)
	if x.IsSealed() || len(finish(t, x, w)) != 4 || !x.IsSealed() {
		t.Error("the first is not made, or not finished")
	}
	second, third := opened(t, d, w), opened(t, d, w)
	for _, y := range []*File{x, second, third} {
		if !y.IsSealed() {
			t.Error("it is to be made again")
		}
		holds(t, y, w)
	}
	list, err := d.Entries()
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if e := list[0]; e.About != w.About || !e.Whole || !e.InUse || e.Bytes < x.Size || time.Since(e.Used) > time.Hour {
		t.Errorf("%+v", e)
	}
	for _, y := range []*File{x, second, third} {
		if err := y.Close(); err != nil {
			t.Error(err)
		}
	}
	if list, _ = d.Entries(); len(list) != 1 || list[0].InUse {
		t.Errorf("it is in use after all have closed it: %+v", list)
	}
}

// Another key, or other modules under the same key, are another file.
func TestOtherWishesAreOtherFiles(t *testing.T) {
	d, w := folder(t), wish(10, 20)
	x := opened(t, d, w)
	finish(t, x, w)
	x.Close()
	other := w
	other.Key[31]++
	y := opened(t, d, other)
	if y.IsSealed() || y.Made(0) {
		t.Error("another key has the same file")
	}
	y.Close()
	if z := opened(t, d, wish(10, 21)); z.IsSealed() || z.Made(0) {
		t.Error("modules of other sizes are taken")
	}
}

// TestWhatIsLeftUnfinishedGoesOn, with all modules that were noted.
func TestWhatIsLeftUnfinishedGoesOn(t *testing.T) {
	d, w := folder(t), wish(5000, 6000, 7000)
	x := opened(t, d, w)
	for i, b := range contents(w)[:2] {
		if _, err := x.f.WriteAt(b, x.At[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Note(0, image(t, x)); err != nil { // the second was being made
		t.Fatal(err)
	}
	x.Close()
	if list, _ := d.Entries(); len(list) != 1 || list[0].Whole || list[0].InUse || list[0].About != w.About {
		t.Errorf("%+v", list)
	}
	y := opened(t, d, w)
	if made := finish(t, y, w); !slices.Equal(made, []int{1, 2}) {
		t.Errorf("modules %v are made again", made)
	}
	holds(t, y, w)
}

// A finished file that anybody has written to is compared with its checksums: modules that differ are made anew, and no others. One whose head is not
// as it was is made anew as a whole.
func TestDamageIsNoticed(t *testing.T) {
	d, w := folder(t), wish(100, 5000, 1, 70_000)
	opened(t, d, w).Close()
	rng := rand.New(rand.NewPCG(5, 5))
	for round := range 30 {
		x := opened(t, d, w)
		if !x.IsSealed() {
			finish(t, x, w)
		}
		path, at := d.path(w.Key, sealedEnd), rng.Int64N(x.Size)
		end, modules, head := x.Size, x.At, x.headBytes()
		x.Close()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if round%10 == 9 {
			err = f.Truncate(at)
		} else {
			var b [1]byte
			if _, err = f.ReadAt(b[:], at); err == nil {
				_, err = f.WriteAt([]byte{b[0] ^ 0x10}, at)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		y := opened(t, d, w)
		if y.IsSealed() {
			t.Fatalf("byte %d of %d is another, and nobody notices", at, end)
		}
		made := finish(t, y, w)
		holds(t, y, w)
		y.Close()
		want := []int{}
		for i, from := range modules {
			if at >= from && at < from+w.Modules[i] {
				want = append(want, i)
			}
		}
		if round%10 != 9 && at >= head && !slices.Equal(made, want) && len(made)+len(want) > 0 {
			t.Errorf("byte %d: modules %v are made anew, not %v", at, made, want)
		}
	}
}

// A checksum finds what a stamp does not tell of.
func TestChecksumsFindWhatADiskHasLost(t *testing.T) {
	d, w := folder(t), wish(9000, 9000)
	x := opened(t, d, w)
	finish(t, x, w)
	b := image(t, x)
	b[x.At[1]+8999] ^= 1
	if !x.Compare(0, b) || x.Compare(1, b) || x.Made(1) {
		t.Error("a bit that is another is not found, or elsewhere")
	}
}

// Whoever needs what another process is making waits for it, hears how it comes on, and has the same file.
func TestTwoAtOnce(t *testing.T) {
	d, w := folder(t), wish(5000, 6000)
	x := opened(t, d, w)
	heard, got := make(chan int64, 10), make(chan *File)
	go func() {
		y, err := d.Open(context.Background(), w, func(made int64) { heard <- made })
		if err != nil {
			t.Error(err)
		}
		got <- y
	}()
	if made := <-heard; made != 0 {
		t.Errorf("%d bytes are made at first", made)
	}
	for i, b := range contents(w) {
		if _, err := x.f.WriteAt(b, x.At[i]); err != nil {
			t.Fatal(err)
		}
		if err := x.Note(i, image(t, x)); err != nil {
			t.Fatal(err)
		}
		if made := <-heard; made != []int64{5000, 11000}[i] {
			t.Errorf("%d bytes are made after module %d", made, i)
		}
	}
	if err := x.Seal(); err != nil {
		t.Fatal(err)
	}
	y := <-got
	if !y.IsSealed() {
		t.Error("it is made twice")
	}
	holds(t, y, w)
}

// Whoever waits goes on where the other has died, and ends when nobody waits for it any more.
func TestTheOtherDies(t *testing.T) {
	d, w := folder(t), wish(5000, 6000)
	x := opened(t, d, w)
	if _, err := x.f.WriteAt(contents(w)[0], x.At[0]); err != nil {
		t.Fatal(err)
	}
	if err := x.Note(0, image(t, x)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := d.Open(ctx, w, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	y, err := d.Open(context.Background(), w, func(int64) { x.Close() })
	if err != nil {
		t.Fatal(err)
	}
	if made := finish(t, y, w); !slices.Equal(made, []int{1}) {
		t.Errorf("modules %v are made again", made)
	}
	holds(t, y, w)
}

// Many that need the same at once make it once.
func TestManyAtOnce(t *testing.T) {
	d, w := folder(t), wish(100, 200, 300)
	makers := make(chan bool)
	const all = 8
	for range all {
		go func() {
			x, err := d.Open(context.Background(), w, nobody)
			if err != nil {
				t.Error(err)
				makers <- false
				return
			}
			maker := !x.IsSealed()
			if maker {
				finish(t, x, w)
			}
			holds(t, x, w)
			x.Close()
			makers <- maker
		}()
	}
	n := 0
	for range all {
		if <-makers {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d have made it", n)
	}
}

// What is given up leaves nothing; so does what cannot be begun.
func TestGivenUp(t *testing.T) {
	d, w := folder(t), wish(100)
	x := opened(t, d, w)
	if err := errors.Join(x.Give(), x.Close()); err != nil {
		t.Fatal(err)
	}
	if list, err := d.Entries(); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	x = opened(t, d, w)
	if err := d.Remove(Entry{Path: d.path(w.Key, partEnd)}); err != nil { // as an operator does
		t.Fatal(err)
	}
	x.Note(0, image(t, x))
	if err := x.Seal(); err == nil || errors.As(err, new(*DiskError)) || !strings.Contains(err.Error(), "taken away") {
		t.Errorf("what was taken away is finished: %v", err)
	}
	if err := d.Remove(Entry{Path: filepath.Join(d.Path, "..", "other")}); err == nil {
		t.Error("what is not the folder's is removed")
	}
	if err := d.Remove(Entry{Path: filepath.Join(d.Path, "lock")}); err == nil {
		t.Error("what is no file of weights is removed")
	}
}

// A place that is no file is not opened.
func TestWhatIsNoFile(t *testing.T) {
	d, w := folder(t), wish(100)
	opened(t, d, w).Close()
	for _, end := range []string{partEnd, sealedEnd} {
		path := d.path(w.Key, end)
		os.Remove(path)
		if err := os.Symlink("/dev/zero", path); err != nil {
			t.Fatal(err)
		}
		if x, err := d.Open(context.Background(), w, nobody); err == nil {
			t.Errorf("a link is followed: %v", x.Descriptor().Name())
		}
		os.Remove(path)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Open(context.Background(), w, nobody); err == nil {
			t.Error("a folder is opened")
		}
		os.Remove(path)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Folder{Path: file}).Open(context.Background(), w, nobody); err == nil || !strings.Contains(err.Error(), fmt.Sprint(file)) {
		t.Errorf("a file is a folder: %v", err)
	}
}
