package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/sdk/plan"
)

// top.go is what `piohost top` knows of a host and the tables that it draws; how they get to a terminal is in topscreen.go.

func newTop(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "top", Short: "Watch devices, models and where their layers are", Args: noArgs,
		Long: `Shows what the devices hold, and of each model that is loaded or on its way how fast it is, where its layers are and what has moved, anew
each second. q leaves. With --once, or where the output is no terminal, it is shown once.

It asks the host at the configured address, or the one that --host names, which must have server.admin = true.`,
	}
	once := cmd.Flags().Bool("once", false, "show it once")
	g.hostFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := g.running()
		if err != nil {
			return err
		}
		d, err := r.top(cmd.Context())
		if err != nil {
			return err
		}
		in, out, ok := g.terminals()
		if *once || !ok {
			return d.write(g.std.out)
		}
		return watchTop(cmd.Context(), r, d, in, out)
	}
	return cmd
}

// topDocument is what is shown.
type topDocument struct {
	Devices []topDevice `json:"devices"`
	Models  []psLine    `json:"models"`

	places map[string]topPlaces // by model
	host   string
}

// topDevice is a device as /admin/ps has it.
type topDevice struct {
	Name   string `json:"name"`
	Used   int64  `json:"used"`
	Budget int64  `json:"budget"`
	Free   int64  `json:"free"`
	Total  int64  `json:"total"`
}

// topPlaces is where a model is, as /admin/placement has it.
type topPlaces struct {
	Modules []struct {
		ID       string   `json:"id"`
		Device   string   `json:"device"`
		Resident []string `json:"resident"`
	} `json:"modules"`
	Moves     uint64 `json:"moves"`
	Evictions uint64 `json:"evictions"`
	Hits      uint64 `json:"expert_hits"`
	Misses    uint64 `json:"expert_misses"`

	Fetched    int64 `json:"fetched"`
	Registered int64 `json:"registered"`
}

// top asks the host. A model that does not tell where it is is shown without.
func (r *remote) top(ctx context.Context) (*topDocument, error) {
	d := &topDocument{places: map[string]topPlaces{}, host: r.named}
	if err := r.read(ctx, "/admin/ps", d); err != nil {
		if said := (*apiError)(nil); errors.As(err, &said) {
			err = fmt.Errorf("%w; `piohost top` needs server.admin = true", err)
		}
		return nil, err
	}
	for _, m := range d.Models {
		if m.State != "ready" {
			continue
		}
		var p topPlaces
		if err := r.read(ctx, "/admin/placement/"+m.ID, &p); err == nil {
			d.places[m.ID] = p
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return d, nil
}

// write draws the tables.
func (d *topDocument) write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tUSED\tBUDGETS\tOTHERS\tFREE\tTOTAL")
	for _, v := range d.Devices {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, plan.Size(v.Used), sizeOr(v.Budget, "no limit"),
			sizeOr(v.Total-v.Free-v.Used, "-"), v.ofTotal(v.Free), v.ofTotal(v.Total))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "MODEL\tSTATE\tTOKENS/S\tREQUESTS\tLAYERS\tEXPERTS\tHITS\tREGISTERED\tMOVED\tUNTIL")
	now := time.Now()
	for _, m := range d.Models {
		if m.State == "unloaded" || m.State == "stopped" {
			continue
		}
		p := d.places[m.ID]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.State, m.rate(), m.requests(), p.layers(), p.experts(), p.hits(), p.registered(), p.moved(), m.until(now))
	}
	return w.Flush()
}

func sizeOr(bytes int64, otherwise string) string {
	if bytes <= 0 {
		return otherwise
	}
	return plan.Size(bytes)
}

// ofTotal is a size of a device that tells how much it has.
func (v topDevice) ofTotal(bytes int64) string {
	if v.Total == 0 {
		return "-"
	}
	return plan.Size(bytes)
}

// layers says how many are on which device: "gpu.0 3, cpu 1".
func (p topPlaces) layers() string {
	var order []string
	count := map[string]int{}
	for _, m := range p.Modules {
		if n, ok := strings.CutPrefix(m.ID, "layers."); !ok || strings.Contains(n, ".") {
			continue
		}
		if count[m.Device]++; count[m.Device] == 1 {
			order = append(order, m.Device)
		}
	}
	slices.SortStableFunc(order, func(a, b string) int { // the cpu last: it has what found no other place
		return map[bool]int{true: 1}[a == "cpu"] - map[bool]int{true: 1}[b == "cpu"]
	})
	var words []string
	for _, device := range order {
		words = append(words, fmt.Sprintf("%s %d", device, count[device]))
	}
	return orHyphen(strings.Join(words, ", "))
}

// experts says how many of them a device has: "12 of 64".
func (p topPlaces) experts() string {
	there, all := 0, 0
	for _, m := range p.Modules {
		if !strings.Contains(m.ID, ".experts.") {
			continue
		}
		all++
		if slices.ContainsFunc(m.Resident, func(d string) bool { return d != "cpu" }) {
			there++
		}
	}
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", there, all)
}

func (p topPlaces) hits() string {
	if p.Hits+p.Misses == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(p.Hits)/float64(p.Hits+p.Misses))
}

// registered is the part of what is copied again and again that is copied from where it lies.
func (p topPlaces) registered() string {
	if p.Fetched == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(p.Registered)/float64(p.Fetched))
}

func (p topPlaces) moved() string {
	if p.Moves+p.Evictions == 0 {
		return "-"
	}
	return fmt.Sprintf("%d, %d given up", p.Moves, p.Evictions)
}

// terminals are where a person sits; false where nobody does.
func (g *global) terminals() (in, out *os.File, ok bool) {
	in, out = fileOf(g.std.in), fileOf(g.std.out)
	return in, out, in != nil && out != nil && isTerminal(in) && obeys(out)
}
