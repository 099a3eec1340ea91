package tokenizer

import (
	"math/rand/v2"
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
		want := mergeByDefinition(b, word)
		short, long := slices.Clone(word), slices.Clone(word)
		if short = short[:b.mergeShort(short)]; !slices.Equal(short, want) {
			t.Errorf("short: %v, want %v", short, want)
		}
		if long = long[:must(b.mergeLong(patient(), long))]; !slices.Equal(long, want) {
			t.Errorf("long: %v, want %v", long, want)
		}
	})
}

// The same of words that are as long as those which go through the heap, over tables so small that nearly every pair that waits there
// changes before its turn: thousands are needed to meet one whose stale form would still merge.
func TestRandomLongWordsMergeAsDefined(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		letters, merges := 1+random.Int32N(4), 1+random.IntN(24)
		b := &bpe{merges: newMergeTable(merges)}
		for rank := range merges {
			known := letters + int32(rank)
			b.merges.set(uint32(rank), random.Int32N(known), random.Int32N(known), known)
		}
		word := make([]int32, 10+random.IntN(90))
		for i := range word {
			word[i] = random.Int32N(letters)
		}
		want := mergeByDefinition(b, word)
		if long := slices.Clone(word); !slices.Equal(long[:must(b.mergeLong(patient(), long))], want) {
			t.Fatalf("%v with %d merges: %v, want %v", word, merges, long, want)
		}
		if short := slices.Clone(word[:min(len(word), shortWord)]); !slices.Equal(short[:b.mergeShort(short)], mergeByDefinition(b, word[:min(len(word), shortWord)])) {
			t.Fatalf("%v with %d merges: %v", word, merges, short)
		}
	}
}

// mergeByDefinition joins the pair with the best rank, leftmost first, until there is none.
func mergeByDefinition(b *bpe, word []int32) []int32 {
	ids := slices.Clone(word)
	for {
		at, best := -1, noRank
		for i := 0; i+1 < len(ids); i++ {
			if rank := b.merges.rank(ids[i], ids[i+1]); rank < best {
				at, best = i, rank
			}
		}
		if at < 0 {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, b.merges.joined[best])
	}
}

// A mark composes only if none that is as near, or nearer, stands before it.
func TestMarksThatStandBehindOthers(t *testing.T) {
	for text, want := range map[string]string{
		"a\u0305\u0301":                   "a\u0305\u0301", // both above, and the first joins nothing
		"a\u0323\u0301":                   "\u1ea1\u0301",  // one below, which joins, one above
		"a\u0316\u0301":                   "\u00e1\u0316",  // one below that joins nothing does not block
		"a\u0301\u0316":                   "\u00e1\u0316",
		"a\u0301b\u0301":                  "\u00e1b\u0301",
		"\u0301a\u0301":                   "\u0301\u00e1",
		"a\u0338\u0338\u0301\u0305\u0302": "\u00e1\u0338\u0338\u0305\u0302",
	} {
		if got := must(composeLong(patient(), text)); got != want || got != norm.NFC.String(text) {
			t.Errorf("%+q: %+q, want %+q; x/text says %+q", text, got, want, norm.NFC.String(text))
		}
	}
}

// Letters and marks of every kind of class, in any order: what is composed by hand is what x/text composes, where that puts no
// bound on marks.
func TestComposingByHandIsNFC(t *testing.T) {
	runes := rapid.SampledFrom([]rune("aeouAo\u0305\u0338\u05b0\u3099\u0327\u0323\u0331\u0300\u0301\u0302\u0304\u0308\u030a\u0345\u0344\u0f71\u0f72" +
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
