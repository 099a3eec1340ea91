// normalize.go brings text into the form the vocabulary was made for: NFC, or none.
//
// The reference composes by Unicode 9 and puts no bound on combining marks. x/text composes by a newer version, and after thirty marks it
// inserts a character ("stream-safe text format"). Both differences show in ids, so nfc cuts text at marks that are too new and has a
// composition of its own for long runs. Everyday text meets neither: it is normal already, or becomes so in one call.

package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

type normalizer struct {
	Type        string       `json:"type"`
	Normalizers []normalizer `json:"normalizers"`
}

// normalizeFunc returns text in its normal form, or the context's error.
type normalizeFunc func(p *pace, text string) (string, error)

func asItIs(_ *pace, text string) (string, error) { return text, nil }

// parseNormalizer returns the function that tokenizer.json's normalizer describes.
func parseNormalizer(raw []byte) (normalizeFunc, error) {
	var n *normalizer
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if n == nil {
		return asItIs, nil
	}
	if err := n.check("normalizer"); err != nil {
		return nil, err
	}
	if n.Type == "Sequence" && len(n.Normalizers) == 0 {
		return asItIs, nil
	}
	return nfc, nil // once or more often: NFC of NFC is NFC
}

func (n *normalizer) check(at string) error {
	if n.Type == "NFC" {
		return nil
	}
	if n.Type != "Sequence" {
		return fmt.Errorf("%s: type %q is not supported; NFC, a Sequence of it, and null are", at, n.Type)
	}
	var errs []error
	for i := range n.Normalizers {
		at := fmt.Sprintf("%s.normalizers[%d]", at, i)
		if n.Normalizers[i].Type == "Sequence" && len(n.Normalizers[i].Normalizers) == 0 {
			errs = append(errs, fmt.Errorf("%s: an empty Sequence", at))
		}
		errs = append(errs, n.Normalizers[i].check(at))
	}
	return errors.Join(errs...)
}

// nfc is NFC as the reference computes it. text is valid UTF-8.
func nfc(p *pace, text string) (string, error) {
	if norm.NFC.IsNormalString(text) {
		return text, nil
	}
	var out strings.Builder
	out.Grow(len(text) + 16)
	start := 0
	for i, r := range text {
		if r >= 0x7fd && unicode.Is(lateMarks, r) {
			if err := compose(p, &out, text[start:i]); err != nil {
				return "", err
			}
			out.WriteRune(r) // stays where it is, and nothing is ordered or composed across it
			start = i + utf8.RuneLen(r)
		}
	}
	err := compose(p, &out, text[start:])
	return out.String(), err
}

// compose is for text without late marks. Where x/text finds too many marks it inserts joiners, and only there.
func compose(p *pace, out *strings.Builder, text string) (err error) {
	const joiner = norm.GraphemeJoiner
	composed := norm.NFC.String(text)
	if strings.Count(composed, joiner) != strings.Count(text, joiner) {
		composed, err = composeLong(p, text)
	}
	out.WriteString(composed)
	if err == nil {
		err = p.spend(len(text))
	}
	return err
}

// mark is a rune with its combining class, 0 for one that starts anew.
type mark struct {
	r     rune
	class uint8
}

// composeLong is the textbook: decompose, order the marks, compose.
func composeLong(p *pace, text string) (string, error) {
	marks, err := decompose(p, text)
	if err != nil {
		return "", err
	}
	order(marks)
	out := make([]rune, 0, len(marks))
	starter, last := -1, uint8(0) // index in out of the last starter; class of the last rune kept after it
	for _, m := range marks {
		if err := p.spend(1); err != nil {
			return "", err
		}
		blocked := starter < len(out)-1 && last >= m.class
		if starter >= 0 && !blocked {
			if joined, ok := composePair(out[starter], m.r); ok {
				out[starter] = joined
				continue
			}
		}
		if m.class == 0 {
			starter = len(out)
		}
		last = m.class
		out = append(out, m.r)
	}
	return string(out), nil
}

