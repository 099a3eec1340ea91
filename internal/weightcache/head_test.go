package weightcache

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func wish(modules ...int64) Wish {
	return Wish{Key: [32]byte{1, 2, 3}, About: About{Model: "/models/m", Quantize: "q4", Plugin: "p 1.0.0"}, Modules: modules}
}

func headOf(t testing.TB, modules ...int64) *Head {
	t.Helper()
	h, err := newHead(wish(modules...))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A head is read as it was written, and its modules lie behind each other, each from a multiple of Align on.
func TestHeadsAreReadAsTheyAreWritten(t *testing.T) {
	for _, modules := range [][]int64{{}, {0}, {1}, {Align, Align + 1, 0, 7}, make([]int64, 30_000)} {
		h := headOf(t, modules...)
		h.Sealed = 42
		at, end := h.Place()
		for i, n := range modules {
			next := end
			if i+1 < len(at) {
				next = at[i+1]
			}
			if at[i]%Align != 0 || next-at[i] < n || next-at[i] >= n+Align || at[i] < h.headBytes() {
				t.Fatalf("module %d of %d bytes lies at %d, the next at %d", i, n, at[i], next)
			}
		}
		got, err := parseHead(h.encode(), end)
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != h.Key || got.About != h.About || got.Sealed != 42 || !slices.Equal(got.Modules, h.Modules) {
			t.Errorf("%+v, not %+v", got, h)
		}
		if _, err := parseHead(h.encode(), end+1); err == nil && len(modules) > 0 {
			t.Error("a file with a byte too many is taken")
		}
	}
}

// Whatever bit of a head is another, it is refused, but for those of the stamp and of what is noted of modules: the one is compared with the
// file's own time, and a note whose bits differ is none, or says another checksum and is found out by the module's bytes.
func TestHeadsWithABitThatIsAnother(t *testing.T) {
	h := headOf(t, 100, 5000)
	r := record(0, 77)
	copy(h.records, r[:])
	_, end := h.Place()
	whole := h.encode()
	for i := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[i/8] ^= 1 << (i % 8)
		got, err := parseHead(b, end)
		switch at := int64(i / 8); {
		case at >= sealedAt && at < 32:
			if err != nil || got.stamped(time.Unix(h.Sealed, 0)) {
				t.Errorf("byte %d: %v, or stamped", at, err)
			}
		case at >= h.recordAt(0) && at < h.recordAt(1):
			if _, noted := got.sum(0); err != nil || noted {
				t.Errorf("byte %d: %v, noted %v", at, err, noted)
			}
		case at >= h.recordAt(1):
			if _, noted := got.sum(1); err != nil || noted {
				t.Errorf("byte %d: %v, noted %v", at, err, noted)
			}
		case err == nil:
			t.Errorf("byte %d may be another", at)
		}
	}
}

// A note of one module is none of another.
func TestNotesBelongToTheirModule(t *testing.T) {
	h := headOf(t, 1, 1, 1)
	r := record(1, 0)
	for i := range 3 {
		copy(h.records[8*i:], r[:])
		if _, noted := h.sum(i); noted != (i == 1) {
			t.Errorf("module %d: %v", i, noted)
		}
	}
}

func TestSizesThatCannotBe(t *testing.T) {
	for _, modules := range [][]int64{{-1}, {maxBytes + 1}, {maxBytes, maxBytes}, make([]int64, maxModules+1)} {
		if _, err := newHead(wish(modules...)); err == nil {
			t.Errorf("%d modules, the first of %d bytes, are taken", len(modules), modules[0])
		}
	}
	w := wish(1)
	w.About.Model = strings.Repeat("x", maxAbout)
	if _, err := newHead(w); err == nil {
		t.Error("64 KiB about a file are taken")
	}
}

// TestStampsAreEvenSeconds, which no change has by itself.
func TestStampsAreEvenSeconds(t *testing.T) {
	for _, now := range []time.Time{time.Unix(1700000001, 999), time.Unix(1700000000, 0)} {
		h := Head{Sealed: stampOf(now)}
		if h.Sealed != 1700000000 || !h.stamped(time.Unix(1700000000, 0)) {
			t.Errorf("%v is stamped %d", now, h.Sealed)
		}
		for _, other := range []time.Time{time.Unix(1700000000, 1), time.Unix(1700000002, 0), {}} {
			if h.stamped(other) {
				t.Errorf("%v counts as the stamp", other)
			}
		}
	}
	if (&Head{}).stamped(time.Unix(0, 0)) {
		t.Error("a file without a stamp is stamped")
	}
}

// FuzzHead: whatever a file begins with, reading it does no more than the bounds allow, and what is taken is written as it was.
func FuzzHead(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, modules := range [][]int64{{}, {1}, {5000, 3}} {
		h := headOf(f, modules...)
		f.Add(h.encode(), uint16(rng.UintN(9)))
	}
	f.Add([]byte(magic), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, pages uint16) {
		if len(b) >= fixedBytes { // past the checksum, which chance does not meet
			if n, err := headSize(b); err == nil && int64(len(b)) >= n {
				b = b[:n]
				binary.LittleEndian.PutUint32(b[20:], headSum(b, int(binary.LittleEndian.Uint32(b[16:]))))
			}
		}
		size := int64(pages) * Align
		h, err := readHead(bytes.NewReader(b), size)
		if err != nil {
			return
		}
		at, end := h.Place()
		if end != size || len(at) != len(h.Modules) || h.headBytes() > size {
			t.Fatalf("%d modules end at %d of %d bytes", len(at), end, size)
		}
		for i, n := range h.Modules {
			if at[i] < h.headBytes() || n < 0 || at[i]+n > size {
				t.Fatalf("module %d lies at %d to %d of %d", i, at[i], at[i]+n, size)
			}
			h.sum(i)
		}
		if again := h.encode(); crc32.ChecksumIEEE(again[32:fixedBytes]) != crc32.ChecksumIEEE(b[32:fixedBytes]) || len(again) > len(b) {
			t.Fatal("what was read is written otherwise")
		}
	})
}
