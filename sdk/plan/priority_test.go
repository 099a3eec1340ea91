package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

// Three models and room for about one and a half: the one that has priority computes as fast as it would with the device to itself, within a tenth,
// whoever works beside it and whatever everybody had before.
func TestPriorityKeepsItsSpeed(t *testing.T) {
	in := dense(0, 12e9, 1e12)
	wanted, largest := Takes(sdk.LayerTable{Modules: in.Modules, CachePositions: in.Positions, MaxSequences: 1})
	scratch := in.Devices[1].Scratch
	token := func(t *rapid.T, bytes int64) float64 {
		in.Devices[1].Bytes = bytes
		made, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		return Time(in, made, 1, 0)
	}
	r := Rules{Linger: 20 * time.Second, Keep: 1. / 32}
	rapid.Check(t, func(t *rapid.T) {
		room := []int64{rapid.Int64Range(wanted*3/4, wanted*7/4).Draw(t, "room")}
		left, list := room[0], []Tenant{}
		for i := range 3 {
			held := rapid.Int64Range(0, left).Draw(t, "held")
			left -= held
			list = append(list, Tenant{Name: string(rune('a' + i)), May: []bool{true}, Wanted: wanted, Largest: largest, Scratch: []int64{scratch}, Held: []int64{held},
				Busy: i == 0 || rapid.Bool().Draw(t, "busy"), Idle: time.Minute})
		}
		list[0].Priority = 1
		if rapid.Bool().Draw(t, "nearly") { // what they are to have, but for a few layers of the first that another has
			before, short := Divide(room, list, r), rapid.Int64Range(0, room[0]/32).Draw(t, "short")
			for i := range list {
				list[i].Held = slices.Clone(before.Shares[i])
			}
			other := &list[rapid.IntRange(1, 2).Draw(t, "other")]
			if short = min(short, list[0].Held[0]); other.Held[0] > 0 {
				list[0].Held[0], other.Held[0] = list[0].Held[0]-short, other.Held[0]+short
			}
		}
		alone := Divide(room, []Tenant{{Name: "a", May: []bool{true}, Wanted: wanted, Largest: largest, Scratch: []int64{scratch}, Busy: true}}, r)
		got := Divide(room, list, r)
		has, would := got.Shares[0][0], alone.Shares[0][0]
		if s, a := token(t, has), token(t, would); s > 1.1*a {
			t.Errorf("with %d of %d bytes a token takes %.3g s, and %.3g alone, with %d", has, room[0], s, a, would)
		}
		if sum := has + got.Shares[1][0] + got.Shares[2][0]; sum > room[0] {
			t.Errorf("%d bytes are given of %d", sum, room[0])
		}
	})
}

// dense is a model as Qwen3-4B in 16 bits, on a card of so many GiB behind a link.
func dense(gib, link, flops float64) Input {
	in := Input{Positions: 4096, Sequences: 1, Rows: 1, Devices: []Device{
		{Name: "cpu", ReadRate: 60e9, FLOPS: flops},
		{Name: "gpu.0", Bytes: int64(gib * (1 << 30)), Scratch: 256 << 20, ReadRate: 300e9, FLOPS: 20e12, CopyRate: link},
	}}
	for l := range 36 {
		in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("layers.%d", l), WeightBytes: 200 << 20, ActiveBytesToken: 200 << 20, FLOPsToken: 200 << 20, StateBytesToken: 4096})
	}
	return in
}
