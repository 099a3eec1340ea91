package main

import (
	"strings"
	"testing"
)

func TestPastedTextIsOneLine(t *testing.T) {
	for _, c := range []struct{ name, keys, want string }{
		{"keys pass", "ab\r\x1b[A\t\x04é", "ab\r\x1b[A\t\x04é"},
		{"interrupt", "a\x03b", "a\x1cb"},
		{"line ends", pasteStart + "a\rb\nc\r\nd\r\r\n" + pasteEnd + "\r", pasteStart + "a␤b␤c␤d␤␤" + pasteEnd + "\r"},
		{"tab", pasteStart + "\tx" + pasteEnd, pasteStart + "␉x" + pasteEnd},
		{"controls", pasteStart + "a\x00\x03\x04\x07\x7fb" + pasteEnd, pasteStart + "ab" + pasteEnd},
		{"another sequence inside", pasteStart + "\x1b[A\x1b[20x\x1b\x1b" + pasteEnd + "\t", pasteStart + "[A[20x" + pasteEnd + "\t"},
		{"an escape before the mark", "\x1b" + pasteStart + "\t" + pasteEnd, "\x1b" + pasteStart + "␉" + pasteEnd},
		{"two pastes", pasteStart + "\r" + pasteEnd + pasteStart + "\n" + pasteEnd + "\n", pasteStart + "␤" + pasteEnd + pasteStart + "␤" + pasteEnd + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := range len(c.keys) + 1 { // reads end anywhere
				var p pasted
				got := p.edit(nil, []byte(c.keys[:cut]))
				got = p.edit(got, []byte(c.keys[cut:]))
				if string(got) != c.want {
					t.Fatalf("cut at %d: %q, want %q", cut, got, c.want)
				}
			}
		})
	}
}

// Between the marks the line editor gets no key that does anything: no line end, no interrupt, no sequence.
func FuzzPaste(f *testing.F) {
	f.Add("a\r\n\tb\x1b[20\x1b[A\x03", 3)
	f.Add("\x1b\x1b[201", 1)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		if strings.Contains(text, pasteEnd) {
			return // a terminal does not send the mark within a text
		}
		cut = min(max(cut, 0), len(text))
		var p pasted
		got := p.edit(nil, []byte(pasteStart+text[:cut]))
		got = p.edit(got, []byte(text[cut:]+pasteEnd))
		inner, ok := strings.CutPrefix(string(got), pasteStart)
		if !ok || p.inside {
			t.Fatalf("%q becomes %q", text, got)
		}
		if inner, ok = strings.CutSuffix(inner, pasteEnd); !ok || strings.ContainsAny(inner, "\r\n\t\x03\x1b\x1c") {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
