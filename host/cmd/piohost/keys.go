// keys.go turns the bytes of a terminal into keys: text, what moves, what deletes. A pasted text is one key.
package main

import (
	"cmp"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// key is what was typed. Those below 0x20 and delete are the bytes that terminals send for them.
type key int

const (
	keyHome      key = 0x01 // Ctrl-A
	keyLeft      key = 0x02
	keyInterrupt key = 0x03
	keyDelete    key = 0x04 // Ctrl-D, which on an empty line ends the input
	keyEnd       key = 0x05
	keyRight     key = 0x06
	keyCtrlH     key = 0x08
	keyTab       key = 0x09
	keyNewline   key = 0x0a
	keyKillEnd   key = 0x0b // Ctrl-K
	keyClear     key = 0x0c // Ctrl-L
	keyEnter     key = 0x0d
	keyDown      key = 0x0e // Ctrl-N
	keyUp        key = 0x10 // Ctrl-P
	keyKillStart key = 0x15 // Ctrl-U
	keyKillWord  key = 0x17 // Ctrl-W
	keyEscape    key = 0x1b
	keyBackspace key = 0x7f

	keyText key = iota + 0x100 // typed or pasted; it has no control characters
	keyDeleteForward
	keyWordLeft
	keyWordRight
	keyUnknown
)

// A pasted text becomes one line that can be edited and recalled: its line ends and tabs are shown as symbols, which
// unfold turns back when the line is sent.
const (
	lineSymbol = "␤"
	tabSymbol  = "␉"
)

var (
	folding   = strings.NewReplacer("\r\n", lineSymbol, "\r", lineSymbol, "\n", lineSymbol, "\t", tabSymbol)
	unfolding = strings.NewReplacer(lineSymbol, "\n", tabSymbol, "\t")
)

// fold makes a pasted text one line, without what would steer a terminal.
func fold(text string) string { return visible(folding.Replace(text)) }

func unfold(line string) string { return unfolding.Replace(line) }

// visible is valid UTF-8 without control characters.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// What a terminal sends before and after a pasted text, and how it is asked to.
const (
	pasteStart = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	pasteOn    = "\x1b[?2004h"
	pasteOff   = "\x1b[?2004l"
)

const (
	maxLine     = 1 << 20 // bytes: a book chapter that is pasted
	maxSequence = 32      // bytes of an escape sequence; known ones have 8
)

// next reads a key. A terminal that fails has gone away: that is the end of the input.
func (k *keyboard) next() (key, string, error) {
	c, err := k.readByte()
	switch {
	case err != nil:
		return 0, "", cmp.Or(k.ctx.Err(), io.EOF)
	case c == byte(keyEscape):
		return k.escape()
	case isText(c):
		return keyText, k.text(c), nil
	}
	return key(c), "", nil
}

func isText(c byte) bool { return c >= 0x20 && c != byte(keyBackspace) }

func (k *keyboard) readByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(k.source, b[:])
	return b[0], err
}

func (k *keyboard) unread(c byte) { k.ready = append([]byte{c}, k.ready...) }

// text takes what has come, and waits only for the rest of a character.
func (k *keyboard) text(first byte) string {
	b := []byte{first}
	for cut(b) || len(k.ready) > 0 && isText(k.ready[0]) && len(b) < maxLine {
		c, err := k.readByte()
		if err != nil {
			break // the next read says so again
		}
		if !isText(c) {
			k.unread(c)
			break
		}
		b = append(b, c)
	}
	return visible(string(b))
}

// cut says that b ends within a character.
func cut(b []byte) bool {
	start := len(b) - 1
	for start > 0 && len(b)-start < utf8.UTFMax && !utf8.RuneStart(b[start]) {
		start--
	}
	return !utf8.FullRune(b[start:])
}

// escape reads what follows the byte: a sequence, or a key typed together with Alt.
func (k *keyboard) escape() (key, string, error) {
	c, err := k.readByte()
	if err != nil {
		return 0, "", cmp.Or(k.ctx.Err(), io.EOF)
	}
	switch c {
	case '[':
		return k.sequence()
	case 'O':
		return k.final("")
	case 'b':
		return keyWordLeft, "", nil
	case 'f':
		return keyWordRight, "", nil
	case byte(keyBackspace):
		return keyKillWord, "", nil
	}
	if !isText(c) { // a lone escape does nothing
		k.unread(c)
	}
	return keyUnknown, "", nil
}

// sequence reads the parameters of a control sequence.
func (k *keyboard) sequence() (key, string, error) {
	var parameters []byte
	for len(parameters) < maxSequence {
		c, err := k.readByte()
		switch {
		case err != nil:
			return 0, "", cmp.Or(k.ctx.Err(), io.EOF)
		case c >= 0x20 && c < 0x40:
			parameters = append(parameters, c)
			continue
		}
		k.unread(c)
		break
	}
	return k.final(string(parameters))
}

// final reads the byte that ends a sequence, and says what key the whole is.
func (k *keyboard) final(parameters string) (key, string, error) {
	c, err := k.readByte()
	if err != nil {
		return 0, "", cmp.Or(k.ctx.Err(), io.EOF)
	}
	if !isText(c) { // another key has broken the sequence off
		k.unread(c)
		return keyUnknown, "", nil
	}
	if parameters+string(c) == "200~" {
		text, err := k.pasted()
		return keyText, text, err
	}
	return sequences[parameters+string(c)], "", nil
}

// sequences are those of xterm and the Linux console, without their beginnings.
var sequences = map[string]key{
	"A": keyUp, "B": keyDown, "C": keyRight, "D": keyLeft, "H": keyHome, "F": keyEnd,
	"1~": keyHome, "7~": keyHome, "4~": keyEnd, "8~": keyEnd, "3~": keyDeleteForward,
	"1;3D": keyWordLeft, "1;5D": keyWordLeft, "1;3C": keyWordRight, "1;5C": keyWordRight,
}

// pasted reads a text up to its mark. Of one that is too long the beginning is kept.
func (k *keyboard) pasted() (string, error) {
	var b []byte
	for !strings.HasSuffix(string(b[max(0, len(b)-len(pasteEnd)):]), pasteEnd) {
		c, err := k.readByte()
		if err != nil {
			return "", cmp.Or(k.ctx.Err(), io.EOF)
		}
		if b = append(b, c); len(b) > maxLine+2*len(pasteEnd) {
			b = append(b[:maxLine], b[len(b)-len(pasteEnd):]...)
		}
	}
	return fold(string(b[:len(b)-len(pasteEnd)])), nil
}
