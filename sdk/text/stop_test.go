package text

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// earliest looks for stop strings byte by byte: the end of the first that is complete, and where the longest of those
// that end there begins. end is -1 if there is none.
func earliest(text string, stops []string) (end, from int) {
	for end := range len(text) + 1 {
		from := -1
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) && (from < 0 || end-len(s) < from) {
				from = end - len(s)
			}
		}
		if from >= 0 {
			return end, from
		}
	}
	return -1, 0
}

func TestStopper(t *testing.T) {
	for _, c := range []struct {
		stops  []string
		pieces string // separated by |
		want   string // what each piece releases, then the flush
	}{
		{nil, "a|b", "a|b|"},
		{[]string{"stop"}, "s|t|o|p|x", "|||||"},
		{[]string{"stop"}, "as|to|re", "a||store|"},
		{[]string{"stop"}, "sst|op", "s||"},
		{[]string{"stop"}, "st", "|st"},
		{[]string{"aab"}, "a|a|a|b", "||a||"},
		{[]string{"abcd", "bc"}, "ab|cd", "|a|"}, // "bc" is complete first
		{[]string{"xab", "ab"}, "xa|b", "||"},    // complete together: the longest
		{[]string{"\n"}, "one\ntwo", "one|"},
		{[]string{"é"}, "caf|\xc3|\xa9", "caf|||"},
	} {
		s, err := newStopper(c.stops)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range strings.Split(c.pieces, "|") {
			got = append(got, s.push(p))
		}
		got = append(got, s.flush())
		if strings.Join(got, "|") != c.want {
			t.Errorf("stops %q, pieces %q: releases %q, want %q", c.stops, c.pieces, strings.Join(got, "|"), c.want)
		}
	}
}

func TestStopperHoldsNoMoreThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stops := rapid.SliceOfN(rapid.StringMatching(`[ab]{1,5}`), 0, 4).Draw(t, "stops")
		s, err := newStopper(stops)
		if err != nil {
			t.Fatal(err)
		}
		var all, out string
		for s.found == "" && len(all) < 40 {
			piece := rapid.StringMatching(`[abc]{1,6}`).Draw(t, "piece")
			all += piece
			out += s.push(piece)
			if end, from := earliest(all, stops); end >= 0 {
				if s.found == "" || out != all[:from] {
					t.Fatalf("stops %q, text %q: shows %q, found %q", stops, all, out, s.found)
				}
				return
			}
			held := strings.TrimPrefix(all, out)
			begins := held == ""
			for _, stop := range stops {
				begins = begins || strings.HasPrefix(stop, held)
			}
			if s.found != "" || !begins {
				t.Fatalf("stops %q, text %q: holds %q back, found %q", stops, all, held, s.found)
			}
		}
	})
}

func TestStopStringsAreBounded(t *testing.T) {
	for _, stops := range [][]string{{""}, {"a", ""}, {strings.Repeat("x", maxStopLength+1)}, make([]string, maxStops+1)} {
		_, err := newStopper(stops)
		wantInvalid(t, err, "stop")
	}
}

func FuzzStopper(f *testing.F) {
	f.Add("stop", "op", "a stop is near", uint8(3))
	f.Add("a", "aa", "aaa", uint8(1))
	f.Add("\xff", "é", "caf\xc3\xa9", uint8(2))
	f.Fuzz(func(t *testing.T, a, b, text string, size uint8) {
		if a == "" || b == "" || size == 0 || len(text) > 1<<12 || len(a)+len(b) > 1<<10 {
			return
		}
		s, err := newStopper([]string{a, b})
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for rest := text; rest != ""; {
			n := min(int(size), len(rest))
			out += s.push(rest[:n])
			rest = rest[n:]
		}
		out += s.flush()
		want := text
		if end, from := earliest(text, []string{a, b}); end >= 0 {
			want = text[:from]
		}
		if out != want {
			t.Errorf("stops %q and %q, pieces of %d: %q, want %q", a, b, size, out, want)
		}
	})
}
