package page

import (
	"github.com/chromedp/cdproto/input"
)

// key is one of the keyboard, as the browser has it.
type key struct {
	name, code, text string
	number           int64
	shift            bool
}

var (
	enter      = key{name: "Enter", code: "Enter", text: "\r", number: 13}
	shiftEnter = key{name: "Enter", code: "Enter", text: "\r", number: 13, shift: true}
	escape     = key{name: "Escape", code: "Escape", number: 27}
	tabulator  = key{name: "Tab", code: "Tab", text: "\t", number: 9}
	right      = key{name: "ArrowRight", code: "ArrowRight", number: 39}
)

// press strikes a key. chromedp's own strokes send a character although the page has taken the key.
func (b *tab) press(k key) {
	b.Helper()
	p := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: k.name, Code: k.code, Text: k.text, UnmodifiedText: k.text, WindowsVirtualKeyCode: k.number}
	if k.shift {
		p.Modifiers = 8
	}
	command(b, input.DispatchKeyEvent, p)
	p.Type, p.Text, p.UnmodifiedText = input.DispatchKeyEventTypeKeyUp, "", ""
	command(b, input.DispatchKeyEvent, p)
}

// write types a text where the cursor is.
func (b *tab) write(selector, text string) {
	b.Helper()
	b.focus(selector)
	command(b, input.InsertText, input.InsertTextParams{Text: text})
}
