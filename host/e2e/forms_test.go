package e2e

// forms_test.go sends pictures in every form of file there is, in company, and by clients that go away.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/inference-pio/inference-pio/sdk/picture"
)

// encoded is a picture's file as one encoder makes it.
func encoded(t *testing.T, encode func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngFile(t *testing.T, m image.Image) []byte {
	t.Helper()
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, m) })
}

// redrawn is a picture in the colours of another kind.
func redrawn(to draw.Image, m image.Image) draw.Image {
	draw.Draw(to, to.Bounds(), m, m.Bounds().Min, draw.Src)
	return to
}

// drawing is a blue triangle on white, wide and not the same from any two sides.
func drawing(fore color.Color) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 160, 96))
	for y := range 96 {
		for x := range 160 {
			m.Set(x, y, color.White)
			if x > 20 && x < 20+y && y > 10 {
				m.Set(x, y, fore)
			}
		}
	}
	return m
}

// described is a long answer about pictures, with what the prompt counts.
func (s *server) described(t *testing.T, files ...[]byte) string {
	t.Helper()
	body := look(files...)
	body["max_tokens"], body["ignore_eos"], body["logprobs"] = 12, true, true
	code, out := s.post("/v1/chat/completions", body)
	if code != http.StatusOK {
		t.Errorf("%d %v", code, out)
	}
	return fmt.Sprint(out["choices"], out["usage"])
}

// The same pixels in another form of file are the same picture, to the last digit of every probability. One server is shown the forms,
// another the PNGs: pixels that are decoded otherwise are another picture to it, and are looked at by themselves.
func TestOnePictureInEveryForm(t *testing.T) {
	blue := color.NRGBA{30, 60, 220, 255}
	m := drawing(blue)
	palette := color.Palette{color.White, blue}
	grey := redrawn(image.NewGray(m.Bounds()), m)
	clear := drawing(blue) // white where nothing is drawn, because pictures lie on white
	for i := 0; i < len(clear.Pix); i += 4 {
		if clear.Pix[i] == 255 {
			copy(clear.Pix[i:], []byte{0, 90, 0, 0})
		}
	}
	wide := redrawn(image.NewNRGBA64(m.Bounds()), m)
	first, other := start(t, tinyOf(vision, "tiny", small)), start(t, tinyOf(vision, "tiny", small))
	for name, c := range map[string]struct{ file, same []byte }{
		"PNG with a palette": {pngFile(t, redrawn(image.NewPaletted(m.Bounds(), palette), m)), pngFile(t, m)},
		"PNG of 16 bits":     {pngFile(t, wide), pngFile(t, m)},
		"PNG with alpha":     {pngFile(t, clear), pngFile(t, m)},
		"PNG in grey":        {pngFile(t, grey), pngFile(t, redrawn(image.NewNRGBA(m.Bounds()), grey))},
		"GIF": {encoded(t, func(b *bytes.Buffer) error {
			return gif.Encode(b, redrawn(image.NewPaletted(m.Bounds(), palette), m), nil)
		}), pngFile(t, m)},
		"BMP": {encoded(t, func(b *bytes.Buffer) error { return bmp.Encode(b, m) }), pngFile(t, m)},
	} {
		if got, want := first.described(t, c.file), other.described(t, c.same); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
	// Forms that nothing in Go writes, from files whose pixels sdk/picture compares with Pillow's.
	for _, name := range []string{"orientation6.jpg", "orientation3.jpg", "orientation8.webp", "cmyk.jpg", "ycck-420.jpg", "420-progressive.jpg",
		"lossy-64x48.webp", "lossless-alpha.webp", "animated.webp", "animated.gif", "interlaced.gif", "la16.png", "rgba16.png", "rgb-key.png"} {
		file, err := os.ReadFile(filepath.Join(root, "sdk/picture/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := first.described(t, file), other.described(t, upright(t, file)); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
}

// upright is a PNG of what a file shows.
func upright(t *testing.T, file []byte) []byte {
	t.Helper()
	shown, err := picture.Decode(context.Background(), file, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := image.NewNRGBA(image.Rect(0, 0, shown.Width, shown.Height))
	for i := range shown.Width * shown.Height {
		copy(m.Pix[4*i:], []byte{shown.Pix[3*i], shown.Pix[3*i+1], shown.Pix[3*i+2], 255})
	}
	return pngFile(t, m)
}

// Two clients send one picture at the same time, and another client's answer goes on meanwhile: all are told what they are told
// alone.
func TestPicturesInCompany(t *testing.T) {
	model := tinyOf(vision, "tiny", "context = 1024\nmax_sequences = 4\nstep_tokens = 128")
	words := ask("What is the capital of Peru?", object{"temperature": 0, "max_tokens": 200, "ignore_eos": true, "stream": true})
	large := look(pngFile(t, redrawn(image.NewNRGBA(image.Rect(0, 0, 3000, 2000)), drawing(color.Black))))
	large["max_tokens"], large["ignore_eos"] = 24, true
	alone := start(t, model)
	wantWords, err := alone.complete("/v1/chat/completions", words, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := alone.complete("/v1/chat/completions", large, nil)
	if err != nil {
		t.Fatal(err)
	}

	s := start(t, model)
	var both sync.WaitGroup
	ended := make(chan struct{})
	got, err := s.complete("/v1/chat/completions", words, func(n int) {
		switch n {
		case 5:
			for range 2 {
				both.Go(func() {
					if got, err := s.complete("/v1/chat/completions", large, nil); err != nil || !reflect.DeepEqual(got, want) {
						t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
					}
				})
			}
			go func() { both.Wait(); close(ended) }()
		case 150: // the rest of the words has not been read when the pictures have been answered
			<-ended
		}
	})
	both.Wait()
	if _, _, report := s.placement(); report["pictures_seen"] != 1. || report["pictures_reused"] != 1. {
		t.Errorf("%v pictures were looked at, %v reused", report["pictures_seen"], report["pictures_reused"])
	}
	if err != nil || !reflect.DeepEqual(got, wantWords) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, wantWords)
	}
}

// What a client no longer wants leaves no memory behind, and the picture can be asked about again.
func TestAPictureWhoseClientLeft(t *testing.T) {
	s, quiet := start(t, tinyOf(vision, "tiny", small)), start(t, tinyOf(vision, "tiny", small))
	used := func(s *server) string {
		_, _, report := s.placement()
		for _, d := range report["devices"].([]any) {
			if d.(object)["name"] == "cpu" {
				return fmt.Sprint(d.(object)["used"])
			}
		}
		t.Fatalf("no cpu in %v", report)
		return ""
	}
	file := pngFile(t, redrawn(image.NewNRGBA(image.Rect(0, 0, 1200, 900)), drawing(color.Black)))
	want := quiet.described(t, file)
	before := used(quiet) // it remembers the picture, as the other will
	body := look(file)
	body["stream"] = true
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		ctx, leave := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
		s.placement() // some work between the request and its end
		leave()
		<-answered
	}
	if got := s.described(t, file); got != want {
		t.Errorf("afterwards\n got %s\nwant %s", got, want)
	}
	if after := used(s); after != before {
		t.Errorf("%s bytes are used, by a host that was asked once %s", after, before)
	}
}

func TestPicturesThatDoNotFitTheContext(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small))
	large := pngFile(t, image.NewGray(image.Rect(0, 0, 512, 512))) // 256 positions
	for n, want := range map[int]string{2: "the prompt has 5", 3: "the pictures up to picture 2 take 768 positions; the context holds 512"} {
		var files [][]byte
		for range n {
			files = append(files, large)
		}
		code, out := s.post("/v1/chat/completions", look(files...))
		told, _ := out["error"].(object)
		if message, _ := told["message"].(string); code != http.StatusBadRequest || told["code"] != "context_length_exceeded" || !strings.Contains(message, want) {
			t.Errorf("%d pictures: %d %v", n, code, out)
		}
	}
}

func TestVideosAndSoundsAreRefused(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small))
	for part, want := range map[string]string{
		`{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}`: "is a video, which this host does not take yet",
		`{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}`: "is sound, which this host does not take",
	} {
		body := look()
		body["messages"] = []object{{"role": "user", "content": []json.RawMessage{json.RawMessage(part)}}}
		code, out := s.post("/v1/chat/completions", body)
		told, _ := out["error"].(object)
		if message, _ := told["message"].(string); code != http.StatusBadRequest || !strings.Contains(message, want) || told["param"] != "messages[0].content[0]" {
			t.Errorf("%s: %d %v", part, code, out)
		}
	}
}

