package plan

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/inference-pio/inference-pio/sdk"
)

// Each file of testdata is a list of commands with what comes of them, which one can read and change: go test -rewrite writes it anew.
func TestPlans(t *testing.T) {
	datadriven.Walk(t, "testdata/plans", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			in, err := parse(d.Input)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			switch d.Cmd {
			case "plan":
				return outcome(in)
			case "crossing":
				return crossings(in)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

// crossings says for each device from how many rows on a pass is streamed through it.
func crossings(in Input) string {
	var b strings.Builder
	for d := 1; d < len(in.Devices); d++ {
		n := Crossing(in, d)
		fmt.Fprintf(&b, "%s: %d rows", in.Devices[d].Name, n)
		for _, rows := range []int{n - 1, n} {
			if n > 0 {
				in.Rows = rows
				p := newPlanner(in)
				it := &p.modules[p.layers[0]]
				fmt.Fprintf(&b, "; a layer of %d takes %s on the cpu, %s there", rows, duration(it.seconds[0]), duration(max(it.seconds[d], it.copySeconds(in.Devices[d]))))
			}
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func outcome(in Input) string {
	p, err := Make(in)
	if err != nil {
		return fmt.Sprintf("%s: %v\n", sdk.ReasonOf(err), err)
	}
	var b strings.Builder
	for _, line := range p.Why {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintf(&b, "%s a pass\n", duration(p.Seconds))
	if in.Rows > 1 {
		fmt.Fprintf(&b, "%s a decoded token\n", duration(Time(in, p, 1, in.Depth)))
	}
	return b.String()
}

// parse reads lines such as
//
//	pass rows=1 positions=2048 sequences=2
//	device far bytes=1MiB scratch=4KiB copy=2e9 read=1e10 flops=1e12
//	module lm_head weights=1MiB active=1MiB flops=2e6 state=0 fixed=0
//	layers 4 weights=...
func parse(text string) (in Input, err error) {
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		name := ""
		if words[0] != "pass" {
			name, words = words[1], words[1:]
		}
		v := map[string]float64{}
		for _, w := range words[1:] {
			key, value, _ := strings.Cut(w, "=")
			if v[key], err = number(value); err != nil {
				return in, err
			}
		}
		m := sdk.Module{ID: name, WeightBytes: int64(v["weights"]), ActiveBytesToken: int64(v["active"]), StateBytesToken: int64(v["state"]),
			StateBytesSeq: int64(v["fixed"]), FLOPsToken: v["flops"], Ops: int(v["ops"])}
		if _, ok := v["active"]; !ok {
			m.ActiveBytesToken = m.WeightBytes
		}
		switch strings.Fields(line)[0] {
		case "pass":
			in.Rows, in.Positions, in.Sequences = int(v["rows"]), int(v["positions"]), int(v["sequences"])
			in.Depth, in.Skew = int(v["depth"]), v["skew"]
		case "device":
			in.Devices = append(in.Devices, Device{name, int64(v["bytes"]), int64(v["scratch"]), v["copy"], v["read"], v["flops"], v["op"], v["turn"], v["beside"], v["takes"], v["staged_rate"], v["staged_takes"], v["staged"], v["slower"]})
		case "module":
			in.Modules = append(in.Modules, m)
		case "layers":
			n, err := strconv.Atoi(name)
			if err != nil {
				return in, err
			}
			for i := range n {
				m.ID = fmt.Sprintf("layers.%d", i)
				in.Modules = append(in.Modules, m)
			}
		case "experts": // of each layer so far
			n, err := strconv.Atoi(name)
			if err != nil {
				return in, err
			}
			for _, layer := range in.Modules {
				for i := range n {
					if isLayer(layer.ID) {
						m.ID = fmt.Sprintf("%s.mlp.experts.%d", layer.ID, i)
						in.Modules = append(in.Modules, m)
					}
				}
			}
		default:
			return in, fmt.Errorf("unknown line %q", line)
		}
	}
	return in, nil
}

func number(s string) (float64, error) {
	scale := 1.0
	for unit, f := range map[string]float64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			s, scale = n, f
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	return v * scale, err
}
