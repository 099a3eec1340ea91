package sim

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// others.go is other processes on the devices: those that share their memory, and one that takes it.

// EnvShared names a file that the processes have in common whose software devices share their memory, as those of a GPU do: see
// runtime/others.cpp.
const EnvShared = "PIO_SIM_SHARED"

// What the file has, in words of 8 bytes: see runtime/others.cpp.
const (
	sharedDevices = 8
	sharedSlots   = 64
	sharedHead    = 2 * sharedDevices
	sharedWords   = sharedHead + sharedSlots*(1+sharedDevices)
)

// Others is a process beside those that compute, which takes memory of their devices.
type Others struct {
	t testing.TB
	f *os.File
}

// Share has the processes that are started from here on share their devices' memory, and is one of them.
func Share(t testing.TB, file string) *Others {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(8 * sharedWords); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvShared, file)
	return &Others{t, f}
}

// book is the file's words, for nobody else until f returns, and written back.
func (o *Others) book(f func(words []uint64)) {
	o.t.Helper()
	if err := syscall.Flock(int(o.f.Fd()), syscall.LOCK_EX); err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = syscall.Flock(int(o.f.Fd()), syscall.LOCK_UN) }()
	raw, words := make([]byte, 8*sharedWords), make([]uint64, sharedWords)
	if _, err := o.f.ReadAt(raw, 0); err != nil {
		o.t.Fatal(err)
	}
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(raw[8*i:])
	}
	f(words)
	for i, w := range words {
		binary.NativeEndian.PutUint64(raw[8*i:], w)
	}
	if _, err := o.f.WriteAt(raw, 0); err != nil {
		o.t.Fatal(err)
	}
}

func slotOf(words []uint64, n int) []uint64 {
	return words[sharedHead+n*(1+sharedDevices):][:1+sharedDevices]
}

func lives(pid uint64) bool { return pid != 0 && syscall.Kill(int(pid), 0) != syscall.ESRCH }

// used is what processes have of a device.
func used(words []uint64, device int) (sum uint64) {
	for n := range sharedSlots {
		if s := slotOf(words, n); lives(s[0]) {
			sum += s[1+device]
		}
	}
	return sum
}

// Used is what all have of a device, and Peak the most they ever had at once.
func (o *Others) Used(device int) (bytes, peak int64) {
	o.t.Helper()
	o.book(func(words []uint64) { bytes, peak = int64(used(words, device)), int64(words[device]) })
	return bytes, peak
}

// Take makes this process hold so many bytes of a device that has memory in all, or as many as the others leave; it says how many.
func (o *Others) Take(device int, bytes, memory int64) (has int64) {
	o.t.Helper()
	if device < 0 || device >= sharedDevices {
		o.t.Fatal(fmt.Errorf("device %d: a shared file has %d", device, sharedDevices))
	}
	o.book(func(words []uint64) {
		mine := -1
		for n := range sharedSlots {
			switch pid := slotOf(words, n)[0]; {
			case pid == uint64(os.Getpid()):
				mine = n
			case mine < 0 && !lives(pid):
				mine = n
			}
		}
		s := slotOf(words, mine)
		if s[0] != uint64(os.Getpid()) {
			clear(s)
			s[0] = uint64(os.Getpid())
		}
		s[1+device] = 0
		others := int64(used(words, device))
		has = max(0, min(bytes, memory-others))
		s[1+device] = uint64(has)
		words[device] = max(words[device], uint64(others+has))
	})
	return has
}

// Flash makes somebody hold all that is free of a device that has memory in all, until one process has looked at what is free: whoever comes next finds
// everything as it was. It says how many bytes that is.
func (o *Others) Flash(device int, memory int64) (has int64) {
	o.t.Helper()
	o.book(func(words []uint64) {
		has = max(0, memory-int64(used(words, device)))
		words[sharedDevices+device] = uint64(has)
	})
	return has
}
