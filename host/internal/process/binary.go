package process

// binary.go: what is checked is what runs. The file is copied into sealed memory while its hash is taken, and that memory
// is executed, so that no write to the file between check and start, or later, matters.

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxBinary bounds the memory a binary is copied to; ours have some 20 MB.
const maxBinary = 1 << 30

// binary is an executable in sealed memory.
type binary struct {
	path        string
	sha256      string
	interpreter string   // of a script; "" for a compiled plugin
	memory      *os.File // read-only: memory that is open for writing cannot be executed
}

// seal copies the file at path and compares its SHA-256 with want, if that is not "".
func seal(path, want string) (*binary, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe of that name must not hold us up
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("the binary is not there any more; build or install the plugin again")
		}
		return nil, shortage(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a regular file but has mode %s", info.Mode())
	} else if info.Mode().Perm()&0o111 == 0 {
		return nil, fmt.Errorf("is not executable (mode %s); run `chmod +x %s`", info.Mode(), path)
	} else if info.Size() > maxBinary {
		return nil, fmt.Errorf("is larger than %d MiB; is it a plugin?", maxBinary>>20)
	}
	memory, sum, err := copySealed(file)
	if err != nil {
		return nil, err
	}
	b := &binary{path: path, sha256: sum, memory: memory}
	if want != "" && !strings.EqualFold(sum, want) {
		err = fmt.Errorf("its sha256 is %s, not the %s that pio.lock lists; if you rebuilt it, run `piohost plugin lock`", sum, want)
	} else {
		b.interpreter, err = checkFormat(memory)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// copySealed returns the memory, open for reading, and the hash of what is in it.
func copySealed(file io.Reader) (*os.File, string, error) {
	// No child may be forked while the memory is open for writing: it would hold that descriptor until its exec, and ours
	// would fail with "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	fd, err := unix.MemfdCreate("plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all such memory was executable and the flag unknown
		fd, err = unix.MemfdCreate("plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		if short := shortage(err); short != err {
			return nil, "", short
		}
		return nil, "", fmt.Errorf("no executable memory for the binary (sysctl vm.memfd_noexec must be 0 or 1): %w", err)
	}
	writable := os.NewFile(uintptr(fd), "plugin")
	defer writable.Close()

	hash := sha256.New()
	if n, err := io.Copy(io.MultiWriter(hash, writable), io.LimitReader(file, maxBinary+1)); err != nil {
		return nil, "", fmt.Errorf("cannot be copied to memory: %w", shortage(err))
	} else if n > maxBinary {
		return nil, "", fmt.Errorf("is larger than %d MiB; is it a plugin?", maxBinary>>20)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, "", fmt.Errorf("its copy cannot be sealed: %w", err)
	}
	readable, err := reopen(fd)
	return readable, hex.EncodeToString(hash.Sum(nil)), err
}

// reopen opens the memory of fd for reading.
func reopen(fd int) (*os.File, error) {
	readable, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		if short := shortage(err); short != err {
			return nil, short
		}
		return nil, fmt.Errorf("its copy cannot be opened (is /proc mounted?): %w", err)
	}
	return os.NewFile(uintptr(readable), "plugin"), nil
}

// checkFormat tells files that are no plugins, and foreign machines' binaries, apart from what this kernel runs. Of a script
// it returns the interpreter.
func checkFormat(r io.ReaderAt) (interpreter string, err error) {
	head := make([]byte, maxFirstLine)
	n, _ := r.ReadAt(head, 0)
	switch head = head[:n]; {
	case bytes.HasPrefix(head, scriptMark):
		return interpreterOf(head)
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return "", errors.New("is not a Linux executable; a plugin is a compiled binary, or a script whose first line is #! and its interpreter")
	}
	file, err := elf.NewFile(r)
	if err != nil {
		return "", fmt.Errorf("is a damaged executable: %w", err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if here, known := machines[runtime.GOARCH]; known && file.Machine != here {
		return "", fmt.Errorf("is built for %s, this machine is %s", file.Machine, here)
	}
	return "", nil
}

// execError says what the kernel's errors on exec mean.
func (b *binary) execError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) && b.interpreter != "":
		return fmt.Errorf("cannot be executed: its interpreter %s, or that one's loader, is not on this machine", b.interpreter)
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("cannot be executed: the dynamic loader it was linked for is not on this machine")
	case errors.Is(err, fs.ErrPermission) && b.interpreter != "" && unix.Access(b.interpreter, unix.X_OK) != nil:
		return fmt.Errorf("cannot be executed: its interpreter %s may not be executed", b.interpreter)
	case errors.Is(err, fs.ErrPermission):
		return errors.New("cannot be executed: this system forbids running copies in memory (sysctl vm.memfd_noexec must be 0 or 1)")
	}
	return fmt.Errorf("cannot be executed: %w", forkError(err))
}

func (b *binary) close() { b.memory.Close() }
