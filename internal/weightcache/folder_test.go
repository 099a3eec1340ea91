package weightcache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// numbered is a wish of so many bytes that is not that of another number.
func numbered(n byte, bytes int64) Wish {
	w := wish(bytes)
	w.Key[0] = n
	return w
}

// kept makes a file that was used so many hours ago.
func kept(t *testing.T, d Folder, w Wish, hours int) *File {
	t.Helper()
	x := opened(t, d, w)
	finish(t, x, w)
	path := d.path(w.Key, sealedEnd)
	if err := os.Chtimes(path, time.Now().Add(-time.Duration(hours)*time.Hour), time.Unix(x.Sealed, 0)); err != nil {
		t.Fatal(err)
	}
	return x
}

// there is the numbers of the files in a folder.
func there(t *testing.T, d Folder) (numbers string) {
	t.Helper()
	list, err := d.Entries()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		name := filepath.Base(e.Path)
		numbers += name[1:2]
	}
	return numbers
}

// What was used longest ago makes room, as much as is needed, and what is in use does not.
func TestTheOldestGoFirst(t *testing.T) {
	const size = 100 * Align
	d := folder(t)
	d.Most = 4*size + 8*Align // with their heads
	for n := byte(1); n <= 3; n++ {
		kept(t, d, numbered(n, size), int(n)).Close()
	}
	busy := kept(t, d, numbered(4, size), 9)
	if got := there(t, d); got != "1234" {
		t.Fatalf("there are %s", got)
	}
	again := opened(t, d, numbered(3, size)) // is used now
	again.Close()
	if !again.stamped(time.Unix(again.Sealed, 0)) || there(t, d) != "3124" {
		t.Errorf("there are %s", there(t, d))
	}
	kept(t, d, numbered(5, size), 0).Close()
	if got := there(t, d); got != "5314" {
		t.Errorf("there are %s: 2 was to go", got)
	}
	kept(t, d, numbered(6, 2*size), 0).Close()
	if got := there(t, d); got != "654" && got != "564" {
		t.Errorf("there are %s: 1 and 3 were to go", got)
	}
	busy.Close()
}

// A file that has no room, whatever goes, is not begun, and nothing goes for it.
func TestWithoutRoom(t *testing.T) {
	const size = 100 * Align
	d := folder(t)
	d.Most = 3 * size
	kept(t, d, numbered(1, size), 1).Close()
	busy := kept(t, d, numbered(2, size), 2)
	defer busy.Close()
	var none *NoRoomError
	_, err := d.Open(context.Background(), numbered(3, 2*size), nobody)
	if !errors.As(err, &none) || none.Most != d.Most || none.InUse < size || there(t, d) != "12" {
		t.Errorf("%v; there are %s", err, there(t, d))
	}
	t.Log(err)

	// the disk
	d.Most = 0
	free := int64(0)
	d.disk = func(string) (int64, int64, error) { return free, 100 << 30, nil }
	for _, c := range []struct {
		free int64
		ok   bool
		left string
	}{{0, false, "12"}, {spareOf(100 << 30), false, "12"}, {spareOf(100<<30) + size, true, "32"}, {spareOf(100<<30) + 3*size, true, "32"}} {
		free = c.free
		x, err := d.Open(context.Background(), numbered(3, 3*size/2), nobody)
		if (err == nil) != c.ok || !c.ok && !errors.As(err, &none) {
			t.Errorf("with %d bytes free: %v", c.free, err)
		}
		if got := there(t, d); got != c.left {
			t.Errorf("with %d bytes free there are %s, not %s", c.free, got, c.left)
		}
		if err == nil {
			x.Close()
		}
	}
	d.disk = func(string) (int64, int64, error) { return 0, 0, errors.New("it does not tell") }
	if _, err := d.Open(context.Background(), numbered(7, 1), nobody); err == nil || there(t, d) != "32" {
		t.Errorf("%v; there are %s", err, there(t, d))
	}
}

// What others keep in the folder is nobody's business, and a file that is none of ours is told and can be removed.
func TestOtherFilesInTheFolder(t *testing.T) {
	d := folder(t)
	kept(t, d, numbered(1, 100), 0).Close()
	for _, name := range []string{"notes.txt", "x.packed", "00.part"} {
		if err := os.WriteFile(filepath.Join(d.Path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := d.path([32]byte{2}, sealedEnd)
	if err := os.WriteFile(bad, []byte("no head"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := d.Entries()
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list {
		if (e.Err != nil) != (e.Path == bad) {
			t.Errorf("%+v", e)
		}
		if err := d.Remove(e); err != nil {
			t.Error(err)
		}
	}
	if there(t, d) != "" {
		t.Errorf("there are still %s", there(t, d))
	}
	if list, err := (Folder{Path: filepath.Join(d.Path, "none")}).Entries(); err != nil || list != nil {
		t.Errorf("a folder that is not there: %v, %v", list, err)
	}
}
