package catalog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// mortal is a plugin that can be gone, and says when it is closed.
type mortal struct {
	Running
	name string
	gone *bool
	tell func(string)
}

func (m *mortal) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	if *m.gone {
		*m.gone = false
		return sdk.Inspection{}, fmt.Errorf("%s: %w", m.name, client.ErrGone)
	}
	return m.Running.Inspect(ctx, req)
}

func (m *mortal) Close() { m.tell(m.name) }

// Plugins that stay are started once for all questions, but one that is gone is started again for the next; all end together.
func TestPluginsThatStay(t *testing.T) {
	s := newShelf(t, map[string]string{"a": "alpha 1.0.0 exact", "b": "beta 1.0.0 no"})
	s.lock(t)
	var ended []string
	gone := map[string]*bool{"a": new(bool), "b": new(bool)}
	start := func(ctx context.Context, p Plugin) (Running, error) {
		r, err := s.start(ctx, p)
		name := filepath.Base(p.Path)
		return &mortal{r, name, gone[name], func(name string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			ended = append(ended, name)
		}}, err
	}
	c, err := Open(context.Background(), Options{Dirs: []string{s.dir}, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	end := c.Keep()
	ask := func(want string, starts ...string) {
		t.Helper()
		p, _, err := c.Choose(context.Background(), sdk.InspectRequest{Path: "/model"})
		if (err == nil) != (want != "") || p.Name != want {
			t.Errorf("%s, %v; want %q", p.Name, err, want)
		}
		if slices.Sort(s.started); !slices.Equal(s.started, starts) {
			t.Errorf("started %q, not %q", s.started, starts)
		}
	}
	ask("alpha", "a", "b")
	ask("alpha", "a", "b")
	*gone["a"] = true
	ask("", "a", "b")
	if !slices.Equal(ended, []string{"a"}) {
		t.Errorf("ended %q", ended)
	}
	ask("alpha", "a", "a", "b")
	end()
	if slices.Sort(ended); !slices.Equal(ended, []string{"a", "a", "b"}) {
		t.Errorf("ended %q", ended)
	}
}
