package servetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// kept.go has a plugin keep quantised weights between loads.

// Kept loads a checkpoint in q4 with a folder to keep weights in, again and again: only the first load makes them, a damaged file is made whole
// again, a folder that nothing can be kept in is no reason not to load, and every load answers the same.
func (p Plugin) Kept(t *testing.T) {
	k := keeping{Plugin: p, t: t, ask: Sampled(t, p.Checkpoints[0])}
	k.ask.MaxTokens = 20
	k.load = sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0], Quantize: cuda.Q4, Context: 1024}}
	if k.loads(0) < 2 {
		t.Fatal("weights are not made")
	}
	k.load.WeightCache = sdk.WeightCache{Folder: filepath.Join(t.TempDir(), "kept"), Bytes: 1 << 30}
	if k.loads(1) < 2 {
		t.Error("weights are there before they were made")
	}
	file := k.file()
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := k.loads(2); n != 1 { // two that have it at the same time
		t.Errorf("weights that are kept are made again: %d messages", n)
	}
	if after, err := os.Stat(file); err != nil || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		t.Errorf("a load has changed what is kept: %v", err)
	}
	damage(t, file, before.Size()*2/3)
	k.loads(1)
	if n := k.loads(1); n != 1 {
		t.Errorf("weights that were mended are made again: %d messages", n)
	}
	if err := os.Truncate(file, before.Size()/2); err != nil {
		t.Fatal(err)
	}
	k.loads(1)
	k.file()

	k.load.WeightCache.Bytes = 1 // which is no room; what another model keeps here stays
	k.load.Layers = 1
	one := k.want
	k.want = nil
	k.loads(1)
	k.want, k.load.Layers = one, 0
	k.load.WeightCache = sdk.WeightCache{Folder: file} // no folder
	k.loads(1)
}

// keeping is loads that must all answer the same.
type keeping struct {
	Plugin
	t    *testing.T
	load sdk.LoadRequest
	ask  sdk.GenerateRequest
	want []int32 // nil: the next load says
}

// loads has so many plugins load the checkpoint, and one at least, asks all of them, and unloads them. It gives how often the last was told of weights that
// are made.
func (k *keeping) loads(n int) (told int) {
	k.t.Helper()
	var all []*client.Client
	for range max(1, n) {
		told = 0
		c := k.Idle(k.t)
		_, err := c.Load(k.t.Context(), k.load, func(s sdk.Progress) {
			if s.Stage == "quantize" {
				told++
			}
		})
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		got := IDs(Tokens(k.t, c, k.ask, nil))
		if k.want == nil {
			k.want = got
		}
		SameIDs(k.t, "with kept weights the ids", got, k.want)
	}
	for _, c := range all {
		if err := c.Unload(k.t.Context()); err != nil {
			k.t.Error(err)
		}
	}
	return told
}

// file is the one finished file of the folder.
func (k *keeping) file() string {
	k.t.Helper()
	all, err := filepath.Glob(filepath.Join(k.load.WeightCache.Folder, "*"))
	if err != nil {
		k.t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(k.load.WeightCache.Folder, "*.packed"))
	if err != nil || len(files) != 1 || len(all) != 2 { // and the lock
		k.t.Fatalf("the folder has %v, %v", all, err)
	}
	return files[0]
}

// damage changes a byte of a file.
func damage(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err = f.ReadAt(b[:], at); err == nil {
		_, err = f.WriteAt([]byte{^b[0]}, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}
