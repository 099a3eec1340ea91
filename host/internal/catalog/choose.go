package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

// parallelAsks bounds how many plugins run at once only to be asked.
const parallelAsks = 4

// opinion is one plugin's answer about a checkpoint.
type opinion struct {
	plugin     Plugin
	inspection sdk.Inspection
	err        error
}

// Choose asks every plugin about a checkpoint and returns the one that fits: exactly, or else as the only one of the
// family. Two that fit equally well are an error that prints the line to add to models.toml, and so is none, with what
// each of them said.
func (c *Catalog) Choose(ctx context.Context, req sdk.InspectRequest) (Plugin, sdk.Inspection, error) {
	opinions := c.opinions(ctx, req)
	if err := ctx.Err(); err != nil {
		return Plugin{}, sdk.Inspection{}, fmt.Errorf("the plugins were not all asked about %s: %w", req.Path, err)
	}
	best := sdk.FitNone
	var claim []opinion
	for _, o := range opinions {
		if o.err != nil || o.inspection.Fit == sdk.FitNone || o.inspection.Fit < best {
			continue
		}
		if o.inspection.Fit > best {
			best, claim = o.inspection.Fit, nil
		}
		claim = append(claim, o)
	}
	switch len(claim) {
	case 0:
		return Plugin{}, sdk.Inspection{}, c.unclaimed(req.Path, opinions)
	case 1:
		return claim[0].plugin, claim[0].inspection, nil
	}
	t := &Tie{Fit: best, text: tie(req.Path, best, claim)}
	for _, o := range claim {
		t.Plugins, t.Inspections = append(t.Plugins, o.plugin), append(t.Inspections, o.inspection)
	}
	return Plugin{}, sdk.Inspection{}, t
}

// Tie is the error of a checkpoint that several plugins run equally well.
type Tie struct {
	Fit         sdk.Fit
	Plugins     []Plugin
	Inspections []sdk.Inspection // of each
	text        string
}

func (t *Tie) Error() string { return t.text }

// Settle is Choose, but for plugins that all run a checkpoint as another size of their family: none is better than another, and the first is
// taken, in the order of the folders and of their files. others are the rest. Two that both say a checkpoint is their own stay an error.
func (c *Catalog) Settle(ctx context.Context, req sdk.InspectRequest) (p Plugin, in sdk.Inspection, others []Plugin, err error) {
	p, in, err = c.Choose(ctx, req)
	var t *Tie
	if errors.As(err, &t) && t.Fit == sdk.FitFamily {
		return t.Plugins[0], t.Inspections[0], t.Plugins[1:], nil
	}
	return p, in, nil, err
}

// opinions are in the order of the plugins.
func (c *Catalog) opinions(ctx context.Context, req sdk.InspectRequest) []opinion {
	list := make([]opinion, len(c.plugins))
	slots := make(chan struct{}, parallelAsks)
	var all sync.WaitGroup
	for i, p := range c.plugins {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			inspection, err := c.Inspect(ctx, p, req)
			list[i] = opinion{p, inspection, err}
		})
	}
	all.Wait()
	return list
}

func tie(path string, fit sdk.Fit, claim []opinion) string {
	lines := make([]string, len(claim))
	for i, o := range claim {
		lines[i] = fmt.Sprintf("\n    plugin = %q   # %s", o.plugin.Name, o.plugin.Path)
	}
	return fmt.Sprintf("%d plugins claim %s (fit: %s); add one of these lines to its [[model]] in models.toml, or name one with --plugin:%s", len(claim), path, fit, strings.Join(lines, ""))
}

func (c *Catalog) unclaimed(path string, opinions []opinion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "no plugin can run %s", path)
	if len(opinions) == 0 {
		fmt.Fprintf(&b, ": there is none in %s", strings.Join(c.options.Dirs, ", "))
	}
	var reasons []string
	names := map[string][]string{} // of a damaged file all say the same
	for _, o := range opinions {
		reason := o.inspection.Reason
		if o.err != nil {
			reason = o.err.Error()
		}
		if names[reason] == nil {
			reasons = append(reasons, reason)
		}
		names[reason] = append(names[reason], o.plugin.Name)
	}
	for _, reason := range reasons {
		fmt.Fprintf(&b, "\n    %s: %s", strings.Join(names[reason], ", "), reason)
	}
	if len(opinions) == 0 {
		for _, problem := range c.problems {
			fmt.Fprintf(&b, "\n    %v", problem)
		}
	}
	return c.verdict(b.String(), opinions)
}
