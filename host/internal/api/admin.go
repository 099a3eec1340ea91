// admin.go is the operators' side: where a model's modules lie, orders to move one or to change a budget, to start, stop and
// restart a model, and to read models.toml again. It is there only if server.admin says so, since whoever reaches it can
// take every model away.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// Operator carries out orders; the host is one.
type Operator interface {
	Order(ctx context.Context, model string, o sdk.Order) (sdk.Report, error)
	// StartModel and RestartModel return when the model is ready, or with an error that says why it is not. StopModel returns when its
	// process is gone.
	StartModel(ctx context.Context, model string) error
	StopModel(ctx context.Context, model string) error
	RestartModel(ctx context.Context, model string) error
}

// Reload is what reading models.toml again has changed.
type Reload struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
	Later   []string `json:"needs_new_host"` // keys that changed and that a running host cannot change
}

// deadlineDefault is how long a plugin may take to give memory back if the order does not say.
const deadlineDefault = 5 * time.Second

// maxDeadline is the longest an order may give a plugin.
const maxDeadline = 10 * time.Minute

// admin adds the operators' routes: the model's id ends the path.
func (a *api) admin(route func(pattern, method string, h func(http.ResponseWriter, *http.Request))) {
	route("/admin/ps", http.MethodGet, a.ps)
	if a.o.Recent != nil {
		route("/admin/log", http.MethodGet, a.log)
	}
	route("/admin/placement/{id...}", http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		a.order(w, r, sdk.Order{Query: &sdk.QueryOrder{}})
	})
	route("/admin/move/{id...}", http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			Module, Device string
			DeadlineMS     int64 `json:"deadline_ms"`
		}
		if !a.strict(w, r, &b) || !present(w, r, "module", b.Module) || !present(w, r, "device", b.Device) || !timely(w, r, b.DeadlineMS) {
			return
		}
		if b.DeadlineMS > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), time.Duration(b.DeadlineMS)*time.Millisecond)
			defer cancel()
			r = r.WithContext(ctx)
		}
		a.order(w, r, sdk.Order{Move: &sdk.MoveOrder{Module: b.Module, Device: b.Device}})
	})
	route("/admin/budget/{id...}", http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
		b := struct {
			Device     string
			Bytes      *int64 // 0 is an order too
			DeadlineMS int64  `json:"deadline_ms"`
		}{DeadlineMS: deadlineDefault.Milliseconds()}
		if !a.strict(w, r, &b) || !present(w, r, "device", b.Device) || !timely(w, r, b.DeadlineMS) {
			return
		}
		if b.Bytes == nil {
			writeError(w, r, missing("bytes"))
			return
		}
		if *b.Bytes < 0 {
			writeError(w, r, problem.Invalid("bytes", "bytes must not be negative"))
			return
		}
		a.order(w, r, sdk.Order{Budget: &sdk.BudgetOrder{Device: b.Device, Bytes: *b.Bytes, Deadline: time.Duration(b.DeadlineMS) * time.Millisecond}})
	})
}

// present reports whether an order says what it is about; false means that the answer was sent.
func present(w http.ResponseWriter, r *http.Request, field, value string) bool {
	if value == "" {
		writeError(w, r, missing(field))
	}
	return value != ""
}

// timely reports whether an order's deadline is one; false means that the answer was sent.
func timely(w http.ResponseWriter, r *http.Request, deadlineMS int64) bool {
	ok := deadlineMS >= 0 && deadlineMS <= maxDeadline.Milliseconds()
	if !ok {
		writeError(w, r, problem.Invalid("deadline_ms", "deadline_ms must be from 0 to %d", maxDeadline.Milliseconds()))
	}
	return ok
}

func missing(field string) *problem.Error {
	return problem.Invalid(field, "%s is missing; the order must have it", field)
}

// life adds the routes of orders about a model's life, which have no body.
func (a *api) life(route func(pattern, method string, h func(http.ResponseWriter, *http.Request))) {
	for verb, order := range map[string]func(context.Context, string) error{
		"start": a.o.Operator.StartModel, "stop": a.o.Operator.StopModel, "restart": a.o.Operator.RestartModel,
	} {
		route("/admin/"+verb+"/{id...}", http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
			if err := order(r.Context(), r.PathValue("id")); err != nil {
				writeError(w, r, orderError(err))
			} else if s, ok := a.find(w, r); ok {
				answer.WriteJSON(w, http.StatusOK, asModel(s))
			}
		})
	}
	if a.o.Reload == nil {
		return
	}
	route("/admin/reload", http.MethodPost, func(w http.ResponseWriter, r *http.Request) {
		done, err := a.o.Reload(r.Context())
		if err != nil {
			writeError(w, r, orderError(err))
			return
		}
		done.Added, done.Removed, done.Changed, done.Later = list(done.Added), list(done.Removed), list(done.Changed), list(done.Later)
		answer.WriteJSON(w, http.StatusOK, done)
	})
}

// list is never null in JSON.
func list(l []string) []string { return append([]string{}, l...) }

// orderError is the answer to an order that failed: what has no status of its own is the sentence of whoever refused.
func orderError(err error) *problem.Error {
	e := problem.From(err, "")
	if e.Code == "internal" {
		e = problem.New(http.StatusConflict, "", "order_refused", err.Error())
	}
	return e
}

