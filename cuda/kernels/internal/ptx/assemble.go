package ptx

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// assemble.go puts PTX through NVIDIA's assembler and reads what that says: registers, spills, shared memory, and of the machine code what
// its inner loop consists of.

// Arch is a generation of GPUs, as much of it as decides how many blocks a multiprocessor holds.
type Arch struct {
	Name            string
	Threads, Blocks int // of a multiprocessor
	Shared          int // bytes of a multiprocessor
}

// Arches are those that the PTX is assembled for: A100, RTX 30, RTX 40, H100, B200, RTX 50. The figures are of the CUDA programming
// guide's table of compute capabilities; a multiprocessor of each has 65,536 registers.
var Arches = []Arch{
	{"sm_80", 2048, 32, 164 << 10}, {"sm_86", 1536, 16, 100 << 10}, {"sm_89", 1536, 24, 100 << 10},
	{"sm_90", 2048, 32, 228 << 10}, {"sm_100", 2048, 32, 228 << 10}, {"sm_120", 1536, 24, 100 << 10},
}

// Hopper is the one whose machine code is counted.
const Hopper = "sm_90"

// Use is what a kernel needs of a multiprocessor.
type Use struct {
	Registers int // of a thread
	Stack     int // bytes of local memory: arrays that are indexed, and spills
	Spills    int // bytes of registers that are stored and loaded again, in the code
	Again     int // loads and stores of local memory that stand in a loop
	Shared    int // bytes, beside what a launch gives
}

// Warps is how many warps of blocks of so many threads a multiprocessor holds, and room how much dynamic shared memory each block can have
// without there being fewer.
func (a Arch) Warps(u Use, threads int) (warps, room int) {
	const registers, unit, kept = 65536, 256, 1 << 10 // a warp has a multiple of unit; a block costs kept bytes besides
	per := (threads + 31) / 32
	warp := (u.Registers*32 + unit - 1) / unit * unit
	blocks := min(a.Blocks, a.Threads/(32*per), registers/warp/per, a.Shared/(u.Shared+kept))
	if blocks == 0 {
		return 0, 0
	}
	return blocks * per, a.Shared/blocks - kept - u.Shared
}

// Tools are NVIDIA's programs, and the folder of its header.
type Tools struct{ Assembler, Disassembler, Include string }

// Install puts the tools into a folder with Python's pip. Nothing of them stays elsewhere.
func Install(folder string) (Tools, error) {
	for _, args := range [][]string{
		{"python3", "-m", "venv", folder},
		{filepath.Join(folder, "bin", "pip"), "install", "-q", "nvidia-cuda-nvcc==13.5.37", "nvidia-cuda-nvdisasm==13.5.37"},
	} {
		if said, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return Tools{}, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(said))
		}
	}
	bins, err := filepath.Glob(filepath.Join(folder, "lib", "python3*", "site-packages", "nvidia", "cu13", "bin"))
	if err != nil || len(bins) != 1 {
		return Tools{}, fmt.Errorf("%s: the packages have no nvidia/cu13/bin: %v", folder, err)
	}
	return Find(bins[0])
}

// Find is the tools of a folder.
func Find(folder string) (Tools, error) {
	t := Tools{filepath.Join(folder, "ptxas"), filepath.Join(folder, "nvdisasm"), filepath.Join(folder, "..", "include")}
	for _, path := range []string{t.Assembler, t.Disassembler, filepath.Join(t.Include, "cuda.h")} {
		if _, err := os.Stat(path); err != nil {
			return Tools{}, err
		}
	}
	return t, nil
}

// Assemble gives what each kernel of a PTX file needs on an arch, and if asked for its inner loop.
func (t Tools) Assemble(path, arch string, code bool) (map[string]Use, map[string]Loop, error) {
	out, err := os.CreateTemp("", "*.cubin")
	if err != nil {
		return nil, nil, err
	}
	out.Close()
	defer os.Remove(out.Name())
	said, err := exec.Command(t.Assembler, "-arch="+arch, "-v", path, "-o", out.Name()).CombinedOutput()
	if err != nil {
		return nil, nil, fmt.Errorf("%s for %s: %w\n%s", path, arch, err, bytes.TrimSpace(said))
	}
	uses, err := uses(string(said))
	for _, u := range uses {
		code = code || u.Stack > 0 // is it in a loop?
	}
	if err != nil || !code {
		return uses, nil, err
	}
	text, err := exec.Command(t.Disassembler, "-c", out.Name()).Output()
	loops, local := Loops(string(text))
	for name, u := range uses {
		u.Again = local[name]
		uses[name] = u
	}
	return uses, loops, err
}

var (
	compiling = regexp.MustCompile(`Compiling entry function '(\w+)'`)
	stack     = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	used      = regexp.MustCompile(`Used (\d+) registers`)
	shared    = regexp.MustCompile(`(\d+) bytes smem`)
)

