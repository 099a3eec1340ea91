// identity.go says which weights a checkpoint has, wherever it lies.

package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"path/filepath"
	"regexp"
)

// What of a file is read: its beginning, where a header says what lies where, and pages spread over the rest. To read it whole would take as
// long as to pack it.
const (
	headSample = 1 << 20
	pages      = 64
	pageSample = 4 << 10
)

// blobName is how the stores of the hub's library and of Ollama name a file: by the SHA-256 of what is in it.
var blobName = regexp.MustCompile(`^(?:sha256-)?([0-9a-f]{64})$`)

// Fingerprint names the weights for whoever keeps what was made of them. It depends on sizes, on a sample of the contents, and on what tells
// that the rest is the same: of a file in a store that names files by their hashes, that name; of any other, when it was last written to. A model that is
// moved, linked to or copied with its times keeps its fingerprint; one that is copied without them gets another, which costs its user that it is packed
// once more, while weights that are not those can have it only if somebody has set out to forge them.
func (c *Checkpoint) Fingerprint() [32]byte {
	h := sha256.New()
	for _, m := range c.files {
		m.fingerprint(h)
	}
	return [32]byte(h.Sum(nil))
}

func (m *mapped) fingerprint(h hash.Hash) {
	version := fmt.Sprint(m.mtime.UnixNano())
	if sum, ok := storedAs(m.path); ok {
		version = hex.EncodeToString(sum)
	}
	fmt.Fprintf(h, "%d %s\n", m.size, version)
	h.Write(m.data[:min(headSample, len(m.data))])
	for i := range pages {
		from := (len(m.data) - min(pageSample, len(m.data))) / pages * i
		h.Write(m.data[from : from+min(pageSample, len(m.data))])
	}
}

// storedAs is the hash by which a store names the file of a path. The store itself has compared it when the file came.
func storedAs(path string) ([]byte, bool) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(filepath.Dir(real)) != "blobs" {
		return nil, false
	}
	name := blobName.FindStringSubmatch(filepath.Base(real))
	if name == nil {
		return nil, false
	}
	sum, err := hex.DecodeString(name[1])
	return sum, err == nil
}
