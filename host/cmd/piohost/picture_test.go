package main

// picture_test.go asks about pictures: on the command line, through a pipe and at a terminal.

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawn is the beginning of a PNG, which is all that this program looks at, and what tells files apart.
func drawn(t *testing.T, name string) (path, url string) {
	t.Helper()
	file := "\x89PNG\r\n\x1a\n" + name
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(file))
}

// illustrated is a message's content as the host must get it: pictures, then the words.
func illustrated(text string, urls ...string) string {
	var parts []any
	for _, u := range urls {
		parts = append(parts, map[string]any{"type": "image_url", "image_url": map[string]any{"url": u}})
	}
	return said(append(parts, map[string]any{"type": "text", "text": text}))
}

// contents are what the messages of the next question say.
func (h *fakeHost) contents(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range (<-h.asked).Messages {
		list = append(list, said(m.Content))
	}
	return list
}

func equalContents(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the host is asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRunSendsPicturesInTheirOrder(t *testing.T) {
	h := newFakeHost(t)
	a, urlA := drawn(t, "a.png")
	b, urlB := drawn(t, "a picture (2).png")
	h.answers("Two dots.", "", ended)
	var out, errs bytes.Buffer
	args := []string{"run", "tiny", "What is there?", "--image", a, "--image=" + b, "--config", h.config}
	if code := command(context.Background(), args, stdio{strings.NewReader(""), &out, &errs}); code != 0 || out.String() != "Two dots.\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
	equalContents(t, h.contents(t), illustrated("What is there?", urlA, urlB))
}

// Nothing is asked about a file that cannot be one: the message says which and why.
func TestWhatIsNoPictureIsNotSent(t *testing.T) {
	h, dir := newFakeHost(t), t.TempDir()
	files := map[string]string{"words.png": "no picture", "empty.png": ""}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	huge := filepath.Join(dir, "huge.png")
	if err := os.WriteFile(huge, []byte("\x89PNG\r\n\x1a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxPicture+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"absent.png": "no picture " + filepath.Join(dir, "absent.png"),
		"":           dir + " is a folder; expected a picture's file",
		"words.png":  "words.png is no picture; expected PNG, JPEG, WebP, GIF or BMP",
		"empty.png":  "empty.png is no picture",
		"huge.png":   "huge.png is larger than 64 MiB, which no host takes",
	} {
		var out, errs bytes.Buffer
		args := []string{"run", "tiny", "What?", "--image", filepath.Join(dir, path), "--config", h.config}
		code := command(context.Background(), args, stdio{strings.NewReader(""), &out, &errs})
		if code != exitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%q: exit code %d, stderr %q, want %q", path, code, errs.String(), want)
		}
	}
	if len(h.asked) > 0 {
		t.Error("the host was asked")
	}
}

// A picture goes with the next message and stays with it in what follows; the ones after have none.
func TestPicturesInATerminal(t *testing.T) {
	h, p := chatting(t)
	path, url := drawn(t, "a picture (2).png")
	p.types("/image " + strings.NewReplacer(" ", `\ `, "(", `\(`, ")", `\)`).Replace(path) + "\r")
	p.sees("attached, 1 kB; it goes with the next message")
	p.sees(promptFirst)
	h.answers("A dot.", "", ended)
	p.types("What is it?\r")
	equalContents(t, h.contents(t), illustrated("What is it?", url))
	p.sees("A dot.\r\n" + promptFirst)

	h.answers("Yes.", "", ended)
	p.types("Sure?\r")
	equalContents(t, h.contents(t), illustrated("What is it?", url), "A dot.", "Sure?")
	p.sees("Yes.\r\n" + promptFirst)

	p.types("/image '" + path + "'\r")
	p.sees("attached")
	p.types("/image\r")
	p.sees("no picture attached")
	p.types("/image " + filepath.Dir(path) + "\r")
	p.sees("is a folder")
	h.answers("No.", "", ended)
	p.types("/reset\rAnd now?\r")
	equalContents(t, h.contents(t), "And now?")
	p.sees("No.\r\n" + promptFirst)
	p.types("/help\r")
	p.sees("/image [FILE]")
	p.types("/exit\r")
	p.leaves(0)
}

// When a question with a picture fails, both can be sent again.
func TestAPictureIsKeptWhenItsQuestionFails(t *testing.T) {
	h, p := chatting(t)
	path, url := drawn(t, "a.png")
	p.types("/image " + path + "\r")
	p.sees("attached")
	p.sees(promptFirst)
	h.answers("", "", `data: {"error":{"message":"picture 0: png: it is broken"}}`+"\n\n")
	p.types("What?\r")
	equalContents(t, h.contents(t), illustrated("What?", url))
	p.sees("it is broken; what was attached still is, /image takes it away")
	p.sees(promptFirst)
	h.answers("A dot.", "", ended)
	p.types("What?\r")
	equalContents(t, h.contents(t), illustrated("What?", url))
	p.sees("A dot.")
	p.types("\x04")
	p.leaves(0)
}

func TestPicturesThroughAPipe(t *testing.T) {
	h := newFakeHost(t)
	a, urlA := drawn(t, "a.png")
	b, urlB := drawn(t, "two words.png")
	h.answers("Two.", "", ended)
	h.answers("Yes.", "", ended)
	var out, errs bytes.Buffer
	in := "/image " + a + "\n/image \"" + b + "\"\nHow many?\nSure?\n/image absent.png\nnot asked\n"
	code := command(context.Background(), []string{"chat", "--config", h.config}, stdio{strings.NewReader(in), &out, &errs})
	if code != exitFailure || out.String() != "Two.\nYes.\n" || !strings.Contains(errs.String(), "no picture absent.png") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
	equalContents(t, h.contents(t), illustrated("How many?", urlA, urlB))
	equalContents(t, h.contents(t), illustrated("How many?", urlA, urlB), "Two.", "Sure?")
	if len(h.asked) > 0 {
		t.Error("what follows the error was asked")
	}
}

func TestTypedPaths(t *testing.T) {
	t.Setenv("HOME", "/people/ada")
	for typed, want := range map[string]string{
		"a.png": "a.png", `a\ b.png`: "a b.png", `'a b.png'`: "a b.png", `"it's.png"`: "it's.png", `a\ \(1\).png`: "a (1).png", `a\\b`: `a\b`,
		"~/a.png": "/people/ada/a.png", "~ada/a.png": "~ada/a.png", `'`: `'`, `'a"`: `'a"`, `'a\b'`: `a\b`, "a~/b": "a~/b",
	} {
		if got := typedPath(typed); got != want {
			t.Errorf("%s is taken for %s, want %s", typed, got, want)
		}
	}
	t.Setenv("HOME", "")
	if got := typedPath("~/a"); got != "~/a" {
		t.Errorf("without a home: %s", got)
	}
}
