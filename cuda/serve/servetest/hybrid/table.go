//go:build cuda && cgo

package hybrid

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// table.go makes the tables of docs/bench.md.

// EnvTable names a file that the whole table is appended to; without it a test makes some of its rows and keeps them to itself.
const EnvTable = "PIO_HYBRID"

// Test has a model answer on every machine with 0 to 100 % of its GPU, and fails where the plan was wrong by more than 15 %, or where the
// driver gave out more than the budget at any instant. 100 % is all that the model has a use for, or the GPU's memory.
func Test(t *testing.T, m Model) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	tenths := []int{0, 3, 10}
	if whole() {
		tenths = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	}
	if m.Tenths != nil {
		tenths = m.Tenths
	}
	columns := make([][]Point, len(m.Machines))
	for i, device := range m.Machines {
		t.Run(Machines[device].Name, func(t *testing.T) {
			all := m.wants(t, d, device)
			for _, tenth := range tenths {
				p := m.run(t, d, device, int64(tenth)*all/10)
				p.check(t, tenth, m.allowed())
				columns[i] = append(columns[i], p)
			}
		})
	}
	if whole() && !t.Failed() {
		write(t, m.table(tenths, columns))
	}
}

// AtOnce is Test of a mixture that is asked right behind its load, while pages of its experts are registered. Where no table is made it is a short one of a few layers.
func AtOnce(t *testing.T, m Model) {
	m.AtOnce = true
	if !whole() {
		m.Layers, m.Experts, m.Machines, m.Tenths = 16, 16, []int{1, 2}, []int{5}
	}
	Test(t, m)
}

// Whole skips a test that is none of the short ones.
func Whole(t *testing.T) {
	if !whole() {
		t.Skipf("capability: minutes, which make hybrid has; %s names the file that its table goes to", EnvTable)
	}
}

func whole() bool { return os.Getenv(EnvTable) != "" }

// allowed is by how much plans may be off.
func (m Model) allowed() float64 {
	if m.AtOnce {
		return allowedAtOnce
	}
	return allowedOff
}

// check says whether a point is as promised.
func (p Point) check(t *testing.T, tenth int, allowed float64) {
	t.Helper()
	off := p.Seconds/p.Planned - 1
	t.Logf("%3d %%: %8.1f tok/s, planned %8.1f (%+3.0f %%); bound %8.1f; %d layers, %d streamed, hits %.2f, planned %.2f, %.2f staged, peak %d of %d", 10*tenth,
		1/p.Seconds, 1/p.Planned, 100*off, 1/p.Bound, p.Layers, p.Streamed, p.Hits, p.Expected, p.Staged, p.Peak, p.Budget)
	if off > allowed || off < -allowed {
		t.Errorf("%d %%: a token takes %.3g s, and the plan said %.3g, which is off by %.0f %%", 10*tenth, p.Seconds, p.Planned, 100*off)
		for _, w := range p.Why {
			t.Log("  ", w)
		}
	}
	if p.Peak > p.Budget {
		t.Errorf("%d %%: the driver had given out %d bytes at once, of %d", 10*tenth, p.Peak, p.Budget)
	}
	if p.Seconds < p.Bound {
		t.Errorf("%d %%: a token takes %.3g s, less than its bytes do, which is %.3g", 10*tenth, p.Seconds, p.Bound)
	}
}

// wants is the bytes that are 100 %.
func (m Model) wants(t testing.TB, d *sim.Driver, device int) int64 {
	t.Helper()
	table, _ := m.with(t, d, device, Machines[device].Memory, nil)
	wanted, _ := plan.Takes(table)
	return min(Machines[device].Memory, wanted+plan.ScratchOn(table, table.Devices[1].Name)+spare)
}

// spare is for what a device keeps besides: tables of experts.
const spare = 8 << 20

// table is what docs/bench.md has of a model.
func (m Model) table(tenths []int, columns [][]Point) string {
	var b strings.Builder
	heads := m.heads()
	fmt.Fprintf(&b, "\n| %s", m.Name)
	for _, device := range m.Machines {
		fmt.Fprintf(&b, " | %s | %s", Machines[device].Name, strings.Join(heads, " | "))
	}
	fmt.Fprintf(&b, " |\n|---%s|\n", strings.Repeat("|--:", (1+len(heads))*len(m.Machines)))
	for row, tenth := range tenths {
		fmt.Fprintf(&b, "| %d %%", 10*tenth)
		for i := range m.Machines {
			p := columns[i][row]
			fmt.Fprintf(&b, " | %s | %s", short(1/p.Seconds), short(1/p.Planned))
			if m.AtOnce {
				fmt.Fprintf(&b, " | %.0f %%", 100*(1-p.Staged))
				continue
			}
			fmt.Fprintf(&b, " | %s", short(1/p.Bound))
			if m.Experts > 0 {
				fmt.Fprintf(&b, " | %.0f %% | %.0f %%", 100*p.Hits, 100*p.Expected)
			}
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// heads are those of a machine's columns but the first.
func (m Model) heads() []string {
	switch {
	case m.AtOnce:
		return []string{"plan", "registered"}
	case m.Experts > 0:
		return []string{"plan", "bound", "hits", "plan"}
	}
	return []string{"plan", "bound"}
}

// short is a number with three digits at least.
func short(x float64) string {
	switch {
	case x >= 99.5:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func write(t testing.TB, text string) {
	t.Helper()
	f, err := os.OpenFile(os.Getenv(EnvTable), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
