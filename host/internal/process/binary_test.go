package process

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	encoding "encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// copyOfSelf is the test binary in a file of its own.
func copyOfSelf(t *testing.T) (path, sum string) {
	t.Helper()
	data, err := os.ReadFile(spec(t, "").Path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(data)
	return path, hex.EncodeToString(hash[:])
}

func TestPinnedBinaryStarts(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	s.Path, s.SHA256 = copyOfSelf(t)
	p := start(t, s)
	if p.SHA256() != s.SHA256 || p.Path() != s.Path {
		t.Errorf("runs %s of %s", p.SHA256(), p.Path())
	}
}

func TestChangedBinaryIsNotStarted(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	var sum string
	s.Path, sum = copyOfSelf(t)
	s.SHA256 = strings.Repeat("0", 64)
	want := "its sha256 is " + sum + ", not the " + s.SHA256 + " that pio.lock lists; if you rebuilt it, run `piohost plugin lock`"
	if failure := startFails(t, s); failure.Text != want {
		t.Errorf("got %s", failure.Text)
	}
}

// runSealed executes what was checked.
func runSealed(b *binary, env ...string) error {
	const memoryFD = 3
	cmd := &exec.Cmd{Path: fmt.Sprintf("/proc/self/fd/%d", memoryFD), Args: []string{b.path}, Env: env, ExtraFiles: []*os.File{b.memory}}
	return cmd.Run()
}

// What was checked runs, even if the file is written to, truncated or replaced between check and start.
func TestFileMayChangeBetweenCheckAndStart(t *testing.T) {
	path, sum := copyOfSelf(t)
	b, err := seal(path, sum)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := runSealed(b, modeVariable+"=exit"); !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("the checked binary exits with status 3; this one: %v", err)
	}
}

func TestSealedCopyCannotBeWritten(t *testing.T) {
	path, _ := copyOfSelf(t)
	b, err := seal(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", b.memory.Fd()), os.O_RDWR, 0); err == nil {
		defer file.Close()
		if _, err := file.WriteAt([]byte("x"), 0); err == nil {
			t.Error("the copy was written to")
		}
		if err := file.Truncate(0); err == nil {
			t.Error("the copy was cut")
		}
	}
}

// Many starts at once: none may find its copy "busy" because another's fork holds it open for writing.
func TestStartsAtTheSameTime(t *testing.T) {
	ownTemp(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			p, err := Start(t.Context(), spec(t, "good"))
			if err != nil {
				t.Error(err)
				return
			}
			if err := p.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestFilesThatAreNoPlugins(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o755); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxBinary+1); err != nil { // sparse
		t.Fatal(err)
	}
	asleep := filepath.Join(dir, "asleep")
	if err := os.WriteFile(asleep, []byte(elf.ELFMAG), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ path, want string }{
		{filepath.Join(dir, "none"), "the binary is not there any more; build or install the plugin again"},
		{dir, "is not a regular file but has mode drwx"},
		{pipe, "is not a regular file but has mode prwx"},
		{asleep, "is not executable (mode -rw-r--r--); run `chmod +x " + asleep + "`"},
		{huge, "is larger than 1024 MiB; is it a plugin?"},
		{file("empty", nil), "is not a Linux executable; a plugin is a compiled binary, or a script whose first line is #! and its interpreter"},
		{file("cut", []byte(elf.ELFMAG)), "is a damaged executable: "},
		{file("foreign", program(elf.EM_SPARCV9, "")), "is built for EM_SPARCV9, this machine is "},
		{file("no loader", program(thisMachine(t), "/no/such/loader.so")), "cannot be executed: the dynamic loader it was linked for is not on this machine"},
	} {
		s := spec(t, "good")
		s.Path = test.path
		if failure := startFails(t, s); !strings.HasPrefix(failure.Text, test.want) {
			t.Errorf("%s: got %q, want %q", filepath.Base(test.path), failure.Text, test.want)
		}
	}
}

func thisMachine(t *testing.T) elf.Machine {
	t.Helper()
	file, err := elf.Open(spec(t, "").Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return file.Machine
}

// program is an ELF file of a header and, if an interpreter is named, the segment that names it.
func program(machine elf.Machine, interpreter string) []byte {
	const headerSize, segmentSize = 64, 56
	var b bytes.Buffer
	encoding.Write(&b, encoding.LittleEndian, elf.Header64{
		Ident:   [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(machine),
		Version: uint32(elf.EV_CURRENT),
		Phoff:   headerSize, Ehsize: headerSize, Phentsize: segmentSize, Phnum: 1,
	})
	size := uint64(len(interpreter) + 1)
	encoding.Write(&b, encoding.LittleEndian, elf.Prog64{
		Type: uint32(elf.PT_INTERP), Flags: uint32(elf.PF_R), Off: headerSize + segmentSize, Filesz: size, Memsz: size,
	})
	b.WriteString(interpreter + "\x00")
	return b.Bytes()
}
