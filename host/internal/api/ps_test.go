package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestWhoIsInMemory(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := asPresence(schedule.Status{
		ID: "a", State: schedule.StateReady, Table: sdk.LayerTable{Context: 7}, Running: 1, Waiting: 2, Share: 100, Rate: 2.5, OnDemand: true, Pinned: true, Until: at, Used: at,
		Report: sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: 60, Budget: 100}, {Name: "far", Used: 5}, {Name: "none"}}},
	})
	const when = "2026-01-02T03:04:05Z"
	want := presence{ID: "a", State: "ready", Size: 65, Share: 100, Devices: []heldOn{{"cpu", 60, 100}, {"far", 5, 0}}, Context: 7, Running: 1, Waiting: 2, Rate: 2.5,
		OnDemand: true, Pinned: true, Until: when, Used: when}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	spills := asPresence(schedule.Status{Report: sdk.Report{Spill: sdk.SpillReport{Budget: 9, Used: 4}}})
	if spills.Spill == nil || *spills.Spill != (spilled{Used: 4, Budget: 9}) {
		t.Errorf("spilled are %+v", spills.Spill)
	}
	away := asPresence(schedule.Status{ID: "b", State: schedule.StateUnloaded, Table: sdk.LayerTable{Context: 7}})
	if away.Context != 0 || away.Devices == nil || away.Until != "" {
		t.Errorf("%+v", away)
	}
	sum := inCommon([]schedule.Status{
		{Report: sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: 60, Budget: 100}, {Name: "gpu.0", Used: 5, Budget: 8, Free: 2, Total: 20}}}},
		{Report: sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: 1, Budget: 2}, {Name: "gpu.0", Used: 4, Budget: 4, Free: 1, Total: 20}}}},
	})
	if want := []common{{heldOn{"cpu", 61, 102}, 0, 0}, {heldOn{"gpu.0", 9, 12}, 1, 20}}; !reflect.DeepEqual(sum, want) {
		t.Errorf("%+v", sum)
	}
	w := httptest.NewRecorder()
	New(answertest.New(), Options{Operator: &operator{}}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/ps", nil))
	var list struct{ Models []presence }
	if err := json.Unmarshal(w.Body.Bytes(), &list); w.Code != http.StatusOK || err != nil || len(list.Models) == 0 || list.Models[0].ID != "tiny" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	New(answertest.New(), Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/admin/ps", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("without an operator: %d", w.Code)
	}
}
