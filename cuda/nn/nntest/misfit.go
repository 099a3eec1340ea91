package nntest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// misfit.go has the tests of a Suite that bind checkpoints which are not quite those of the config, or are in another form.

// Misfit is what is not right with a checkpoint, by the names of tensors.
type Misfit struct {
	Missing []string
	Shapes  map[string][]int // that a tensor has in place of its own
	Types   []string         // of a type that no model reads
	Extra   []string         // that the model does not have
	Ignored []string         // that it does not have and knows of: they are not told
}

// Misfits binds the first checkpoint with all of Misfit, which must be told in one error, and nothing else.
func (s Suite) Misfits(t testing.TB) {
	t.Helper()
	dir := s.Checkpoints[0]
	src := Checkpoint(t, dir)
	changes, want := s.Misfit.in(t, src)
	_, _, err := s.Bind(Read(t, dir, "config.json"), 0, Edited(src, changes))
	var report *nn.BindError
	if !errors.As(err, &report) || err.Error() != want.Error() {
		t.Errorf("error %v\nwant  %s", err, want.Error())
	}
}

// in is the changes to a checkpoint and what must be told of them.
func (m Misfit) in(t testing.TB, src weights.Source) (changes map[string]*weights.View, want nn.BindError) {
	t.Helper()
	changes = map[string]*weights.View{}
	shapeOf := func(name string) []int {
		v, ok := src.Get(name, nil)
		if !ok {
			t.Fatalf("the checkpoint has no %s", name)
		}
		return v.Shape
	}
	for _, name := range m.Missing {
		changes[name] = nil
		want.Missing = append(want.Missing, name+" "+inWords(shapeOf(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Shapes)) {
		changes[name] = Zeros(m.Shapes[name]...)
		want.Shapes = append(want.Shapes, fmt.Sprintf("%s is %s, not %s", name, inWords(m.Shapes[name]), inWords(shapeOf(name))))
	}
	for _, name := range m.Types {
		changes[name] = OfBytes(shapeOf(name)...)
		want.Types = append(want.Types, name+" is I8")
	}
	for _, name := range slices.Concat(m.Extra, m.Ignored) {
		changes[name] = Zeros(8)
	}
	want.Extra = m.Extra
	return changes, want
}

// inWords is a shape as errors tell it.
func inWords(shape []int) string {
	words := make([]string, len(shape))
	for i, n := range shape {
		words[i] = strconv.Itoa(n)
	}
	return "(" + strings.Join(words, ", ") + ")"
}

// Heads binds the first checkpoint with tied and untied heads: a tied one is the embedding, and a stray copy in the file is not read,
// whatever its shape; an untied one must be there.
func (s Suite) Heads(t testing.TB) {
	t.Helper()
	src := Checkpoint(t, s.Checkpoints[0])
	for _, stray := range []*weights.View{nil, Zeros(7, 7)} {
		_, b, err := s.Bind(s.tied(t, true), 0, Edited(src, map[string]*weights.View{"lm_head.weight": stray}))
		if err != nil {
			t.Fatalf("a tied head: %v", err)
		}
		if hasHead(b) {
			t.Error("a tied head is not the embedding")
		}
	}
	embed := ""
	for _, name := range src.Names() {
		if strings.HasSuffix(name, "embed_tokens.weight") {
			embed = name
		}
	}
	v, _ := src.Get(embed, nil)
	without := Edited(src, map[string]*weights.View{"lm_head.weight": nil})
	want := nn.BindError{Missing: []string{"lm_head.weight " + inWords(v.Shape)}}
	if _, _, err := s.Bind(s.tied(t, false), 0, without); err == nil || err.Error() != want.Error() {
		t.Errorf("without an untied head: error %v\nwant %s", err, want.Error())
	}
	with := Edited(src, map[string]*weights.View{"lm_head.weight": Zeros(v.Shape...)})
	if _, b, err := s.Bind(s.tied(t, false), 0, with); err != nil || !hasHead(b) {
		t.Errorf("an untied head is no module: %v", err)
	}
}

// hasHead says that the head has weights of its own.
func hasHead(b *nn.Bound) bool {
	return slices.ContainsFunc(b.Modules, func(m *cuda.Module) bool { return m.ID == "lm_head" })
}

// tied is the config of the first checkpoint with its head tied or not.
func (s Suite) tied(t testing.TB, tied bool) []byte {
	t.Helper()
	var keys map[string]any
	if err := json.Unmarshal(Read(t, s.Checkpoints[0], "config.json"), &keys); err != nil {
		t.Fatal(err)
	}
	keys["tie_word_embeddings"] = tied
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// JoinedExperts binds the first checkpoint as transformers 5 saves it, with the experts of a layer in one tensor: it is the same model.
func (s Suite) JoinedExperts(t testing.TB) {
	t.Helper()
	dir, l := s.Checkpoints[0], Limits{Rows: 70, Sequences: 1, Positions: 128}
	cases, err := Cases(dir)
	if err != nil {
		t.Fatal(err)
	}
	prompt, src := Longest(cases).Prompt[:70], Checkpoint(t, dir)
	one, _ := s.Load(t, Read(t, dir, "config.json"), src, l)
	two, _ := s.Load(t, Read(t, dir, "config.v5.json"), Joined(t, src), l)
	SameBits(t, "joined", All(t, two, 0, prompt, 70), All(t, one, 0, prompt, 70))
}

// FP8Numbers invents weights of a config that is quantized by blocks of rows x cols, in FP8 and as the same numbers in f32: prompts and
// what is generated have the same bits, because a block's factor times its element is rounded once. At least so many matrices must
// be in FP8.
func (s Suite) FP8Numbers(t testing.TB, config []byte, vocab, rows, cols, least int) {
	t.Helper()
	l, src, quantized := Limits{Rows: 40, Sequences: 1, Positions: 64}, weights.Dummy(3, cuda.F8E4M3), 0
	fp8, _ := s.Load(t, config, src, l)
	wide, _ := s.Load(t, config, Widened(src, rows, cols, &quantized), l)
	if quantized < least {
		t.Fatalf("only %d matrices are in FP8", quantized)
	}
	y := Story{Prompt: make([]int32, 40), After: []int32{1, 2, 3}}
	for i := range y.Prompt {
		y.Prompt[i] = int32(i * i % vocab)
	}
	SameBits(t, "widened", wide.Rows(t, 0, y, 40, 3), fp8.Rows(t, 0, y, 40, 3))
}
