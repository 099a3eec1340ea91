package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// Small tables of merges meet in a few words what large ones do in a million: pairs that change while they wait for their turn.
func TestBothWaysToMergeAreTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.Int32Range(1, 4).Draw(t, "letters")
		merges := rapid.IntRange(1, 16).Draw(t, "merges")
		b := &bpe{merges: newMergeTable(merges)}
		for rank := range merges {
			known := rapid.Int32Range(0, letters+int32(rank)-1)
			b.merges.set(uint32(rank), known.Draw(t, "left"), known.Draw(t, "right"), letters+int32(rank))
		}
		word := rapid.SliceOfN(rapid.Int32Range(0, letters-1), 1, shortWord).Draw(t, "word")
		want := slices.Clone(word)
		for at := 0; at >= 0; {
			at = -1
			best := noRank
			for i := 0; i+1 < len(want); i++ {
				if rank := b.merges.rank(want[i], want[i+1]); rank < best {
					at, best = i, rank
				}
			}
			if at >= 0 {
				want = slices.Replace(want, at, at+2, b.merges.joined[best])
			}
		}
		short, long := slices.Clone(word), slices.Clone(word)
		if short = short[:b.mergeShort(short)]; !slices.Equal(short, want) {
			t.Errorf("short: %v, want %v", short, want)
		}
		if long = long[:must(b.mergeLong(patient(), long))]; !slices.Equal(long, want) {
			t.Errorf("long: %v, want %v", long, want)
		}
	})
}

// Letters and marks of every kind of class, in any order: what is composed by hand is what x/text composes, where that puts no
// bound on marks.
func TestComposingByHandIsNFC(t *testing.T) {
	runes := rapid.SampledFrom([]rune("aeouAo\u0338\u05b0\u3099\u0327\u0323\u0331\u0300\u0301\u0302\u0304\u0308\u030a\u0345\u0344\u0f71\u0f72" +
		"\u1100\u1161\u11a8\uac00\u09c7\u09be\u09d7\u0b47\u0b57\u304b\u1e69\u00c5\u212b\u2126\u2adc"))
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(runes, 0, 16).Draw(t, "text"))
		want := norm.NFC.String(text)
		if strings.Contains(want, norm.GraphemeJoiner) {
			t.Fatalf("%+q is too long for x/text", text)
		}
		if got := must(composeLong(patient(), text)); got != want {
			t.Errorf("%+q: %+q by hand, %+q by x/text", text, got, want)
		}
		if got := nfcOf(text); got != want {
			t.Errorf("%+q: nfc gives %+q, not %+q", text, got, want)
		}
	})
}
