package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// operator records the order it is given.
type operator struct {
	model string
	order sdk.Order
	err   error
}

func (o *operator) Order(_ context.Context, model string, order sdk.Order) (sdk.Report, error) {
	o.model, o.order = model, order
	return sdk.Report{Moves: 3, Devices: []sdk.DeviceReport{{Name: "far", Budget: 10, Used: 4, Peak: 9}},
		Modules: []sdk.ModuleReport{{ID: "layers.0", Device: "far", Resident: []string{"cpu", "far"}}}}, o.err
}

func TestOperatorsOrders(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		err                error
		status             int
		want               string
	}{
		{"GET", "/admin/placement/org/tiny", "", nil, 200, `"resident":["cpu","far"]`},
		{"POST", "/admin/move/org/tiny", `{"module":"layers.2","device":"far"}`, nil, 200, `"moves":3`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":1000}`, nil, 200, `"peak":9`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":-1}`, nil, 400, "must not be negative"},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","byte":1}`, nil, 400, "byte"},
		{"POST", "/admin/move/org/tiny", `{"module":7}`, nil, 400, "number"},
		{"POST", "/admin/move/org/tiny", `{`, nil, 400, "not valid JSON"},
		{"GET", "/admin/move/org/tiny", "", nil, 405, "takes POST"},
		{"POST", "/admin/move/org/tiny", `{"module":"x","device":"far"}`, errors.New(`no module "x"`), 409, "no module"},
		{"GET", "/admin/placement/none", "", &schedule.UnknownModel{Name: "none"}, 404, "model_not_found"},
	} {
		o := &operator{err: c.err}
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		New(newFake(), Options{Operator: o}).ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, w.Code, w.Body, c.status, c.want)
		}
		if w.Code == http.StatusOK && o.model != "org/tiny" {
			t.Errorf("%s went to the model %q", c.path, o.model)
		}
	}
}

func TestWithoutAnOperatorThereIsNoAdmin(t *testing.T) {
	w := httptest.NewRecorder()
	New(newFake(), Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/admin/placement/tiny", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}
