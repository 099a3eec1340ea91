// Command compile makes the committed PTX of the kernels whose sources have changed (make kernels), or with -all of all.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/inference-pio/inference-pio/cuda/kernels/internal/ptx"
)

func main() {
	folder := flag.String("folder", filepath.Join("cuda", "kernels"), "where the .cu files are")
	all := flag.Bool("all", false, "compile those as well whose PTX is of the sources there are")
	flag.Parse()
	if err := compile(*folder, *all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compile(folder string, all bool) error {
	names, err := ptx.Kernels(folder)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for _, name := range names {
		group.Go(func() error { return one(folder, name, all) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return sweep(folder, names)
}

func one(folder, name string, all bool) error {
	path := filepath.Join(folder, "ptx", name+".ptx")
	old, _ := os.ReadFile(path)
	hash, err := ptx.Hash(folder, name)
	if err != nil {
		return err
	}
	if !all && ptx.Recorded(old) == hash {
		return nil
	}
	text, err := ptx.Compile(folder, name)
	if err != nil {
		return err
	}
	if err := ptx.Check(name, text); err != nil || bytes.Equal(text, old) {
		return err
	}
	fmt.Println(path)
	return os.WriteFile(path, text, 0o644)
}

// sweep removes PTX whose sources are gone.
func sweep(folder string, names []string) error {
	files, err := filepath.Glob(filepath.Join(folder, "ptx", "*.ptx"))
	if err != nil {
		return err
	}
	for _, path := range files {
		if name := strings.TrimSuffix(filepath.Base(path), ".ptx"); !slices.Contains(names, name) {
			fmt.Println("removed", path)
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
