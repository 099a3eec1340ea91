// benchshow.go is the table of a measurement.
package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

func (g *global) showBench(d *benchDocument) error {
	fmt.Fprintf(g.std.out, "%s: %s %s, %d threads, context %d\n", d.Model, d.Plugin, d.Version, d.Threads, d.Context)
	l := d.Limits
	fmt.Fprintf(g.std.out, "memory is read at %.1f GB/s (%s)", l.Read/1e9, span(l.Reads, 1e9))
	if l.FLOPS > 0 {
		fmt.Fprintf(g.std.out, ", f32 is multiplied and added at %.0f GFLOP/s (%s)", l.FLOPS/1e9, span(l.Peaks, 1e9))
	}
	fmt.Fprint(g.std.out, "\n\n")
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join(d.columns(), "\t")+"\t")
	for _, c := range d.Cells {
		fmt.Fprintln(w, strings.Join(d.row(c), "\t")+"\t")
	}
	if err := w.Flush(); err != nil || len(d.Peers) == 0 {
		return err
	}
	fmt.Fprintln(g.std.out)
	for _, p := range d.Peers {
		fmt.Fprintf(g.std.out, "%s (%s, build %s)\n", p.Name, p.Program, p.Build)
	}
	return nil
}

// span is the lowest and the highest of some values.
func span(values []float64, unit float64) string {
	return fmt.Sprintf("%.1f to %.1f in this run", slices.Min(values)/unit, slices.Max(values)/unit)
}

func (d *benchDocument) columns() []string {
	names := []string{"CASE", "TOK/S", "LOW", "HIGH", "LIMIT", "SHARE", "BY"}
	if len(d.Peers) > 0 {
		names = append(names, "BEST PEER", "TOK/S", "RATIO")
	}
	return names
}

func (d *benchDocument) row(c benchCell) []string {
	of := cell{prefill: c.Kind == "prefill", tokens: c.Tokens, depth: c.Depth, streams: c.Streams}
	row := []string{of.String(), figure(c.Rate), figure(c.Low), figure(c.High), "-", "-", "-"}
	if c.Limit > 0 {
		row[4], row[5], row[6] = figure(c.Limit), fmt.Sprintf("%.0f %%", 100*c.Share), c.Bound
	}
	if len(d.Peers) == 0 {
		return row
	}
	for _, p := range c.Peers {
		if p.Name == c.Against {
			letter, _, _ := strings.Cut(p.Name, ":")
			return append(row, letter, figure(p.Rate), fmt.Sprintf("%.2f", c.Ratio))
		}
	}
	return append(row, "-", "-", "-")
}

// figure has three digits that say something.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
