package main

import "strings"

// A pasted text becomes one line that can be edited and recalled: its line ends and tabs are shown as symbols, which
// unfold turns back when the line is sent.
const (
	lineSymbol = "␤"
	tabSymbol  = "␉"
)

var unfolding = strings.NewReplacer(lineSymbol, "\n", tabSymbol, "\t")

func unfold(line string) string { return unfolding.Replace(line) }

// What a terminal sends before and after a pasted text.
const (
	pasteStart = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
)

// pasted turns the bytes of a terminal into those for the line editor. It knows whether it is inside a pasted text.
type pasted struct {
	inside  bool
	matched int  // bytes of the mark that would end this state
	cr      bool // the last byte of the pasted text was a carriage return
}

// edit appends to dst what the editor is to see of src.
func (p *pasted) edit(dst, src []byte) []byte {
	for _, b := range src {
		if p.inside {
			dst = p.paste(dst, b)
		} else {
			dst = p.key(dst, b)
		}
	}
	return dst
}

func (p *pasted) key(dst []byte, b byte) []byte {
	if b != pasteStart[p.matched] {
		p.matched = 0
	}
	if b == pasteStart[p.matched] {
		p.matched++
	}
	if p.matched == len(pasteStart) {
		*p = pasted{inside: true}
	}
	if b == ctrlC {
		b = keyInterrupt
	}
	return append(dst, b)
}

// paste holds the mark back until it is whole: the editor would wait for the end of any other sequence of that beginning,
// so the escape of one is left out.
func (p *pasted) paste(dst []byte, b byte) []byte {
	if b == pasteEnd[p.matched] {
		if p.matched++; p.matched == len(pasteEnd) {
			*p = pasted{}
			return append(dst, pasteEnd...)
		}
		return dst
	}
	if held := p.matched; held > 0 {
		p.matched = 0
		return p.paste(append(dst, pasteEnd[1:held]...), b)
	}
	return p.text(dst, b)
}

func (p *pasted) text(dst []byte, b byte) []byte {
	after := p.cr
	p.cr = b == '\r'
	switch {
	case b == '\n' && after: // the second half of a line end
		return dst
	case b == '\n' || b == '\r':
		return append(dst, lineSymbol...)
	case b == '\t':
		return append(dst, tabSymbol...)
	case b < ' ' || b == 0x7f:
		return dst
	}
	return append(dst, b)
}
