package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/sdk/plan"
)

func newPs(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ps", Short: "Show which models are loaded, what they hold and do, and until when", Args: noArgs,
		Long: `Show which models are loaded or on their way, what they hold and do, and until when.

It asks the host at the configured address, or the one that --host names. Without server.admin = true that tells states alone.`,
	}
	all := cmd.Flags().Bool("all", false, "show those that are away, too")
	asJSON := jsonFlag(cmd.Flags())
	g.hostFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, told, err := g.ps(cmd.Context())
		if err != nil {
			return err
		}
		if !*all {
			d.Models = slices.DeleteFunc(d.Models, func(p psLine) bool { return p.State == "unloaded" || p.State == "stopped" })
		}
		if *asJSON {
			return g.printJSON(d)
		}
		return g.showPs(d, told)
	}
	return cmd
}

// psDocument is that of `ps`.
type psDocument struct {
	Host   string   `json:"host"`
	Models []psLine `json:"models"`
}

// psLine is a model as /admin/ps has it.
type psLine struct {
	ID       string     `json:"id"`
	State    string     `json:"state"`
	Reason   string     `json:"reason"`
	Size     int64      `json:"size"`
	Share    int64      `json:"share"`
	Devices  []psDevice `json:"devices"`
	Spill    *psSpill   `json:"spill,omitempty"`
	Context  int        `json:"context"`
	Running  int        `json:"running"`
	Waiting  int        `json:"waiting"`
	Rate     float64    `json:"tokens_per_second"`
	OnDemand bool       `json:"on_demand"`
	Pinned   bool       `json:"pinned"`
	Until    string     `json:"until"`
	Used     string     `json:"used"`
}

type psDevice struct {
	Name string `json:"name"`
	Used int64  `json:"used"`
}

type psSpill struct {
	Used   int64 `json:"used"`
	Budget int64 `json:"budget"`
}

// ps asks the host. One that answers no operators is asked for what it tells everybody, which is states alone; told is then false.
func (g *global) ps(ctx context.Context) (d psDocument, told bool, err error) {
	r, err := g.running()
	if err != nil {
		return d, false, err
	}
	d = psDocument{Host: r.named, Models: []psLine{}}
	err = r.read(ctx, "/admin/ps", &d)
	var refused *apiError
	if err == nil || !errors.As(err, &refused) || refused.Code != "not_found" {
		return d, true, err
	}
	fmt.Fprintln(g.std.err, "the host tells more with server.admin = true")
	list, err := r.models(ctx)
	for _, m := range list {
		d.Models = append(d.Models, psLine{ID: m.ID, State: m.State, Reason: m.Reason, Context: m.Context, Devices: []psDevice{}})
	}
	return d, false, err
}

// read gets a document of the host's.
func (r *remote) read(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("no host answers at %s: %w", r.named, unreachable(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(into)
}

func (g *global) showPs(d psDocument, told bool) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tSTATE\tSIZE\tDEVICE\tCONTEXT\tREQUESTS\tTOKENS/S\tUNTIL")
	for _, p := range d.Models {
		requests, until := "-", "-"
		if told {
			requests, until = p.requests(), p.until(time.Now())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.State, p.size(), p.where(), orDash(p.Context), requests, p.rate(), until)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range d.Models {
		if s := p.Spill; s != nil && s.Used > 0 {
			fmt.Fprintf(g.std.out, "\n%s has spilled %s of its cache to the cpu's memory, of %s that it may\n", p.ID, plan.Size(s.Used), plan.Size(s.Budget))
		}
		if p.Reason != "" {
			fmt.Fprintf(g.std.out, "\n%s is %s: %s\n", p.ID, p.State, p.Reason)
		}
	}
	return nil
}

// size is what it holds, or before it tells what it may.
func (p psLine) size() string {
	switch {
	case p.Size > 0:
		return plan.Size(p.Size)
	case p.Share > 0:
		return plan.Size(p.Share)
	}
	return "-"
}

func (p psLine) where() string {
	var names []string
	for _, d := range p.Devices {
		names = append(names, d.Name)
	}
	return orHyphen(strings.Join(names, "+"))
}

func (p psLine) requests() string {
	if p.Waiting > 0 {
		return fmt.Sprintf("%d, %d waiting", p.Running, p.Waiting)
	}
	return fmt.Sprint(p.Running)
}

func (p psLine) rate() string {
	if p.Rate == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", p.Rate)
}

func (p psLine) until(now time.Time) string {
	t, err := time.Parse(time.RFC3339, p.Until)
	switch {
	case err == nil:
		return "in " + max(0, t.Sub(now)).Round(time.Second).String()
	case p.State != "ready":
		return "-"
	case p.Running+p.Waiting > 0 && p.OnDemand:
		return "in use"
	case p.Pinned:
		return "pinned"
	}
	return "stays"
}
