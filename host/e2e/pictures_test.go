package e2e

// pictures_test.go shows pictures to the tiny Qwen3-VL through the API: what the reference said of them must come back,
// whatever happens to the process and its tower meanwhile.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const vision = "qwen3_vl_2b"

// pictureFile is a file of the tiny checkpoint.
func pictureFile(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(tinyDir(vision), name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func dataURL(file []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(file)
}

func imagePart(file []byte) object {
	return object{"type": "image_url", "image_url": object{"url": dataURL(file), "detail": "auto"}}
}

// look asks what is in the pictures.
func look(files ...[]byte) object {
	parts := []object{}
	for _, f := range files {
		parts = append(parts, imagePart(f))
	}
	parts = append(parts, object{"type": "text", "text": "What is in the picture?"})
	body := ask("", object{"temperature": 0})
	body["messages"] = []object{{"role": "user", "content": parts}}
	return body
}

// illustrated is a case of golden.json with its pictures.
type illustrated struct {
	conversation
	Images []string `json:"images"`
	Prompt []int    `json:"ids"`
}

func illustratedCases(t *testing.T) []illustrated {
	t.Helper()
	var file struct{ Cases []illustrated }
	if err := json.Unmarshal(pictureFile(t, "golden.json"), &file); err != nil {
		t.Fatal(err)
	}
	var list []illustrated
	for _, c := range file.Cases {
		if len(c.Images) > 0 {
			list = append(list, c)
		}
	}
	if len(list) < 7 {
		t.Fatalf("golden.json has %d cases with pictures", len(list))
	}
	return list
}

var imageMark = regexp.MustCompile(`\{\s*"type":\s*"image"\s*\}`)

// body is what a client sends: the same messages, with a URL where the reference was given a picture.
func (c illustrated) body(t *testing.T) object {
	_, body := c.request()
	images := c.Images
	var messages []json.RawMessage
	for _, m := range c.Messages {
		messages = append(messages, imageMark.ReplaceAllFunc(m, func([]byte) []byte {
			part, err := json.Marshal(imagePart(pictureFile(t, images[0])))
			if err != nil {
				t.Fatal(err)
			}
			images = images[1:]
			return part
		}))
	}
	body["model"], body["messages"] = "tiny", messages
	return body
}

func TestPicturesAreAnsweredAsTheReference(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small))
	for _, c := range illustratedCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			body := c.body(t)
			for _, stream := range []bool{false, true} {
				body["stream"] = stream
				got, err := s.complete("/v1/chat/completions", body, nil)
				if err != nil {
					t.Fatalf("stream=%v: %v", stream, err)
				}
				compare(t, c.conversation, got)
			}
			body["stream"] = false
			code, out := s.post("/v1/chat/completions", body)
			usage, _ := out["usage"].(object)
			if code != 200 || usage["prompt_tokens"] != float64(len(c.Prompt)) {
				t.Errorf("%d, usage %v; the reference's prompt has %d tokens", code, usage, len(c.Prompt))
			}
		})
	}
}

func TestUnseenPicturesAreNamedAsTheReferenceNamesThem(t *testing.T) {
	var unseen struct {
		Question string
		Pictures []struct{ Image, Answer string }
	}
	if err := json.Unmarshal(pictureFile(t, "unseen.json"), &unseen); err != nil || len(unseen.Pictures) != 60 {
		t.Fatalf("unseen.json: %v, %d pictures", err, len(unseen.Pictures))
	}
	s := start(t, tinyOf(vision, "tiny", small))
	for i, p := range unseen.Pictures {
		body := look(pictureFile(t, p.Image))
		body["stream"] = i%2 == 0
		got, err := s.complete("/v1/chat/completions", body, nil)
		if err != nil || got.Text != p.Answer {
			t.Errorf("%s: %q, %v; want %q", p.Image, got.Text, err, p.Answer)
		}
	}
}

// A picture's rows cannot be made of the ids that a resume has: the next process looks at the file again.
func TestAnAnswerAboutPicturesSurvivesAKill(t *testing.T) {
	model := func(keys ...string) string { return tinyOf(vision, "tiny", append(keys, small)...) }
	body := look(pictureFile(t, "picture0.png"), pictureFile(t, "picture4.png"))
	for key, value := range map[string]any{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 5, "max_tokens": 40, "ignore_eos": true, "stream": true} {
		body[key] = value
	}
	want, err := start(t, model()).complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 17, 38} {
		killedAt(t, i, body, want, model(hold(i)))
	}
}

