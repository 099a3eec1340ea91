// bench.go is the command that measures a model as a client sees it, beside what the machine can do and beside other engines.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/limits"
	"github.com/inference-pio/inference-pio/sdk"
)

// benchFlags are what is to be measured.
type benchFlags struct {
	prompt, generate, depth, streams []int
	repeat, threads                  int
	dummy                            bool
	peers, peerModels                []string
}

// Bounds of what can be asked: of tokens more than any context, of the others more than anybody waits for.
const (
	maxBenchTokens  = 1 << 24
	maxBenchRepeat  = 1000
	maxBenchThreads = 4096
)

func newBench(g *global) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure a model's speed beside the machine's limits and other engines",
		Long: `Measure how fast a model computes prompts (prefill) and answers (decode), as a client sees it: over HTTP, as a stream. MODEL is a
name, or the path of a checkpoint's folder. It is loaded for this measurement as a host would load it; prompts are random ids, no two alike.

Beside each figure stands the limit: what the memory and the cores allow, measured in the same run, and the share of it that is reached. A
token reads every weight it needs and its cache once, and multiplies by each of these weights; attention is not counted.

--peer names a llama-bench, of llama.cpp or ik_llama.cpp, or any program that takes its flags and prints its JSON. It runs in turns
with the model, and the ratio stands beside each figure that both have: more than 1 is faster than the best of the peers.`,
		Example: `  piohost bench MODEL
  piohost bench MODEL --prompt 512,8192 --depth 0,8192 --streams 1,8
  piohost bench MODEL --peer "llama.cpp/llama-bench -fa 1" --peer "ik/llama-bench -rtr 1" --peer-model model-bf16.gguf
  piohost bench --dummy ./shape     invented weights: the folder needs only a config.json`,
		Args:              takes(1, 1),
		ValidArgsFunction: g.completeModel,
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&g.plugin, "plugin", "", "of a checkpoint's path: the `NAME` of the plugin, where several can run it")
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return &codeError{exitUsage, err}
		}
		d, err := g.bench(cmd.Context(), args[0], f)
		if err != nil {
			return err
		}
		if *asJSON {
			return g.printJSON(d)
		}
		return g.showBench(d)
	}
	return cmd
}

func (f *benchFlags) add(flags *pflag.FlagSet) {
	flags.IntSliceVar(&f.prompt, "prompt", []int{512}, "`TOKENS` of prompts to compute; may be several")
	flags.IntSliceVar(&f.generate, "generate", []int{64}, "`TOKENS` of answers; may be several")
	flags.IntSliceVar(&f.depth, "depth", []int{0}, "`TOKENS` of context before them; may be several")
	flags.IntSliceVar(&f.streams, "streams", []int{1, 8}, "`HOW` many answers at once; may be several")
	flags.IntVar(&f.repeat, "repeat", 3, "measure so many `TIMES`; the middle counts")
	flags.IntVar(&f.threads, "threads", 0, "`HOW` many threads compute, in place of threads in models.toml")
	flags.BoolVar(&f.dummy, "dummy", false, "invented weights of the checkpoint's shapes")
	flags.StringArrayVar(&f.peers, "peer", nil, "a llama-bench, with further words it takes: `\"PROGRAM FLAGS\"`; may be given several times")
	flags.StringSliceVar(&f.peerModels, "peer-model", nil, "the `FILE` that the peers load, such as model-bf16.gguf; may be several")
}

func (f *benchFlags) check() error {
	for _, list := range []struct {
		flag      string
		values    []int
		low, high int
	}{
		{"prompt", f.prompt, 1, maxBenchTokens}, {"generate", f.generate, 2, maxBenchTokens}, {"depth", f.depth, 0, maxBenchTokens},
		{"streams", f.streams, 1, sdk.MaxSequences}, {"repeat", []int{f.repeat}, 1, maxBenchRepeat}, {"threads", []int{f.threads}, 0, maxBenchThreads},
	} {
		for _, v := range list.values {
			if v < list.low || v > list.high {
				return fmt.Errorf("--%s %d: expected %d to %d", list.flag, v, list.low, list.high)
			}
		}
	}
	switch {
	case len(f.prompt)+len(f.generate) == 0:
		return errors.New("nothing to measure; give --prompt or --generate")
	case len(f.peers) > 0 && len(f.peerModels) == 0:
		return errors.New("--peer needs --peer-model: the file that it is to load")
	case len(f.peers) == 0 && len(f.peerModels) > 0:
		return errors.New("--peer-model needs --peer: the llama-bench that is to load it")
	}
	return nil
}

// bench loads the model and measures it.
func (g *global) bench(ctx context.Context, model string, f benchFlags) (*benchDocument, error) {
	alone, err := g.aloneFor(model, f)
	if err != nil {
		return nil, err
	}
	peers, err := findPeers(ctx, f)
	if err != nil {
		return nil, err
	}
	d, work, err := g.inspected(ctx, alone, f)
	if err != nil {
		return nil, err
	}
	if served, _ := local(alone).models(ctx); len(served) > 0 {
		fmt.Fprintf(g.std.err, "a host serves at %s; what it computes meanwhile is missing here\n", alone.Server.Listen)
	}
	m := &measurement{work: work, document: d, peers: peers, flags: f, tell: g.console.show}
	defer g.console.show("")
	return d, g.withHost(ctx, alone, func(r *remote) error { return m.run(ctx, r) })
}

