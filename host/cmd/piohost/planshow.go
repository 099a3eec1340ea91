// planshow.go draws what `piohost plan` has found.
package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/forecast"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

func (g *global) showPlan(d planDocument) error {
	w := &planWriter{w: g.std.out}
	for _, m := range d.Models {
		w.model(m)
	}
	if t := d.Memory; t.Taken > 0 {
		w.print("cpu: %s of %s of memory are taken (%s)\n", plan.Size(t.Taken), plan.Size(t.Bytes), t.From)
	}
	for _, dev := range d.Devices {
		note := ""
		if dev.Imagined {
			note = ", imagined"
		}
		w.print("%s: %s of %s are taken%s\n", dev.Name, plan.Size(dev.Taken), plan.Size(dev.Bytes), note)
	}
	return w.err
}

func takenOf(f plan.Fit) takenLine {
	return takenLine{f.Bytes(), f.Weights, f.Cache, f.State, f.Scratch, f.Spill}
}

// parts tells what the total is made of.
func (t takenLine) parts() string {
	text := fmt.Sprintf("weights %s, cache %s, state %s, scratch %s", plan.Size(t.Weights), plan.Size(t.Cache), plan.Size(t.State), plan.Size(t.Scratch))
	if t.Spill > 0 {
		text += fmt.Sprintf(", %s to spill to", plan.Size(t.Spill))
	}
	return text
}

// planWriter keeps the first error.
type planWriter struct {
	w   io.Writer
	err error
}

func (w *planWriter) print(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}

func (w *planWriter) model(m plannedModel) {
	w.print("%s: %s\n", m.ID, m.Plugin)
	if m.Memory.Total == 0 {
		w.print("    the plugin does not tell what it takes\n")
		return
	}
	w.print("    context %d, room for %d of it at once\n", m.Context, m.Sequences)
	w.print("    %s of the cpu's memory: %s\n", plan.Size(m.Memory.Total), m.Memory.parts())
	if len(m.Modules) == 0 {
		w.print("    the plugin does not tell how fast devices are\n")
		return
	}
	w.drawing(m)
	for _, why := range m.Why {
		w.print("    %s\n", why)
	}
	w.print("    at best %s tokens a second, %s with a full context; %s of a prompt\n", forecast.Rate(m.Decode), forecast.Rate(m.DecodeLast), forecast.Rate(m.Prompt))
	w.cores(m)
	for _, p := range m.Devices {
		if p.Crossing > 1 && m.leavesLayers() {
			w.print("    from %d rows of a prompt on it would be quicker to bring a layer to %s than to compute it on the cpu\n", p.Crossing, p.Name)
		}
	}
	for _, give := range m.Gives {
		w.print("    %s\n", give)
	}
}

// cores says on how many the model computes, and what is left of its speed where it shares them.
func (w *planWriter) cores(m plannedModel) {
	text := fmt.Sprintf("%d of the cores compute it", m.Cores)
	if m.Cores == 1 {
		text = "one core computes it"
	}
	if s := m.Shared; s.Cores < m.Cores {
		text += fmt.Sprintf("; while all models work it has %d of them, and at best %s tokens a second", s.Cores, forecast.Rate(s.Decode))
	}
	w.print("    %s\n", text)
}

// leavesLayers says whether some layer is computed on the cpu.
func (m plannedModel) leavesLayers() bool {
	return slices.ContainsFunc(m.Modules, func(p plannedModule) bool {
		n, ok := strings.CutPrefix(p.ID, "layers.")
		return ok && !strings.Contains(n, ".") && p.Device == "cpu"
	})
}

// drawing is a line with a sign for each module that is no expert, in the order of the forward pass.
func (w *planWriter) drawing(m plannedModel) {
	signs, legend := map[string]string{"cpu": "."}, []string{". cpu"}
	for i, p := range m.Devices {
		if i > 0 {
			sign := "0123456789abcdefghijklmnopqrstuvwxyz"[(i-1)%36]
			signs[p.Name] = string(sign)
			legend = append(legend, fmt.Sprintf("%c %s", sign, p.Name))
		}
	}
	var line strings.Builder
	streamed := false
	for _, p := range m.Modules {
		switch {
		case strings.Contains(p.ID, ".experts."):
		case p.Streamed:
			line.WriteString("~")
			streamed = true
		default:
			line.WriteString(signs[p.Device])
		}
	}
	if streamed {
		legend = append(legend, "~ streamed")
	}
	w.print("    [%s]  %s\n", line.String(), strings.Join(legend, ", "))
}