// uses reads what the assembler says with -v.
func uses(said string) (map[string]Use, error) {
	all := map[string]Use{}
	name := ""
	for line := range strings.Lines(said) {
		if m := compiling.FindStringSubmatch(line); m != nil {
			name = m[1]
			all[name] = Use{}
		}
		u := all[name]
		if m := stack.FindStringSubmatch(line); m != nil {
			u.Stack, u.Spills = number(m[1]), number(m[2])+number(m[3])
		}
		if m := used.FindStringSubmatch(line); m != nil {
			u.Registers = number(m[1])
			if m := shared.FindStringSubmatch(line); m != nil {
				u.Shared = number(m[1])
			}
		}
		if name != "" {
			all[name] = u
		}
	}
	for name, u := range all {
		if u.Registers == 0 {
			return nil, fmt.Errorf("the assembler does not say what registers %s has", name)
		}
	}
	return all, nil
}

func number(s string) int {
	n, _ := strconv.Atoi(s) // the pattern has digits only
	return n
}

// Loop is what a kernel's inner loop consists of, each for one thread: the innermost loop with the most products of matrices, or else the
// most loads.
type Loop struct {
	Instructions int
	Matrix       int // products of matrices
	Fused        int // FFMA
	Special      int // exp2, reciprocals and such
	Bytes        int // loaded from global memory, copies to shared memory among them
	Shared       int // loads from shared memory
}

// Issue is the time that an H200 takes to issue the loop's instructions, as a part of what it takes to read what the loop loads, if all of
// that comes from memory: above 1 the kernel cannot reach the memory's speed. A multiprocessor issues an instruction of a warp in each of its
// four parts and reads 4.3 TB/s / 132 / 1.755 GHz = 18.6 bytes in a cycle.
func (l Loop) Issue() float64 {
	const parts, bytes = 4, 18.6
	return float64(l.Instructions) / parts / (float64(32*l.Bytes) / bytes)
}

var (
	section     = regexp.MustCompile(`^\.text\.(\w+):`)
	label       = regexp.MustCompile(`^(\.L_x_\d+):`)
	instruction = regexp.MustCompile(`^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)([^;]*);`)
	target      = regexp.MustCompile("`\\((\\.L_x_\\d+)\\)")
)

type step struct{ op, rest string }

// Loops finds each kernel's inner loop in the machine code's text, and how many of its loads and stores of local memory stand in a loop.
func Loops(code string) (all map[string]Loop, local map[string]int) {
	all, local = map[string]Loop{}, map[string]int{}
	var steps []step
	labels := map[string]int{}
	name := ""
	finish := func() {
		if name != "" {
			all[name], local[name] = inner(steps, labels)
		}
		steps, labels = nil, map[string]int{}
	}
	for line := range strings.Lines(code) {
		if m := section.FindStringSubmatch(line); m != nil {
			finish()
			name = m[1]
		} else if m := label.FindStringSubmatch(line); m != nil {
			labels[m[1]] = len(steps)
		} else if m := instruction.FindStringSubmatch(line); m != nil {
			steps = append(steps, step{m[1], m[2]})
		}
	}
	finish()
	return all, local
}

func inner(steps []step, labels map[string]int) (best Loop, local int) {
	type span struct{ from, to int }
	var loops []span
	for i, s := range steps {
		if m := target.FindStringSubmatch(s.rest); m != nil && strings.HasPrefix(s.op, "BRA") {
			if at, known := labels[m[1]]; known && at < i { // a jump of a step to itself is the padding behind the end
				loops = append(loops, span{at, i})
			}
		}
	}
	for _, l := range loops {
		innermost := true
		for _, o := range loops {
			if o != l && o.from >= l.from && o.to <= l.to {
				innermost = false
			}
		}
		if c := count(steps[l.from : l.to+1]); innermost && c.weight() > best.weight() {
			best = c
		}
	}
	for i, s := range steps {
		op, _, _ := strings.Cut(s.op, ".")
		if (op == "LDL" || op == "STL") && slices.ContainsFunc(loops, func(l span) bool { return l.from <= i && i <= l.to }) {
			local++
		}
	}
	return best, local
}

func (l Loop) weight() int { return l.Matrix<<40 + l.Bytes<<20 + l.Fused<<10 + l.Instructions }

func count(steps []step) (l Loop) {
	l.Instructions = len(steps)
	for _, s := range steps {
		switch op, _, _ := strings.Cut(s.op, "."); op {
		case "HMMA", "IMMA", "HGMMA", "QMMA", "QGMMA", "IGMMA", "UTCHMMA":
			l.Matrix++
		case "FFMA", "FFMA2":
			l.Fused++
		case "MUFU":
			l.Special++
		case "LDG", "LDGSTS":
			l.Bytes += width(s.op)
		case "LDS", "LDSM":
			l.Shared++
		}
	}
	return l
}

// width is how many bytes a thread loads.
func width(op string) int {
	for _, part := range strings.Split(op, ".") {
		switch part {
		case "128":
			return 16
		case "64":
			return 8
		case "U8", "S8":
			return 1
		case "U16", "S16":
			return 2
		}
	}
	return 4
}
