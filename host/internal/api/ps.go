// ps.go answers which models are in memory, what they hold and do, and until when.
package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
)

// presence is a model with what it holds and does.
type presence struct {
	ID       string         `json:"id"`
	State    schedule.State `json:"state"`
	Reason   string         `json:"reason"`
	Size     int64          `json:"size"`    // bytes on all devices
	Share    int64          `json:"share"`   // of the cpu's memory, promised; 0: none, or its plugin tells nothing of its size
	Devices  []heldOn       `json:"devices"` // where there is something of it
	Spill    *spilled       `json:"spill,omitempty"`
	Context  int            `json:"context"` // positions; 0: not loaded
	Running  int            `json:"running"` // requests
	Waiting  int            `json:"waiting"`
	Rate     float64        `json:"tokens_per_second"` // of the last ten seconds
	OnDemand bool           `json:"on_demand"`
	Pinned   bool           `json:"pinned"`
	Until    string         `json:"until"` // when it is unloaded if nobody asks; "": not by itself, or somebody uses it
	Used     string         `json:"used"`  // when a request last came or ended; "": never
	Progress *progress      `json:"progress,omitempty"`
}

type heldOn struct {
	Name   string `json:"name"`
	Used   int64  `json:"used"`
	Budget int64  `json:"budget"` // 0: no limit
}

// common is a device with what all models hold of it.
type common struct {
	heldOn       // by all models together
	Free   int64 `json:"free"`  // what a model could take of it, where other programs use it, too; else 0, as total
	Total  int64 `json:"total"` // of the device
}

// spilled is what a cache on other devices has spilled to the cpu's memory; left out where it may not.
type spilled struct {
	Used   int64 `json:"used"`   // bytes; they are part of what is used on the cpu
	Budget int64 `json:"budget"` // that it may come to
}

func asPresence(s schedule.Status) presence {
	p := presence{
		ID: s.ID, State: s.State, Reason: s.Why(), Share: s.Share, Devices: []heldOn{}, Running: s.Running, Waiting: s.Waiting, Rate: s.Rate,
		OnDemand: s.OnDemand, Pinned: s.Pinned, Until: rfc(s.Until), Used: rfc(s.Used), Progress: asModel(s).Progress,
	}
	if s.State == schedule.StateReady {
		p.Context = s.Table.Context
	}
	if r := s.Report.Spill; r.Budget > 0 || r.Used > 0 {
		p.Spill = &spilled{r.Used, r.Budget}
	}
	for _, d := range s.Report.Devices {
		if d.Used > 0 {
			p.Size += d.Used
			p.Devices = append(p.Devices, heldOn{d.Name, d.Used, d.Budget})
		}
	}
	return p
}

// rfc is a time for programs, "" for none.
func rfc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *api) ps(w http.ResponseWriter, _ *http.Request) {
	list := []presence{}
	for _, s := range a.backend.Models() {
		list = append(list, asPresence(s))
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{"models": list, "devices": inCommon(a.backend.Models())})
}

// inCommon adds up what models say of each device, in the order in which they name them.
func inCommon(models []schedule.Status) []common {
	list := []common{}
	for _, s := range models {
		for _, d := range s.Report.Devices {
			i := slices.IndexFunc(list, func(c common) bool { return c.Name == d.Name })
			if i < 0 {
				i = len(list)
				list = append(list, common{heldOn: heldOn{Name: d.Name}})
			}
			c := &list[i]
			c.Used, c.Budget = c.Used+d.Used, c.Budget+d.Budget
			if d.Total > 0 {
				c.Free, c.Total = d.Free, d.Total
			}
		}
	}
	return list
}
