package main

import "testing"

func TestNearest(t *testing.T) {
	models := []string{"tiny-qwen3-0.6b", "tiny-qwen3-4b", "glm", "Parrot"}
	for name, want := range map[string]string{
		"tiny-qwen3-0.6":  "tiny-qwen3-0.6b", // begins so
		"tiny":            "",                // two begin so
		"tiny-qwen3-0.7b": "tiny-qwen3-0.6b",
		"qwen3-4b":        "tiny-qwen3-4b", // a part of one alone
		"qwen3":           "",              // of two
		"gml":             "glm",
		"parrot":          "Parrot",
		"mistral":         "",
		"":                "",
	} {
		if got := nearest(name, models); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestCommandWords(t *testing.T) {
	for line, want := range map[string][2]string{
		"/help":                {"/help", ""},
		"/system Be brief.":    {"/system", "Be brief."},
		"/system\ttwo\nlines ": {"/system", "two\nlines"},
		"/":                    {},
		"//":                   {},
		"/usr/bin":             {},
		"/etc. is a folder":    {},
		"help":                 {},
		"":                     {},
	} {
		word, argument, ok := commandWord(line)
		if word != want[0] || argument != want[1] || ok != (want[0] != "") {
			t.Errorf("%q: %q %q %v", line, word, argument, ok)
		}
	}
}

func TestTabCompletesACommand(t *testing.T) {
	for word, want := range map[string]string{"/s": "/system ", "/e": "/exit", "/": "", "": "", "x": "", "/x": "", "/reset": "/reset"} {
		if got := complete(word); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
