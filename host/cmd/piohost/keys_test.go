package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// typing reads the keys of what a terminal sends in the given pieces.
func typing(pieces ...string) *keyboard {
	chunks := make(chan []byte, len(pieces))
	for _, p := range pieces {
		chunks <- []byte(p)
	}
	close(chunks)
	return &keyboard{&source{ctx: context.Background(), chunks: chunks, failed: io.EOF}}
}

// keysOf is a word for each key, with the texts joined.
func keysOf(k *keyboard) []string {
	var list []string
	for {
		typed, text, err := k.next()
		switch {
		case err != nil:
			return list
		case typed == keyUnknown || typed == 0:
		case typed == keyText && len(list) > 0 && strings.HasPrefix(list[len(list)-1], "="):
			list[len(list)-1] += text
		case typed == keyText:
			list = append(list, "="+text)
		default:
			list = append(list, map[key]string{keyEnter: "enter", keyUp: "up", keyTab: "tab", keyInterrupt: "interrupt",
				keyLeft: "left", keyHome: "home", keyDeleteForward: "delete", keyWordLeft: "word", keyDelete: "ctrl-d"}[typed])
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct{ name, bytes, want string }{
		{"text and keys", "ab\r\x1b[A\t\x04é東", "=ab enter up tab ctrl-d =é東"},
		{"interrupt", "a\x03b", "=a interrupt =b"},
		{"sequences", "\x1b[D\x1bOD\x1b[1~\x1b[3~\x1b[1;5D\x1bb", "left left home delete word word"},
		{"unknown sequences", "\x1b[99;99R\x1b[?1;2c\x1bOxa", "=a"},
		{"a sequence that is broken off", "\x1b[1\x03\x1b\r\x1b\x1b[A", "interrupt enter up"},
		{"a sequence that does not end", "\x1b[" + strings.Repeat("1", maxSequence) + "Aa", "=a"},
		{"no UTF-8", "a\xff\xe6b\u009b", "=ab"},
		{"line ends in a paste", pasteStart + "a\rb\nc\r\nd\r\r\n" + pasteEnd + "\r", "=a␤b␤c␤d␤␤ enter"},
		{"tab in a paste", pasteStart + "\tx" + pasteEnd, "=␉x"},
		{"controls in a paste", pasteStart + "a\x00\x03\x04\x07\x7f\u009bb" + pasteEnd, "=ab"},
		{"another sequence in a paste", pasteStart + "\x1b[A\x1b[20x\x1b\x1b" + pasteEnd + "\t", "=[A[20x tab"},
		{"an escape before the mark", "\x1b" + pasteStart + "\t" + pasteEnd, "=␉"},
		{"two pastes", pasteStart + "\r" + pasteEnd + pasteStart + "\n" + pasteEnd + "\n", "=␤␤"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for at := range len(c.bytes) + 1 { // reads end anywhere
				got := strings.TrimRight(strings.Join(keysOf(typing(c.bytes[:at], c.bytes[at:])), " "), " ")
				if got != c.want {
					t.Fatalf("cut at %d: %q, want %q", at, got, c.want)
				}
			}
		})
	}
}

// Of a paste without measure the beginning is kept, and what follows it is typed again.
func TestPasteIsBounded(t *testing.T) {
	k := typing(pasteStart+strings.Repeat("x", 3*maxLine), pasteEnd+"\r")
	typed, text, err := k.next()
	if typed != keyText || err != nil || len(text) < maxLine || len(text) > maxLine+4*len(pasteEnd) {
		t.Errorf("%v, %d bytes, %v", typed, len(text), err)
	}
	if typed, _, _ := k.next(); typed != keyEnter {
		t.Errorf("the key after a paste is %v", typed)
	}
}

// Whatever a terminal sends, what becomes text neither steers a terminal nor ends a line.
func FuzzKeys(f *testing.F) {
	f.Add("a\r\n\tb\x1b[20\x1b[A\x03", 3)
	f.Add(pasteStart+"a\r\x1b\x1b[201"+pasteEnd, 9)
	f.Add("\x1b[1;5D東\xe6\x9d", 8)
	f.Fuzz(func(t *testing.T, bytes string, at int) {
		at = min(max(at, 0), len(bytes))
		k := typing(bytes[:at], bytes[at:])
		for {
			typed, text, err := k.next()
			if err != nil {
				return
			}
			if typed != keyText && text != "" || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("%q becomes key %v, %q", bytes, typed, text)
			}
		}
	})
}
