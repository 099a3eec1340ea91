// parts.go reads content that is a list of parts. Text stays as it was sent. A picture leaves the part {"type": "image"} in its
// place, which templates know, and its URL goes on a list of its own.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
)

// picture is one that a message has.
type picture struct {
	path string // of its URL in the body, such as "messages[0].content[1].image_url"
	url  string
}

// maxPictures bounds how many one request has: each may cost a download and a pass through a tower.
const maxPictures = 128

const imagePart = `{"type":"image"}`

// splitPictures reads the contents of messages, which are a JSON array of objects. Without pictures it returns v itself.
func splitPictures(v json.RawMessage) (json.RawMessage, []picture, error) {
	s := splitter{v: v}
	n := 0
	for message := range elements(v, 0) {
		for key, content := range fieldsOf(v, message.from) {
			if key != "content" {
				continue
			}
			if err := s.content(fmt.Sprintf("messages[%d].content", n), content); err != nil {
				return nil, nil, err
			}
		}
		n++
	}
	if s.list == nil {
		return v, nil, nil
	}
	return append(s.out, v[s.done:]...), s.list, nil
}

// splitter copies v but for the pictures in it.
type splitter struct {
	v    []byte
	out  []byte
	done int // of v, how much is in out
	list []picture
}

func (s *splitter) content(path string, c span) error {
	if v := s.v[c.from:c.to]; !isNull(v) && v[0] != '"' && v[0] != '[' {
		return &fieldError{path, wrong(v, `a string or a list of parts such as {"type": "text", "text": "Hello"}`)}
	}
	i := 0
	for part := range elements(s.v, c.from) {
		url, inside, err := readPart(s.v[part.from:part.to])
		at := fmt.Sprintf("%s[%d]%s", path, i, inside)
		switch {
		case err != nil:
			return &fieldError{at, err}
		case url != "":
			s.take(part, picture{at, url})
		}
		i++
	}
	if len(s.list) > maxPictures {
		return fmt.Errorf("has more than %d pictures", maxPictures)
	}
	return nil
}

func (s *splitter) take(part span, p picture) {
	s.list = append(s.list, p)
	s.out = append(append(s.out, s.v[s.done:part.from]...), imagePart...)
	s.done = part.to
}

// readPart takes a part of text, or of a picture, whose URL it returns. inside is where in the part the URL is, or what is wrong.
func readPart(v json.RawMessage) (url, inside string, err error) {
	if v[0] != '{' {
		return "", "", wrong(v, `a part such as {"type": "text", "text": "Hello"}`)
	}
	kind, _ := fieldAt(v, "type")
	name, err := text(kind)
	if err != nil && given(kind) {
		return "", ".type", err
	}
	const form = `{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}`
	switch name {
	case "text":
		if words, _ := fieldAt(v, "text"); !given(words) || words[0] != '"' {
			return "", ".text", errors.New(`is no string; expected {"type": "text", "text": "Hello"}`)
		}
		return "", "", nil
	case "image_url":
		image, _ := fieldAt(v, "image_url")
		url, inside, err = readImageURL(image)
		return url, ".image_url" + inside, err
	case "image", "input_image":
		return "", "", fmt.Errorf("is of the type %s, which this API does not have; expected %s", name, form)
	case "video", "video_url":
		return "", "", fmt.Errorf("is a video, which this host does not take yet; send frames of it as pictures: %s", form)
	case "input_audio", "audio", "audio_url":
		return "", "", fmt.Errorf("is sound, which this host does not take; expected text or %s", form)
	}
	return "", "", fmt.Errorf("is of the type %q; expected text or image_url", clip(name))
}

// readImageURL takes an object with a URL, or the URL alone. How much detail is wanted is for models that offer a choice.
func readImageURL(v json.RawMessage) (url, inside string, err error) {
	const expected = `a URL, as in {"url": "data:image/png;base64,..."}`
	if !given(v) {
		return "", "", errors.New("is missing; expected " + expected)
	}
	if v[0] == '"' {
		url, err = text(v)
	} else {
		address, ok := fieldAt(v, "url")
		if !ok {
			return "", "", wrong(v, expected)
		}
		if detail, _ := fieldAt(v, "detail"); given(detail) && detail[0] != '"' {
			return "", ".detail", wrong(detail, "auto, low or high")
		}
		if url, err = text(address); err != nil {
			return "", "", wrong(v, expected)
		}
	}
	if err == nil && url == "" {
		err = errors.New("is empty; expected " + expected)
	}
	return url, "", err
}
