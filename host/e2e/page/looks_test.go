package page

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
)

// beyond lists what a person would have to scroll sideways for.
const beyond = `(() => {
	const inScroller = (e) => { for (let p = e.parentElement; p; p = p.parentElement) if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX) && p.scrollWidth > p.clientWidth + 1 && p.clientWidth <= innerWidth && getComputedStyle(p).overflowX !== "visible" && p.matches("pre, .scroll, .title, .tile-of, select, .unseen, .skip, thead")) return true; return false; };
	const wide = [...document.querySelectorAll("body *")].filter((e) => {
		const r = e.getBoundingClientRect();
		return e.checkVisibility({ visibilityProperty: true }) && r.width > 1 && r.height > 1 && (r.right > innerWidth + 1 || r.left < -1) && !inScroller(e);
	}).map((e) => e.localName + "." + (e.className.baseVal ?? e.className));
	if (document.scrollingElement.scrollWidth > innerWidth || document.body.scrollHeight > innerHeight || document.querySelector(".top").getBoundingClientRect().top !== 0) wide.push("the page");
	for (const e of document.querySelectorAll(".view, .messages, .list.open, .settings")) if (e.checkVisibility() && e.scrollWidth > e.clientWidth + 1) wide.push("scrolls: " + e.className);
	return wide;
})()`

// faint lists texts with less contrast to what is behind them than WCAG 2.2 asks for (AA): 4.5, of large ones 3.
const faint = `(() => {
	const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
	const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
	const behind = (e) => {
		const layers = [];
		for (let p = e; p; p = p.parentElement) { const c = rgba(getComputedStyle(p).backgroundColor); layers.push(c); if (c[3] === 1) break; }
		return layers.reverse().reduce((under, c) => over(c, under), rgba("Canvas").slice(0, 3));
	};
	const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const found = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode()); ) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || e.closest(".unseen, .skip, noscript, option, thead")) continue;
		const style = getComputedStyle(e);
		const back = behind(e);
		let alpha = 1;
		for (let p = e; p; p = p.parentElement) alpha *= getComputedStyle(p).opacity;
		const ink = e.namespaceURI.endsWith("svg") ? style.fill : style.color;
		const [r, g, b, a] = rgba(ink);
		const front = over([r, g, b, a * alpha], back);
		const [high, low] = [light(front), light(back)].sort((x, y) => y - x);
		const contrast = (high + 0.05) / (low + 0.05);
		const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
		if (contrast < (large ? 3 : 4.5)) found.add(e.localName + "." + (e.className.baseVal ?? e.className) + " " + JSON.stringify(n.data.slice(0, 20)) + " " + contrast.toFixed(2));
	}
	return [...found].slice(0, 20);
})()`

// check holds a view to what everybody needs, as it is shown now.
func (b *tab) check(name string) {
	b.Helper()
	if wide := eval[[]string](b, beyond); len(wide) > 0 {
		b.Errorf("%s: beyond the screen: %q", name, wide)
	}
	if weak := eval[[]string](b, faint); len(weak) > 0 {
		b.Errorf("%s: hard to read: %q", name, weak)
	}
	tree := command(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	used := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		switch role := string(n.Role.Value); role {
		case `"button"`, `"link"`, `"textbox"`, `"combobox"`, `"spinbutton"`, `"searchbox"`, `"image"`, `"dialog"`, `"region"`:
			used++
			if n.Name == nil || len(n.Name.Value) < 3 { // the quotation marks
				b.Errorf("%s: a %s has no name", name, role)
			}
		}
	}
	if used < 8 {
		b.Errorf("%s: only %d controls are told to those who do not see", name, used)
	}
	b.shoot(name)
}

// What a model writes of everything that Markdown has, so that all of it is looked at.
const everything = "# A title\n\nSome **strong** and *soft* words, `code`, [a link](https://example.com), ~~gone~~.\n\n- one\n- two\n  1. inner\n  2. more\n\n> A quotation\n> of two lines\n\n" +
	"```go\nfunc Run(a, b int) int {\n\tif a > b { // a line that is much longer than a telephone is wide, so that it has to be scrolled and not the page\n\t\treturn a\n\t}\n\treturn b\n}\n```\n\n" +
	"| model | tokens/s | a column with a long title | and another | and one more |\n|:--|--:|:-:|---|---|\n| tiny | 1,658 | x | y | z |\n\n---\n\n- [x] done\n- [ ] to do\n\naverylongwordwithoutanyspaceinitthatdoesnotfitintothewidthofatelephoneandhastobebrokensomewhere"

// Both views in four shapes: wide and narrow, light and dark.
func TestBothViewsFitEveryScreen(t *testing.T) {
	b := talk(t, home, thinker, greedy)
	b.does(fmt.Sprintf(`
		const answer = { role: "assistant", model: "tiny-glm", text: %q, reasoning: "Some thoughts.", thought: 2.5, calls: [{ id: "a", name: "get_weather", arguments: '{"city": "Oslo"}' }], state: "done", finish: "tool_calls", usage: { prompt: 1200, cached: 1000, completion: 345, predicted_per_second: 41.25, prompt_ms: 230 } };
		const failed = { role: "assistant", model: "tiny-glm", text: "", reasoning: "", calls: [], state: "failed", error: "The model is stopped: an operator stopped it." };
		const id = "everything";
		localStorage.setItem("pio.conversation." + id, JSON.stringify({ id, title: "Everything that there is, at once", at: 1, model: "tiny-glm", messages: [{ role: "user", text: "Show me everything.\nAll of it." }, answer, { role: "tool", call: "a", name: "get_weather", text: '{"degrees": 17}' }, failed] }));
		localStorage.setItem("pio.conversations", JSON.stringify([{ id, title: "Everything that there is, at once", at: 1 }]));`, everything))
	b.reload()
	b.until(`document.querySelectorAll(".message").length === 4 && document.querySelector(".markdown table")`)
	looks := looks
	if testing.Short() {
		looks = looks[3:]
	}
	for _, l := range looks {
		b.wear(l)
		b.does(`document.querySelector("#messages").scrollTop = 0; document.querySelector("#question").blur()`)
		b.check("chat-" + l.name)
		b.does(`document.querySelector("#messages").scrollTop = 1e6`)
		b.check("end-" + l.name)
		b.click("#open-settings")
		b.check("settings-" + l.name)
		b.click(`[aria-label="Close settings"]`)
	}
	b.click("#open-list")
	b.check("list-narrow-dark")
	b.does(`location.hash = "#host"`)
	b.until(`document.querySelectorAll(".plot path.curve").length > 3 && document.querySelectorAll(".map .tile-of").length > 3 && document.querySelectorAll(".lines .line").length > 3`)
	for _, l := range looks {
		b.wear(l)
		for i, top := range []string{"tiles", "placement", "plots", "log"} {
			b.does(fmt.Sprintf(`document.querySelector(".host > .%s").scrollIntoView()`, top))
			b.check(fmt.Sprintf("host-%s-%d", l.name, i))
		}
	}
	dark := eval[[]int](b, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number)`)
	if dark[0] > 60 || dark[1] > 60 || dark[2] > 60 {
		t.Errorf("in the dark the page has the colour %v", dark)
	}
}
