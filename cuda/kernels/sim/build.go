// Package sim builds the software driver: the kernels as C++ for this computer's CPU, and what runs them (device.h, runtime). Tests use it in
// place of NVIDIA's.
package sim

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// ErrNoCompiler says that there is nothing to build it with.
var ErrNoCompiler = errors.New("no g++ to make kernels for this CPU with")

// Library is the software driver's file, which is made anew where a kernel has changed. It is for tests, which run in a folder of the
// repository.
var Library = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("g++"); err != nil {
		return "", ErrNoCompiler
	}
	root, err := repository()
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, ".tools", "sim")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(out, "lock")) // packages are tested beside each other
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if text, err := exec.Command("make", "-s", "-C", filepath.Join(root, "cuda", "kernels", "sim"), "OUT="+out).CombinedOutput(); err != nil {
		return "", fmt.Errorf("kernels for this CPU: %w\n%s", err, text)
	}
	return filepath.Join(out, "libcudasim.so"), nil
})

// repository is the folder above the working folder that has the go.mod.
func repository() (string, error) {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cuda", "kernels", "sim", "Makefile")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the software driver is built in its repository only")
		}
		dir = filepath.Dir(dir)
	}
}