// The place of a video can also be written by hand.
func TestAVideosPlaceInAPromptIsRefused(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small))
	code, out := s.post("/v1/completions", object{"model": "tiny", "prompt": "<|vision_start|><|video_pad|><|vision_end|>What is it?"})
	told, _ := out["error"].(object)
	if message, _ := told["message"].(string); code != http.StatusBadRequest || !strings.Contains(message, "the prompt has a video") {
		t.Errorf("%d %v", code, out)
	}
}

// A decoder cut to fewer layers than the tower has features for still runs.
func TestFewerLayersThanFeatures(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small, "layers = 1"))
	body := look(pictureFile(t, "picture0.png"))
	body["max_tokens"], body["ignore_eos"] = 3, true
	if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || len(got.IDs) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The process dies between the first picture that was looked at and the last: the next one begins with all of them.
func TestAKillWhileTheTowerRuns(t *testing.T) {
	model := tinyOf(vision, "tiny", "context = 1024\nmax_sequences = 2\nstep_tokens = 128")
	var files [][]byte
	for i := range 3 {
		files = append(files, pngFile(t, redrawn(image.NewGray(image.Rect(0, 0, 512, 512+i)), drawing(color.Black))))
	}
	body := look(files...)
	for key, value := range map[string]any{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 3, "max_tokens": 40, "ignore_eos": true, "stream": true} {
		body[key] = value
	}
	want, err := start(t, model).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, model)
	killed, answered := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		for {
			if _, _, report := s.placement(); report["pictures_seen"] != 0. {
				s.kill()
				return
			}
			select {
			case <-answered:
				t.Error("the answer came, and no picture had been looked at")
				return
			default:
			}
		}
	}()
	got, err := s.complete("/v1/chat/completions", body, nil)
	close(answered)
	<-killed
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v\n%s", err, got, want, s.log)
	}
}
