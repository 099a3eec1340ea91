package wire

// printable.go: what a plugin says of itself ends up on terminals and in logs, and must not steer them.

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable writes what would steer a terminal, or make a text look like another, as Go's %q does: control characters (those
// of C1 too), changes of direction, separators of lines, and bytes that are not UTF-8. Line ends and tabs stay, and so does
// every script and symbol.
func Printable(s string) string {
	if strings.IndexFunc(s, steers) < 0 {
		return s
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case !steers(r), r == utf8.RuneError: // somebody has replaced a byte already
			b.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return b.String()
}

func steers(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // embeddings, overrides and isolates of direction
		return true
	case r == 0x2028, r == 0x2029, r == utf8.RuneError:
		return true
	}
	return unicode.IsControl(r)
}

// name is text that has one line.
func name(s string) string {
	if s = Printable(s); !strings.ContainsAny(s, "\n\t") {
		return s
	}
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(s)
}

func names(list []string) []string {
	if len(list) == 0 {
		return list
	}
	return each(list, name)
}
