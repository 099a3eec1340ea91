package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// figures.go reads what parts say: tests and benchmarks as Go prints them, or JSON.

// figure is one benchmark: what it was, and its numbers by their units.
type figure struct {
	Name   string             `json:"name"`
	Values map[string]float64 `json:"values"`
}

func (f figure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-52s", f.Name)
	for _, unit := range slices.Sorted(maps.Keys(f.Values)) {
		fmt.Fprintf(&b, " %12.5g %s", f.Values[unit], unit)
	}
	return b.String()
}

var (
	verdict   = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	benchmark = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+((?:\s+[-+.eE\d]+ \S+)+)\s*$`)
	panicked  = regexp.MustCompile(`(?m)^(panic: |fatal error: |SIGSEGV|signal: )`)
	// The line behind a skip says why.
	skipped = regexp.MustCompile(`(?m)^\s*--- SKIP: .*\n\s+(\S.*)$`)
)

// read takes from what a part said all that a later reader wants.
func (r *record) read(part, said string) {
	for _, m := range verdict.FindAllStringSubmatch(said, -1) {
		switch m[1] {
		case "PASS":
			r.Passed++
		case "FAIL":
			r.Failed = append(r.Failed, m[2])
		}
	}
	for _, m := range skipped.FindAllStringSubmatch(said, -1) {
		r.Skipped = append(r.Skipped, m[1])
	}
	if panicked.MatchString(said) {
		r.Failed = append(r.Failed, "a panic")
	}
	model := strings.TrimSuffix(strings.TrimPrefix(part, "time-"), "-batches")
	for _, m := range benchmark.FindAllStringSubmatch(said, -1) {
		r.Figures = append(r.Figures, figureOf(model, m[1], m[2]))
	}
	if text := strings.TrimSpace(said); json.Valid([]byte(text)) {
		r.Said = json.RawMessage(text)
	}
}

// figureOf names it by its model and what is timed, without the benchmark's own name.
func figureOf(model, name, numbers string) figure {
	if _, rest, ok := strings.Cut(name, "/"); ok && strings.HasPrefix(name, "GPU") {
		name = model[:strings.LastIndexByte(model, '-')] + "/" + rest
	}
	f := figure{name, map[string]float64{}}
	words := strings.Fields(numbers)
	for i := 0; i+1 < len(words); i += 2 {
		if x, err := strconv.ParseFloat(words[i], 64); err == nil {
			f.Values[words[i+1]] = x
		}
	}
	return f
}

// target is the share that a figure is to reach: of what the memory allows, for prompts of the rate of products that peer.py measures, for copies of
// the link.
var targets = []struct {
	name  string
	share float64
}{
	{"qwen3_0_6b/bf16/decode/batch=1", 75}, {"qwen3_4b_instruct/bf16/decode/batch=1", 80}, {"qwen3_coder_30b/bf16/decode/batch=1", 80},
	{"qwen3_coder_next/fp8/decode/batch=1", 60}, {"glm_4_7_flash/bf16/decode/batch=1", 60}, {"/decode/batch=64", 50}, {"/prefill/", 60}, {copies, 90},
}

// copies is the figure of the link's rate.
const copies = "Rates"

func targetOf(name string) float64 {
	for _, t := range targets {
		if strings.Contains(name, t.name) {
			return t.share
		}
	}
	return 0
}

// peers of a figure are those of other engines that peer.py prints under the same name behind its own.
const peer = "transformers/"

// table is the figures, each beside its limit, what it is to reach of that, and what another engine does.
func table(list []figure) string {
	byName := map[string]figure{}
	for _, f := range list {
		byName[f.Name] = f
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| what | tok/s | GB/s or TFLOP/s | share of the limit | target | transformers, tok/s | times as fast |\n|---|--:|--:|--:|--:|--:|--:|")
	for _, f := range list {
		if strings.HasPrefix(f.Name, peer) || f.Values["tok/s"] == 0 && f.Name != copies {
			continue
		}
		what, rate, share := f.Name, f.Values["GB/s"], f.Values["%read"]
		switch {
		case f.Name == copies:
			what, rate, share = "copies from the host", f.Values[fromHost], f.Values[ofLink]
		case rate == 0:
			rate = f.Values["TFLOP/s"]
			if products := byName[peer+"products"].Values["TFLOP/s"]; products > 0 {
				share = 100 * rate / products
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", what, number(f.Values["tok/s"], ""), number(rate, ""), number(share, " %"), number(targetOf(f.Name), " %"),
			number(byName[peer+f.Name].Values["tok/s"], ""), number(ratio(f.Values["tok/s"], byName[peer+f.Name].Values["tok/s"]), ""))
	}
	return b.String()
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// number is one that may be unknown.
func number(x float64, unit string) string {
	if x == 0 {
		return ""
	}
	return strconv.FormatFloat(x, 'g', 4, 64) + unit
}
