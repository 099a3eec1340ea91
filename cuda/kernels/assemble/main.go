// Command assemble puts the kernels' PTX through NVIDIA's own assembler for six generations of GPUs (make ptxas). It fails if the
// assembler refuses any, if a kernel spills registers in a loop, or if our cuda.h differs from NVIDIA's; the table of docs/gpu.md is written again. The
// tools and the header come from PyPI, into a folder that is removed again; -tools names a folder that has them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/kernels/internal/ptx"
)

func main() {
	folder := flag.String("ptx", filepath.Join("cuda", "kernels", "ptx"), "the PTX")
	doc := flag.String("doc", filepath.Join("docs", "gpu.md"), "the document whose table is written; \"\" prints it")
	tools := flag.String("tools", "", "a folder with ptxas and nvdisasm, beside ../include")
	flag.Parse()
	if err := assemble(*folder, *doc, *tools); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func assemble(folder, doc, tools string) error {
	t, err := ptx.Find(tools)
	if tools == "" {
		made, err := os.MkdirTemp("", "ptxas")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		if t, err = ptx.Install(made); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if differ, err := ptx.CompareHeaders(filepath.Join("cuda", "include"), t.Include); err != nil || len(differ) > 0 {
		return errors.Join(err, fmt.Errorf("cuda/include/cuda.h is not NVIDIA's: %s", strings.Join(differ, "; ")))
	}
	rows, err := ptx.Table(t, folder)
	if err != nil {
		return err
	}
	if err := write(folder, doc, ptx.Markdown(rows)); err != nil {
		return err
	}
	told, bad := ptx.Spills(rows)
	for _, line := range told {
		fmt.Println(line)
	}
	if bad > 0 {
		return fmt.Errorf("%d kernels and GPUs spill in a loop", bad)
	}
	fmt.Printf("%d kernels, %d GPUs: no error, no spill in a loop\n", len(rows), len(ptx.Arches))
	return nil
}

func write(folder, doc, table string) error {
	if doc == "" {
		fmt.Print(table)
		return nil
	}
	old, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	digest, err := ptx.Digest(folder)
	if err != nil {
		return err
	}
	fresh, err := ptx.Replace(old, digest, table)
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	return os.WriteFile(doc, fresh, 0o644)
}
