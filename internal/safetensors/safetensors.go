// Package safetensors reads what safetensors files say of themselves: eight bytes of length, that much JSON, then the data; and which files a
// checkpoint is in. It knows no model, and reads no data.
//
// Invariants of a Header that Read returned: names are unique; entries are sorted by offset; the first begins where
// the data begins, each next one where the one before ended, the last ends with the file; an entry of a known element type has
// exactly the bytes its shape needs.
//
// It imports nothing of this module and everything here may import it.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	// maxHeader is the reference implementation's limit. The largest published headers (every expert a tensor) have ~10 MB.
	maxHeader = 100 << 20
	// maxDims covers video convolutions (5) with room.
	maxDims = 8
)

// Entry is one tensor as a header describes it.
type Entry struct {
	Name   string
	Format string // "BF16", "F32", ...
	Shape  []int
	From   int64 // first byte, counted from the beginning of the file
	To     int64 // first byte behind it
}

// Header is what a safetensors file says of itself.
type Header struct {
	Metadata map[string]string
	Entries  []Entry // sorted by From
}

// Read reads and checks the header of a file of so many bytes. Its errors do not name the file.
func Read(r io.Reader, size int64) (Header, error) {
	var prefix [8]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return Header{}, fmt.Errorf("has %d bytes, too few for a safetensors header; is the download complete?", size)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return Header{}, fmt.Errorf("says its header has %d bytes, more than the %d allowed; is it a safetensors file?", length, maxHeader)
	}
	if int64(length) > size-8 {
		return Header{}, fmt.Errorf("says its header has %d bytes but the file ends after %d; is the download complete?", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return Header{}, fmt.Errorf("header cannot be read: %w", err)
	}
	return parse(text, size)
}

// ReadFile is Read of a file, whose errors name it. open opens it and returns its size.
func ReadFile(path string, open func(path string) (*os.File, int64, error)) (Header, error) {
	f, size, err := open(path)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	h, err := Read(f, size)
	if err != nil {
		return Header{}, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// parse checks the JSON of a header against the size of its file.
func parse(text []byte, size int64) (Header, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	var h Header
	err := eachKey(dec, "the header", func(name string) error {
		if name == "__metadata__" {
			if err := dec.Decode(&h.Metadata); err != nil {
				return fmt.Errorf("__metadata__ must hold strings: %w", err)
			}
			return nil
		}
		e, err := decodeEntry(dec, name)
		h.Entries = append(h.Entries, e)
		return err
	})
	if err != nil {
		return Header{}, err
	}
	if tail := bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n"); len(tail) > 0 {
		return Header{}, fmt.Errorf("header goes on for %d bytes after its last brace", len(tail))
	}
	return h, h.place(8+int64(len(text)), size)
}

// decodeEntry reads one tensor's description; its offsets still count from the beginning of the data.
func decodeEntry(dec *json.Decoder, name string) (Entry, error) {
	e := Entry{Name: name, From: -1}
	var offsets []int64
	err := eachKey(dec, fmt.Sprintf("tensor %q", name), func(key string) error {
		switch key {
		case "dtype":
			return dec.Decode(&e.Format)
		case "shape":
			return dec.Decode(&e.Shape)
		case "data_offsets":
			return dec.Decode(&offsets)
		}
		var unknown json.RawMessage
		return dec.Decode(&unknown)
	})
	switch {
	case err != nil:
		return e, fmt.Errorf("tensor %q: %w", name, err)
	case e.Format == "":
		return e, fmt.Errorf("tensor %q: has no dtype", name)
	case e.Shape == nil:
		return e, fmt.Errorf("tensor %q: has no shape", name)
	case len(e.Shape) > maxDims:
		return e, fmt.Errorf("tensor %q: has %d dimensions, more than the %d allowed", name, len(e.Shape), maxDims)
	case len(offsets) != 2:
		return e, fmt.Errorf("tensor %q: data_offsets must be two numbers", name)
	case offsets[0] < 0 || offsets[1] < offsets[0]:
		return e, fmt.Errorf("tensor %q: data_offsets %d to %d do not name a range", name, offsets[0], offsets[1])
	}
	for _, d := range e.Shape {
		if d < 0 {
			return e, fmt.Errorf("tensor %q: shape %v has a negative dimension", name, e.Shape)
		}
	}
	e.From, e.To = offsets[0], offsets[1]
	return e, nil
}

// place checks that the entries tile the bytes from start to size and makes their offsets count from the file's beginning.
func (h *Header) place(start, size int64) error {
	slices.SortFunc(h.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Name, b.Name))
	})
	data, at := size-start, int64(0)
	for i := range h.Entries {
		e := &h.Entries[i]
		if e.To > data {
			return fmt.Errorf("tensor %q: ends at byte %d of the data but the file holds only %d; is the download complete?", e.Name, e.To, data)
		}
		if e.From != at {
			return fmt.Errorf("tensor %q: begins at byte %d of the data where %d was expected (overlap or hole)", e.Name, e.From, at)
		}
		if _, known := Bits(e.Format); known {
			if want, ok := Size(e.Format, e.Shape); !ok || want != e.To-e.From {
				return fmt.Errorf("tensor %q: shape %v of %s does not take the %d bytes its offsets give it", e.Name, e.Shape, e.Format, e.To-e.From)
			}
		}
		at = e.To
		e.From, e.To = e.From+start, e.To+start
	}
	if at != data {
		return fmt.Errorf("the file has %d bytes behind its last tensor", data-at)
	}
	return nil
}

// eachKey reads an object and calls f at each value; a key given twice is an error, because readers would differ on which counts.
func eachKey(dec *json.Decoder, what string, f func(key string) error) error {
	if err := expect(dec, json.Delim('{'), what); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%s is broken JSON: %w", what, err)
		}
		key := token.(string) // an object's keys are strings, or Token has failed
		if seen[key] {
			return fmt.Errorf("%s has %q twice", what, key)
		}
		seen[key] = true
		if err := f(key); err != nil {
			return err
		}
	}
	return expect(dec, json.Delim('}'), what)
}

func expect(dec *json.Decoder, want json.Delim, what string) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("%s is broken JSON: %w", what, err)
	}
	if token != want {
		return fmt.Errorf("%s is broken JSON: %s expected, found %v", what, want, token)
	}
	return nil
}