// towerModules are what pictures go through, in the order they do.
func towerModules(placed map[string]string) []string {
	var list []string
	for id := range placed {
		if strings.HasPrefix(id, "visual") {
			list = append(list, id)
		}
	}
	return list
}

func TestTheTowerMovesAndNoTokenChanges(t *testing.T) {
	sampled := object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 9, "max_tokens": 60, "ignore_eos": true, "stream": true}
	asked := func(names ...string) object {
		var files [][]byte
		for _, n := range names {
			files = append(files, pictureFile(t, n))
		}
		body := look(files...)
		for k, v := range sampled {
			body[k] = v
		}
		return body
	}
	first, second := asked("picture4.png"), asked("picture2.png", "unseen/07.png")
	plain := start(t, tinyOf(vision, "tiny", small))
	var want [2]answer
	for i, body := range []object{first, second} {
		var err error
		if want[i], err = plain.complete("/v1/chat/completions", body, nil); err != nil {
			t.Fatal(err)
		}
	}

	s := start(t, roomyFar+tinyOf(vision, "tiny", small))
	placed, _, _ := s.placement()
	tower := towerModules(placed)
	if len(tower) < 4 {
		t.Fatalf("the tower's modules among %v", placed)
	}
	// before anything is seen: half of the tower there, half here
	for i, m := range tower {
		if i%2 == 0 {
			s.move(m, "far")
		}
	}
	got, err := s.complete("/v1/chat/completions", first, func(n int) {
		if n == 10 { // while others answer, the tower and a layer change places
			for i, m := range tower {
				s.move(m, []string{"cpu", "far"}[i%2])
			}
			s.move("layers.1", "far")
		}
	})
	if err != nil || !reflect.DeepEqual(got, want[0]) {
		t.Errorf("moved: %v\n got %+v\nwant %+v", err, got, want[0])
	}
	got, err = s.complete("/v1/chat/completions", second, func(n int) {
		if n == 10 {
			s.move("layers.1", "cpu")
		}
	})
	if err != nil || !reflect.DeepEqual(got, want[1]) {
		t.Errorf("from its new place: %v\n got %+v\nwant %+v", err, got, want[1])
	}
	placed, _, _ = s.placement()
	for i, m := range tower {
		if want := []string{"cpu", "far"}[i%2]; placed[m] != want {
			t.Errorf("%s is on %s, was ordered to %s", m, placed[m], want)
		}
	}
}

