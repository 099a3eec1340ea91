package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// operator records the order it is given.
type operator struct {
	verb  string
	model string
	order sdk.Order
	until time.Duration // its deadline, 0 without one
	err   error
}

func (o *operator) Order(ctx context.Context, model string, order sdk.Order) (sdk.Report, error) {
	if at, ok := ctx.Deadline(); ok {
		o.until = time.Until(at).Round(time.Minute)
	}
	o.model, o.order = model, order
	return sdk.Report{Moves: 3, Fetched: 8, Registered: 2, Devices: []sdk.DeviceReport{{Name: "far", Budget: 10, Used: 4, Peak: 9}},
		Modules: []sdk.ModuleReport{{ID: "layers.0", Device: "far", Resident: []string{"cpu", "far"}}}}, o.err
}

func (o *operator) StartModel(_ context.Context, model string) error { return o.told("start", model) }
func (o *operator) StopModel(_ context.Context, model string) error  { return o.told("stop", model) }
func (o *operator) RestartModel(_ context.Context, model string) error {
	return o.told("restart", model)
}

func (o *operator) told(verb, model string) error {
	o.verb, o.model = verb, model
	return o.err
}

func TestOrdersAboutAModelsLife(t *testing.T) {
	for _, c := range []struct {
		method, path string
		err          error
		status       int
		want         string
	}{
		{"POST", "/admin/start/tiny", nil, 200, `"id":"tiny"`},
		{"POST", "/admin/stop/tiny", nil, 200, `"id":"tiny"`},
		{"POST", "/admin/restart/tiny", nil, 200, `"state":"ready"`},
		{"GET", "/admin/stop/tiny", nil, 405, "takes POST"},
		{"POST", "/admin/start/tiny", &schedule.Unavailable{Model: "tiny", State: schedule.StateQuarantined, Reason: "no weights", RetryAfter: time.Minute}, 503, "no weights"},
		{"POST", "/admin/stop/tiny", errors.New("another order came"), 409, "order_refused"},
		{"POST", "/admin/start/none", &schedule.UnknownModel{Name: "none"}, 404, "model_not_found"},
		{"POST", "/admin/reload", nil, 200, `{"added":["a"],"removed":[],"changed":[],"needs_new_host":["server.listen"]}`},
		{"POST", "/admin/reload", errors.New("models.toml:3: what"), 409, "models.toml:3: what"},
	} {
		o := &operator{err: c.err}
		reload := func(context.Context) (Reload, error) {
			return Reload{Added: []string{"a"}, Later: []string{"server.listen"}}, c.err
		}
		w := httptest.NewRecorder()
		New(answertest.New(), Options{Operator: o, Reload: reload}).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, want %d with %q", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
		if verb := strings.Split(c.path, "/")[2]; w.Code == http.StatusOK && verb != "reload" && (o.verb != verb || o.model != "tiny") {
			t.Errorf("%s came as %s %s", c.path, o.verb, o.model)
		}
	}
}

func TestOperatorsOrders(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		err                error
		status             int
		want               string
	}{
		{"GET", "/admin/placement/org/tiny", "", nil, 200, `"resident":["cpu","far"]`},
		{"GET", "/admin/placement/org/tiny", "", nil, 200, `"fetched":8,"registered":2`},
		{"POST", "/admin/move/org/tiny", `{"module":"layers.2","device":"far"}`, nil, 200, `"moves":3`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":1000}`, nil, 200, `"peak":9`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":-1}`, nil, 400, "must not be negative"},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","byte":1}`, nil, 400, "byte"},
		{"POST", "/admin/move/org/tiny", `{"module":7}`, nil, 400, "number"},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":0}`, nil, 200, `"peak":9`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far"}`, nil, 400, `"param":"bytes"`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":null}`, nil, 400, `"param":"bytes"`},
		{"POST", "/admin/budget/org/tiny", `{"bytes":1000}`, nil, 400, `"param":"device"`},
		{"POST", "/admin/move/org/tiny", `{"device":"far"}`, nil, 400, `"param":"module"`},
		{"POST", "/admin/move/org/tiny", `{"module":"layers.2"}`, nil, 400, `"param":"device"`},
		{"POST", "/admin/move/org/tiny", `{`, nil, 400, "not valid JSON"},
		{"GET", "/admin/move/org/tiny", "", nil, 405, "takes POST"},
		{"POST", "/admin/move/org/tiny", `{"module":"x","device":"far"}`, errors.New(`no module "x"`), 409, "no module"},
		{"POST", "/admin/move/org/tiny", `{"module":"x","device":"far","deadline_ms":-1}`, nil, 400, `"param":"deadline_ms"`},
		{"POST", "/admin/budget/org/tiny", `{"device":"far","bytes":1,"deadline_ms":99999999}`, nil, 400, `"param":"deadline_ms"`},
		{"POST", "/admin/move/org/tiny", `{"module":"x","device":"far","deadline_ms":1}`, fmt.Errorf("model m: %w", &schedule.Unanswered{After: time.Second}), 504, "has not answered the order within 1s"},
		{"GET", "/admin/placement/none", "", &schedule.UnknownModel{Name: "none"}, 404, "model_not_found"},
	} {
		o := &operator{err: c.err}
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		New(answertest.New(), Options{Operator: o}).ServeHTTP(w, r)
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
	New(answertest.New(), Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/admin/placement/tiny", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

// A deadline for a move is the order's own; without one the host has its own.
func TestAMoveMayHaveADeadline(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"module":"x","device":"far","deadline_ms":300000}`: 5 * time.Minute,
		`{"module":"x","device":"far"}`:                      0,
	} {
		o := &operator{}
		r := httptest.NewRequest("POST", "/admin/move/tiny", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		New(answertest.New(), Options{Operator: o}).ServeHTTP(httptest.NewRecorder(), r)
		if o.until != want {
			t.Errorf("%s: the deadline is in %v", body, o.until)
		}
	}
}
