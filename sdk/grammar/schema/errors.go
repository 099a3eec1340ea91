package schema

import "fmt"

// Error says what is wrong with a schema, and where.
type Error struct {
	Path    string // a JSON pointer behind "#"
	Keyword string // that cannot be held; "" if the schema itself is at fault
	Message string
}

func (e *Error) Error() string {
	if e.Keyword != "" {
		return fmt.Sprintf("%s: %q %s", e.Path, e.Keyword, e.Message)
	}
	return e.Path + ": " + e.Message
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
