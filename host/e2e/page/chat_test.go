package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	thinker = "tiny-glm" // thinks first
	caller  = "tiny"     // was trained to call functions
	seer    = "tiny-vl"  // takes pictures
)

// What the reference says to a question, by the golden file of the checkpoint.
const (
	sum, carried = "27 + 38 = 65", "Ones: 7 + 8 gives 5 carry 1. Tens: 2 + 3 + 1 gives 6."
	weather      = `{"type":"function","function":{"name":"get_weather","description":"Current weather in a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}`
)

// talk opens the chat with a model and settings, as a user has left them.
func talk(t *testing.T, address, model string, settings map[string]string, expected ...string) *tab {
	t.Helper()
	b := open(t, address, expected...)
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	b.does(fmt.Sprintf(`localStorage.setItem("pio.model", %q); localStorage.setItem("pio.settings", %q)`, model, text))
	b.reload()
	b.until(fmt.Sprintf(`document.querySelector("#model").value === %q`, model))
	return b
}

var greedy = map[string]string{"temperature": "0"}

// ask sends a message and waits until it is answered.
func (b *tab) ask(question string) {
	b.Helper()
	n := eval[int](b, `document.querySelectorAll(".assistant").length`)
	b.write("#question", question)
	b.press(enter)
	b.answered(n + 1)
}

func (b *tab) answered(n int) {
	b.Helper()
	b.until(fmt.Sprintf(`(() => { const all = document.querySelectorAll(".assistant"); return all.length === %d && all[%d].getAttribute("aria-busy") === "false"; })()`, n, n-1))
}

// said is the text of the last answer that a selector finds.
func (b *tab) said(selector string) string {
	b.Helper()
	return strings.TrimSpace(eval[string](b, fmt.Sprintf(`[...document.querySelectorAll(".assistant")].at(-1).querySelector(%q).textContent`, selector)))
}