// strict reads a body whose every key is known; false means that the answer was sent.
func (a *api) strict(w http.ResponseWriter, r *http.Request, into any) bool {
	members, err := body.Read(w, r, min(body.Small, a.o.MaxBody), nil) // admitted however many requests there are
	if err != nil {
		writeError(w, r, problem.From(err, ""))
		return false
	}
	whole := make(map[string]json.RawMessage, len(members))
	for _, m := range members {
		whole[m.Key] = m.Value
	}
	text, err := json.Marshal(whole)
	if err == nil {
		known := json.NewDecoder(bytes.NewReader(text))
		known.DisallowUnknownFields()
		err = known.Decode(into)
	}
	if err != nil {
		writeError(w, r, problem.Invalid("", "the order was not understood: %v", err))
		return false
	}
	return true
}

func (a *api) order(w http.ResponseWriter, r *http.Request, o sdk.Order) {
	begin := time.Now()
	report, err := a.o.Operator.Order(r.Context(), r.PathValue("id"), o)
	if err != nil {
		writeError(w, r, orderError(err))
		return
	}
	s, err := a.answer.Find(r.PathValue("id"))
	if err != nil { // it has been taken out meanwhile
		s = schedule.Status{}
	}
	a.told(s, o, time.Since(begin))
	answer.WriteJSON(w, http.StatusOK, asPlacement(report, s.Table))
}

// told logs what an operator has had done, and what it cost.
func (a *api) told(s schedule.Status, o sdk.Order, took time.Duration) {
	log := a.o.Log.With("model", s.ID, "took", took.Round(time.Microsecond))
	switch {
	case o.Move != nil:
		size := int64(0)
		for _, m := range s.Table.Modules {
			if m.ID == o.Move.Module {
				size = bytesOn(m, o.Move.Device)
			}
		}
		log.Info("an operator has moved a module", "module", o.Move.Module, "device", o.Move.Device, "bytes", plan.Size(size))
	case o.Budget != nil:
		log.Info("an operator has set the budget of a device", "device", o.Budget.Device, "bytes", plan.Size(o.Budget.Bytes))
	}
}

// placement is a report as operators read it.
type placement struct {
	Devices      []deviceUse `json:"devices"`
	Modules      []moduleAt  `json:"modules,omitempty"`
	Moves        uint64      `json:"moves"`
	Prefetches   uint64      `json:"prefetches"`
	Evictions    uint64      `json:"evictions"`
	ExpertHits   uint64      `json:"expert_hits"`
	ExpertMisses uint64      `json:"expert_misses"`
	Seen         uint64      `json:"pictures_seen"`
	Reused       uint64      `json:"pictures_reused"`
	Fetched      int64       `json:"fetched,omitempty"`    // bytes of weights that are copied to devices again and again
	Registered   int64       `json:"registered,omitempty"` // and those of them that are copied from where they lie
	Spill        *spilledAll `json:"spill,omitempty"`      // left out where nothing may be
}

// spilledAll is what a cache on other devices has to do with the cpu's memory.
type spilledAll struct {
	Budget  int64  `json:"budget"`            // bytes that it may take there
	Used    int64  `json:"used"`              // and takes
	Out     uint64 `json:"out"`               // bytes copied there
	Back    uint64 `json:"back"`              // and back
	Saved   uint64 `json:"saved_positions"`   // that were not computed again because of that
	Resumed uint64 `json:"resumed_positions"` // of requests that lost their place, which were not computed again, spilled or not
	Dropped uint64 `json:"dropped"`           // bytes that gave way to others
}

type deviceUse struct {
	Name   string `json:"name"`
	Budget int64  `json:"budget"` // bytes; 0 is no limit
	Used   int64  `json:"used"`   // counts from the time it is reserved
	Peak   int64  `json:"peak"`

	Resident int64 `json:"resident"` // really there, mapped weights among it; 0 if the plugin does not say
	Free     int64 `json:"free"`     // of a device that other programs use, too: what the process could take, and what the device has; else 0
	Total    int64 `json:"total"`

	Slower   float64 `json:"slower,omitempty"`    // how many times as long as its rates say it takes for what the model computes there; left out before it was measured
	CopyRate float64 `json:"copy_rate,omitempty"` // bytes per second at which weights come to it
	Lost     string  `json:"lost,omitempty"`      // why the process cannot use it any more, until another has taken its place
}

type moduleAt struct {
	ID       string   `json:"id"`
	Device   string   `json:"device"`
	Resident []string `json:"resident"`
	Seconds  float64  `json:"seconds"` // of one pass; 0 before it was measured
	Bytes    int64    `json:"bytes"`   // of its weights where it is computed; 0: not known
}

func asPlacement(r sdk.Report, t sdk.LayerTable) placement {
	known := make(map[string]sdk.Module, len(t.Modules))
	for _, m := range t.Modules {
		known[m.ID] = m
	}
	p := placement{Moves: r.Moves, Prefetches: r.Prefetches, Evictions: r.Evictions,
		ExpertHits: r.ExpertHits, ExpertMisses: r.ExpertMisses, Seen: r.PicturesSeen, Reused: r.PicturesReused,
		Fetched: r.Fetched, Registered: r.Registered}
	if r.Spill.Budget > 0 {
		s := spilledAll(r.Spill)
		p.Spill = &s
	}
	for _, d := range r.Devices {
		p.Devices = append(p.Devices, deviceUse(d))
	}
	for _, m := range r.Modules {
		p.Modules = append(p.Modules, moduleAt{m.ID, m.Device, m.Resident, m.Seconds, bytesOn(known[m.ID], m.Device)})
	}
	return p
}

// bytesOn is what a module's weights take on a device.
func bytesOn(m sdk.Module, device string) int64 {
	if device != "cpu" && m.DeviceBytes > 0 {
		return m.DeviceBytes
	}
	return m.WeightBytes
}