// aloneFor is the configuration of a host that serves the model and nothing else, as models.toml and the flags have it.
func (g *global) aloneFor(model string, f benchFlags) (*config.Config, error) {
	c, err := g.load()
	switch {
	case isPath(model) && !(err == nil && known(c, model)):
		if g.absent() {
			c, err = nil, nil
		}
		if err == nil {
			c, err = g.aloneAt(c, model)
		}
	case err == nil:
		entry, ok := c.Model(model)
		if !ok {
			return nil, &codeError{exitUsage, unknownModel(model, c)}
		}
		alone := *c
		alone.Models, c = []config.Model{entry}, &alone
	}
	if err != nil {
		return nil, err
	}
	c.Models = slices.Clone(c.Models)
	entry := &c.Models[0]
	entry.Threads = cmp.Or(f.threads, entry.Threads)
	if f.dummy {
		entry.Weights = "dummy"
	}
	return c, nil
}

// inspected asks the plugin what the model takes, and gives the entry as many sequences as are to be decoded together.
func (g *global) inspected(ctx context.Context, alone *config.Config, f benchFlags) (*benchDocument, workload, error) {
	log, err := g.pluginLog()
	if err != nil {
		return nil, workload{}, err
	}
	plugins, err := openCatalog(ctx, alone.Plugins, log, nil)
	if err != nil {
		return nil, workload{}, err
	}
	entry := &alone.Models[0]
	plugin, in, err := inspect(ctx, plugins, *entry)
	if err != nil {
		return nil, workload{}, &codeError{exitLoad, err}
	}
	if most := slices.Max(append([]int{1}, f.streams...)); len(f.generate) > 0 && in.Table.MaxSequences < most {
		entry.MaxSequences = most
	}
	return &benchDocument{
		Model: entry.ID, Plugin: plugin.Name, Version: plugin.Version, Threads: cmp.Or(entry.Threads, runtime.GOMAXPROCS(0)),
		Peers: []benchPeer{}, Cells: []benchCell{}, Limits: benchLimits{Reads: []float64{}, Peaks: []float64{}},
	}, workload{in.Table}, nil
}

// measurement is one run of the command.
type measurement struct {
	work     workload
	document *benchDocument
	peers    []*peer
	flags    benchFlags
	tell     func(line string)
}

// run takes everything once in each round, so that a machine that changes its speed changes it for all.
func (m *measurement) run(ctx context.Context, r *remote) error {
	d := m.document
	list, err := r.models(ctx)
	if err != nil {
		return err
	}
	for _, served := range list {
		d.Context = served.Context
	}
	cells, err := planCells(m.flags, d.Context)
	if err != nil {
		return &codeError{exitUsage, err}
	}
	c := &benchClient{remote: r, model: d.Model, vocab: m.work.VocabSize, random: newRandom()}
	if err := c.warm(ctx); err != nil {
		return err
	}
	for round := range m.flags.repeat {
		if err := m.round(ctx, c, cells, fmt.Sprintf("%s: round %d of %d, ", d.Model, round+1, m.flags.repeat)); err != nil {
			return err
		}
	}
	m.conclude(cells)
	return nil
}

func (m *measurement) round(ctx context.Context, c *benchClient, cells []*cell, where string) error {
	m.tell(where + "the machine's limits")
	before, err := m.limits()
	if err != nil {
		return err
	}
	for _, cell := range cells {
		m.tell(where + cell.String())
		rate, err := c.measure(ctx, cell)
		if err != nil {
			return fmt.Errorf("%s: %w", cell, err)
		}
		behind, err := m.limits()
		if err != nil {
			return err
		}
		cell.samples, cell.beside = append(cell.samples, rate), append(cell.beside, mean(before, behind))
		before = behind
	}
	for _, p := range m.peers {
		m.tell(where + p.name)
		if err := p.measure(ctx, cells, m.document.Threads); err != nil {
			return err
		}
	}
	return nil
}

// limits measures the machine while the model has nothing to do.
func (m *measurement) limits() (limits.Rates, error) {
	r, err := limits.Measure(m.document.Threads)
	if err != nil {
		return r, err
	}
	l := &m.document.Limits
	l.Reads, l.Peaks = append(l.Reads, r.Read), append(l.Peaks, r.FLOPS)
	l.Read, l.FLOPS = slices.Max(l.Reads), slices.Max(l.Peaks)
	return r, nil
}

// conclude puts the figures into the document.
func (m *measurement) conclude(cells []*cell) {
	for _, p := range m.peers {
		m.document.Peers = append(m.document.Peers, benchPeer{p.name, p.command(), p.model, p.build})
	}
	for _, c := range cells {
		m.document.Cells = append(m.document.Cells, m.work.line(c, m.peers))
	}
}
