package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/client"
)

// maxLine is how much of one line is kept. The longest handshake has about 1 KiB.
const maxLine = 8 << 10

// lines reads text that nobody vouches for: bounded lines, valid UTF-8, no control characters.
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) *lines { return &lines{bufio.NewReaderSize(r, maxLine)} }

// next returns the next line without its end. A last line without an end counts.
func (l *lines) next() (string, error) {
	piece, err := l.r.ReadSlice('\n')
	if len(piece) == 0 && err != nil {
		return "", err
	}
	text := printable(piece)
	for dropped := 0; errors.Is(err, bufio.ErrBufferFull); {
		piece, err = l.r.ReadSlice('\n')
		dropped += len(piece)
		if !errors.Is(err, bufio.ErrBufferFull) {
			text += fmt.Sprintf(" … (%d bytes more)", dropped)
		}
	}
	return text, nil
}

// rest is what has not been read yet.
func (l *lines) rest() io.Reader { return l.r }

// printable is what may go to a log, a terminal and an error: one line, whatever is in it.
func printable(line []byte) string {
	return client.Printable(strings.ReplaceAll(strings.TrimRight(string(line), "\r\n"), "\n", `\n`))
}
