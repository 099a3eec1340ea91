package page

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// show opens the view of the host, and waits until it has seen it twice.
func show(t *testing.T, address string, expected ...string) *tab {
	t.Helper()
	b := open(t, address+"/#host", expected...)
	b.until(`document.querySelectorAll(".plot path.curve").length > 0 || document.querySelector(".host .notice").textContent !== ""`)
	return b
}

// post gives an order with a body.
func post(t *testing.T, path, body string) {
	t.Helper()
	resp, err := http.Post(home+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", path, resp.Status, text)
	}
}

func TestTheHostIsShownAsItIs(t *testing.T) {
	b := show(t, home)
	// what the page shows is what the API says: of models, devices, modules
	b.until(`(async () => {
		const shown = [...document.querySelectorAll(".models tbody tr")].map((r) => [r.querySelector(".name").textContent, r.querySelector(".badge").textContent]);
		const { models } = await (await fetch("/admin/ps")).json();
		return models.length > 2 && JSON.stringify(shown) === JSON.stringify(models.map((m) => [m.id, m.state]));
	})()`)
	if got := eval[string](b, `[...document.querySelectorAll(".device h3")].map((d) => d.firstChild.nextSibling.textContent).join()`); got != "cpu,far" {
		t.Errorf("the devices are %q", got)
	}
	if got := eval[string](b, `document.querySelector(".device .bar").getAttribute("aria-label")`); !strings.HasPrefix(got, "cpu: ") || !strings.Contains(got, "iB of ") {
		t.Errorf("the cpu's bar says %q", got)
	}
	b.choose("#placement-title + select", caller)
	b.until(fmt.Sprintf(`(async () => {
		const { modules } = await (await fetch("/admin/placement/%s")).json();
		const shown = [...document.querySelectorAll(".map .tile-of")].map((t) => t.getAttribute("aria-label").split(" · ").slice(0, 2).join());
		return JSON.stringify(shown) === JSON.stringify(modules.map((m) => m.id + ",computed on " + m.device));
	})()`, caller))
	b.shoot("host")
}

