package plan

import (
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// InputOf is what a process plans with that loads a model of an inspection's table, laid out in f, with these budgets; the first is the
// CPU's share of memory. Devices that the table does not tell of are left out: the plugin has no use for them. The table was measured.
func InputOf(t sdk.LayerTable, f Fit, budgets []sdk.DeviceBudget) Input {
	in := Input{Modules: slices.Clone(t.Modules), Positions: f.Positions, Sequences: t.MaxSequences + t.Snapshots}
	for i := range in.Modules {
		if m := &in.Modules[i]; m.DeviceBytes > 0 {
			m.WeightBytes = m.DeviceBytes
		}
	}
	for _, b := range budgets {
		i := slices.IndexFunc(t.Devices, func(d sdk.DeviceTable) bool { return d.Name == b.Name })
		if i < 0 {
			continue
		}
		d := t.Devices[i]
		if b.Name == cpu && b.Bytes > 0 { // a plan counts the CPU without weights, which are the mapped file
			b.Bytes = max(1, b.Bytes-f.Weights)
		}
		in.Devices = append(in.Devices, Device{Name: d.Name, Bytes: b.Bytes, Scratch: d.ScratchBytes, CopyRate: d.CopyRate, ReadRate: d.ReadRate, FLOPS: d.FLOPS,
			OpSeconds: d.OpSeconds, TurnSeconds: d.TurnSeconds, BesideRate: d.BesideRate, BesideTakes: d.BesideTakes,
			StagedRate: d.StagedRate, StagedTakes: d.StagedTakes})
	}
	return in
}

// Away says whether every layer is computed on another device than the CPU.
func (p Plan) Away() bool {
	return !slices.ContainsFunc(p.Placements, func(w sdk.Placement) bool { return isLayer(w.Module) && w.Device == cpu })
}

// Whole says whether the CPU computes nothing of a plan that was made of in: no layer, no head, and no expert that a device has no room for. A table
// of which a token reads a row may lie there.
func (p Plan) Whole(in Input) bool {
	for i, where := range p.Placements {
		if m := in.Modules[i]; where.Device == cpu && (isLayer(m.ID) || layerOf(m.ID) == "" && isRead(m)) {
			return false
		}
	}
	return !slices.ContainsFunc(p.Caches, func(c Cache) bool { return c.Experts < c.Of })
}

// RoomFor is the longest context, of whole thousands, with which every layer of a model finds a place on devices besides the CPU: so many
// sequences of it, where there are more positions than that now. 0: none, not even the shortest.
func RoomFor(in Input, context, sequences int) int {
	low, high := 0, (context-1)/1024 // in thousands: low works or is none, above high nothing is asked
	for low < high {
		middle := (low + high + 1) / 2
		try := in
		try.Positions = int(min(int64(in.Positions), mul(blocks(1024*middle), int64(max(1, sequences)))))
		if p, err := Make(try); err == nil && p.Away() {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return 1024 * low
}

// isRead says that a token reads more of a module than a row of a table.
func isRead(m sdk.Module) bool { return mul(m.ActiveBytesToken, 16) >= m.WeightBytes }

// Takes is what a model that is loaded has use for of devices besides the CPU, weights and state together, and its largest layer. What a token
// hardly reads stays on the CPU.
func Takes(t sdk.LayerTable) (wanted, largest int64) {
	for _, m := range t.Modules {
		bytes := m.WeightBytes
		if m.DeviceBytes > 0 {
			bytes = m.DeviceBytes
		}
		bytes = add(bytes, mul(m.StateBytesToken, int64(t.CachePositions)))
		bytes = add(bytes, mul(m.StateBytesSeq, int64(max(t.MaxSequences, t.Snapshots)+t.Snapshots)))
		if layer := isLayer(m.ID); layer || layerOf(m.ID) != "" || isRead(m) {
			wanted = add(wanted, bytes)
			if layer {
				largest = max(largest, bytes)
			}
		}
	}
	return wanted, largest
}

// ScratchOn is what a model takes of a device as soon as anything is computed there, as far as its table tells.
func ScratchOn(t sdk.LayerTable, device string) int64 {
	for _, d := range t.Devices {
		if d.Name == device {
			return d.ScratchBytes
		}
	}
	return 0
}
