package ptx

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// table.go makes the table of all kernels that docs/gpu.md has, which says of which PTX it is.

// Row is a kernel on each of Arches.
type Row struct {
	File, Kernel string
	Threads      int // of a block, at most
	Uses         []Use
	Loop         Loop // on Hopper
}

var threads = regexp.MustCompile(`(?s)\.visible \.entry (\w+)\([^{]*?\.maxntid (\d+)`)

// Table assembles each file of PTX of a folder for each of Arches.
func Table(t Tools, folder string) ([]Row, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.ptx"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s: no PTX: %v", folder, err)
	}
	rows := map[string]*Row{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, m := range threads.FindAllSubmatch(text, -1) {
			name := string(m[1])
			rows[name] = &Row{File: strings.TrimSuffix(filepath.Base(path), ".ptx"), Kernel: name, Threads: number(string(m[2])), Uses: make([]Use, len(Arches))}
		}
	}
	if err := assemble(t, files, rows); err != nil {
		return nil, err
	}
	var list []Row
	for _, r := range rows {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b Row) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Kernel, b.Kernel)) })
	return list, nil
}

func assemble(t Tools, files []string, rows map[string]*Row) error {
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	var mu sync.Mutex
	for _, path := range files {
		for i, arch := range Arches {
			name := arch.Name
			if strings.HasSuffix(path, "_90a.ptx") {
				if name != Hopper {
					continue
				}
				name += "a"
			}
			group.Go(func() error {
				uses, loops, err := t.Assemble(path, name, arch.Name == Hopper)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for kernel, u := range uses {
					r := rows[kernel]
					if r == nil {
						return fmt.Errorf("%s: kernel %s does not say how many threads its blocks have", path, kernel)
					}
					r.Uses[i] = u
					if arch.Name == Hopper {
						r.Loop = once(kernel, loops[kernel])
					}
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// A chunk of few rows' products (weights.cuh): the products of matrices that it takes for each part of a row, and the bytes of weights and their
// factors that a warp reads for it, each once. Several lanes read the factors of codes, and those of single rows are seldom read at all.
var (
	chunk = map[string]struct{ products, bytes int }{"bf16": {8, 2048}, "f16": {16, 2048}, "f8": {16, 2048}, "q8": {16, 2048 + 32}, "q4": {16, 1024 + 64}}
	few   = regexp.MustCompile(`_(?:few|pair|beside|route)_(bf16|f16|f8|q8|q4)_(fast|exact)$`)
	parts = map[string]int{"fast": 1, "exact": 3}
)

// once is a kernel's loop with what it reads of a matrix counted once.
func once(kernel string, l Loop) Loop {
	if m := few.FindStringSubmatch(kernel); m != nil {
		c := chunk[m[1]]
		l.Bytes = l.Matrix / (c.products * parts[m[2]]) * c.bytes / 32
	}
	return l
}

// tolerated is the bytes of local memory that a thread of a kernel may touch in a loop on some GPU, where the other choice is half of the
// blocks on a multiprocessor, or a kernel that is seldom used. Which is better is for hardware to say.
var tolerated = map[string]int{
	"attention_decode_128":     32,                                  // none on sm_90 and sm_100
	"attention_decode_any_128": 32, "attention_decode_any_256": 224, // caches in f32 or in codes where numerics are fast
	"attention_prompt_parts_256": 24, "attention_prompt_parts_any_256": 24, // a prompt's few rows, of heads of 256
	"matmul_beside_q4_exact": 8,                            // on sm_120
	"attention_exact_64":     24, "attention_exact_128": 8, // on sm_120
}

// Spills tells of kernels with local memory (registers that are spilled, arrays that are indexed), and how many of them touch it in a loop
// more than is tolerated.
func Spills(rows []Row) (told []string, bad int) {
	for _, r := range rows {
		for i, u := range r.Uses {
			if u.Stack == 0 && u.Spills == 0 {
				continue
			}
			line := fmt.Sprintf("%s.cu: %s on %s: %d bytes of local memory, %d bytes of spills in the code", r.File, r.Kernel, Arches[i].Name, u.Stack, u.Spills)
			if u.Again > 0 {
				if u.Stack > tolerated[r.Kernel] {
					bad++
				}
				line += fmt.Sprintf(", %d loads and stores of it IN A LOOP", u.Again)
			}
			told = append(told, line)
		}
	}
	return told, bad
}

// Markdown is the table.
func Markdown(rows []Row) string {
	var b strings.Builder
	b.WriteString("| kernel | threads |")
	for _, a := range Arches {
		b.WriteString(" " + a.Name + " |")
	}
	b.WriteString(" shared | room | loop | mma | ffma | mufu | bytes | lds | issue |\n|---|--:|" + strings.Repeat("--:|", len(Arches)+9) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d |", r.Kernel, r.Threads)
		room, own := 0, 0
		for i, a := range Arches {
			if r.Uses[i].Registers == 0 { // not for this one
				b.WriteString(" |")
				continue
			}
			warps, left := a.Warps(r.Uses[i], r.Threads)
			fmt.Fprintf(&b, " %d / %d |", r.Uses[i].Registers, warps)
			if a.Name == Hopper {
				room, own = left, r.Uses[i].Shared
			}
		}
		fmt.Fprintf(&b, " %d | %.1f |", own, float64(room)/1024)
		for _, n := range []int{r.Loop.Instructions, r.Loop.Matrix, r.Loop.Fused, r.Loop.Special, r.Loop.Bytes, r.Loop.Shared} {
			if n == 0 {
				b.WriteString(" |")
			} else {
				fmt.Fprintf(&b, " %d |", n)
			}
		}
		if r.Loop.Bytes > 0 {
			fmt.Fprintf(&b, " %.0f %% |\n", 100*r.Loop.Issue())
		} else {
			b.WriteString(" |\n")
		}
	}
	return b.String()
}

// Digest is that of all PTX of a folder.
func Digest(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.ptx"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(path), len(text))
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16]), nil
}

var marked = regexp.MustCompile(`(?s)<!-- make ptxas: of PTX (\w*) -->\n(.*?)<!-- end -->`)

// Marked is the hash of the PTX that a document's table is of; "" if it has none.
func Marked(doc []byte) string {
	if m := marked.FindSubmatch(doc); m != nil {
		return string(m[1])
	}
	return ""
}

// Replace puts a table into a document, at the marks.
func Replace(doc []byte, digest, table string) ([]byte, error) {
	if !marked.Match(doc) {
		return nil, fmt.Errorf("the document has no <!-- make ptxas: of PTX ... --> and <!-- end -->, between which the table belongs")
	}
	fresh := fmt.Appendf(nil, "<!-- make ptxas: of PTX %s -->\n%s<!-- end -->", digest, table)
	return bytes.Join([][]byte{doc[:marked.FindIndex(doc)[0]], fresh, doc[marked.FindIndex(doc)[1]:]}, nil), nil
}
