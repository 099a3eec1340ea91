package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// moduleOfSDK is the Go module that plugins are built with, and that this host is of.
const moduleOfSDK = "github.com/inference-pio/inference-pio"

func newPluginEnv(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the environment that builds a plugin of your own with GPUs",
		Long: `Prints, for a shell, what the Go module in the working folder is to be built with so that its plugin computes on GPUs, too:

  eval "$(piohost plugin env)" && go build -trimpath -o my_plugin .

Only a compiler of C is needed: no CUDA toolkit, no driver. Without it a plugin computes on the CPU alone.`,
		Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := moduleFolder(cmd.Context())
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(g.std.out, buildEnv(dir))
		return err
	}
	return cmd
}

// buildEnv is for the module in a folder. The variables take the place of Go's own -O2 -g, which are therefore said again.
func buildEnv(dir string) string {
	return fmt.Sprintf("export CGO_CFLAGS=%s\nexport CGO_LDFLAGS=%s\nexport GOFLAGS=\"$GOFLAGS -tags=cuda\"\n",
		quoted("-O2 -g -I"+filepath.Join(dir, "cuda", "include")+" -Wno-deprecated-declarations"), quoted("-O2 -g -L"+filepath.Join(dir, "cuda", "lib")))
}

// quoted is text as a shell takes it for one word.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// moduleFolder is where the working folder's build finds our module.
func moduleFolder(ctx context.Context) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", moduleOfSDK)
	var said bytes.Buffer
	list.Stderr = &said
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("where Go has %s is not known: run this in your plugin's module, which must require it: %w", moduleOfSDK, errors.Join(err, errors.New(strings.TrimSpace(said.String()))))
	}
	dir := strings.TrimSpace(string(out))
	switch {
	case dir == "":
		return "", fmt.Errorf("%s is not downloaded yet; run `go mod download` first", moduleOfSDK)
	case strings.ContainsAny(dir, " \t\n"):
		return "", fmt.Errorf("%s lies in %q; compilers' flags cannot name a folder with a space", moduleOfSDK, dir)
	}
	return dir, nil
}
