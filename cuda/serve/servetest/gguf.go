package servetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/conformance"
	"github.com/inference-pio/inference-pio/sdk/plan"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// Vocabulary reads the text side of testdata/gguf/vocabulary.gguf, which llama.cpp's converter made of the first checkpoint: the prompts and ids of
// all its chats, the ids of texts, the tokens' spelling and the ends of answers are those of the folder.
func (p Plugin) Vocabulary(t *testing.T) {
	file, err := text.Open(t.Context(), "testdata/gguf/vocabulary.gguf")
	if err != nil {
		t.Fatal(err)
	}
	dir := p.Checkpoints[0]
	folder, err := text.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ends := func(m *text.Model) []int32 { return slices.Sorted(slices.Values(m.EOS())) }
	if got, want := ends(file), ends(folder); !slices.Equal(got, want) {
		t.Errorf("answers end with %v, those of the folder with %v", got, want)
	}
	for _, c := range Cases(t, dir) {
		for _, text := range []string{c.Rendered, "naïve e\u0301 12345 don't  \n\n x", "<|im_start|>user<think> a [PAD1]"} {
			got, err := file.Tokenize(t.Context(), text)
			want, also := folder.Tokenize(t.Context(), text)
			if err != nil || also != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q is %v, of the folder %v; %v, %v", c.Name, text, got, want, err, also)
			}
		}
		ids := slices.Concat(c.IDs, c.GreedyIDs)
		got, err := file.Spell(ids)
		want, also := folder.Spell(ids)
		if err != nil || also != nil || !slices.Equal(got, want) {
			t.Errorf("%s: the tokens are spelled %q, of the folder %q; %v, %v", c.Name, got, want, err, also)
		}
		chat := c.Request(t, dir).Chat
		if chat == nil || len(c.Images) > 0 {
			continue // no template writes it, or not without a tower
		}
		prompt, err := file.Render(t.Context(), *chat)
		if err != nil || prompt != c.Rendered {
			t.Errorf("%s: the prompt is %q, the reference's %q; %v", c.title(), prompt, c.Rendered, err)
		}
	}
}

// FuzzFile reads any bytes as a GGUF file: what is accepted opens a model, or is refused, and whatever its tensors are said to be can be asked for.
func (p Plugin) FuzzFile(f *testing.F) {
	files, err := filepath.Glob("testdata/gguf/[^t]*.gguf")
	if err != nil || len(files) == 0 {
		f.Fatal("no files to begin with", err)
	}
	path := filepath.Join(f.TempDir(), "m.gguf")
	for _, file := range files {
		data := nntest.Read(f, file)
		if name := filepath.Base(file); strings.HasPrefix(name, "mmproj") { // a tower, to stand beside whatever is read
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), data, 0o600); err != nil {
				f.Fatal(err)
			}
			continue
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := p.Family.GGUF.Open(path)
		if err != nil {
			return
		}
		defer m.Checkpoint.Close()
		for _, name := range m.Source.Names() {
			v, _ := m.Source.Get(name, nil)
			if cols := slices.Concat([]int{1}, v.Shape)[len(v.Shape)]; v.Coded != nil && cols > 0 && cols < 1<<16 && !slices.Contains(v.Shape, 0) {
				v.Coded.Widen(make([]float32, cols), 0)
			}
		}
		model, err := p.Family.Open(m.Config, serve.OpenOptions{Layers: 1, Has: func(string) bool { return true }})
		if err != nil {
			return
		}
		_, _ = nn.Bind(model, m.Source, nn.BindOptions{Prefix: "model.", Ignore: model.IgnoreTensor, Coded: nn.Repack})
	})
}

// InFile serves a GGUF file, or a folder, that was made of a checkpoint, whose weights it has in other types: it passes the kit that every plugin must,
// takes what Inspect says, and an answer is the same to the token wherever it is resumed.
func (p Plugin) InFile(t *testing.T, file string) {
	conformance.Run(t, conformance.Config{Start: p.Start, Model: file})
	req := sdk.InspectRequest{Path: file, Context: 256, MaxSequences: 3}
	need := plan.NeedOf(p.inspected(t, req), req)
	if need.Active != need.Weights {
		t.Errorf("%d bytes of weights need not be in memory, where they are alone", need.Weights-need.Active)
	}
	p.within(t, req, need.Least())
	p.tooLittle(t, req, need)
}
