package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/devices"
	"github.com/inference-pio/inference-pio/host/internal/forecast"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// imagined is the machine of the flags, as far as it is not the one at hand.
type imagined struct {
	memory string
	gpus   []string
}

func newPlan(g *global) *cobra.Command {
	var m imagined
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would lie where, and how fast it would be, on this machine or any other, without loading anything",
		Long: `Shows what would lie where, what it would take, how fast it would be at best and what would have to give, for the models of models.toml on
this machine, or on one that --gpu and --memory imagine. Nothing is loaded: plugins are asked about their checkpoints, and measure how fast
this machine's memory is, which takes a moment.

--gpu MEMORY[,READ[,COPY[,FLOPS]]] stands for a card: what models may have of it, how fast it reads its memory (300GB/s unless it is told), how fast it is
copied to (25GB/s) and how fast it multiplies, which is what prompts are bound by (40TFLOP/s). Given several times it is gpu.0, gpu.1 and so on, in
place of the cards there are.`,
		Example: `  piohost plan                              this machine
  piohost plan --gpu 8GiB                   with a card of 8 GiB
  piohost plan --gpu 24GiB,1000GB/s,25GB/s,150TFLOP/s --gpu 8GiB --memory 64GiB`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&m.memory, "memory", "", "what models may have of the cpu's memory, such as 16GiB")
	cmd.Flags().StringArrayVar(&m.gpus, "gpu", nil, "a card: its memory, how fast it is read, is copied to and multiplies, such as "+cardLike)
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return g.plan(cmd.Context(), m, *asJSON) }
	return cmd
}

func (g *global) plan(ctx context.Context, m imagined, asJSON bool) error {
	d, problems, err := g.planned(ctx, m)
	if err != nil {
		return err
	}
	d.File, d.OK, d.Problems = g.config, len(problems) == 0, problemLines(problems)
	if asJSON {
		err = g.printJSON(d)
	} else {
		err = g.showPlan(d)
	}
	if len(problems) > 0 {
		return &codeError{exitUsage, problems}
	}
	return err
}

// planned forecasts, and says which entries could not be loaded.
func (g *global) planned(ctx context.Context, m imagined) (d planDocument, problems config.Problems, err error) {
	d.Models, d.Devices = []plannedModel{}, []plannedDevice{}
	c, err := config.Load(g.file())
	switch {
	case errors.As(err, &problems):
		return d, problems, nil
	case err != nil:
		return d, nil, err
	}
	memory, err := m.equip(c)
	if err != nil {
		return d, nil, &codeError{exitUsage, err}
	}
	log, err := g.pluginLog()
	if err != nil {
		return d, nil, err
	}
	plugins, err := openCatalog(ctx, c.Plugins, log, nil)
	if err != nil {
		return d, nil, err
	}
	var entries []config.Model
	var tables []sdk.LayerTable
	for i, entry := range c.Models {
		p, in, err := inspect(ctx, plugins, entry)
		switch {
		case ctx.Err() != nil:
			return d, nil, ctx.Err()
		case err != nil:
			problems = append(problems, problemOf(g.config, i, entry, err))
			continue
		}
		entry.Plugin = p.Name // for the questions that follow
		entries, tables = append(entries, entry), append(tables, in.Table)
	}
	list := forecast.Of(c, memory, runtime.GOMAXPROCS(0), entries, tables, asker(ctx, plugins))
	for i, m := range list {
		if ctx.Err() != nil {
			return d, nil, ctx.Err()
		}
		if m.Err != nil {
			at := slices.IndexFunc(c.Models, func(e config.Model) bool { return e.ID == m.Entry.ID })
			problems = append(problems, problemOf(g.config, at, m.Entry, m.Err))
			continue
		}
		d.Models = append(d.Models, plannedOf(m, tables[i]))
	}
	d.total(c, memory, list, len(m.gpus) > 0)
	return d, problems, nil
}

func asker(ctx context.Context, plugins *catalog.Catalog) forecast.Ask {
	return func(m config.Model, measure *sdk.Measurement) (sdk.Inspection, error) {
		p, err := plugins.Named(m.Plugin)
		if err != nil {
			return sdk.Inspection{}, err
		}
		req := m.Inspect()
		req.Measure = measure
		return plugins.Inspect(ctx, p, req)
	}
}

