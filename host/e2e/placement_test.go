package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// long is a generation of many tokens, so that there is a middle to do things in.
func long() object {
	return ask("What is 27 + 38?", object{"temperature": 1, "top_p": 1, "top_k": 0, "seed": 3, "max_tokens": 120, "ignore_eos": true, "stream": true})
}

// placement is the part of an admin answer the tests look at.
func (s *server) placement() (modules map[string]string, far object, report object) {
	s.t.Helper()
	resp, err := http.Get(s.url + "/admin/placement/tiny")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	report = decode(s.t, resp)
	modules = map[string]string{}
	for _, m := range report["modules"].([]any) {
		modules[m.(object)["id"].(string)] = m.(object)["device"].(string)
	}
	for _, d := range report["devices"].([]any) {
		if d.(object)["name"] == "far" {
			far = d.(object)
		}
	}
	return modules, far, report
}

// come is the placement once nothing is on its way any more: layers of a model that was loaded, or was given more, go over one after the other.
func (s *server) come(there func(modules map[string]string) bool) (modules map[string]string) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if modules, _, _ = s.placement(); there(modules) || time.Now().After(deadline) {
			return modules
		}
	}
}

// rest waits until modules have stayed where they are, and devices have held what they hold, for a while: then nothing is on its way.
func (s *server) rest() {
	s.t.Helper()
	type state struct{ modules, devices any }
	see := func() state {
		modules, _, report := s.placement()
		var used []any
		for _, d := range report["devices"].([]any) {
			used = append(used, d.(object)["name"], d.(object)["budget"])
			if d.(object)["name"] != "cpu" {
				used = append(used, d.(object)["used"])
			}
		}
		return state{modules, used}
	}
	last, since := see(), time.Now()
	for deadline := since.Add(time.Minute); time.Since(since) < 300*time.Millisecond && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if now := see(); !reflect.DeepEqual(now, last) {
			last, since = now, time.Now()
		}
	}
}

func (s *server) move(module, device string) {
	s.t.Helper()
	if code, out := s.post("/admin/move/tiny", object{"module": module, "device": device}); code != http.StatusOK {
		s.t.Fatalf("move %s to %s: %d %v", module, device, code, out)
	}
}

const (
	roomyFar = "[[device]]\nname = \"far\"\nmemory = \"64MiB\"\ncopy = \"20GB/s\"\nread = \"1MB/s\"\n" // so slow that no plan uses it unasked
	small    = "context = 512\nmax_sequences = 2\nstep_tokens = 128"
)

func TestLayerMovesInTheMiddleOfAGeneration(t *testing.T) {
	want, err := start(t, tinyModel(small)).complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, roomyFar+tinyModel(small))
	if modules, _, _ := s.placement(); modules["layers.2"] != "cpu" {
		t.Fatalf("layers.2 begins on %s", modules["layers.2"])
	}
	var during map[string]string
	got, err := s.complete("/v1/chat/completions", long(), func(n int) {
		switch n {
		case 20:
			s.move("layers.2", "far")
			during, _, _ = s.placement()
		case 70:
			s.move("layers.2", "cpu")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if during["layers.2"] != "far" {
		t.Errorf("after the order layers.2 was on %s", during["layers.2"])
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("moved\n got %+v\nwant %+v", got, want)
	}
	if modules, _, _ := s.placement(); modules["layers.2"] != "cpu" {
		t.Errorf("after the way back layers.2 is on %s", modules["layers.2"])
	}
}

func TestRandomOrdersAtRandomTokensChangeNothing(t *testing.T) {
	want, err := start(t, tinyModel(small)).complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, roomyFar+tinyModel(small))
	modules := []string{"embed_tokens", "layers.0", "layers.1", "layers.2", "layers.3", "norm"}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 0))
		got, err := s.complete("/v1/chat/completions", long(), func(int) {
			if r.IntN(6) == 0 {
				s.move(modules[r.IntN(len(modules))], []string{"cpu", "far"}[r.IntN(2)])
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("orders of seed %d\n got %+v\nwant %+v", seed, got, want)
		}
	}
}

