package api

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/clients.md names the versions that make clients installs, and no others.
func TestTheDocumentedClientsArePinned(t *testing.T) {
	const dir = "../../e2e/clients"
	pinned := map[string]string{}
	for kind, pattern := range map[string]string{"Python": "python/*.txt", "npm": "*/package.json", "Go": "go.mod"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			pinned[kind] += strings.NewReplacer("==", " ", `": "`, " ", `"`, "").Replace(string(text)) + "\n"
		}
	}
	text, err := os.ReadFile("../../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\S+) \((\w+)\) \| (\S+) \|`).FindAllStringSubmatch(string(text), -1)
	if len(rows) < 10 {
		t.Fatalf("only %d clients", len(rows))
	}
	for _, row := range rows {
		name, kind, version := row[1], row[2], row[3]
		if !regexp.MustCompile(`(?m)(^|\s)` + regexp.QuoteMeta(name+" "+version) + `,?$`).MatchString(pinned[kind]) {
			t.Errorf("%s %s is not what make clients installs of it", name, version)
		}
	}
}
