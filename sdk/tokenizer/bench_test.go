// bench_test.go measures MB/s by kind of text on one thread, and the loading time. With PIO_REFERENCE_DATA set the published 151k vocabulary is
// measured, else a tiny one, which is slower per byte as its tokens are shorter.

package tokenizer

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func benchTokenizer(b *testing.B) *Tokenizer {
	if os.Getenv("PIO_REFERENCE_DATA") == "" {
		return tiny(b, "qwen3_0_6b")
	}
	tok, err := Load(context.Background(), qwen3(b))
	if err != nil {
		b.Fatal(err)
	}
	return tok
}

// english is the prose of Go's own documentation: comments of the standard library, without the code.
func english(b *testing.B) string {
	var out strings.Builder
	files, err := filepath.Glob(filepath.Join(goroot(b), "src", "*", "*.go"))
	if err != nil || len(files) == 0 {
		b.Skip("third-party data: no Go sources to read prose from")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if prose, ok := strings.CutPrefix(line, "// "); ok {
				out.WriteString(prose)
			}
		}
		if out.Len() > 1<<20 {
			break
		}
	}
	return out.String()
}

func code(b *testing.B) string {
	var out strings.Builder
	for _, name := range []string{"server.go", "transport.go", "h2_bundle.go"} {
		text, err := os.ReadFile(filepath.Join(goroot(b), "src", "net", "http", name))
		if err != nil {
			continue
		}
		out.Write(text)
	}
	if out.Len() == 0 {
		b.Skip("third-party data: no Go sources to read")
	}
	return out.String()
}

var scripts = [][2]rune{{'a', 'z'}, {0xe0, 0x17f}, {0x3b1, 0x3c9}, {0x430, 0x44f}, {0x5d0, 0x5ea}, {0x905, 0x939}, {0x3041, 0x3096}, {0x4e00, 0x8fff}, {0xac00, 0xd7a3}, {0x1f600, 0x1f64f}, {'0', '9'}}

// randomWords is made-up words of eleven scripts, with combining marks; next draws the word's number.
func randomWords(next func() uint64) string {
	var out strings.Builder
	for out.Len() < 1<<20 {
		r := rand.New(rand.NewPCG(next(), 7))
		span := scripts[r.IntN(len(scripts))]
		for range 1 + r.IntN(8) {
			out.WriteRune(span[0] + rune(r.IntN(int(span[1]-span[0]+1))))
		}
		out.WriteString([]string{" ", " ", " ", ", ", ".\n", "\u0301 "}[r.IntN(6)])
	}
	return out.String()
}

// mixed has words as often as texts have: few common ones, many rare ones.
func mixed() string {
	return randomWords(rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 3, 100_000).Uint64)
}

// noise has no word twice: nothing can be remembered.
func noise() string {
	return randomWords(rand.NewPCG(3, 4).Uint64)
}

func benchEncode(b *testing.B, text string) {
	tok := benchTokenizer(b)
	b.SetBytes(int64(len(text)))
	b.ResetTimer()
	n := 0
	for b.Loop() {
		n = len(encode(tok, text))
	}
	b.ReportMetric(float64(len(text))/float64(n), "bytes/token")
}

func BenchmarkEncodeEnglish(b *testing.B)  { benchEncode(b, english(b)) }
func BenchmarkEncodeCode(b *testing.B)     { benchEncode(b, code(b)) }
func BenchmarkEncodeMixed(b *testing.B)    { benchEncode(b, mixed()) }
func BenchmarkEncodeNoise(b *testing.B)    { benchEncode(b, noise()) }
func BenchmarkEncodeOneWord(b *testing.B)  { benchEncode(b, strings.Repeat("a", 1<<20)) }
func BenchmarkEncodeSpaces(b *testing.B)   { benchEncode(b, strings.Repeat(" ", 1<<20)+"x") }
func BenchmarkEncodeNewlines(b *testing.B) { benchEncode(b, strings.Repeat(" \n", 1<<19)) }
func BenchmarkEncodeMarks(b *testing.B)    { benchEncode(b, "a"+strings.Repeat("\u0301\u0323", 1<<18)) }

// A chat's worth of short texts, as the server sees them.
func BenchmarkEncodeShort(b *testing.B) {
	tok, text := benchTokenizer(b), "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		encode(tok, text)
	}
}

func BenchmarkStream(b *testing.B) {
	tok := benchTokenizer(b)
	ids := encode(tok, mixed())
	b.ReportAllocs()
	for b.Loop() {
		s := tok.NewStream(true)
		for _, id := range ids {
			s.Push(id)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ids)), "ns/token")
}

func BenchmarkLoad(b *testing.B) {
	dir := qwen3(b)
	for b.Loop() {
		if _, err := Load(context.Background(), dir); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/load")
}

func goroot(b *testing.B) string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skipf("third-party data: no Go sources: %v", err)
	}
	return strings.TrimSpace(string(out))
}
