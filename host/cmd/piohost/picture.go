// picture.go attaches pictures from files to a question: they travel as data: URLs, as any client of the API would send them.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// maxPicture bounds what is read: no host takes more of one picture.
const maxPicture = 64 << 20

// picture is a file that goes with a question.
type picture struct {
	size int
	url  string
}

// part is a piece of a message's content.
type part struct {
	Type  string    `json:"type"`
	Text  string    `json:"text,omitempty"`
	Image *imageURL `json:"image_url,omitempty"`
}

type imageURL struct {
	URL string `json:"url"`
}

// content is what a message says: its text, behind its pictures if it has some.
func content(text string, pictures []picture) any {
	if len(pictures) == 0 {
		return text
	}
	var parts []part
	for _, p := range pictures {
		parts = append(parts, part{Type: "image_url", Image: &imageURL{p.url}})
	}
	return append(parts, part{Type: "text", Text: text})
}

// openPicture reads a file that looks like a picture. Whether it is one the model will say.
func openPicture(path string) (picture, error) {
	file, err := readPicture(path)
	var failed *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return picture{}, fmt.Errorf("no picture %s", path)
	case errors.As(err, &failed):
		return picture{}, fmt.Errorf("the picture %s cannot be read: %w", path, failed.Err)
	case err != nil:
		return picture{}, fmt.Errorf("%s %w", path, err)
	}
	kind := http.DetectContentType(file)
	if !strings.HasPrefix(kind, "image/") {
		return picture{}, fmt.Errorf("%s is no picture; expected PNG, JPEG, WebP, GIF or BMP", path)
	}
	return picture{len(file), "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(file)}, nil
}

func readPicture(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a folder; expected a picture's file")
	}
	file, err := io.ReadAll(io.LimitReader(f, maxPicture+1))
	if len(file) > maxPicture {
		return nil, fmt.Errorf("is larger than %d MiB, which no host takes", maxPicture>>20)
	}
	return file, err
}

// escaped is what terminals make of spaces, parentheses and the like in the name of a file that is dropped on them.
var escaped = regexp.MustCompile(`\\(.)`)

// typedPath is a path as a person types it or drops it on a terminal: perhaps in quotes, with escapes, in their home.
func typedPath(s string) string {
	switch quoted := len(s) >= 2 && s[0] == s[len(s)-1] && (s[0] == '\'' || s[0] == '"'); {
	case quoted:
		s = s[1 : len(s)-1]
	default:
		s = escaped.ReplaceAllString(s, "$1")
	}
	return config.Expand(s)
}

// attach is the command /image.
func (c *chat) attach(argument string) error {
	if argument == "" {
		c.talk.attached = nil
		c.note("no picture attached")
		return nil
	}
	p, err := openPicture(typedPath(argument))
	if err != nil {
		return err
	}
	c.talk.attached = append(c.talk.attached, p)
	c.note(fmt.Sprintf("attached, %d kB; it goes with the next message", (p.size+999)/1000))
	return nil
}
