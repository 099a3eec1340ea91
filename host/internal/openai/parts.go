// parts.go reads content that is a list of parts. Text stays as it was sent. A picture leaves the part {"type": "image"} in its
// place, which templates know, and its URL goes on a list of its own. A refusal, which they do not know, becomes text.
package openai

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

const imagePart = `{"type":"image"}`

// splitPictures reads the contents of messages, which are a JSON array of objects. Without pictures and refusals it returns v itself.
func splitPictures(v json.RawMessage) (json.RawMessage, []answer.Picture, error) {
	s := splitter{v: v}
	n := 0
	for message := range body.Elements(v, 0) {
		for key, content := range body.FieldsOf(v, message.From) {
			if key != "content" {
				continue
			}
			if body.IsNull(v[content.From:content.To]) {
				s.refused(v[message.From:message.To], content)
				continue
			}
			if err := s.content(fmt.Sprintf("messages[%d].content", n), content); err != nil {
				return nil, nil, err
			}
		}
		n++
	}
	if s.out == nil {
		return v, nil, nil
	}
	return append(s.out, v[s.done:]...), s.list, nil
}

// splitter copies v but for the pictures and refusals in it.
type splitter struct {
	v    []byte
	out  []byte
	done int // of v, how much is in out
	list []answer.Picture
}

func (s *splitter) content(path string, c body.Span) error {
	if v := s.v[c.From:c.To]; !body.IsNull(v) && v[0] != '"' && v[0] != '[' {
		return body.In(path, body.Wrong(v, `a string or a list of parts such as {"type": "text", "text": "Hello"}`))
	}
	i := 0
	for part := range body.Elements(s.v, c.From) {
		p, inside, err := readPart(s.v[part.From:part.To])
		at := fmt.Sprintf("%s[%d]%s", path, i, inside)
		switch {
		case err != nil:
			return body.In(at, err)
		case p.url != "":
			s.list = append(s.list, answer.Picture{Path: at, URL: p.url})
			s.replace(part, imagePart)
		case p.refusal != nil:
			s.replace(part, `{"type":"text","text":`+string(p.refusal)+`}`)
		}
		i++
	}
	if len(s.list) > answer.MaxPictures {
		return fmt.Errorf("has more than %d pictures", answer.MaxPictures)
	}
	return nil
}

// refused puts a message's refusal where its content is null: templates do not know the field.
func (s *splitter) refused(message []byte, content body.Span) {
	if words, _ := body.FieldAt(message, "refusal"); body.Given(words) && words[0] == '"' {
		s.replace(content, string(words))
	}
}

// replace puts other text where a value stands.
func (s *splitter) replace(at body.Span, with string) {
	s.out = append(append(s.out, s.v[s.done:at.From]...), with...)
	s.done = at.To
}

// part is what a part has that is not text for the template.
type part struct {
	url     string          // of a picture
	refusal json.RawMessage // a string, which OpenAI's models give instead of text
}

// readPart takes a part of text, a refusal or a picture. inside is where in the part the URL is, or what is wrong.
func readPart(v json.RawMessage) (p part, inside string, err error) {
	if v[0] != '{' {
		return part{}, "", body.Wrong(v, `a part such as {"type": "text", "text": "Hello"}`)
	}
	kind, _ := body.FieldAt(v, "type")
	name, err := body.Text(kind)
	if err != nil && body.Given(kind) {
		return part{}, ".type", err
	}
	const form = `{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}`
	switch name {
	case "text":
		if words, _ := body.FieldAt(v, "text"); !body.Given(words) || words[0] != '"' {
			return part{}, ".text", errors.New(`is no string; expected {"type": "text", "text": "Hello"}`)
		}
		return part{}, "", nil
	case "refusal":
		if words, _ := body.FieldAt(v, "refusal"); !body.Given(words) || words[0] != '"' {
			return part{}, ".refusal", errors.New(`is no string; expected {"type": "refusal", "refusal": "I cannot do that"}`)
		}
		p.refusal, _ = body.FieldAt(v, "refusal")
		return p, "", nil
	case "image_url":
		image, _ := body.FieldAt(v, "image_url")
		p.url, inside, err = readImageURL(image)
		return p, ".image_url" + inside, err
	case "image", "input_image":
		return part{}, "", fmt.Errorf("is of the type %s, which this API does not have; expected %s", name, form)
	case "video", "video_url":
		return part{}, "", fmt.Errorf("is a video, which this host does not take yet; send frames of it as pictures: %s", form)
	case "input_audio", "audio", "audio_url":
		return part{}, "", fmt.Errorf("is sound, which this host does not take; expected text or %s", form)
	}
	return part{}, "", fmt.Errorf("is of the type %q; expected text or image_url", body.Clip(name))
}

// readImageURL takes an object with a URL, or the URL alone. How much detail is wanted is for models that offer a choice.
func readImageURL(v json.RawMessage) (url, inside string, err error) {
	const expected = `a URL, as in {"url": "data:image/png;base64,..."}`
	if !body.Given(v) {
		return "", "", errors.New("is missing; expected " + expected)
	}
	if v[0] == '"' {
		url, err = body.Text(v)
	} else {
		address, ok := body.FieldAt(v, "url")
		if !ok {
			return "", "", body.Wrong(v, expected)
		}
		if detail, _ := body.FieldAt(v, "detail"); body.Given(detail) && detail[0] != '"' {
			return "", ".detail", body.Wrong(detail, "auto, low or high")
		}
		if url, err = body.Text(address); err != nil {
			return "", "", body.Wrong(v, expected)
		}
	}
	if err == nil && url == "" {
		err = errors.New("is empty; expected " + expected)
	}
	return url, "", err
}
