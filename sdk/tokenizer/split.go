// split.go cuts text into words by hand where the regular expression is one we know: about ten times as fast as an engine, and linear by
// construction. FuzzSplit holds it equal to the engine.

package tokenizer

// The two expressions, as tokenizer.json spells them. They differ in how many digits make a word: one, or up to three.
const (
	qwenPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	glmPattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// handSplitter is qwenPattern with digits = 1, glmPattern with digits = 3.
type handSplitter struct {
	*classes
	digits int
}

func (h *handSplitter) split(_ *pace, text string, word func(string) error) error {
	for i := 0; i < len(text); {
		end := h.next(text, i)
		if err := word(text[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// next returns the end of the word that begins at i: the first alternative of the pattern that matches, in the pattern's order.
func (h *handSplitter) next(text string, i int) int {
	if text[i] == '\'' {
		if n := contraction(text[i+1:]); n > 0 {
			return i + 1 + n
		}
	}
	c, n := h.at(text, i)
	after := i + n
	var next class // of the rune after the first; none at the end of the text
	if after < len(text) {
		next, _ = h.at(text, after)
	}
	switch {
	case c&letter != 0:
		return h.run(text, after, letter)
	case c&(newline|number) == 0 && next&letter != 0: // [^\r\n\p{L}\p{N}]?\p{L}+
		return h.run(text, after, letter)
	case c&number != 0:
		return h.number(text, after)
	case c&space == 0:
		return h.symbols(text, after)
	case text[i] == ' ' && after < len(text) && next&(space|letter|number) == 0: // " ?" before symbols
		return h.symbols(text, after)
	}
	return h.space(text, i)
}

// run returns the end of the runes of class k from i on.
func (h *handSplitter) run(text string, i int, k class) int {
	for i < len(text) {
		c, n := h.at(text, i)
		if c&k == 0 {
			break
		}
		i += n
	}
	return i
}

// number is \p{N}{1,digits}, the first digit being read.
func (h *handSplitter) number(text string, i int) int {
	for k := 1; k < h.digits && i < len(text); k++ {
		c, n := h.at(text, i)
		if c&number == 0 {
			break
		}
		i += n
	}
	return i
}

// symbols is [^\s\p{L}\p{N}]+[\r\n]*; i may be inside the run.
func (h *handSplitter) symbols(text string, i int) int {
	for i < len(text) {
		c, n := h.at(text, i)
		if c&(space|letter|number) != 0 {
			break
		}
		i += n
	}
	return h.run(text, i, newline)
}

// space is \s*[\r\n]+|\s+(?!\S)|\s+ on a run of white space: up to its last line break if it has one; all of it at the end of the
// text; else all but its last rune, which goes with the next word, unless it is the only one.
func (h *handSplitter) space(text string, i int) int {
	start, last, broke := i, i, -1
	for i < len(text) {
		c, n := h.at(text, i)
		if c&space == 0 {
			break
		}
		last = i
		i += n
		if c&newline != 0 {
			broke = i
		}
	}
	switch {
	case broke >= 0:
		return broke
	case i == len(text) || last == start:
		return i
	}
	return last
}

// contraction returns the length of (?i:s|t|re|ve|m|ll|d) at the start of text, 0 if there is none. ſ folds to s.
func contraction(text string) int {
	if text == "" {
		return 0
	}
	switch text[0] | 0x20 {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v':
		if len(text) > 1 && text[1]|0x20 == 'e' {
			return 2
		}
	case 'l':
		if len(text) > 1 && text[1]|0x20 == 'l' {
			return 2
		}
	}
	if len(text) > 1 && text[:2] == "ſ" {
		return 2
	}
	return 0
}
