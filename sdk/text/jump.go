// jump.go finds the ids that must come next: where the language of an answer leaves one text, it is written as the tokenizer would write it, and
// no step of the model is taken for it.

package text

import (
	"context"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/engine"
)

// jumper knows what has to come. It is a function of the ids pushed, so that a resumed answer jumps where the first one did.
type jumper struct {
	on     bool
	queue  []int32 // ids that must come next
	recent []int32 // the last ids, back to one that is no ordinary token
}

// windows are how many ids before a jump are looked at: they must be what the tokenizer makes of their text together with what comes, else
// the border between them is not one of its own. A window that begins within a word may not be, so shorter ones are tried.
var windows = []int{6, 3, 1}

// push takes an id and finds what has to come behind it.
func (d *Decoder) jump(id int32) {
	j := &d.jumps
	if !j.on {
		return
	}
	if d.model.tokenizer.Ordinary(id) {
		if j.recent = append(j.recent, id); len(j.recent) > windows[0] {
			j.recent = j.recent[1:]
		}
	} else {
		j.recent = j.recent[:0]
	}
	if len(j.queue) > 0 && j.queue[0] == id {
		j.queue = j.queue[1:]
	} else {
		j.queue = nil
	}
	if len(j.queue) == 0 && d.next >= len(d.forced) {
		j.queue = d.ahead()
	}
}

// ahead are the ids that must come next, as far as they are certain.
func (d *Decoder) ahead() []int32 {
	text, whole := d.matcher.Forced()
	if text == "" {
		return nil
	}
	recent := d.jumps.recent
	if len(recent) == 0 {
		return d.certain(text, whole, nil)
	}
	for _, n := range windows {
		if n <= len(recent) || n == windows[len(windows)-1] {
			if ids := d.certain(text, whole, recent[len(recent)-n:]); ids != nil {
				return ids
			}
		}
	}
	return nil
}

// certain are the ids of text behind others, but for those at its end that a longer token might take the place of.
func (d *Decoder) certain(text string, whole bool, behind []int32) []int32 {
	t := d.model.tokenizer
	var before strings.Builder
	for _, id := range behind {
		before.WriteString(t.Bytes(id))
	}
	ids, err := t.EncodeOrdinary(context.Background(), before.String()+text)
	if err != nil || len(ids) < len(behind) || !slices.Equal(ids[:len(behind)], behind) {
		return nil
	}
	ids = ids[len(behind):]
	rest := text
	for i, id := range ids {
		word := t.Bytes(id)
		if !whole && d.held.vocabulary.Extends(rest) || !strings.HasPrefix(rest, word) {
			return ids[:i:i]
		}
		rest = rest[len(word):]
	}
	return ids
}

// goOn says how the answer may go on.
func (d *Decoder) goOn() engine.Next {
	if len(d.jumps.queue) > 0 {
		return engine.Next{Given: d.jumps.queue}
	}
	return engine.Next{Allowed: d.matcher.Mask()}
}
