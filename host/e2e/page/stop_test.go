package page

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
)

// An answer is stopped by a key and by its button: what has come stays, and the next question is taken.
func TestAnAnswerIsStopped(t *testing.T) {
	g := newGate(t, home)
	b := talk(t, g.url, thinker, greedy)
	for i, stop := range []func(){func() { b.press(escape) }, func() { b.click("#stop") }} {
		g.more(8)
		b.write("#question", "Count from 3 to 14.")
		b.press(enter)
		b.until(fmt.Sprintf(`document.querySelectorAll(".assistant").length === %d && [...document.querySelectorAll(".reasoning .markdown")].at(-1).textContent.length > 3`, i+1))
		stop()
		b.answered(i + 1)
		if got := b.said(".status"); got != "Stopped." {
			t.Fatalf("after it was stopped the answer says %q", got)
		}
		if eval[bool](b, `document.querySelector("#send").hidden || !document.querySelector("#stop").hidden`) {
			t.Error("nothing can be sent after a stop")
		}
		b.until(fmt.Sprintf(`fetch("/admin/ps").then((r) => r.json()).then((l) => l.models.find((m) => m.id === %q).running === 0)`, thinker))
		for len(g.let) > 0 { // what it was not asked for any more
			<-g.let
		}
	}
	b.reload()
	b.until(`document.querySelectorAll(".assistant").length === 2`)
	if got := b.said(".status"); got != "Stopped." {
		t.Errorf("after the page was loaded anew the answer says %q", got)
	}
}

// drop lets a picture fall onto the conversation.
func (b *tab) drop(event string) {
	b.Helper()
	file, err := os.ReadFile(picture)
	if err != nil {
		b.Fatal(err)
	}
	b.does(fmt.Sprintf(`(() => {
		const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
		const data = new DataTransfer();
		data.items.add(new File([bytes], "a.png", { type: "image/png" }));
		const talk = document.querySelector("#talk");
		if (%q === "paste") talk.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
		else for (const kind of ["dragenter", "dragover", "drop"]) talk.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
	})(), 0`, base64.StdEncoding.EncodeToString(file), event))
}

func TestPicturesAreDroppedPastedAndSeen(t *testing.T) {
	b := talk(t, home, seer, greedy)
	b.until(`document.querySelector(".welcome").textContent.includes("text and pictures")`)
	b.drop("drop")
	b.until(`document.querySelectorAll("#attached img").length === 1`)
	b.drop("paste")
	b.until(`document.querySelectorAll("#attached img").length === 2`)
	b.click(`#attached [aria-label="Remove a.png"]`)
	b.until(`document.querySelectorAll("#attached img").length === 1`)
	const question = "What is in the picture?"
	b.ask(question)
	b.shoot("picture")
	if n := eval[int](b, `document.querySelectorAll(".user img").length`); n != 1 {
		t.Errorf("%d pictures are shown with the question", n)
	}
	file, _ := os.ReadFile(picture)
	want := b.host(question, "data:image/png;base64,"+base64.StdEncoding.EncodeToString(file))
	if got := b.said(":scope > .markdown"); got != want {
		t.Errorf("the page shows %q where the API says %q", got, want)
	}
	b.choose("#model", caller)
	b.until(`document.querySelector("#attach").classList.contains("off")`)
	b.drop("drop")
	b.until(`document.querySelector("#notice").textContent.includes("takes no pictures")`)
	if eval[int](b, `document.querySelectorAll("#attached img").length`) != 0 {
		t.Error("a model that reads text alone was given a picture")
	}
}

// host asks the host itself, without a stream.
func (b *tab) host(question, url string) string {
	b.Helper()
	return strings.TrimSpace(eval[string](b, fmt.Sprintf(`fetch("/v1/chat/completions", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({
		model: %q, temperature: 0, messages: [{role: "user", content: [{type: "image_url", image_url: {url: %q}}, {type: "text", text: %q}]}]
	})}).then((r) => r.json()).then((a) => a.choices[0].message.content)`, seer, url, question)))
}
