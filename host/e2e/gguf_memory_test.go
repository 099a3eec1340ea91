package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// gguf_memory_test.go measures what a plugin holds that has packed a GGUF file, by the system's own numbers. They do not depend on how busy it is.

// A file in Q4_K and Q6_K costs its packed copy and less than 250 MB, at any time: pages of the file are let go as soon as they are packed.
func TestAPackedFileIsInMemoryOnce(t *testing.T) {
	const layers, hidden, inner, vocab = 8, 1024, 6144, 1024
	const cache = 256 * 2 * layers * 2 * 4 * 64 * 2 // positions of two answers, in bf16
	f := invented(t, layers, hidden, inner, vocab, q4k, q6k)
	path, packed := f.Write(t, "invented.gguf"), int64(0)
	for _, x := range f.Tensors {
		if len(x.Shape) == 2 {
			packed += int64((x.Shape[0]+15)/16) * int64(x.Shape[1]/256) * map[uint32]int64{12: 16 * 144, 14: 16 * 212}[x.Type]
		}
	}
	size := fileSize(t, path)
	s := start(t, fmt.Sprintf("[weights]\ncache = \"none\"\n[[model]]\nid = \"m\"\npath = %q\nplugin = \"qwen3_0_6b\"\ncontext = 256\nmax_sequences = 2\n", path))
	prompt := make([]int, 64)
	for i := range prompt {
		prompt[i] = i * 7 % vocab
	}
	if code, out := s.post("/v1/completions", object{"model": "m", "prompt": prompt, "max_tokens": 8, "ignore_eos": true}); code != http.StatusOK {
		t.Fatalf("%d %v", code, out)
	}
	const most = 250 << 20
	held := memoryOf(t, s.plugins()[0])
	beyond, now, mapped := held["VmHWM"]-packed-cache, held["RssAnon"]+held["RssFile"]+held["RssShmem"]-packed-cache, held["RssFile"]
	how := fmt.Sprintf("of a file of %d MB packed to %d MB: at most %d MB beyond that, now %d MB; %d MB of files are mapped", size>>20, packed>>20, beyond>>20, now>>20, mapped>>20)
	if beyond > most || now > most || mapped > size/2 || beyond < 0 {
		t.Error(how)
	}
	t.Log(how)
	if !regexp.MustCompile(`loaded 0\.1\d GB in [0-9.]+ s \([0-9.]+ GB/s, packed to 0\.1\d GB of q4k and q6k\)`).MatchString(s.log.String()) {
		t.Errorf("the log does not say what was loaded:\n%s", s.log)
	}
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Types of a GGUF file's tensors.
const q4k, q6k, bf16 = 12, 14, 30

// invented is a model of Qwen3's kind in one type, such as Q4_K, with the embedding and every second layer's values and last matrix in a better one, and the
// tiny model's tokenizer.
func invented(t testing.TB, layers, hidden, inner, vocab int, kind, better uint32) gguftest.File {
	t.Helper()
	f := gguftest.File{Keys: keysOf(t, filepath.Join(root, "plugins/qwen3_0_6b/testdata/gguf/tiny-Q8_0.gguf"))}
	for key, n := range map[string]int{"block_count": layers, "context_length": 2048, "embedding_length": hidden, "feed_forward_length": inner, "attention.head_count": hidden / 64,
		"attention.head_count_kv": 4, "attention.key_length": 64, "attention.value_length": 64} {
		f.Keys["qwen3."+key] = uint32(n)
	}
	blocks := map[uint32][]byte{q4k: make([]byte, 144), q6k: make([]byte, 210), bf16: make([]byte, 512)}
	for kind, b := range blocks {
		for i := range b {
			b[i] = byte(i*i*37 + i)
			if kind == bf16 && i%2 == 1 {
				b[i] = 0x3b | b[i]&0x80 // some 2^-9, of either sign
			}
		}
		d := map[uint32][]int{q4k: {0, 2}, q6k: {208}}[kind]
		for _, at := range d {
			b[at], b[at+1] = 0, 0x04 // 2^-14
		}
	}
	matrix := func(name string, kind uint32, rows, cols int) {
		x := gguftest.Tensor{Name: name + ".weight", Type: kind, Shape: []int{rows, cols}}
		for range rows * cols / 256 {
			x.Data = append(x.Data, blocks[kind]...)
		}
		f.Tensors = append(f.Tensors, x)
	}
	norm := func(name string, n int) {
		ones := make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		f.Tensors = append(f.Tensors, gguftest.F32(name+".weight", []int{n}, ones...))
	}
	matrix("token_embd", better, vocab, hidden)
	norm("output_norm", hidden)
	for i := range layers {
		to, last := fmt.Sprintf("blk.%d.", i), [2]uint32{kind, better}[i%2]
		for name, n := range map[string]int{"attn_norm": hidden, "ffn_norm": hidden, "attn_q_norm": 64, "attn_k_norm": 64} {
			norm(to+name, n)
		}
		matrix(to+"attn_q", kind, hidden, hidden)
		matrix(to+"attn_k", kind, 256, hidden)
		matrix(to+"attn_v", last, 256, hidden)
		matrix(to+"attn_output", kind, hidden, hidden)
		matrix(to+"ffn_gate", kind, inner, hidden)
		matrix(to+"ffn_up", kind, inner, hidden)
		matrix(to+"ffn_down", last, hidden, inner)
	}
	return f
}

// keysOf are the keys of a file.
func keysOf(t testing.TB, path string) map[string]any {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := gguf.Read(file, fileSize(t, path))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	for name, v := range h.Keys {
		text, isText := v.Text()
		whole, isWhole := v.Int()
		number, isNumber := v.Float()
		flag, isFlag := v.Bool()
		ints, areInts := v.Ints()
		var list []string
		areTexts := v.Texts(func(_ int, text []byte) bool { list = append(list, string(text)); return true })
		switch {
		case isText:
			keys[name] = text
		case isFlag:
			keys[name] = flag
		case isWhole:
			keys[name] = uint32(whole)
		case isNumber:
			keys[name] = float32(number)
		case areTexts:
			keys[name] = list
		case areInts:
			short := make([]int32, len(ints))
			for i, n := range ints {
				short[i] = int32(n)
			}
			keys[name] = short
		default:
			t.Fatalf("%s is %v", name, v)
		}
	}
	return keys
}
