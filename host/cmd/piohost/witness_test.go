package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// witness is a plugin that says in its name how it was started.
type witness struct{}

func (witness) Describe() sdk.Description {
	name := "plain"
	if os.Getenv(client.EnvCertificate) != "" {
		name = "encrypted"
	}
	return sdk.Description{Name: name, Version: "1.0.0"}
}

func (witness) Inspect(context.Context, sdk.InspectRequest) (sdk.Inspection, error) {
	return sdk.Inspection{Reason: "it only looks"}, nil
}

func (witness) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{}, nil
}

func (witness) Generate(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
	return nil
}

// What tests, lists and shows a plugin starts it as serving it will.
func TestPluginCommandsEncryptAsServeDoes(t *testing.T) {
	dir := t.TempDir()
	config, plugins := filepath.Join(dir, "models.toml"), filepath.Join(dir, "plugins")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(plugins, "witness"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want string }{
		{"", "encrypted"}, {"[plugins]\nmtls = true\n", "encrypted"}, {"[plugins]\nmtls = false\n", "plain"},
	} {
		if err := os.WriteFile(config, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"plugin", "inspect", filepath.Join(plugins, "witness")}, {"plugin", "lock", plugins}} {
			var out, errs bytes.Buffer
			code := command(t.Context(), append(args, "--config", config), stdio{strings.NewReader(""), &out, &errs})
			if code != 0 || !strings.Contains(out.String(), test.want) {
				t.Errorf("%q, %q: code %d, %s%s", test.text, args, code, out.String(), errs.String())
			}
		}
	}
	var out, errs bytes.Buffer
	if err := os.WriteFile(config, []byte("[plugins]\nmtls = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := command(t.Context(), []string{"plugin", "lock", plugins, "--config", config}, stdio{strings.NewReader(""), &out, &errs}); code != exitUsage {
		t.Errorf("a file with a mistake: code %d, %s", code, errs.String())
	}
}
