package schema

import (
	"fmt"
	"strings"
)

// Error says what is wrong with a schema, and where.
type Error struct {
	Path    string // a JSON pointer behind "#"
	Keyword string // that cannot be held; "" if the schema itself is at fault
	Message string
}

func (e *Error) Error() string {
	path := clip(e.Path)
	if e.Keyword != "" {
		return fmt.Sprintf("%s: %q %s", path, e.Keyword, e.Message)
	}
	return path + ": " + e.Message
}

// clip keeps a path readable.
func clip(path string) string {
	const most = 200
	if len(path) <= most {
		return path
	}
	return strings.ToValidUTF8(path[:most], "") + "..."
}

func invalid(path, format string, args ...any) error {
	return &Error{Path: path, Message: fmt.Sprintf(format, args...)}
}

func tooLarge(path, format string, args ...any) error {
	return &Error{Path: path, Message: "the schema is too large: " + fmt.Sprintf(format, args...)}
}

// Loose is a keyword that the grammar does not hold.
type Loose struct {
	Path, Keyword string
	Reason        string
}

func (l Loose) String() string { return fmt.Sprintf("%s: %q %s", l.Path, l.Keyword, l.Reason) }
