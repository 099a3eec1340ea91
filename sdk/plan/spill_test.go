package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// The files of testdata/spills read
//
//	spill positions=4096 row=250us chance=1     row in seconds, or with a unit
//	link bytes=288MiB rate=12e9
func TestSpills(t *testing.T) {
	datadriven.Walk(t, "testdata/spills", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "spill" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			s, err := parseSpill(d)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return fmt.Sprintf("copied in %s, computed in %s\n%s, %s\n", duration(s.CopySeconds()), duration(s.ComputeSeconds()),
				choice(s.Out(), "spilled", "thrown away"), choice(s.Back(), "copied back", "computed again"))
		})
	})
}

func choice(yes bool, one, other string) string {
	if yes {
		return one
	}
	return other
}

func parseSpill(d *datadriven.TestData) (s Spill, err error) {
	numbers := map[string]float64{"chance": 1}
	for _, a := range d.CmdArgs {
		if numbers[a.Key], err = seconds(a.Vals[0]); err != nil {
			return s, err
		}
	}
	s = Spill{Positions: int(numbers["positions"]), RowSeconds: numbers["row"], Chance: numbers["chance"]}
	for _, line := range strings.Split(d.Input, "\n") {
		var l Link
		for _, w := range strings.Fields(line)[1:] {
			key, value, _ := strings.Cut(w, "=")
			v, err := number(value)
			if err != nil {
				return s, err
			}
			if key == "bytes" {
				l.Bytes = int64(v)
			} else {
				l.Rate = v
			}
		}
		s.Links = append(s.Links, l)
	}
	return s, nil
}

// seconds reads a number, of seconds where it has a unit.
func seconds(text string) (float64, error) {
	for unit, scale := range map[string]float64{"us": 1e-6, "ms": 1e-3} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			v, err := number(n)
			return v * scale, err
		}
	}
	return number(text)
}

// What is worth copying out is worth copying back; more bytes, a slower link, fewer positions and a smaller chance make neither worth more.
func TestASpillThatCostsMoreIsWorthLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Spill{Positions: rapid.IntRange(1, 1<<17).Draw(t, "positions"), RowSeconds: rapid.Float64Range(1e-6, 1).Draw(t, "row"),
			Chance: rapid.Float64Range(0, 1).Draw(t, "chance")}
		for range rapid.IntRange(1, 3).Draw(t, "devices") {
			s.Links = append(s.Links, Link{rapid.Int64Range(0, 1<<36).Draw(t, "bytes"), rapid.Float64Range(1e6, 1e11).Draw(t, "rate")})
		}
		if s.Out() && !s.Back() {
			t.Fatalf("%+v goes out and never comes back", s)
		}
		worse := s
		worse.Links = append([]Link(nil), s.Links...)
		switch rapid.IntRange(0, 3).Draw(t, "what is worse") {
		case 0:
			worse.Links[0].Bytes *= 2
		case 1:
			worse.Links[0].Rate /= 2
		case 2:
			worse.Positions /= 2
		case 3:
			worse.Chance /= 2
		}
		if worse.Out() && !s.Out() || worse.Back() && !s.Back() {
			t.Fatalf("%+v is worth more than %+v", worse, s)
		}
	})
}
