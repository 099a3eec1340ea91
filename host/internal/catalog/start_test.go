package catalog

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/serve"
)

// The test binary is a plugin too, of the name its file has.
func TestMain(m *testing.M) {
	process.Keep()
	if os.Getenv(sdk.CookieKey) != "" {
		serve.Main(self{})
	}
	os.Exit(m.Run())
}

type self struct{}

func (self) Describe() sdk.Description {
	return sdk.Description{Name: filepath.Base(os.Args[0]), Version: "1.2.3"}
}

func (self) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	if strings.HasSuffix(req.Path, filepath.Base(os.Args[0])) {
		return sdk.Inspection{Fit: sdk.FitExact}, nil
	}
	return sdk.Inspection{Reason: "another family"}, nil
}

func (self) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{}, nil
}

func (self) Generate(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error { return nil }

// install puts the test binary into dir; something appended makes each copy a binary of its own.
func install(t *testing.T, dir, name, more string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if _, err := to.WriteString(more); err != nil {
		t.Fatal(err)
	}
}

// The whole way with real processes: lock, list, choose; then the binary changes and is not started any more.
func TestPluginsInProcesses(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := filepath.Join(t.TempDir(), "plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	install(t, dir, "alpha", "1")
	install(t, dir, "beta", "2")
	start := Starter(nil, true)
	if _, err := WriteLock(t.Context(), start, dir); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), Options{Dirs: []string{dir}, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := c.Choose(t.Context(), sdk.InspectRequest{Path: "/models/beta"})
	if err != nil || p.Name != "beta" || p.Version != "1.2.3" {
		t.Errorf("chose %+v, %v", p, err)
	}
	install(t, dir, "beta", "changed")
	if _, err := c.Inspect(t.Context(), p, sdk.InspectRequest{}); err == nil || !strings.Contains(err.Error(), "not the "+p.SHA256+" that pio.lock lists") {
		t.Errorf("the changed binary: %v", err)
	}
}