// What has been seen is remembered by what is in the file: the same picture again is answered in the same way, and another one of
// the same size, which has the same ids, is not taken for it.
func TestPicturesAreKnownByTheirContent(t *testing.T) {
	large := pictureFile(t, "picture4.png")
	other := negative(t, large)
	asked := func(s *server, files ...[]byte) answer {
		t.Helper()
		body := look(files...)
		body["max_tokens"], body["ignore_eos"] = 24, true
		got, err := s.complete("/v1/chat/completions", body, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	model := tinyOf(vision, "tiny", "context = 1024\nmax_sequences = 2\nstep_tokens = 128")
	wantOther := asked(start(t, model), other)

	s := start(t, model)
	want := asked(s, large)
	if reflect.DeepEqual(want, wantOther) {
		t.Fatalf("the two pictures are not told apart at all: %+v", want)
	}
	twice := asked(s, large, large)
	defer func() { // the tower looks at each of the two once
		_, _, report := s.placement()
		if seen, reused := report["pictures_seen"], report["pictures_reused"]; seen != 2. || reused != 6. {
			t.Errorf("%v pictures were looked at, %v reused", seen, reused)
		}
	}()
	for i, c := range []struct {
		files [][]byte
		want  answer
	}{{[][]byte{other}, wantOther}, {[][]byte{large}, want}, {[][]byte{other}, wantOther}, {[][]byte{large, large}, twice}} {
		if got := asked(s, c.files...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("question %d\n got %+v\nwant %+v", i, got, c.want)
		}
	}
}

// Whatever is sent as a picture, the answer is a sentence and the process lives.
func TestFilesThatAreNoPicturesAreRefusedAndThePluginLives(t *testing.T) {
	s := start(t, tinyOf(vision, "tiny", small))
	whole := pictureFile(t, "picture4.png")
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 0xff
	bomb := append([]byte(nil), whole...)
	copy(bomb[16:24], []byte{0, 1, 0x11, 0x70, 0, 1, 0x11, 0x70}) // 70000 x 70000 pixels, it says
	process := fmt.Sprint(s.plugins())
	for name, file := range map[string][]byte{
		"truncated": whole[:len(whole)/2], "head alone": whole[:8], "flipped": flipped, "bomb": bomb,
		"text": []byte("no picture at all"), "GIF without anything": []byte("GIF89a"), "zero": {0},
		"JPEG of nothing": {0xff, 0xd8, 0xff, 0xd9}, "WebP of nothing": []byte("RIFF\x04\x00\x00\x00WEBP"),
	} {
		code, out := s.post("/v1/chat/completions", look(pictureFile(t, "picture0.png"), file))
		told, _ := out["error"].(object)
		message, _ := told["message"].(string)
		if code != http.StatusBadRequest || told["param"] != "messages" || !strings.HasPrefix(message, "picture 1: ") {
			t.Errorf("%s: %d %v", name, code, out)
		}
	}
	got, err := s.complete("/v1/chat/completions", look(pictureFile(t, "picture0.png")), nil)
	if err != nil || got.Text != "A blue circle." || fmt.Sprint(s.plugins()) != process {
		t.Errorf("afterwards %+v, %v; the plugin was %s, is %v", got, err, process, s.plugins())
	}
}

func TestAModelWithoutEyesSaysSo(t *testing.T) {
	for _, family := range families {
		if family == vision {
			continue
		}
		t.Run(family, func(t *testing.T) {
			s := start(t, tinyOf(family, "tiny", small))
			code, out := s.post("/v1/chat/completions", look(pictureFile(t, "picture0.png")))
			told, _ := out["error"].(object)
			if code != http.StatusBadRequest || told["param"] != "messages" || told["message"] != "this model takes no pictures; it reads text alone" {
				t.Errorf("%d %v", code, out)
			}
		})
	}
}

// What is in a folder that models.toml allows can be named instead of sent; nothing else can.
func TestPicturesFromAFolder(t *testing.T) {
	dir := tinyDir(vision)
	s := start(t, fmt.Sprintf("[pictures]\ndirs = [%q]\n", filepath.Join(dir, "unseen"))+tinyOf(vision, "tiny", small))
	ask := func(url string) (int, object) {
		body := look()
		body["messages"] = []object{{"role": "user", "content": []object{
			{"type": "image_url", "image_url": url}, {"type": "text", "text": "What is in the picture?"}}}}
		return s.post("/v1/chat/completions", body)
	}
	for _, url := range []string{"file://" + dir + "/unseen/00.png", dir + "/unseen/00.png"} {
		if code, out := ask(url); code != http.StatusOK || !strings.Contains(fmt.Sprint(out["choices"]), "A green square.") {
			t.Errorf("%s: %d %v", url, code, out)
		}
	}
	for _, url := range []string{dir + "/picture0.png", dir + "/unseen/../picture0.png", "/etc/passwd", s.url + "/healthz", "http://169.254.169.254/latest"} {
		code, out := ask(url)
		if told, _ := out["error"].(object); code != http.StatusBadRequest || told["param"] != "messages[0].content[0].image_url" {
			t.Errorf("%s: %d %v", url, code, out)
		}
	}
}

// negative is a picture of the same size with every colour inverted.
func negative(t *testing.T, file []byte) []byte {
	t.Helper()
	in, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	out := image.NewRGBA(in.Bounds())
	for y := in.Bounds().Min.Y; y < in.Bounds().Max.Y; y++ {
		for x := in.Bounds().Min.X; x < in.Bounds().Max.X; x++ {
			r, g, b, _ := in.At(x, y).RGBA()
			out.SetRGBA(x, y, color.RGBA{^uint8(r >> 8), ^uint8(g >> 8), ^uint8(b >> 8), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
