package chat

import (
	"strings"
	"testing"
)

func TestReasoningIsSplitHoweverTheAnswerIsCut(t *testing.T) {
	for _, c := range []struct{ name, prompt, in, reasoning, text string }{
		{"opened by the model", "assistant\n", "<think>\nI know this.\n</think>\n\nTokyo.", "I know this.", "Tokyo."},
		{"opened by the template", "<|assistant|><think>", "I know this.</think>Tokyo.", "I know this.", "Tokyo."},
		{"opened by the template, with a newline", "assistant\n<think>\n", "I know\n\nthis.\n</think>\n\nTokyo.", "I know\n\nthis.", "Tokyo."},
		{"opened by the template, its newline by the model", "assistant\n<think>", "\nI know\n</think>\n\nTokyo.", "I know", "Tokyo."},
		{"opened by the template with its newline, another by the model", "assistant\n<think>\n", "\nI know\n</think>\n\nTokyo.", "\nI know", "Tokyo."},
		{"opened by the template with a blank", "assistant\n<think> ", "\nI know</think>Tokyo.", "\nI know", "Tokyo."},
		{"closed by the template", "assistant\n<think>\n\n</think>\n\n", "Tokyo.", "", "Tokyo."},
		{"a tag in somebody's words", "say <think>", "x", "x", ""},
		{"empty", "", "<think>\n\n</think>\n\nTokyo.", "", "Tokyo."},
		{"more newlines are words", "", "<think>\n\n a\n\n</think>\n\n\nb\n", "\n a\n", "\nb\n"},
		{"blanks before the tag", "", " \n<think>a</think>b", "a", "b"},
		{"never closed", "", "<think>\na\n", "a\n", ""},
		{"cut off in a tag", "", "<think>a</thi", "a</thi", ""},
		{"cut off in the first tag", "", "<thi", "", "<thi"},
		{"only blanks", "", " \n ", "", " \n "},
		{"nearly a tag", "", "<thinking>a", "", "<thinking>a"},
		{"nearly a closing tag", "", "<think>a\n</thinking>\n</think>b", "a\n</thinking>", "b"},
		{"a later tag is a word", "", "The tag <think> opens </think>.", "", "The tag <think> opens </think>."},
		{"a tag inside", "", "<think>a <think> b</think>c</think>", "a <think> b", "c</think>"},
		{"letters of many bytes", "", "<think>\né😀\n</think>\n\n你好", "é😀", "你好"},
	} {
		for i := range len(c.in) + 1 {
			for j := i; j <= len(c.in); j++ {
				r := newReasoning(c.prompt, "<think>", "</think>")
				var got piece
				for _, p := range []piece{r.push(c.in[:i]), r.push(c.in[i:j]), r.push(c.in[j:]), r.flush()} {
					got.Text += p.Text
					got.Reasoning += p.Reasoning
				}
				if want := (piece{c.text, c.reasoning}); got != want {
					t.Fatalf("%s, cut at %d and %d:\n got  %q\n want %q", c.name, i, j, got, want)
				}
			}
		}
	}
}

func TestAModelWithoutReasoningHasWordsOnly(t *testing.T) {
	r := newReasoning("x<think>", "", "")
	if p := r.push("<think>a</think>"); p != (piece{Text: "<think>a</think>"}) {
		t.Errorf("got %+v", p)
	}
}

// FuzzAnswer: an answer reads the same whole, in two pieces, and byte by byte, and nothing of it is lost or invented.
func FuzzAnswer(f *testing.F) {
	formats := []ToolFormat{NoTools, Hermes, Qwen3Coder, GLM}
	for i, cases := range [][]parserCase{nil, hermesCases, coderCases, glmCases} {
		for _, c := range cases {
			f.Add(c.in, c.prompt != "", uint8(i), len(c.in)/2)
		}
	}
	f.Add("<think>\na\n</think>\n\n<tool_call>\n{\"name\": \"now\"}\n</tool_call> b", false, uint8(1), 9)
	f.Fuzz(func(t *testing.T, in string, opened bool, format uint8, cut int) {
		if len(in) > 2000 {
			return
		}
		prompt := ""
		if opened {
			prompt = "<think>"
		}
		c := config(formats[format%4], prompt)
		whole := gather(t, c, in)
		cut = min(max(cut, 0), len(in))
		var bytewise []string
		for i := range len(in) {
			bytewise = append(bytewise, in[i:i+1])
		}
		for _, pieces := range [][]string{{in[:cut], in[cut:]}, bytewise} {
			if got := gather(t, c, pieces...); !equalGathered(got, whole) {
				t.Fatalf("%q\nin pieces: %+v\nwhole:     %+v", in, got, whole)
			}
		}
		if len(whole.Calls) == 0 && !sameWords(in, whole.Reasoning+whole.Text) {
			t.Fatalf("%q became %+v", in, whole)
		}
	})
}

// sameWords says that out is in, but for the tags of one block of reasoning and for white space, which tags may take.
func sameWords(in, out string) bool {
	letters := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for _, open := range []string{"", "<think>"} {
		for _, close := range []string{"", "</think>"} {
			if letters(strings.Replace(strings.Replace(in, open, "", 1), close, "", 1)) == letters(out) {
				return true
			}
		}
	}
	return false
}

func equalGathered(a, b gathered) bool {
	if a.Text != b.Text || a.Reasoning != b.Reasoning || len(a.Calls) != len(b.Calls) {
		return false
	}
	for i := range a.Calls {
		if a.Calls[i] != b.Calls[i] {
			return false
		}
	}
	return true
}

// BenchmarkOutput is what reading costs for each word: of plain text, of a thought, of a long call.
func BenchmarkOutput(b *testing.B) {
	const words = "a few words of `text`, "
	text := strings.Repeat(words, 2000)
	for _, c := range []struct {
		name   string
		format ToolFormat
		in     string
		calls  int
	}{
		{"text", Qwen3Coder, text, 0}, {"text glm", GLM, text, 0}, {"thought", Hermes, "<think>" + text, 0},
		{"hermes", Hermes, "<tool_call>\n{\"name\": \"search\", \"arguments\": {\"query\": \"" + text + "\"}}\n</tool_call>", 1},
		{"coder", Qwen3Coder, coderWrite(text), 1}, {"glm", GLM, glmWrite(text), 1},
	} {
		pieces := strings.SplitAfter(c.in, " ")
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.in)))
			for b.Loop() {
				o := NewOutput(config(c.format, ""))
				for _, w := range pieces {
					o.Push(w)
				}
				if o.Flush(true); o.Calls() != c.calls {
					b.Fatal("another number of calls")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(pieces)), "ns/word")
		})
	}
}
