package jinja

import "fmt"

// Kind is the kind of an error, spelt as the reference spells the exception it would raise.
type Kind string

// The kinds. LimitError is ours: the reference has no limits.
const (
	SyntaxError       Kind = "TemplateSyntaxError"
	AssertionError    Kind = "TemplateAssertionError" // an unknown filter or test
	Raised            Kind = "TemplateError"          // the template called raise_exception
	UndefinedError    Kind = "UndefinedError"
	RuntimeError      Kind = "TemplateRuntimeError"
	SecurityError     Kind = "SecurityError"
	TypeError         Kind = "TypeError"
	ValueError        Kind = "ValueError"
	OverflowError     Kind = "OverflowError"
	ZeroDivisionError Kind = "ZeroDivisionError"
	AttributeError    Kind = "AttributeError"
	KeyError          Kind = "KeyError"
	IndexError        Kind = "IndexError"
	FilterArgument    Kind = "FilterArgumentError"
	LimitError        Kind = "LimitError"
)

// Error is what went wrong in a template and in which line of it. Message has the reference's words where a template's
// author would compare them.
type Error struct {
	Kind    Kind
	Message string
	Line    int // in the template, from 1; 0 if unknown
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Kind, e.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Kind, e.Message)
}

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// at gives err a line unless a statement further in has done so.
func at(err error, line int) error {
	if e, ok := err.(*Error); ok && e.Line == 0 {
		e.Line = line
	}
	return err
}
