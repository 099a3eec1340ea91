package weightcache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// head.go is the beginning of a file:
//
//	0   magic, whose last byte is the version of all this
//	8   u32 bytes of the head without what fills it up, 12 u32 bytes of what it is about, 16 u32 modules
//	20  u32 checksum of all before it, of the key, of what it is about and of the modules' bytes
//	24  i64 when it was stamped, in seconds; 0: it is being made
//	32  the key
//	64  what it is about, in JSON, filled up to 8 bytes
//	..  for each module u64 its bytes
//	..  for each module u32 the checksum of its bytes, and u32 a checksum of that; zeros: it is not there
//
// All numbers are little-endian. Modules follow, each from a multiple of Align on; with the last one the file ends. Checksums are CRC-32C.

const (
	magic      = "PIOPACK\x01"
	fixedBytes = 64
	sealedAt   = 24

	// Align is where modules begin: at multiples of so many bytes.
	Align = 4096

	maxAbout   = 64 << 10
	maxModules = 1 << 20 // the largest models have some 25,000 experts
	maxBytes   = 1 << 46 // of a file
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// About says for people what a file holds.
type About struct {
	Model    string `json:"model"`    // the checkpoint's path when it was made
	Quantize string `json:"quantize"` // as it was asked for; "": as the checkpoint's own codes are packed
	Plugin   string `json:"plugin"`   // who made it, with its version
}

// Head is what a file says of itself.
type Head struct {
	Key     [32]byte
	About   About
	Sealed  int64   // seconds; 0: it is being made
	Modules []int64 // bytes of each

	records []byte // of each module eight bytes
	text    []byte // About as it stands there
}

func up(n, to int64) int64 { return (n + to - 1) / to * to }

// headBytes is what the head takes.
func (h *Head) headBytes() int64 { return h.recordAt(len(h.Modules)) }

func (h *Head) recordAt(module int) int64 {
	return fixedBytes + up(int64(len(h.text)), 8) + 8*int64(len(h.Modules)) + 8*int64(module)
}

// Place is where each module begins, and where the file ends.
func (h *Head) Place() (at []int64, end int64) {
	at, end = make([]int64, len(h.Modules)), up(h.headBytes(), Align)
	for i, n := range h.Modules {
		at[i] = end
		end += up(n, Align)
	}
	return at, end
}

// newHead is that of a file in which nothing is made.
func newHead(w Wish) (*Head, error) {
	text, err := json.Marshal(w.About)
	if err != nil {
		return nil, err
	}
	h := &Head{Key: w.Key, About: w.About, Modules: w.Modules, text: text, records: make([]byte, 8*len(w.Modules))}
	return h, h.check()
}

// check bounds the sizes.
func (h *Head) check() error {
	if len(h.text) > maxAbout || len(h.Modules) > maxModules {
		return fmt.Errorf("%d modules and %d bytes about them are more than there can be", len(h.Modules), len(h.text))
	}
	end := up(h.headBytes(), Align)
	for i, n := range h.Modules {
		if n < 0 || n > maxBytes || end > maxBytes-up(n, Align) {
			return fmt.Errorf("module %d has %d bytes, with which the file has more than there can be", i, n)
		}
		end += up(n, Align)
	}
	return nil
}

// encode writes the head.
func (h *Head) encode() []byte {
	b := make([]byte, h.headBytes())
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(h.text)))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(h.Modules)))
	binary.LittleEndian.PutUint64(b[sealedAt:], uint64(h.Sealed))
	copy(b[32:], h.Key[:])
	copy(b[fixedBytes:], h.text)
	sizes := b[fixedBytes+up(int64(len(h.text)), 8):]
	for i, n := range h.Modules {
		binary.LittleEndian.PutUint64(sizes[8*i:], uint64(n))
	}
	copy(sizes[8*len(h.Modules):], h.records)
	binary.LittleEndian.PutUint32(b[20:], headSum(b, len(h.Modules)))
	return b
}

// headSum is the checksum of a head but for the stamp and the records.
func headSum(b []byte, modules int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:20])
	return crc32.Update(sum, castagnoli, b[32:len(b)-8*modules])
}

var errNoHead = errors.New("it does not begin as one")

// headSize is how many bytes a head has, by its first ones.
func headSize(b []byte) (int64, error) {
	if len(b) < fixedBytes || string(b[:8]) != magic {
		return 0, errNoHead
	}
	about, modules := int64(binary.LittleEndian.Uint32(b[12:])), int64(binary.LittleEndian.Uint32(b[16:]))
	size := int64(binary.LittleEndian.Uint32(b[8:]))
	if about > maxAbout || modules > maxModules || size != fixedBytes+up(about, 8)+16*modules {
		return 0, fmt.Errorf("its head has impossible sizes: %d bytes for %d modules and %d bytes about them", size, modules, about)
	}
	return size, nil
}

// parseHead reads a head, of a file of so many bytes.
func parseHead(b []byte, fileSize int64) (*Head, error) {
	size, err := headSize(b)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != size {
		return nil, fmt.Errorf("its head has %d bytes, not %d", len(b), size)
	}
	about, modules := int(binary.LittleEndian.Uint32(b[12:])), int(binary.LittleEndian.Uint32(b[16:]))
	if got, want := headSum(b, modules), binary.LittleEndian.Uint32(b[20:]); got != want {
		return nil, fmt.Errorf("the checksum of its head is %08x, not %08x", got, want)
	}
	h := &Head{Key: [32]byte(b[32:64]), Sealed: int64(binary.LittleEndian.Uint64(b[sealedAt:])), text: b[fixedBytes : fixedBytes+about]}
	if err := json.Unmarshal(h.text, &h.About); err != nil {
		return nil, fmt.Errorf("what it is about is no JSON: %w", err)
	}
	sizes := b[fixedBytes+up(int64(about), 8):]
	h.Modules = make([]int64, modules)
	for i := range h.Modules {
		h.Modules[i] = int64(binary.LittleEndian.Uint64(sizes[8*i:]))
	}
	h.records = sizes[8*modules:]
	if err := h.check(); err != nil {
		return nil, err
	}
	if _, end := h.Place(); end != fileSize {
		return nil, fmt.Errorf("it has %d bytes; its modules need %d", fileSize, end)
	}
	return h, nil
}

// record is what is noted of a module whose bytes have a checksum.
func record(module int, sum uint32) (b [8]byte) {
	var of [12]byte
	binary.LittleEndian.PutUint64(of[:], uint64(module))
	binary.LittleEndian.PutUint32(of[8:], sum)
	binary.LittleEndian.PutUint32(b[:], sum)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(of[:], castagnoli))
	return b
}

// sum is the checksum that is noted of a module; false if none is.
func (h *Head) sum(module int) (uint32, bool) {
	b := h.records[8*module:][:8]
	sum := binary.LittleEndian.Uint32(b)
	return sum, record(module, sum) == [8]byte(b)
}

// stampOf is a time that a file's last change can have: even seconds, which every file system keeps, and which no other change has but by
// chance.
func stampOf(now time.Time) int64 { return now.Unix() &^ 1 }

// stamped says whether the file's last change is that of its stamp.
func (h *Head) stamped(changed time.Time) bool {
	return h.Sealed != 0 && changed.Nanosecond() == 0 && changed.Unix() == h.Sealed
}