func TestAMoveIsSeen(t *testing.T) {
	b := show(t, home)
	b.choose("#placement-title + select", caller)
	on := func(device string) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".map .tile-of")].some((t) => t.getAttribute("aria-label").startsWith("layers.2 · computed on %s · "))`, device)
	}
	b.until(on("cpu"))
	post(t, "/admin/move/"+caller, `{"module": "layers.2", "device": "far"}`)
	t.Cleanup(func() { post(t, "/admin/move/"+caller, `{"module": "layers.2", "device": "cpu"}`) })
	b.until(on("far"))
	b.until(`document.querySelector(".lines .move .words").textContent.startsWith("tinylayers.2: cpu → far, ")`)
	b.until(`[...document.querySelectorAll(".placement-map .legend li")].some((l) => /^far1 module, [1-9]/.test(l.textContent))`)
	b.shoot("moved")
	// what it is can be had without a pointer
	b.focus(".map .tile-of")
	for range 3 {
		b.press(right)
	}
	if got := eval[string](b, `document.querySelector(".placement-map .about").textContent`); !strings.HasPrefix(got, "layers.2 · computed on far · ") {
		t.Errorf("three steps to the right is %q", got)
	}
}

func TestExpertsAreInTheMap(t *testing.T) {
	b := show(t, home)
	b.choose("#placement-title + select", thinker)
	b.until(fmt.Sprintf(`(async () => {
		const { modules } = await (await fetch("/admin/placement/%s")).json();
		const experts = modules.filter((m) => m.id.includes(".experts."));
		const strips = [...document.querySelectorAll(".map canvas")].map((c) => c.getAttribute("aria-label"));
		return experts.length > 8 && strips.length * 8 === experts.length && strips.every((s) => s === "8 experts: 8 on cpu");
	})()`, thinker))
}

// A map of 48 layers with 128 experts each, on cards and the cpu, as no machine of this test has it.
func TestALargeMapIsReadable(t *testing.T) {
	b := show(t, home)
	b.does(`
		const modules = [{ id: "embed_tokens", device: "gpu.0", resident: ["cpu", "gpu.0"], seconds: 0, bytes: 6e8 }];
		for (let l = 0; l < 48; l++) {
			modules.push({ id: "layers." + l, device: "gpu." + (l % 2), resident: l === 7 ? ["cpu"] : ["cpu", "gpu." + (l % 2)], seconds: 3e-4, bytes: 4e7 });
			for (let e = 0; e < 128; e++) modules.push({ id: "layers." + l + ".mlp.experts." + e, device: e % 3 ? "cpu" : "gpu." + (l % 2), resident: ["cpu", "gpu.0", "gpu.1"], seconds: 0, bytes: 5e6 });
		}
		globalThis.drawn = Promise.all([import("/page/map.js"), import("/page/palette.js")]).then(([m, p]) => {
			const map = new m.PlacementMap(new p.Palette("device"));
			map.node.hidden = false;
			map.node.id = "large";
			document.querySelector("#placement-title").after(map.node);
			map.show("large", { modules, devices: [], moves: 5, prefetches: 1, evictions: 0, expert_hits: 3, expert_misses: 1, fetched: 4e9, registered: 1e9 }, [modules[1], modules[2]]);
			return true;
		});`)
	b.until(`drawn`)
	if !eval[bool](b, `document.querySelector("#large").textContent.includes("25 % of ")`) {
		t.Error("how many of the weights that are copied again and again are registered is not shown")
	}
	for _, l := range looks {
		b.wear(l)
		b.until(`document.querySelector("#large canvas").width === document.querySelector("#large canvas").clientWidth`)
		b.does(`document.querySelector("#placement-title").scrollIntoView()`)
		b.shoot("large-" + l.name)
		if got := eval[[]int](b, `[document.querySelectorAll("#large canvas").length, document.querySelectorAll("#large .tile-of").length]`); got[0] != 48 || got[1] != 49 {
			t.Errorf("%s: %d rows of experts, %d tiles", l.name, got[0], got[1])
		}
		// each expert has the colour of its device, in the canvas as in the legend
		if wrong := eval[[]string](b, `(() => {
			const legend = Object.fromEntries([...document.querySelectorAll("#large .legend li")].map((i) => [i.childNodes[1].textContent, getComputedStyle(i.firstChild).backgroundColor]));
			const wrong = [];
			document.querySelectorAll("#large canvas").forEach((canvas, l) => {
				const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
				pen.drawImage(canvas, 0, 0);
				for (let e = 0; e < 128; e++) {
					const [r, g, b] = pen.getImageData(Math.floor(((e + .3) * canvas.width) / 128), 7, 1, 1).data;
					const device = e % 3 ? "cpu" : "gpu." + (l % 2);
					if (legend[device] !== "rgb(" + r + ", " + g + ", " + b + ")") wrong.push(l + "." + e + " " + [r, g, b] + " " + legend[device]);
				}
			});
			return wrong.slice(0, 5);
		})()`); len(wrong) > 0 {
			t.Errorf("%s: experts in colours that are not their device's: %q", l.name, wrong)
		}
	}
	if got := eval[string](b, `document.querySelector("#large .row:nth-child(9) .tile-of").getAttribute("aria-label")`); !strings.Contains(got, "layers.7 · computed on gpu.1 · its weights are on cpu and not there yet") {
		t.Errorf("a layer that is on its way: %q", got)
	}
}

func TestPlotsAndLogFollow(t *testing.T) {
	b := show(t, home)
	post(t, "/v1/chat/completions", fmt.Sprintf(`{"model": %q, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200, "ignore_eos": true}`, caller))
	b.until(`[...document.querySelectorAll(".plot .curve")].some((c) => c.getAttribute("d").includes("L"))`)
	b.until(fmt.Sprintf(`JSON.parse(sessionStorage.getItem("pio.samples") ?? "[]").some((s) => s.rate.%s > 0)`, caller))
	if got := eval[string](b, `document.querySelector(".plot svg").getAttribute("aria-label")`); !strings.HasPrefix(got, "Tokens per second, now: ") || strings.HasSuffix(got, "the most: 0") {
		t.Errorf("the plot of tokens says %q", got)
	}
	all := eval[int](b, `document.querySelectorAll(".lines .line").length`)
	b.write(".log-head input", "is ready")
	few := eval[[]string](b, `[...document.querySelectorAll(".lines .line .words")].map((w) => w.textContent)`)
	if len(few) == 0 || len(few) >= all || !strings.Contains(few[0], "the model is ready") {
		t.Errorf("of %d lines these have the words: %q", all, few)
	}
	if text := eval[string](b, `document.querySelector(".lines").textContent`); strings.Contains(text, "endpoint") {
		t.Errorf("lines of single requests are shown: %s", text)
	}
}

func TestAKeyIsAskedForAndKept(t *testing.T) {
	b := open(t, locked, "401 (Unauthorized)", "403 (Forbidden)")
	b.until(`document.querySelector("#key-dialog").open && document.activeElement.id === "key"`)
	b.shoot("key")
	b.write("#key", "pio-nobody-knows-this-key")
	b.press(enter)
	b.until(`document.querySelector("#key-reason").textContent === "It does not know the key that it was shown."`)
	b.write("#key", anyone)
	b.press(enter)
	b.until(`!document.querySelector("#key-dialog").open && document.querySelector("#model").value === "` + caller + `"`)
	b.ask("What is the capital of Japan?")
	if got := b.said(":scope > .markdown"); got != "The capital of Japan is Tokyo." {
		t.Errorf("with a key the answer is %q", got)
	}
	if kept := eval[string](b, `JSON.stringify([Object.values(sessionStorage), Object.values(localStorage)])`); !strings.Contains(kept, anyone) || strings.Contains(strings.Split(kept, "],[")[1], anyone) {
		t.Errorf("the browser keeps %s", kept)
	}
	b.does(`location.hash = "#host"`)
	b.until(`document.querySelector(".host .notice").textContent.includes("admin = true")`)
	b.click(".host .notice button")
	b.until(`document.querySelector("#key-dialog").open`)
	b.write("#key", master)
	b.press(enter)
	b.until(`document.querySelectorAll(".map .tile-of").length > 3 && document.querySelectorAll(".lines .line").length > 3 && document.querySelector(".host .notice").textContent === ""`)
}

// Where orders have an address of their own the page says so, and is there too.
func TestOrdersAtAnAddressOfTheirOwn(t *testing.T) {
	b := show(t, public, "404 (Not Found)")
	b.until(`document.querySelector(".host .notice").textContent.includes("server.admin_listen") && document.querySelectorAll(".models tbody tr").length === 1`)
	b.shoot("elsewhere")
	b = show(t, private, "404 (Not Found)")
	b.until(`document.querySelectorAll(".map .tile-of").length > 3 && document.querySelectorAll(".models tbody tr").length === 1`)
	b.does(`location.hash = "#chat"`)
	b.until(`document.querySelector(".welcome").textContent.includes("server.listen")`)
}
