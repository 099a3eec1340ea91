package conformance

// pictures.go: pictures are seen or refused, whatever their files are, and what is said of one does not depend on those seen before.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"github.com/inference-pio/inference-pio/sdk"
)

var firstColor, secondColor = color.RGBA{220, 30, 30, 255}, color.RGBA{30, 30, 220, 255}

// painted is the file of a picture in one colour.
func painted(c color.Color) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 96, 64))
	for i := range 96 * 64 {
		m.Set(i%96, i/96, c)
	}
	var file bytes.Buffer
	_ = png.Encode(&file, m) // nothing that a buffer could refuse
	return file.Bytes()
}

// pictureRequest asks about files, of which messages have a place for so many.
func pictureRequest(places int, files ...[]byte) sdk.GenerateRequest {
	req := text(12)
	req.Text, req.HasText, req.IgnoreEOS = "", false, true
	var parts string
	for range places {
		parts += `{"type": "image"}, `
	}
	req.Chat = &sdk.Chat{
		Messages: json.RawMessage(fmt.Sprintf(`[{"role": "user", "content": [%s{"type": "text", "text": "What is in the picture?"}]}]`, parts)),
		Images:   files,
	}
	return req
}

func casePictures(t T, c Config) {
	p := start(t, c)
	defer p.end()
	p.load()
	red, blue := pictureRequest(1, painted(firstColor)), pictureRequest(1, painted(secondColor))
	ofRed, err := p.generate(red)
	if err != nil {
		refusesMessages(t, "V1", "Generate with a picture", err)
		if sdk.ReasonOf(err) == sdk.ReasonInvalid {
			t.Logf("V1: no pictures: %v", err)
		}
		return
	}
	ofBlue := p.mustGenerate("V1", blue)

	file := red.Chat.Images[0]
	for _, r := range []sdk.GenerateRequest{pictureRequest(2, file), pictureRequest(1, file, file), pictureRequest(0, file)} {
		_, err := p.generate(r)
		refusesMessages(t, "V1", "Generate with another number of pictures than of places for them", err)
	}
	for name, broken := range map[string][]byte{"a half of a file": file[:len(file)/2], "words": []byte("no picture"), "nothing": {}} {
		_, err := p.generate(pictureRequest(1, broken))
		refusesMessages(t, "V2", "Generate with "+name+" for a picture", err)
	}

	same(t, "V3: asked again of the first picture", p.mustGenerate("V3", red), ofRed)
	resumes(t, "V3", p, red, ofRed)
	other := start(t, c)
	defer other.end()
	other.load()
	same(t, "V3: asked of the second picture first, in another process", other.mustGenerate("V3", blue), ofBlue)
	same(t, "V3: asked of the first picture after the second, in another process", other.mustGenerate("V3", red), ofRed)
}

// refusesMessages complains unless err says that the messages are wrong.
func refusesMessages(t T, must, what string, err error) {
	t.Helper()
	refuses(t, must, what, err, sdk.ReasonInvalid)
	var told *sdk.Error
	if errors.As(err, &told) && told.Reason == sdk.ReasonInvalid && told.Field != "messages" {
		t.Errorf("%s: %s is refused for the field %q; it must be messages", must, what, told.Field)
	}
}
