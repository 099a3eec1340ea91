package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

func newPluginInspect(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect BIN",
		Short: "Show what a plugin says of itself, and of a checkpoint",
		Args:  takes(1, 1),
	}
	model := cmd.Flags().String("model", "", "a checkpoint's folder")
	var req sdk.InspectRequest
	cmd.Flags().StringVar(&req.Quantize, "quantize", "", "as in models.toml: what its weights are quantised to")
	cmd.Flags().StringVar(&req.KVCache, "kv-cache", "", "as kv_cache in models.toml: what keys and values are kept in")
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req.Path, req.Numerics = g.checkpoint(*model), config.DefaultNumerics(req.Quantize)
		d, err := g.inspect(cmd.Context(), args[0], req)
		if err != nil {
			return err
		}
		if *asJSON {
			return g.printJSON(d)
		}
		return g.showInspection(d)
	}
	return cmd
}

// inspect asks a plugin what it is and, if the request has a path, what it says of that checkpoint.
func (g *global) inspect(ctx context.Context, bin string, req sdk.InspectRequest) (inspectDocument, error) {
	p, err := g.spawn(ctx, bin)
	if err != nil {
		return inspectDocument{}, err
	}
	defer p.Stop(context.WithoutCancel(ctx)) // bounded; what it said is all that counts
	d, err := p.Client().Describe(ctx)
	if err != nil {
		return inspectDocument{}, err
	}
	document := inspectDocument{Plugin: describe(d, p.SHA256())}
	if req.Path == "" {
		return document, nil
	}
	inspection, err := p.Client().Inspect(ctx, req)
	if err != nil {
		return inspectDocument{}, err
	}
	document.Checkpoint = checkpointOf(req, inspection)
	return document, nil
}

func (g *global) showInspection(d inspectDocument) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	p := d.Plugin
	for _, line := range [][2]string{
		{"name", p.Name}, {"version", p.Version}, {"sdk", p.SDKVersion}, {"protocol", words(p.Majors)},
		{"architectures", words(p.Architectures)}, {"capabilities", words(p.Capabilities)}, {"kernels", p.Kernels},
		{"numerics", words(p.Numerics)}, {"devices", words(append([]string{"cpu"}, p.Devices...))}, {"sha256", p.SHA256},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	if err := w.Flush(); err != nil || d.Checkpoint == nil {
		return err
	}
	return g.showCheckpoint(d.Checkpoint)
}

// in says what weights are quantised to, or the form of a cache.
func in(form string) string {
	if form == "" {
		return ""
	}
	return " in " + form
}

func words[T any](list []T) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}

func (g *global) showCheckpoint(c *describedCheckpoint) error {
	fmt.Fprintf(g.std.out, "\n%s\nfit: %s", c.Path, c.Fit)
	if c.Reason != "" {
		fmt.Fprintf(g.std.out, " (%s)", c.Reason)
	}
	fmt.Fprintln(g.std.out)
	if c.Fit == sdk.FitNone.String() {
		return nil
	}
	fmt.Fprintf(g.std.out, "parameters: %d\ncontext: %d\nvocabulary: %d\n", c.Parameters, c.Context, c.Vocabulary)
	if len(c.Modules) == 0 {
		return nil
	}
	fmt.Fprintf(g.std.out, "weights: %s%s\ncache of a position: %s%s\nnumerics: %s, unless its entry says otherwise\n",
		plan.Size(c.Weights), in(c.Quantize), plan.Size(c.Position), in(c.KVCache), c.Numerics)
	fmt.Fprintln(g.std.out)
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "MODULE\tWEIGHTS\tSTATE/TOKEN\tSTATE/SEQUENCE\tMFLOP/TOKEN\t")
	for _, m := range c.Modules {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.3f\t\n", m.ID, m.WeightBytes, m.StateBytesToken, m.StateBytesSeq, m.FLOPsToken/1e6)
	}
	return w.Flush()
}
