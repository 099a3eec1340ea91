package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/devices"
	"github.com/inference-pio/inference-pio/sdk/machine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

func newDevices(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "List what this machine can compute models on",
		Args:  noArgs,
	}
	asJSON := jsonFlag(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		d := devicesHere()
		if *asJSON {
			return g.printJSON(d)
		}
		return g.listDevices(d)
	}
	return cmd
}

// devicesHere asks the machine, and NVIDIA's driver if there is one.
func devicesHere() devicesDocument {
	d := devicesDocument{CPU: cpuDevice{Cores: runtime.GOMAXPROCS(0), Usable: machine.Read().Usable()}, GPUs: []devices.GPU{}}
	found, err := devices.GPUs()
	if err != nil {
		d.NoGPU = err.Error()
	}
	d.GPUs = append(d.GPUs, found...)
	return d
}

func (g *global) listDevices(d devicesDocument) error {
	w := tabwriter.NewWriter(g.std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tMEMORY\tFOR MODELS\tWHAT IT IS")
	fmt.Fprintf(w, "cpu\t-\t%s\t%d cores\n", sizeOrDash(d.CPU.Usable), d.CPU.Cores)
	for _, u := range d.GPUs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s, compute capability %s, driver for CUDA %s, at %s\n", u.Name, plan.Size(u.Memory), sizeOrDash(u.Usable), u.Title, u.Capability, u.Driver, u.PCI)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, u := range d.GPUs {
		if u.Refused != "" {
			fmt.Fprintf(g.std.out, "\n%s is not used: %s\n", u.Name, u.Refused)
		}
	}
	if d.NoGPU != "" {
		fmt.Fprintf(g.std.out, "\nno GPU is used: %s\n", d.NoGPU)
	}
	return nil
}

func sizeOrDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return plan.Size(n)
}

// equip joins what models.toml says of GPUs with what the machine has, and says in a line which are used, or why none.
func equip(c *config.Config, log *slog.Logger) {
	found, err := devices.GPUs()
	absent := c.Equip(devices.Found(found))
	for _, name := range absent {
		log.Warn("models.toml names a GPU that is not there; the cpu computes what was to lie on it", "device", name, "why", cmp.Or(sentence(err), "the driver shows no GPU of that number"))
	}
	switch names := c.GPUs(); {
	case names != "":
		log.Info("models may use GPUs", "devices", names)
	case err != nil && len(absent) == 0:
		log.Info("no GPU is used", "why", sentence(err))
	}
}

func sentence(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
