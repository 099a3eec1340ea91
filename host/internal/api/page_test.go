package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/page"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

func thePage(t *testing.T) http.Handler {
	t.Helper()
	h, err := page.New()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestThePageComesToBrowsersAndOnlyIfItIsWanted(t *testing.T) {
	whole := New(answertest.New(), Options{Page: thePage(t)})
	keyed, _ := locked(Options{Page: thePage(t)})
	private, _ := locked(Options{Page: thePage(t), Part: Private})
	without, _ := locked(Options{})
	for name, c := range map[string]struct {
		h            http.Handler
		method, path string
		want         int
		piece        string
	}{
		"at the root":                {whole, "GET", "/", 200, "<!doctype html>"},
		"its head":                   {whole, "HEAD", "/", 200, ""},
		"a file":                     {whole, "GET", "/page/main.js", 200, "import"},
		"with a slash":               {whole, "GET", "/page/main.js/", 200, "import"},
		"none":                       {whole, "GET", "/page/none.js", 404, ""},
		"below a file":               {whole, "GET", "/page/main.js/x", 404, "not_found"},
		"another method":             {whole, "POST", "/", 405, "takes GET"},
		"before a key was asked for": {keyed, "GET", "/", 200, "<!doctype html>"},
		"its files before that":      {keyed, "GET", "/page/main.js", 200, "import"},
		"what needs a key":           {keyed, "GET", "/v1/models", 401, "invalid_api_key"},
		"where orders are":           {private, "GET", "/", 200, "<!doctype html>"},
		"switched off":               {without, "GET", "/", 401, "invalid_api_key"},
		"switched off, its files":    {without, "GET", "/page/main.js", 401, "invalid_api_key"},
		"switched off, without keys": {New(answertest.New(), Options{}), "GET", "/", 404, "not_found"},
		"whether somebody is there":  {New(answertest.New(), Options{}), "HEAD", "/", 200, ""},
		"the same without a key":     {without, "HEAD", "/", 401, ""},
	} {
		if w := with(c.h, c.method, c.path, "", ""); w.Code != c.want || !strings.Contains(w.Body.String(), c.piece) {
			t.Errorf("%s: %s %s: %d %.80s", name, c.method, c.path, w.Code, w.Body)
		}
	}
	guarded := New(answertest.New(), Options{Page: thePage(t), Guard: &Guard{Address: address(t, "127.0.0.1:8080")}})
	if w := from(guarded, "GET", "/", "evil.example", ""); w.Code != http.StatusForbidden {
		t.Errorf("by a name that is not the host's: %d", w.Code)
	}
	if w := from(guarded, "POST", "/v1/chat/completions", "localhost:8080", "http://localhost:8080"); w.Code != http.StatusOK {
		t.Errorf("the page asks: %d %s", w.Code, w.Body)
	}
}

// The page shows these sentences: they say where what it wants is to be had.
func TestWhatIsElsewhereOrSwitchedOffIsToldSo(t *testing.T) {
	f := answertest.New()
	for path, c := range map[string]struct {
		o    Options
		want string
	}{
		"/admin/ps":             {Options{}, "admin = true under [server]"},
		"/admin/placement/tiny": {Options{Part: Public, Operator: &operator{}}, "server.admin_listen"},
		"/metrics":              {Options{Part: Public, Metrics: telemetry.New("test")}, "server.admin_listen"},
		"/v1/models":            {Options{Part: Private, Operator: &operator{}}, "server.listen"},
		"/admin/none":           {Options{Operator: &operator{}}, "there is nothing at /admin/none"},
		"/none":                 {Options{}, "there is nothing at /none"},
	} {
		w := send(New(f, c.o), http.MethodGet, path)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), c.want) || !strings.Contains(w.Body.String(), `"code":"not_found"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAnOperatorReadsTheLog(t *testing.T) {
	recent := telemetry.NewRecent()
	log := recent.Listen(telemetry.Discard())
	h := New(answertest.New(), Options{Operator: &operator{}, Recent: recent, Log: log, RequestLog: true})
	log.Info("the share of a device changes", "device", "far", "why", "it works")
	log.Log(t.Context(), slog.LevelWarn, "second")
	var got struct {
		Since string
		Last  uint64
		Lines []struct {
			Seq                     uint64
			Level, Msg, Device, Why string
		}
	}
	read := func(path string) *httptest.ResponseRecorder {
		w := send(h, http.MethodGet, path)
		got.Lines = nil
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
		return w
	}
	read("/admin/log")
	if len(got.Lines) != 2 || got.Last != 2 || got.Lines[0].Device != "far" || got.Lines[0].Why != "it works" || got.Lines[1].Level != "WARN" || got.Since == "" {
		t.Errorf("%+v", got)
	}
	answered := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"tiny","messages":[{"role":"user","content":"a"}]}`))
	answered.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), answered) // its line is not among them
	read("/admin/log?after=1")
	if len(got.Lines) != 1 || got.Lines[0].Msg != "second" || got.Last != 2 {
		t.Errorf("after the first: %+v", got)
	}
	for _, after := range []string{"-1", "x", "1.5", "99999999999999999999"} {
		if w := send(h, http.MethodGet, "/admin/log?after="+after); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"param":"after"`) {
			t.Errorf("after=%s: %d %s", after, w.Code, w.Body)
		}
	}
	keyed, _ := locked(Options{Recent: recent})
	for key, want := range map[string]int{"": 401, anyone: 403, master: 200} {
		if w := with(keyed, http.MethodGet, "/admin/log", key, ""); w.Code != want {
			t.Errorf("with the key %q: %d", key, w.Code)
		}
	}
	if w := send(New(answertest.New(), Options{Recent: recent}), http.MethodGet, "/admin/log"); w.Code != http.StatusNotFound {
		t.Errorf("without an operator: %d", w.Code)
	}
}

func TestWhatAnOperatorHasHadDoneIsInTheLog(t *testing.T) {
	recent := telemetry.NewRecent()
	h := New(answertest.New(), Options{Operator: &operator{}, Log: recent.Listen(telemetry.Discard())})
	for path, body := range map[string]string{"/admin/move/tiny": `{"module":"layers.0","device":"far"}`, "/admin/budget/tiny": `{"device":"far","bytes":1048576}`, "/admin/placement/tiny": ""} {
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		if w := with(h, method, path, "", body); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	lines, last := recent.After(0)
	text := fmt.Sprintf("%s", lines)
	if last != 2 || !strings.Contains(text, `"msg":"an operator has moved a module","model":"tiny","took":"`) || !strings.Contains(text, `"module":"layers.0","device":"far"`) ||
		!strings.Contains(text, `"msg":"an operator has set the budget of a device"`) || !strings.Contains(text, `"device":"far","bytes":"1.0 MiB"`) {
		t.Errorf("%s", text)
	}
}

func TestAPlacementSaysWhatModulesWeigh(t *testing.T) {
	table := sdk.LayerTable{Modules: []sdk.Module{{ID: "a", WeightBytes: 10, DeviceBytes: 20}, {ID: "b", WeightBytes: 30}}}
	got := asPlacement(sdk.Report{Modules: []sdk.ModuleReport{{ID: "a", Device: "cpu"}, {ID: "a", Device: "far"}, {ID: "b", Device: "far"}, {ID: "c", Device: "cpu"}}}, table)
	for i, want := range []int64{10, 20, 30, 0} {
		if got.Modules[i].Bytes != want {
			t.Errorf("%s on %s: %d bytes", got.Modules[i].ID, got.Modules[i].Device, got.Modules[i].Bytes)
		}
	}
}
