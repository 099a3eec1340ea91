package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/contents"
	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

const inspectHelp = `Show what a checkpoint holds, a folder or a GGUF file: family, parameters, the types of its tensors, and which plugin takes it, or why none does; with BIN
what that plugin says of itself, and of the checkpoint, module by module.`

func newPluginInspect(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [BIN]",
		Short: "Show what is in a checkpoint and which plugin takes it, and what a plugin says of itself",
		Long:  inspectHelp,
		Args:  takes(0, 1),
	}
	model := cmd.Flags().String("model", "", "a checkpoint's folder, or a GGUF file")
	var req sdk.InspectRequest
	cmd.Flags().StringVar(&req.Quantize, "quantize", "", "as in models.toml: what its weights are quantised to")
	cmd.Flags().StringVar(&req.KVCache, "kv-cache", "", "as kv_cache in models.toml: what keys and values are kept in")
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && *model == "" {
			return &codeError{exitUsage, errors.New("an argument is missing; expected piohost plugin inspect BIN, or a checkpoint as --model")}
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

// inspect reads a checkpoint, and asks the plugin that is named about it, or else all. With an error comes what was found before it.
func (g *global) inspect(ctx context.Context, bin []string, req sdk.InspectRequest) (document inspectDocument, err error) {
	if len(bin) == 0 || regular.IsGGUF(req.Path) {
		file, err := contents.Read(req.Path)
		if err != nil {
			return document, err
		}
		document.File = &file
	}
	if len(bin) == 0 {
		return document, g.askAll(ctx, req, &document)
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

// askAll finds the plugin that would serve a checkpoint. That none does is no error, but what was asked for.
func (g *global) askAll(ctx context.Context, req sdk.InspectRequest, d *inspectDocument) error {
	d.Taken = &takenBy{Others: []string{}}
	f := g.finder(ctx)
	if f.noAsk != nil {
		d.Taken.Reason = fmt.Sprintf("no plugin could be asked: %v", f.noAsk)
		return nil
	}
	defer f.plugins.Keep()()
	p, in, others, err := f.plugins.Settle(ctx, req)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.Taken.Reason = err.Error()
		return nil
	}
	d.Taken.Plugin, d.Checkpoint = p.Name, checkpointOf(req, in)
	for _, o := range others {
		d.Taken.Others = append(d.Taken.Others, o.Name)
	}
	return nil
}

func (g *global) showInspection(d inspectDocument) error {
	if d.File != nil {
		if err := g.showFile(d.File); err != nil {
			return err
		}
	}
	p := d.Plugin
	if p == nil {
		return g.showTaken(d)
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

// showTaken shows which plugin takes a checkpoint, and what of it matters to whoever chooses.
func (g *global) showTaken(d inspectDocument) error {
	if d.Taken == nil { // the file could not be read
		return nil
	}
	if d.Checkpoint == nil {
		_, err := fmt.Fprintf(g.std.out, "\n%s\n", d.Taken.Reason)
		return err
	}
	also := ""
	if len(d.Taken.Others) > 0 {
		also = ", as would " + strings.Join(d.Taken.Others, " and ")
	}
	fmt.Fprintf(g.std.out, "\nthe plugin %s takes it%s\n", d.Taken.Plugin, also)
	short := *d.Checkpoint
	short.Modules = nil
	if err := g.showCheckpoint(&short); err != nil {
		return err
	}
	return g.showSizes(d.Checkpoint)
}

// showFile shows what a checkpoint holds.
func (g *global) showFile(f *contents.File) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	template := "none: it is a model without chats"
	if f.Template {
		template = "there is one"
	}
	parameters, files := fmt.Sprint(f.Parameters), words(f.Parts)
	if f.Codes != "" {
		parameters = ""
	}
	if n := len(f.Parts); n > 1 {
		files = fmt.Sprintf("%s and %d more", f.Parts[0], n-1)
	}
	for _, line := range [][2]string{
		{"file", files}, {"architecture", f.Architecture}, {"model", f.Name}, {"parameters", parameters}, {"bytes", plan.Size(f.Bytes)}, {"in codes of", f.Codes},
		{"layers", fmt.Sprint(f.Layers)}, {"context", fmt.Sprint(f.Context)}, {"tokens", strings.TrimSpace(fmt.Sprintf("%d %s", f.Tokens, f.Splitter))}, {"template", template},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
		}
	}
	for _, why := range f.Refused {
		fmt.Fprintf(w, "refused\t%s\n", why)
	}
	if err := w.Flush(); err != nil || len(f.Roles) == 0 {
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
	if err := g.showSizes(c); err != nil {
		return err
	}
	fmt.Fprintln(g.std.out)
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "MODULE\tNUMBER\tWEIGHTS\tSTATE/TOKEN\tSTATE/SEQUENCE\tMFLOP/TOKEN\t")
	for _, m := range joinExperts(c.Modules) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.3f\t\n", m.ID, m.number, m.WeightBytes, m.StateBytesToken, m.StateBytesSeq, m.FLOPsToken/1e6)
	}
	return w.Flush()
}

// showSizes shows what all modules together take, if they were told.
func (g *global) showSizes(c *describedCheckpoint) error {
	if len(c.Modules) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(g.std.out, "weights: %s%s\ncache of a position: %s%s\nnumerics: %s, unless its entry says otherwise\n",
		plan.Size(c.Weights), in(c.Quantize), plan.Size(c.Position), in(c.KVCache), c.Numerics)
	return err
}

// joinedModules is one module, or all experts of a layer.
type joinedModules struct {
	moduleLine
	number int
}

var expertID = regexp.MustCompile(`\.\d+$`)

// joinExperts puts the experts of a layer, which follow each other, into one line.
func joinExperts(modules []moduleLine) (lines []joinedModules) {
	for _, m := range modules {
		if group := expertID.ReplaceAllString(m.ID, ".N"); strings.HasSuffix(group, ".experts.N") {
			m.ID = group
		}
		last := len(lines) - 1
		if last < 0 || lines[last].ID != m.ID {
			lines = append(lines, joinedModules{m, 1})
			continue
		}
		l := &lines[last]
		l.number++
		l.WeightBytes += m.WeightBytes
		l.StateBytesToken += m.StateBytesToken
		l.StateBytesSeq += m.StateBytesSeq
		l.FLOPsToken += m.FLOPsToken
	}
	return lines
}
