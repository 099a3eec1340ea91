// layout.go says where on the screen the characters of a line stand. A character is a grapheme cluster, which may be several
// code points (a letter with its accents, a family of emoji) and takes no, one or two columns.
package main

import (
	"slices"
	"unicode"

	"github.com/clipperhouse/displaywidth"
)

// row is a row of the screen.
type row struct {
	text  string
	width int // columns
}

// layout breaks prompt and line into rows of at most width columns, and finds the cursor: it stands before the byte pos of
// line. A wide character does not fit the last column, and the cursor not behind it.
func layout(prompt, line string, pos, width int) (rows []row, cursorRow, cursorColumn int) {
	rows = []row{{}}
	place := func(text string, columns int) {
		last := &rows[len(rows)-1]
		if last.width+columns > width && last.width > 0 {
			rows = append(rows, row{})
			last = &rows[len(rows)-1]
		}
		last.text += text
		last.width += columns
	}
	for g := displaywidth.StringGraphemes(prompt); g.Next(); {
		place(g.Value(), g.Width())
	}
	at, found := 0, false
	for g := displaywidth.StringGraphemes(line); g.Next(); {
		place(g.Value(), g.Width())
		if at += len(g.Value()); at > pos && !found {
			found = true
			cursorRow, cursorColumn = len(rows)-1, rows[len(rows)-1].width-g.Width()
		}
	}
	if found {
		return rows, cursorRow, cursorColumn
	}
	if rows[len(rows)-1].width >= width {
		rows = append(rows, row{})
	}
	return rows, len(rows) - 1, rows[len(rows)-1].width
}

// borders are the offsets before, between and behind the characters of a line.
func borders(line string) []int {
	list := []int{0}
	for g := displaywidth.StringGraphemes(line); g.Next(); {
		list = append(list, list[len(list)-1]+len(g.Value()))
	}
	return list
}

// before is the border to the left of pos, after the one to its right, atBorder pos itself or the next border.
func before(line string, pos int) int {
	list := borders(line)
	i, _ := slices.BinarySearch(list, pos)
	return list[max(i-1, 0)]
}

func after(line string, pos int) int { return atBorder(line, pos+1) }

func atBorder(line string, pos int) int {
	list := borders(line)
	i, _ := slices.BinarySearch(list, pos)
	return list[min(i, len(list)-1)]
}

// wordBefore is where the word to the left of pos begins, wordAfter where the one to its right ends.
func wordBefore(line string, pos int) int {
	for in := false; pos > 0; {
		start := before(line, pos)
		if isWord(line[start:pos]) {
			in = true
		} else if in {
			break
		}
		pos = start
	}
	return pos
}

func wordAfter(line string, pos int) int {
	for in := false; pos < len(line); {
		end := after(line, pos)
		if isWord(line[pos:end]) {
			in = true
		} else if in {
			break
		}
		pos = end
	}
	return pos
}

func isWord(cluster string) bool {
	for _, r := range cluster {
		return unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	return false
}
