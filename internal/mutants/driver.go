package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// driver.go plants faults in what the software driver of GPUs is made of. Tests have g++ compile it, which no overlay of the go command reaches, so
// they are told of a copy of its sources. The copy stays from one fault to the next, and what was compiled of it, and only files that differ are
// written: a fault costs the compilation of what it stands in.

// driverTimeout is for tests that have the driver compiled first.
const driverTimeout = 20 * time.Minute

// envSources is sim.EnvSources; that package is a kit in C.
const envSources = "PIO_SIM_SOURCES"

// driverFolders are what is copied.
var driverFolders = []string{"cuda/include", "cuda/kernels"}

// ofDriver says whether a file is compiled when the driver is, and not by the go command.
func ofDriver(file string) bool {
	return strings.HasPrefix(file, "cuda/kernels/") && !strings.HasSuffix(file, ".go")
}

// driver brings the copy to the state of the working tree with the fault in it, and gives its cuda/kernels. Nobody else has it until done.
func (f fault) driver() (sources string, done func(), err error) {
	planted, err := f.plant()
	if err != nil {
		return "", nil, err
	}
	tree, err := filepath.Abs(".")
	if err != nil {
		return "", nil, err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	copied := filepath.Join(base, "inference-pio", "mutants", fmt.Sprintf("%x", sha256.Sum256([]byte(tree)))[:16])
	if err := os.MkdirAll(copied, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(copied, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, err
	}
	done = func() { lock.Close() }
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	for _, folder := range driverFolders {
		err = errors.Join(err, mirror(folder, filepath.Join(copied, folder), map[string][]byte{filepath.Clean(f.file): planted}))
	}
	if err != nil {
		done()
		return "", nil, err
	}
	return filepath.Join(copied, "cuda", "kernels"), done, nil
}

// mirror makes a folder have the files of another that the driver is made of, some with other text. What is right already is not touched.
func mirror(from, to string, instead map[string][]byte) error {
	has := map[string]bool{}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !compiled(path) {
			return err
		}
		text, planted := instead[path]
		if !planted {
			if text, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		in, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		has[in] = true
		copied := filepath.Join(to, in)
		if old, err := os.ReadFile(copied); err == nil && bytes.Equal(old, text) {
			return nil
		}
		return errors.Join(os.MkdirAll(filepath.Dir(copied), 0o755), os.WriteFile(copied, text, 0o644))
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if in, err := filepath.Rel(to, path); err != nil || has[in] {
			return err
		}
		return os.Remove(path) // a kernel that is no more
	})
}

func compiled(path string) bool {
	switch filepath.Ext(path) {
	case ".cu", ".cuh", ".h", ".cpp":
		return true
	}
	return filepath.Base(path) == "Makefile"
}