func TestAnAnswerStreamsBehindItsFoldedReasoning(t *testing.T) {
	g := newGate(t, home)
	b := talk(t, g.url, thinker, greedy)
	g.more(6)
	b.write("#question", "What is 27 + 38?")
	b.press(enter)
	b.until(`document.querySelector(".reasoning .markdown")?.textContent.length > 3`)
	if got := b.said(".reasoning .markdown"); len(got) >= len(carried) || !strings.HasPrefix(carried, got) {
		t.Errorf("of the reasoning there is %q", got)
	}
	if got := b.said(".reasoning summary"); got != "Thinking…" || eval[bool](b, `document.querySelector("#stop").hidden || !document.querySelector("#send").hidden`) {
		t.Errorf("while it thinks the fold says %q", got)
	}
	b.shoot("thinking")
	for b.said(":scope > .markdown") == "" {
		g.more(1)
		b.until(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	}
	if got := b.said(":scope > .markdown"); len(got) >= len(sum) || !strings.HasPrefix(sum, got) {
		t.Errorf("of the answer there is %q", got)
	}
	g.more(100)
	b.answered(1)
	if got := b.said(":scope > .markdown"); got != sum {
		t.Errorf("the answer is %q", got)
	}
	if got := b.said(".reasoning .markdown"); got != carried {
		t.Errorf("the reasoning is %q", got)
	}
	if eval[bool](b, `document.querySelector(".reasoning").open || document.querySelector(".reasoning .markdown").checkVisibility({contentVisibilityAuto: true}) && document.querySelector(".reasoning .markdown").getBoundingClientRect().height > 0`) {
		t.Error("the reasoning is not folded")
	}
	if got := b.said(".reasoning summary"); !strings.HasPrefix(got, "Thought for ") {
		t.Errorf("the fold says %q", got)
	}
	b.click(".reasoning summary")
	b.until(`document.querySelector(".reasoning .markdown").getBoundingClientRect().height > 0`)
	if got := b.said(".figures"); !strings.Contains(got, " tokens · ") || !strings.Contains(got, "prompt ") {
		t.Errorf("the figures are %q", got)
	}
	// what was said before goes along: the reference's second turn
	g.more(500)
	b.click("#new")
	b.ask("Spell rose.")
	b.ask("What is 8 + 9?")
	if got := b.said(":scope > .markdown"); got != "8 + 9 = 17" {
		t.Errorf("the second turn is %q", got)
	}
}

func TestConversationsAreKeptUntilTheyAreCleared(t *testing.T) {
	b := talk(t, home, caller, map[string]string{"temperature": "0", "reasoning_effort": "none"})
	b.ask("What is the capital of Japan?")
	b.click("#new")
	b.until(`document.querySelectorAll(".message").length === 0`)
	b.ask("What is 27 + 38?")
	b.reload()
	b.until(`document.querySelectorAll(".message").length === 2`)
	if got := b.said(":scope > .markdown"); got != sum {
		t.Errorf("after the page was loaded anew the answer is %q", got)
	}
	b.click(`#conversations li:nth-child(2) .title`)
	b.until(`document.querySelector(".bubble").textContent === "What is the capital of Japan?"`)
	if got := b.said(":scope > .markdown"); got != "The capital of Japan is Tokyo." {
		t.Errorf("the other conversation has %q", got)
	}
	b.does(`globalThis.confirm = () => true`)
	b.click("#clear")
	b.until(`document.querySelectorAll(".message, #conversations li").length === 0`)
	if left := eval[[]string](b, `Object.keys(localStorage).filter((k) => k.startsWith("pio.conversation"))`); len(left) > 0 {
		t.Errorf("after all was cleared there is %q", left)
	}
}

func TestAQuestionIsTakenBackAndAskedAnew(t *testing.T) {
	b := talk(t, home, caller, map[string]string{"temperature": "0", "reasoning_effort": "none"})
	b.ask("What is the capital of Japan?")
	b.click(`.assistant [aria-label="Answer again"]`)
	b.answered(1)
	if got := b.said(":scope > .markdown"); got != "The capital of Japan is Tokyo." {
		t.Errorf("answered again: %q", got)
	}
	b.click(`.user [aria-label="Edit and ask again"]`)
	if got := eval[string](b, `document.querySelector("#question").value`); got != "What is the capital of Japan?" {
		t.Errorf("to be written anew: %q", got)
	}
	b.put("#question", "")
	b.ask("What is 27 + 38?")
	if got := b.said(":scope > .markdown"); got != sum || eval[int](b, `document.querySelectorAll(".message").length`) != 2 {
		t.Errorf("the question that was written anew: %q", got)
	}
}

func TestCallsAreShownAndAnswered(t *testing.T) {
	b := talk(t, home, caller, map[string]string{"temperature": "0", "reasoning_effort": "none", "tools": "[" + weather + "]"})
	b.ask("What is the weather in Oslo?")
	if got := b.said(".call summary"); got != "Call of get_weather" {
		t.Errorf("the call is shown as %q", got)
	}
	if got := b.said(".call pre"); !strings.Contains(got, `"city": "Oslo"`) {
		t.Errorf("its arguments are %q", got)
	}
	b.shoot("call")
	b.write(".results textarea", `{"degrees": 17}`)
	b.click(".results button")
	b.answered(2)
	if got := b.said(":scope > .markdown"); got != "It is 17 degrees in Oslo." {
		t.Errorf("with its result the answer is %q", got)
	}
	if eval[bool](b, `document.querySelector(".results") !== null`) {
		t.Error("the call still waits for its result")
	}
}

func TestKeys(t *testing.T) {
	b := talk(t, home, caller, map[string]string{"temperature": "0", "reasoning_effort": "none"})
	b.write("#question", "a")
	b.press(shiftEnter)
	b.write("#question", "b")
	if got := eval[string](b, `document.querySelector("#question").value`); got != "a\nb" || eval[int](b, `document.querySelectorAll(".message").length`) != 0 {
		t.Errorf("Shift and Enter make %q", got)
	}
	b.press(enter)
	b.answered(1)
	if got := eval[string](b, `document.querySelector(".bubble").textContent`); got != "a\nb" {
		t.Errorf("Enter sends %q", got)
	}
	b.click("#open-settings")
	b.until(`!document.querySelector("#settings").hidden && document.querySelector("#settings").contains(document.activeElement)`)
	b.press(escape)
	b.until(`document.querySelector("#settings").hidden && document.activeElement.id === "open-settings"`)
	// the tabulator goes through the page from its top, and comes to everything that can be used
	b.reload()
	b.until(`document.querySelectorAll(".message").length === 2 && document.querySelector("#model").options.length > 1`)
	b.does(`document.querySelector(".skip").focus()`)
	var order []string
	for range 20 {
		order = append(order, eval[string](b, `document.activeElement.id || document.activeElement.getAttribute("aria-label") || document.activeElement.className`))
		b.press(tabulator)
	}
	at := -1
	for _, want := range []string{"skip", "open-list", "to-chat", "to-host", "model", "open-settings", "new", "title", "clear", "messages", "question"} {
		next := strings.Index(strings.Join(order, " ")+" ", want+" ")
		if next <= at {
			t.Errorf("%s does not come in its place: %q", want, order)
		}
		at = next
	}
}

func TestWhatIsWrongIsToldInWords(t *testing.T) {
	b := talk(t, home, caller, map[string]string{"stop": strings.Repeat("a\n", 20)}, "400 (Bad Request)", "503 (Service Unavailable)")
	b.ask("Hello")
	if got := b.said(".error"); !strings.Contains(got, "16") || !strings.HasSuffix(got, ".") {
		t.Errorf("a field that the host refuses: %q", got)
	}
	// one that is no value of its field is not even sent
	b.click("#open-settings")
	b.put("#set-stop", "")
	b.write("#set-tools", "[{")
	b.write("#question", "Hello")
	b.press(enter)
	b.until(`document.activeElement.id === "set-tools" && document.activeElement.validationMessage.startsWith("This is no JSON")`)
	if n := eval[int](b, `document.querySelectorAll(".message").length`); n != 2 {
		t.Errorf("%d messages: it was sent", n)
	}
	b.click("#settings .quiet")
	order(t, home, "/admin/stop/"+caller)
	b.press(escape)
	b.focus("#question")
	b.press(enter)
	b.answered(2)
	if got := b.said(".error"); !strings.Contains(got, "an operator stopped it") {
		t.Errorf("a model that is stopped: %q", got)
	}
	order(t, home, "/admin/start/"+caller)
	b.click(`.assistant:last-child [aria-label="Answer again"]`)
	b.answered(2)
	if eval[bool](b, `[...document.querySelectorAll(".assistant")].at(-1).dataset.state !== "done"`) {
		t.Errorf("it was not answered after the model had come back: %s", b.words())
	}
}

// order gives an operator's order.
func order(t *testing.T, address, path string) {
	t.Helper()
	resp, err := http.Post(address+path, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
}