func decompose(p *pace, text string) ([]mark, error) {
	marks := make([]mark, 0, len(text)/2)
	var buf []byte
	for i, r := range text {
		buf = norm.NFD.AppendString(buf[:0], text[i:i+utf8.RuneLen(r)])
		for part := buf; len(part) > 0; {
			r, n := utf8.DecodeRune(part)
			m := mark{r: r}
			if r >= 0x300 {
				m.class = norm.NFD.Properties(part).CCC()
			}
			marks = append(marks, m)
			part = part[n:]
		}
		if err := p.spend(1); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// order sorts each run of combining marks by class, equal classes in the order they came.
func order(marks []mark) {
	for i := 0; i < len(marks); i++ {
		start := i
		for i < len(marks) && marks[i].class != 0 {
			i++
		}
		slices.SortStableFunc(marks[start:i], func(a, b mark) int { return int(a.class) - int(b.class) })
	}
}

func composePair(a, b rune) (rune, bool) {
	joined := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(joined)
	return r, n == len(joined)
}

// lateMarks are the runes that combine, by Go's tables, but did not exist in Unicode 9.
var lateMarks = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x7fd, Hi: 0x7fd, Stride: 1}, {Lo: 0x898, Hi: 0x89f, Stride: 1}, {Lo: 0x8ca, Hi: 0x8d3, Stride: 1},
		{Lo: 0x9fe, Hi: 0x9fe, Stride: 1}, {Lo: 0xc3c, Hi: 0xc3c, Stride: 1}, {Lo: 0xd3b, Hi: 0xd3c, Stride: 1},
		{Lo: 0xeba, Hi: 0xeba, Stride: 1}, {Lo: 0x1715, Hi: 0x1715, Stride: 1}, {Lo: 0x1abf, Hi: 0x1ace, Stride: 1},
		{Lo: 0x1df6, Hi: 0x1dfa, Stride: 1}, {Lo: 0xa82c, Hi: 0xa82c, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x10d24, Hi: 0x10d27, Stride: 1}, {Lo: 0x10eab, Hi: 0x10eac, Stride: 1}, {Lo: 0x10efd, Hi: 0x10eff, Stride: 1},
		{Lo: 0x10f46, Hi: 0x10f50, Stride: 1}, {Lo: 0x10f82, Hi: 0x10f85, Stride: 1}, {Lo: 0x11070, Hi: 0x11070, Stride: 1},
		{Lo: 0x1133b, Hi: 0x1133b, Stride: 1}, {Lo: 0x1145e, Hi: 0x1145e, Stride: 1}, {Lo: 0x11839, Hi: 0x1183a, Stride: 1},
		{Lo: 0x11935, Hi: 0x11935, Stride: 1}, {Lo: 0x1193d, Hi: 0x1193e, Stride: 1}, {Lo: 0x11943, Hi: 0x11943, Stride: 1},
		{Lo: 0x119e0, Hi: 0x119e0, Stride: 1}, {Lo: 0x11a34, Hi: 0x11a34, Stride: 1}, {Lo: 0x11a47, Hi: 0x11a47, Stride: 1},
		{Lo: 0x11a99, Hi: 0x11a99, Stride: 1}, {Lo: 0x11d42, Hi: 0x11d42, Stride: 1}, {Lo: 0x11d44, Hi: 0x11d45, Stride: 1},
		{Lo: 0x11d97, Hi: 0x11d97, Stride: 1}, {Lo: 0x11f41, Hi: 0x11f42, Stride: 1}, {Lo: 0x16ff0, Hi: 0x16ff1, Stride: 1},
		{Lo: 0x1e08f, Hi: 0x1e08f, Stride: 1}, {Lo: 0x1e130, Hi: 0x1e136, Stride: 1}, {Lo: 0x1e2ae, Hi: 0x1e2ae, Stride: 1},
		{Lo: 0x1e2ec, Hi: 0x1e2ef, Stride: 1}, {Lo: 0x1e4ec, Hi: 0x1e4ef, Stride: 1},
	},
}
