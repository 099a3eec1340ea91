package conformance

// flaws_load_test.go: flaws in what a plugin says of a checkpoint, and in how it is loaded and unloaded.

import (
	"errors"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

func inspectFlaws() []mutant {
	return failing("inspect", []mutant{
		{flaw: "finds nothing wrong with a missing path", must: "I2", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if sdk.ReasonOf(err) == sdk.ReasonNotFound && err != nil {
					return sdk.Inspection{Reason: "nothing there"}, nil
				}
				return i, err
			}})},
		{flaw: "takes a broken config for a stranger", must: "I2", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err != nil && sdk.ReasonOf(err) == sdk.ReasonCheckpoint {
					return sdk.Inspection{Reason: "not mine"}, nil
				}
				return i, err
			}})},
		{flaw: "has a module twice", must: "I1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table = doubled(i.Table)
				return i, err
			},
			load: func(t sdk.LayerTable, err error) (sdk.LayerTable, error) { return doubled(t), err }})},
		{flaw: "has no words", must: "I1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table.VocabSize = 0
				return i, err
			}})},
		{flaw: "gives no reason for a misfit", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Reason = ""
				return i, err
			}})},
		{flaw: "knows no context but its own", must: "I4", plugin: one(&twin{
			inspect: func(req sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if req.Context > 0 {
					return sdk.Inspection{}, sdk.Errorf(sdk.ReasonInvalid, "the context cannot be chosen")
				}
				return i, err
			}})},
		{flaw: "finds room for any context", must: "I4", plugin: one(&twin{
			inspect: func(req sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if req.Context > referenceContext {
					i, err = sdk.Inspection{Fit: sdk.FitFamily, Table: sdk.LayerTable{Context: req.Context, VocabSize: referenceVocab}}, nil
				}
				return i, err
			}})},
		{flaw: "ignores what it is to be quantized to", must: "G7", plugin: one(&twin{
			before: func(req *sdk.InspectRequest) { req.Quantize = "" }})},
		{flaw: "ignores the numerics", must: "G7", plugin: one(&twin{
			before: func(req *sdk.InspectRequest) { req.Numerics = "" }})},
		{flaw: "ignores what its cache is to be", must: "G7", plugin: one(&twin{
			before: func(req *sdk.InspectRequest) { req.KVCache = "" }})},
		{flaw: "gives no reasons", must: "E1", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err != nil {
					err = errors.New(err.Error())
				}
				return i, err
			}})},
		{flaw: "takes a stranger for an error", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				if err == nil && i.Fit == sdk.FitNone {
					err = sdk.Errorf(sdk.ReasonCheckpoint, "%s", i.Reason)
				}
				return i, err
			}})},
		{flaw: "claims every checkpoint", must: "I3", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Fit = max(i.Fit, sdk.FitFamily)
				return i, err
			}})},
		{flaw: "ignores the context asked for", must: "I4", plugin: one(&twin{
			inspect: func(_ sdk.InspectRequest, i sdk.Inspection, err error) (sdk.Inspection, error) {
				i.Table.Context = referenceContext
				return i, err
			}})},
	})
}

func loadFlaws() []mutant {
	return failing("load-unload", []mutant{
		{flaw: "loads something else than it inspected", must: "L2", plugin: one(&twin{
			load: func(t sdk.LayerTable, err error) (sdk.LayerTable, error) {
				t.Modules = t.Modules[:len(t.Modules)/2]
				return t, err
			}})},
		{flaw: "loads what is not there", must: "L4", plugin: one(&twin{
			load: func(t sdk.LayerTable, _ error) (sdk.LayerTable, error) { return t, nil }})},
		{flaw: "answers before it is loaded", must: "L1"},
		{flaw: "tokenizes before it is loaded", must: "L1"},
		{flaw: "has two tables", must: "L2"}, // nobody can use it
		{flaw: "is loaded as often as one likes", must: "L3"},
		{flaw: "goes on after Drain", must: "L5", timeout: brief},
		{flaw: "admits more after Drain", must: "L5"},
		{flaw: "drains when there is nothing to drain", must: "L5"},
		{flaw: "cannot be unloaded once it is drained", must: "L6"},
		{flaw: "cannot be unloaded while it answers", must: "L6"},
		{flaw: "takes its own end for a bug", must: "L6"},
		{flaw: "does not wait for its answers", must: "L5", timeout: brief},
		{flaw: "ends its answers at Drain", must: "L5"},
		{flaw: "unloads what was loaded and nothing else", must: "L6"},
		{flaw: "lets its answers run when it is unloaded", must: "L6", timeout: brief},
		{flaw: "falls over when it is unloaded", must: "L6", plugin: func() sdk.Plugin {
			return &frees{do: func() { panic("freed twice") }}
		}},
		{flaw: "hides its tokenizer", must: "D3"},
		{flaw: "clings to life", must: "L6", plugin: func() sdk.Plugin { return &clingsToLife{} }},
		{flaw: "takes no orders", must: "S1", plugin: func() sdk.Plugin { return &refusesOrders{} }},
		{flaw: "moves modules it does not have", must: "S1", plugin: func() sdk.Plugin {
			return &answersOrder{report: func(o sdk.Order) sdk.Report { return sdk.Report{Done: &sdk.OrderDone{ID: o.ID}} }}
		}},
		{flaw: "answers a query with an error", must: "S1", plugin: func() sdk.Plugin {
			return &answersOrder{report: func(o sdk.Order) sdk.Report { return sdk.Report{Done: &sdk.OrderDone{ID: o.ID, Error: "not now"}} }}
		}},
		{flaw: "reports, but not on its orders", must: "S1", timeout: brief, plugin: func() sdk.Plugin {
			return &answersOrder{report: func(sdk.Order) sdk.Report { return sdk.Report{Running: 1} }}
		}},
		{flaw: "gives its device up for lost", must: "S2", plugin: func() sdk.Plugin {
			return &answersOrder{report: func(o sdk.Order) sdk.Report {
				r := sdk.Report{Done: &sdk.OrderDone{ID: o.ID}, Devices: []sdk.DeviceReport{{Name: "cpu", Lost: "it is warm"}}}
				if o.Move != nil {
					r.Done.Error = "there is no such module"
				}
				return r
			}}
		}},
		{flaw: "promises a tokenizer", must: "D3", plugin: func() sdk.Plugin { return &noTokenizer{} }},
	})
}

// doubled has each module twice.
func doubled(t sdk.LayerTable) sdk.LayerTable {
	t.Modules = slices.Repeat(t.Modules, 2)
	return t
}