// equip gives c the devices of the machine, or those that are imagined, and says what memory there is.
func (m imagined) equip(c *config.Config) (schedule.Budget, error) {
	memory := schedule.BudgetOf(c, machine.Read())
	if m.memory != "" {
		bytes, err := config.ParseSize(m.memory)
		if err != nil {
			return memory, fmt.Errorf("--memory: %w", err)
		}
		memory = schedule.Budget{Bytes: bytes, From: "--memory"}
	}
	var found []config.Device
	for i, text := range m.gpus {
		d, err := card(i, text)
		if err != nil {
			return memory, fmt.Errorf("--gpu %s: %w", text, err)
		}
		found = append(found, d)
	}
	if len(m.gpus) == 0 {
		gpus, _ := devices.GPUs() // without any it is the cpu that computes; `piohost devices` says why
		found = devices.Found(gpus)
	}
	c.Equip(found)
	for i := range c.Devices {
		for _, f := range found {
			if d := &c.Devices[i]; d.Name == f.Name && len(m.gpus) > 0 {
				d.Read, d.Copy, d.FLOPS = f.Read, f.Copy, f.FLOPS
			}
		}
	}
	return memory, nil
}

// What an imagined card is taken for: a laptop's, behind a PCIe 4 link of 16 lanes.
const (
	cardRead  = 300e9
	cardCopy  = 25e9
	cardFLOPS = 40e12
	cardLike  = "8GiB,300GB/s,25GB/s,40TFLOP/s"
)

// card reads what cardLike is like, of which all but the first may be left out.
func card(number int, text string) (d config.Device, err error) {
	words := strings.Split(text, ",")
	d = config.Device{Name: fmt.Sprintf("gpu.%d", number), Read: cardRead, Copy: cardCopy, FLOPS: cardFLOPS}
	if len(words) > 4 {
		return d, errors.New("expected MEMORY[,READ[,COPY[,FLOPS]]], such as " + cardLike)
	}
	if d.Memory, err = config.ParseSize(words[0]); err != nil {
		return d, err
	}
	for i, to := range []*float64{&d.Read, &d.Copy} {
		if i+1 < len(words) && err == nil {
			if *to, err = config.ParseRate(words[i+1]); err != nil {
				err = fmt.Errorf("%w; expected a rate such as 25GB/s", err)
			}
		}
	}
	if len(words) == 4 && err == nil {
		d.FLOPS, err = config.ParseFLOPS(words[3])
	}
	return d, err
}

// plannedOf is a forecast as it is told.
func plannedOf(m forecast.Model, t sdk.LayerTable) plannedModel {
	line := plannedModel{ID: m.Entry.ID, Plugin: m.Entry.Plugin, Devices: []plannedPart{}, Modules: []plannedModule{}, Why: list(m.Plan.Why), Gives: list(m.Gives)}
	if !m.Known {
		return line
	}
	f := m.Fit
	line.Context, line.Sequences, line.Memory = f.Context, m.Sequences(), takenOf(f)
	line.Decode, line.DecodeLast, line.Prompt = m.Decode.First, m.Decode.Last, m.Prompt
	line.Cores, line.Shared = m.Cores, plannedShared{m.Shared.Cores, m.Shared.With, m.Shared.Decode.First, m.Shared.Decode.Last}
	for i, d := range m.Input.Devices {
		part := plannedPart{Name: d.Name, Bytes: d.Bytes, Taken: m.Plan.Bytes[i], Read: d.ReadRate, Copy: d.CopyRate, FLOPS: d.FLOPS,
			Buffer: m.Plan.Buffers[i].Bytes, Experts: m.Plan.Caches[i].Experts, ExpertsOf: m.Plan.Caches[i].Of, Hits: m.Plan.Caches[i].Hits, Through: m.Plan.Through[i]}
		if i == 0 {
			part.Bytes, part.Taken = f.Bytes(), f.Bytes()
		} else {
			part.Crossing = plan.Crossing(m.Input, i)
		}
		line.Devices = append(line.Devices, part)
	}
	for _, p := range m.Plan.Placements {
		line.Modules = append(line.Modules, plannedModule{p.Module, p.Device, p.Streamed})
	}
	return line
}

// total adds up what all models take of each device.
func (d *planDocument) total(c *config.Config, memory schedule.Budget, models []forecast.Model, imagined bool) {
	d.Memory = checkedMemory{Bytes: memory.Bytes, From: memory.From}
	for _, dev := range c.Devices {
		if dev.Name != "cpu" {
			d.Devices = append(d.Devices, plannedDevice{Name: dev.Name, Bytes: dev.Memory, Imagined: imagined && config.IsGPU(dev.Name)})
		}
	}
	for _, m := range models {
		if m.Err != nil || !m.Known {
			continue
		}
		d.Memory.Taken += m.Fit.Bytes()
		for i, dev := range m.Input.Devices {
			if n := slices.IndexFunc(d.Devices, func(p plannedDevice) bool { return p.Name == dev.Name }); n >= 0 {
				d.Devices[n].Taken += m.Plan.Bytes[i]
			}
		}
	}
}
