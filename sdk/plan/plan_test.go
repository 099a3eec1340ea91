package plan

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

var rewrite = flag.Bool("rewrite", false, "write the results into testdata")

// Each testdata file is a list of cases: lines that describe the input, "----", and the plan in words up to an empty line.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runFile(t, file) })
	}
}

func runFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, c := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		head, _, _ := strings.Cut(c, "----")
		in, err := parse(head)
		if err != nil {
			t.Fatalf("%s: %v in\n%s", file, err, head)
		}
		fmt.Fprintf(&out, "%s----\n%s\n", head, outcome(in))
	}
	got := strings.TrimRight(out.String(), "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(text) {
		t.Errorf("the plans differ; go test -rewrite shows how. Now:\n%s", got)
	}
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
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
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
			StateBytesSeq: int64(v["fixed"]), FLOPsToken: v["flops"]}
		if _, ok := v["active"]; !ok {
			m.ActiveBytesToken = m.WeightBytes
		}
		switch strings.Fields(line)[0] {
		case "pass":
			in.Rows, in.Positions, in.Sequences = int(v["rows"]), int(v["positions"]), int(v["sequences"])
		case "device":
			in.Devices = append(in.Devices, Device{name, int64(v["bytes"]), int64(v["scratch"]), v["copy"], v["read"], v["flops"]})
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
