package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/contents"
	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

func newPluginInspect(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [BIN]",
		Short: "Show what a plugin says of itself, and of a checkpoint, or what is in a GGUF file",
		Args:  takes(0, 1),
	}
	model := cmd.Flags().String("model", "", "a checkpoint's folder, or a GGUF file")
	var req sdk.InspectRequest
	cmd.Flags().StringVar(&req.Quantize, "quantize", "", "as in models.toml: what its weights are quantised to")
	cmd.Flags().StringVar(&req.KVCache, "kv-cache", "", "as kv_cache in models.toml: what keys and values are kept in")
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !regular.IsGGUF(*model) {
			return &codeError{exitUsage, errors.New("an argument is missing; expected piohost plugin inspect BIN, or a GGUF file as --model")}
		}
		req.Path = g.checkpoint(*model)
		req.Numerics = config.DefaultNumerics(req.Quantize, req.Path)
		d, err := g.inspect(cmd.Context(), args, req)
		if *asJSON && err == nil {
			return g.printJSON(d)
		}
		if !*asJSON {
			err = errors.Join(g.showInspection(d), err)
		}
		return err
	}
	return cmd
}

// inspect asks a plugin, if one is named, and reads a GGUF file. With an error comes what was found before it.
func (g *global) inspect(ctx context.Context, bin []string, req sdk.InspectRequest) (document inspectDocument, err error) {
	if regular.IsGGUF(req.Path) {
		file, err := contents.Read(req.Path)
		if err != nil {
			return document, err
		}
		document.File = &file
	}
	if len(bin) == 0 {
		return document, nil
	}
	p, err := g.spawn(ctx, bin[0])
	if err != nil {
		return document, err
	}
	defer p.Stop(context.WithoutCancel(ctx)) // bounded; what it said is all that counts
	d, err := p.Client().Describe(ctx)
	if err != nil {
		return document, err
	}
	document.Plugin = describe(d, p.SHA256())
	if req.Path == "" {
		return document, nil
	}
	inspection, err := p.Client().Inspect(ctx, req)
	if err != nil {
		return document, err
	}
	document.Checkpoint = checkpointOf(req, inspection)
	return document, nil
}

func (g *global) showInspection(d inspectDocument) error {
	if d.File != nil {
		if err := g.showFile(d.File); err != nil {
			return err
		}
	}
	p := d.Plugin
	if p == nil {
		return nil
	}
	if d.File != nil {
		fmt.Fprintln(g.std.out)
	}
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
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

// showFile shows what a GGUF file holds.
func (g *global) showFile(f *contents.File) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	template := "none: it is a model without chats"
	if f.Template {
		template = "in the file"
	}
	for _, line := range [][2]string{
		{"file", words(f.Parts)}, {"architecture", f.Architecture}, {"model", f.Name}, {"parameters", fmt.Sprint(f.Parameters)}, {"bytes", plan.Size(f.Bytes)},
		{"layers", fmt.Sprint(f.Layers)}, {"context", fmt.Sprint(f.Context)}, {"tokens", strings.TrimSpace(fmt.Sprintf("%d %s", f.Tokens, f.Splitter))}, {"template", template},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	for _, why := range f.Refused {
		fmt.Fprintf(w, "refused\t%s\n", why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(g.std.out)
	w = tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TENSOR\tNUMBER\tSHAPE\tPARAMETERS\tBYTES\tTYPE")
	for _, r := range f.Roles {
		fmt.Fprintf(w, "%s\t%d\t%v\t%d\t%d\t%s\n", r.Name, r.Tensors, r.Shape, r.Parameters, r.Bytes, strings.Join(r.Types, ", "))
	}
	return w.Flush()
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
