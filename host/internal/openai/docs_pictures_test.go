package openai

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/config"
)

// docs_pictures_test.go holds what docs/api.md says of pictures to the code.

func documentedPictures(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Pictures\n")
	if !found {
		t.Fatal("docs/api.md says nothing of pictures")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// configured is what [pictures] with these lines comes to.
func configured(t *testing.T, lines string) (config.Pictures, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "models.toml")
	text := fmt.Sprintf("[plugins]\ndirs = [%q]\n[pictures]\n%s[[model]]\nid = \"m\"\npath = %q\n", dir, lines, dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		return config.Pictures{}, err
	}
	return c.Pictures, nil
}

var keyRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `([^`]+)` \\|")

// The table of [pictures] has every key, and the values beside them are those that hold when nothing is said.
func TestTheDocumentedPictureKeysAreTheConfigs(t *testing.T) {
	var keys []string
	lines := ""
	for _, row := range keyRow.FindAllStringSubmatch(documentedPictures(t), -1) {
		keys = append(keys, row[1])
		lines += row[1] + " = " + row[2] + "\n"
	}
	want, err := configured(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := configured(t, lines); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the documented defaults\n%sare %+v, %v; without them it is %+v", lines, got, err, want)
	}
	_, err = configured(t, "zzzzzzzz = 1\n")
	if known := "expected one of " + strings.Join(keys, ", "); err == nil || !strings.Contains(err.Error(), known) {
		t.Errorf("documented are %v; the reader knows otherwise: %v", keys, err)
	}
}

func TestTheDocumentedLimitsOfPictures(t *testing.T) {
	section := documentedPictures(t)
	for _, say := range []string{
		fmt.Sprintf("At most %d pictures in one request", answer.MaxPictures),
		config.FormatSize(answer.MaxMessage) + " of pictures and messages in a request",
		config.FormatSize(answer.MaxCopies) + " of them times `n`",
	} {
		if !strings.Contains(section, say) {
			t.Errorf("docs/api.md does not say %q", say)
		}
	}
	most := regexp.MustCompile("at most `\"([0-9]+)MiB\"`").FindStringSubmatch(section)
	if most == nil {
		t.Fatal("docs/api.md does not say what max_bytes may be")
	}
	if _, err := configured(t, fmt.Sprintf("max_bytes = \"%sMiB\"\n", most[1])); err != nil {
		t.Errorf("the documented most of max_bytes: %v", err)
	}
	if _, err := configured(t, fmt.Sprintf("max_bytes = \"%s.1MiB\"\n", most[1])); err == nil {
		t.Error("max_bytes may be more than is documented")
	}
}

// Every type of part that the page names is answered by a sentence of its own, or taken.
func TestTheDocumentedPartsAreTakenOrRefused(t *testing.T) {
	section := documentedPictures(t)
	for part, want := range map[string]string{
		`{"type": "image_url", "image_url": {"url": "x:1"}}`:           "",
		`{"type": "image_url", "image_url": "x:1"}`:                    "",
		`{"type": "image"}`:                                            "which this API does not have",
		`{"type": "video_url", "video_url": {"url": "x:1"}}`:           "is a video, which this host does not take yet",
		`{"type": "input_audio", "input_audio": {"data": "", "f": 1}}`: "is sound, which this host does not take",
	} {
		_, list, err := splitPictures([]byte(`[{"role":"user","content":[` + part + `]}]`))
		if want == "" && (err != nil || len(list) != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", part, list, err)
		}
		name := strings.Split(part, `"`)[3]
		if !strings.Contains(section, name) {
			t.Errorf("docs/api.md does not name %s", name)
		}
	}
}
