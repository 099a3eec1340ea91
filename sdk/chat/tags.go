package chat

import "strings"

// tags.go finds the tags of a call under way, each byte once however the words arrive, and says what may end it.

// ending says whether more words come behind those that are known.
type ending uint8

const (
	open  ending = iota // more may come
	cut                 // none: the answer was stopped from outside
	whole               // none: the model ended the answer
)

// verdict is what is known of a call under way.
type verdict struct {
	state verdictState
	n     int // bytes that are decided: those of the call, or those that are words
	read  int // bytes that were read for words
	calls []parsedCall
}

type verdictState uint8

const (
	undecidedCall verdictState = iota
	isWords                    // n bytes are no call; behind them another may begin
	isCall                     // n bytes are the calls
)

// reading is a call under way. read is given all of its words so far each time, and looks at the new ones.
type reading interface {
	read(s string, end ending) verdict
}

// maxBehind is how many bytes of words behind a call that ended with a value are waited for: they may turn out to belong to the value,
// if a closing tag stands behind them.
const maxBehind = 4096

const maxTagName = 256 // bytes of the name in <function=name>

// tag is one that stands in a call. Tags that end in "=" have a name and ">" behind them.
type tag struct {
	text       string // as listed
	name       string
	start, end int
}

// tagScan is how far tags have been looked for.
type tagScan struct{ pos int }

// next finds the next of the tags; false if there is none yet.
func (sc *tagScan) next(s string, tags []string, end ending) (tag, bool) {
	for {
		i := strings.IndexByte(s[sc.pos:], '<')
		if i < 0 {
			sc.pos = len(s)
			return tag{}, false
		}
		sc.pos += i
		t, partial := tagAt(s[sc.pos:], tags)
		if t.text != "" {
			t.start, t.end = sc.pos, sc.pos+t.end
			sc.pos = t.end
			return t, true
		}
		if partial && end == open {
			return tag{}, false
		}
		sc.pos++
	}
}

// tagAt reads the tag that s begins with; partial says that more words may make one.
func tagAt(s string, tags []string) (t tag, partial bool) {
	for _, text := range tags {
		rest, ok := strings.CutPrefix(s, text)
		switch {
		case !ok:
			partial = partial || strings.HasPrefix(text, s)
			continue
		case !strings.HasSuffix(text, "="):
			return tag{text: text, end: len(text)}, false
		}
		i := strings.IndexAny(rest[:min(len(rest), maxTagName)], "<>\r\n")
		switch {
		case i < 0:
			return tag{}, len(rest) < maxTagName
		case rest[i] != '>' || strings.TrimSpace(rest[:i]) == "":
			return tag{}, false
		}
		return tag{text: text, name: strings.TrimSpace(rest[:i]), end: len(text) + i + 1}, false
	}
	return tag{}, partial
}

const blanks = " \t\r\n"

func isBlank(s string) bool { return strings.Trim(s, blanks) == "" }

// maxGap is how many bytes of white space may stand between an opening tag and a second one that was written by mistake.
const maxGap = 64

// behindOpening is where what the call says begins: behind its opening tag, if it has one, and behind a second one. ok is false
// while it is not known.
func behindOpening(s string, end ending) (at int, ok bool) {
	rest, opened := strings.CutPrefix(s, toolOpen)
	if !opened {
		return 0, true
	}
	at = len(toolOpen)
	again := strings.TrimLeft(rest, blanks)
	gap := len(rest) - len(again)
	switch {
	case gap > maxGap:
		return at, true
	case strings.HasPrefix(again, toolOpen):
		return at + gap + len(toolOpen), true
	}
	return at, end != open || !strings.HasPrefix(toolOpen, again)
}

// mayBegin says whether s, which may be cut off, begins with one of the texts.
func mayBegin(s string, end ending, texts ...string) bool {
	for _, t := range texts {
		if strings.HasPrefix(s, t) || end == open && strings.HasPrefix(t, s) {
			return true
		}
	}
	return false
}
