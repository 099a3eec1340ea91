package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/weightcache"
	"github.com/inference-pio/inference-pio/sdk"
)

// oneTensor is a mapped checkpoint of 5,000 bytes, and its path.
func oneTensor(t *testing.T) (*weights.Checkpoint, string) {
	t.Helper()
	head := `{"w":{"dtype":"U8","shape":[5000],"data_offsets":[0,5000]}}`
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, append(append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...), make([]byte, 5000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := weights.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, path
}

func begunFile(t *testing.T, dir string) *weights.Packed {
	t.Helper()
	f, err := weightcache.Folder{Path: dir}.Open(context.Background(), weightcache.Wish{Modules: []int64{100, 100}}, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	p, err := weights.MapPacked(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What was made of a checkpoint that has changed meanwhile is not kept, and the load says that it has; what the disk has lost is made in memory; and what was
// only stopped is there for the next load.
func TestWhatIsNotKept(t *testing.T) {
	c, path := oneTensor(t)
	i := &instance{opened: opened{checkpoint: c}}
	left := func(dir string) int {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*.part"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	stopped, dir := begunFile(t, t.TempDir()), t.TempDir()
	if err := stopped.Made(0); err != nil {
		t.Fatal(err)
	}
	kept := begunFile(t, dir)
	if err := i.spoiled(context.Canceled, kept); !errors.Is(err, context.Canceled) || left(dir) != 1 {
		t.Errorf("stopped: %v, %d files are left", err, left(dir))
	}
	kept = begunFile(t, dir)
	var not *notKept
	if err := i.spoiled(&nn.RoomError{Err: errors.New("no room")}, kept); !errors.As(err, &not) || left(dir) != 0 {
		t.Errorf("lost by the disk: %v, %d files are left", err, left(dir))
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	kept = begunFile(t, dir)
	err := keptRoom{kept, c}.Made(0)
	if err == nil || !strings.Contains(err.Error(), "was written to") {
		t.Errorf("of what has changed a module is noted: %v", err)
	}
	if err := i.spoiled(&nn.RoomError{Err: err}, kept); sdk.ReasonOf(err) != sdk.ReasonChanged || left(dir) != 0 {
		t.Errorf("changed: %v, %d files are left", err, left(dir))
	}
	if err := stopped.Close(); err != nil {
		t.Error(err)
	}
}
