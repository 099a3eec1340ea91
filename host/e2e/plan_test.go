package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// planned runs `plan --json` on a models.toml with these tables.
func planned(t *testing.T, tables string, flags ...string) (code int, document object) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.toml")
	text := fmt.Sprintf("[plugins]\ndirs = [%q]\n%s", filepath.Join(bin, "plugins"), tables)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "piohost"), append([]string{"plan", "--json", "--config", file}, flags...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &complaints)
	}
	return cmd.ProcessState.ExitCode(), document
}

// of finds a device of a planned model.
func of(t *testing.T, model object, device string) object {
	t.Helper()
	for _, d := range model["devices"].([]any) {
		if d.(object)["name"] == device {
			return d.(object)
		}
	}
	t.Fatalf("the plan has no %s: %v", device, model["devices"])
	return nil
}

// happens starts a host on the tables of a plan, and holds it to the plan: where each module is computed, and what the device then holds.
func happens(t *testing.T, tables, device string) object {
	t.Helper()
	code, d := planned(t, tables)
	models := d["models"].([]any)
	if code != 0 || len(models) != 1 {
		t.Fatalf("exit code %d, %v", code, d)
	}
	model := models[0].(object)
	s := start(t, tables)
	defer s.stop()
	modules := s.come(func(modules map[string]string) bool {
		for _, m := range model["modules"].([]any) {
			if id := m.(object)["id"].(string); modules[id] != m.(object)["device"] {
				return false
			}
		}
		return true
	})
	left := 0
	for _, m := range model["modules"].([]any) {
		id, where := m.(object)["id"].(string), m.(object)["device"]
		if modules[id] != where {
			t.Errorf("%s is on %s, planned was %s", id, modules[id], where)
		}
		if where == "cpu" && strings.HasPrefix(id, "layers.") && !strings.Contains(id, ".experts.") {
			left++
		}
	}
	if len(modules) != len(model["modules"].([]any)) {
		t.Errorf("%d modules, planned were %d", len(modules), len(model["modules"].([]any)))
	}
	if _, err := s.complete("/v1/chat/completions", ask("Hello", object{"max_tokens": 20, "ignore_eos": true}), nil); err != nil {
		t.Fatal(err)
	}
	_, _, report := s.placement()
	taken, peak, part := 0.0, 0.0, of(t, model, device)
	for _, r := range report["devices"].([]any) {
		if r := r.(object); r["name"] == device {
			taken, peak = r["used"].(float64), r["peak"].(float64)
		}
	}
	exact := part["experts"] == 0.0 && part["buffer"] == 0.0 // experts come as they are needed, and a buffer takes what room there is
	if plan := part["taken"].(float64); exact && taken != plan || peak > part["bytes"].(float64) {
		t.Errorf("%s holds %.0f bytes and held %.0f, planned were %.0f of %.0f", device, taken, peak, plan, part["bytes"])
	}
	model["left"] = left
	return model
}

// What the plan says of this machine is what then happens, for every model that ships: with room for all of it on a second device, for some
// layers, and for a pair of layers that all others pass through.
func TestThePlanIsWhatThenHappens(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			model := tinyOf(family, "tiny", small)
			whole := happens(t, quickFar(64<<20)+model, "far")
			if whole["left"] != 0 || whole["decode"].(float64) <= 0 || whole["decode_last"].(float64) > whole["decode"].(float64) || len(whole["gives"].([]any)) > 0 {
				t.Errorf("with room for all: %v", whole)
			}
			far := of(t, whole, "far")
			taken := int64(far["taken"].(float64) - far["experts"].(float64)/max(1, far["experts_of"].(float64))*expertBytesOf(t, family))
			some := happens(t, quickFar(taken*3/5)+model, "far")
			gives := fmt.Sprint(some["gives"])
			if some["left"] == 0 || !strings.Contains(gives, "more of far would hold all its layers") {
				t.Errorf("%v layers are left on the cpu with %d of %d bytes of far, and what gives is %v", some["left"], taken*3/5, taken, gives)
			}
			if some["decode"].(float64) >= whole["decode"].(float64) {
				t.Errorf("%v tokens a second with less, %v with all", some["decode"], whole["decode"])
			}
			quick := strings.Replace(quickFar(taken*3/5), "20GB/s", "1000GB/s", 1)
			happens(t, quick+model, "far")
		})
	}
}

func expertBytesOf(t *testing.T, family string) float64 {
	if !strings.Contains(family, "coder") && !strings.Contains(family, "glm") {
		return 0
	}
	return expertBytes(t, family)
}

// A machine that is not there: cards of the command line in place of those there are, and what is told of them.
func TestThePlanOfAnImaginedMachine(t *testing.T) {
	model := tinyModel(small)
	code, d := planned(t, model, "--gpu", "64MiB", "--gpu", "32MiB,900GB/s,50GB/s,150TFLOP/s", "--memory", "1GiB")
	if code != 0 || len(d["devices"].([]any)) != 2 {
		t.Fatalf("exit code %d, %v", code, d)
	}
	m := d["models"].([]any)[0].(object)
	if p := of(t, m, "gpu.1"); p["read"] != 900e9 || p["copy"] != 50e9 || p["flops"] != 150e12 || p["bytes"] != float64(32<<20) {
		t.Errorf("the second card is %v", p)
	}
	if of(t, m, "gpu.0")["taken"] == 0.0 && of(t, m, "gpu.1")["taken"] == 0.0 || d["memory"].(object)["bytes"] != float64(1<<30) {
		t.Errorf("no card is used: %v", d)
	}
	if p := of(t, m, "gpu.0"); p["flops"] != 40e12 {
		t.Errorf("a card of which nothing is said is %v", p)
	}
	sum := 0.0
	for part, bytes := range m["memory"].(object) {
		if part != "total" {
			sum += bytes.(float64)
		}
	}
	if memory := m["memory"].(object); sum != memory["total"] || memory["spill"] == 0.0 {
		t.Errorf("the parts of the memory come to %.0f: %v", sum, memory)
	}
	if alone, all := m["cores"], m["shared"].(object); alone != all["cores"] || alone.(float64) < 1 || all["with"] != 0.0 || all["decode"] != m["decode"] {
		t.Errorf("one model has %v cores, and while all work %v", alone, all)
	}
	_, two := planned(t, model+tinyOf("qwen3_0_6b", "other", small), "--memory", "1GiB")
	for _, m := range two["models"].([]any) {
		m := m.(object)
		all := m["shared"].(object)
		if cores := m["cores"].(float64); all["with"] != 1.0 || all["cores"].(float64) > (cores+1)/2 || cores > 1 && all["decode"].(float64) >= m["decode"].(float64) {
			t.Errorf("one of two models has %v cores and %v tokens a second, and while both work %v", cores, m["decode"], all)
		}
	}
	if code, d = planned(t, model, "--memory", "1MiB"); code != 2 || !strings.Contains(fmt.Sprint(d["problems"]), "there is not enough memory for it") {
		t.Errorf("on a machine too small the exit code is %d: %v", code, d["problems"])
	}
}