// Two of four layers fit the far device, and copying is said to be so fast that streaming all through it pays.
func TestResidencyManagerStreamsAndObeysAShrinkingBudget(t *testing.T) {
	want, err := start(t, tinyModel(small)).complete("/v1/chat/completions", long(), nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := start(t, "[[device]]\nname = \"far\"\nmemory = \"64MiB\"\ncopy = \"1000GB/s\"\nread = \"1000GB/s\"\n"+tinyModel(small))
	if _, err := whole.complete("/v1/chat/completions", ask("Hello", object{"max_tokens": 2}), nil); err != nil {
		t.Fatal(err)
	}
	whole.rest()
	modules, far, _ := whole.placement()
	if modules["layers.0"] != "far" || modules["layers.3"] != "far" {
		t.Fatalf("with room for all the plan is %v", modules)
	}
	const layer = 491520 + 1024 // bytes of a tiny layer: see the layer table
	budget := int64(far["used"].(float64)) - 2*layer
	s := start(t, fmt.Sprintf("[[device]]\nname = \"far\"\nmemory = \"%dB\"\ncopy = \"1000GB/s\"\nread = \"1000GB/s\"\n", budget)+tinyModel(small))
	s.rest()
	modules, _, before := s.placement()
	for i := range 4 {
		if name := fmt.Sprintf("layers.%d", i); modules[name] != "far" {
			t.Errorf("%s is on %s: streaming pays, so all layers are computed there", name, modules[name])
		}
	}
	smaller := budget - layer - layer/2
	got, err := s.complete("/v1/chat/completions", long(), func(n int) {
		if n != 60 {
			return
		}
		code, out := s.post("/admin/budget/tiny", object{"device": "far", "bytes": smaller, "deadline_ms": 1000})
		if code != http.StatusOK {
			t.Errorf("budget: %d %v", code, out)
		}
		if _, far, _ := s.placement(); int64(far["used"].(float64)) > smaller {
			t.Errorf("after the order the device holds %v of %d", far["used"], smaller)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("streamed\n got %+v\nwant %+v", got, want)
	}
	_, far, after := s.placement()
	for _, count := range []string{"prefetches", "evictions"} {
		if after[count].(float64) < before[count].(float64)+100 {
			t.Errorf("%s went from %v to %v in 120 tokens", count, before[count], after[count])
		}
	}
	if peak := int64(far["peak"].(float64)); peak > budget {
		t.Errorf("the device held %d bytes at once, more than its budget of %d", peak, budget)
	}
}

// On far is everything but experts, and room for a third of those. Which experts a token needs is known too late to fetch
// them: some are there, the others are computed where they lie, and no token changes.
func TestAThirdOfTheExpertsFitsOnADevice(t *testing.T) {
	for _, family := range families {
		model := tinyOf(family, "tiny", small)
		alone := start(t, model)
		_, _, report := alone.placement()
		if _, count := experts(report); count == 0 {
			alone.stop()
			continue
		}
		t.Run(family, func(t *testing.T) {
			want, err := alone.complete("/v1/chat/completions", long(), nil)
			if err != nil {
				t.Fatal(err)
			}
			roomy := start(t, quickFar(64<<20)+model)
			if _, err := roomy.complete("/v1/chat/completions", long(), nil); err != nil {
				t.Fatal(err)
			}
			roomy.rest()
			_, far, report := roomy.placement()
			there, count := experts(report)
			each := expertBytes(t, family) / float64(count)
			without := far["used"].(float64) - float64(there)*each
			budget := without + float64(count)/3*each

			s := start(t, quickFar(int64(budget))+model)
			got, err := s.complete("/v1/chat/completions", long(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("with a third of the experts\n got %+v\nwant %+v", got, want)
			}
			_, far, report = s.placement()
			hits, misses := report["expert_hits"].(float64), report["expert_misses"].(float64)
			if hits == 0 || misses == 0 || far["peak"].(float64) > budget || far["used"].(float64) <= without {
				t.Errorf("%v hits, %v misses; far is %v, of which %v are not experts", hits, misses, far, without)
			}
			t.Logf("hit rate %.2f with room for a third of %d experts", hits/(hits+misses), count)
		})
	}
}

// experts counts the experts whose weights far has, and all.
func experts(report object) (there, all int) {
	for _, m := range report["modules"].([]any) {
		if !strings.Contains(m.(object)["id"].(string), ".experts.") {
			continue
		}
		all++
		for _, d := range m.(object)["resident"].([]any) {
			if d == "far" {
				there++
			}
		}
	}
	return there, all
}

// expertBytes adds up the experts' tensors in a checkpoint's header.
func expertBytes(t *testing.T, family string) (bytes float64) {
	t.Helper()
	f, err := os.Open(filepath.Join(tinyDir(family), "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var size uint64
	if err := binary.Read(f, binary.LittleEndian, &size); err != nil {
		t.Fatal(err)
	}
	var header map[string]struct {
		Offsets []float64 `json:"data_offsets"`
	}
	if err := json.NewDecoder(io.LimitReader(f, int64(size))).Decode(&header); err != nil {
		t.Fatal(err)
	}
	for name, tensor := range header {
		if strings.Contains(name, ".experts.") {
			bytes += tensor.Offsets[1] - tensor.Offsets[0]
		}
	}
	return bytes
}

// quickFar is a device on which every plan puts what it can.
func quickFar(bytes int64) string {
	return fmt.Sprintf("[[device]]\nname = \"far\"\nmemory = \"%dB\"\ncopy = \"20GB/s\"\nread = \"1000GB/s\"\n", bytes)
}

// The least that an order for the cpu accepts is enough for the process there is, and for the next one to load with.
func TestTheLeastBudgetIsEnoughForTheNextProcess(t *testing.T) {
	for _, family := range families {
		s := start(t, tinyOf(family, "tiny", small))
		body := ask("What is the capital of Japan?", object{"temperature": 0, "max_tokens": 12, "ignore_eos": true})
		want, err := s.complete("/v1/chat/completions", body, nil)
		if err != nil {
			t.Fatal(err)
		}
		code, bytes := 0, 1
		for range 3 { // first by what the host counts, then by what the process holds
			var out object
			if code, out = s.post("/admin/budget/tiny", object{"device": "cpu", "bytes": bytes}); code == http.StatusOK {
				break
			}
			_, least, ok := strings.Cut(fmt.Sprint(out["error"]), "the least that works is ")
			if n, _ := fmt.Sscan(least, &bytes); !ok || n != 1 || code != http.StatusConflict {
				t.Fatalf("%s, %d bytes: %d %v", family, bytes, code, out)
			}
		}
		s.kill()
		if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || code != http.StatusOK || !reflect.DeepEqual(got, want) {
			t.Errorf("%s with %d bytes: %d, %v\n got %+v\nwant %+v", family, bytes, code, err, got, want)
		}
		if log := s.log.String(); strings.Contains(log, "did not start") {
			t.Errorf("%s with %d bytes:\n%s", family, bytes, s.log.end())
		}
		s.stop()
	}
}
