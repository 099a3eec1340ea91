package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// strcase.go has the methods of Python's str that change or ask for the kind of its letters.

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// toUpper and toLower map as Unicode's SpecialCasing does: "ß" becomes "SS".
func toUpper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func toLower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und, cases.HandleFinalSigma(true)).String(s)
}

// toTitle maps one code point.
func toTitle(c string) string {
	if isASCII(c) {
		return strings.ToUpper(c)
	}
	return cases.Title(language.Und, cases.NoLower).String(c)
}

func capitalize(s string) string {
	if s == "" {
		return ""
	}
	n := runeLen(s)
	return toTitle(s[:n]) + toLower(s[n:])
}

func isCased(c rune) bool {
	return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c)
}

// titleCase is str.title: every letter that does not follow a letter is a title letter.
func titleCase(s string) string {
	cased := false
	return eachLetter(s, func(c rune, one string) string {
		after := cased
		cased = isCased(c)
		if after {
			return toLower(one)
		}
		return toTitle(one)
	})
}

func swapCase(s string) string {
	return eachLetter(s, func(c rune, one string) string {
		switch {
		case unicode.IsUpper(c):
			return toLower(one)
		case unicode.IsLower(c):
			return toUpper(one)
		}
		return one
	})
}

// eachLetter joins what f makes of each code point, and of its text.
func eachLetter(s string, f func(c rune, one string) string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i, c := range s {
		b.WriteString(f(c, s[i:i+utf8.RuneLen(c)]))
	}
	return b.String()
}

func mapped(f func(string) string) builtin { return letters(func(s string) Value { return f(s) }) }

func asked(f func(string) bool) builtin { return letters(func(s string) Value { return f(s) }) }

// rewritten is mapped for functions that make each letter anew, which takes longer.
func rewritten(f func(string) string) builtin {
	return onString(func(r *run, s string, _ []Value) (Value, error) {
		if err := r.step(len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	})
}

// letters makes a method of a function that decides on each character.
func letters(f func(string) Value) builtin {
	return onString(func(r *run, s string, _ []Value) (Value, error) {
		if err := r.read(len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	})
}

// every makes a test that holds if s is not empty and all its code points pass.
func every(f func(rune) bool) builtin {
	return asked(func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(c rune) bool { return !f(c) }) < 0
	})
}

func isDigit(c rune) bool {
	switch {
	case unicode.Is(unicode.Nd, c), c == '¹', c == '²', c == '³', c == '⁰', c >= '⁴' && c <= '⁹', c >= '₀' && c <= '₉', c >= '①' && c <= '⑨':
		return true
	}
	return false
}

func isLowerString(s string) bool {
	return strings.IndexFunc(s, unicode.IsLower) >= 0 &&
		strings.IndexFunc(s, func(c rune) bool { return unicode.IsUpper(c) || unicode.IsTitle(c) }) < 0
}

func isUpperString(s string) bool {
	return strings.IndexFunc(s, unicode.IsUpper) >= 0 &&
		strings.IndexFunc(s, func(c rune) bool { return unicode.IsLower(c) || unicode.IsTitle(c) }) < 0
}

func isTitleString(s string) bool {
	cased, any := false, false
	for _, c := range s {
		upper := unicode.IsUpper(c) || unicode.IsTitle(c)
		if isCased(c) && upper == cased {
			return false
		}
		cased = isCased(c)
		any = any || cased
	}
	return any
}

func isIdentifier(s string) bool {
	for i, c := range s {
		if !isNameRune(c, i == 0) {
			return false
		}
	}
	return s != ""
}

func stringChecks() map[string]builtin {
	return map[string]builtin{
		"upper":        mapped(toUpper),
		"lower":        mapped(toLower),
		"casefold":     mapped(cases.Fold().String),
		"title":        rewritten(titleCase),
		"capitalize":   mapped(capitalize),
		"swapcase":     rewritten(swapCase),
		"isdigit":      every(isDigit),
		"isdecimal":    every(func(c rune) bool { return unicode.Is(unicode.Nd, c) }),
		"isnumeric":    every(unicode.IsNumber),
		"isalpha":      every(unicode.IsLetter),
		"isalnum":      every(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"isspace":      every(isSpace),
		"isascii":      asked(isASCII),
		"isprintable":  asked(func(s string) bool { return strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0 }),
		"islower":      asked(isLowerString),
		"isupper":      asked(isUpperString),
		"istitle":      asked(isTitleString),
		"isidentifier": asked(isIdentifier),
	}
}
