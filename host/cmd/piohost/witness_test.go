package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	return sdk.Description{Name: name, Version: "1.0.0", Kernels: hostile}
}

// hostile would clear the screen, colour it, and turn what follows around.
const hostile = "東京 \x1b[2J\u009b31m\u202e\r"

func (witness) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	fmt.Fprintln(os.Stderr, "[ERROR] "+hostile)
	slog.Error(hostile, "key", hostile)
	if strings.HasSuffix(req.Path, "bad") {
		return sdk.Inspection{}, errors.New(hostile)
	}
	return sdk.Inspection{Reason: hostile}, nil
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

// Whatever a plugin says, in answers, errors and its log, a terminal shows it and does not obey it.
func TestHostilePluginDoesNotSteerTheTerminal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--model", "good"}, {"--model", "good", "--json"}, {"--model", "bad"}, {"--model", "bad", "--log-format", "json"},
	} {
		var out, errs bytes.Buffer
		code := command(t.Context(), append([]string{"plugin", "inspect", self, "--config", "none"}, args...), stdio{strings.NewReader(""), &out, &errs})
		for _, text := range []string{out.String(), errs.String()} {
			if client.Printable(text) != text {
				t.Errorf("%q: %q", args, text)
			}
		}
		if all := out.String() + errs.String(); strings.Count(all, "東京") < 3 {
			t.Errorf("%q: code %d, and not all was shown: %s", args, code, all)
		}
	}
}
