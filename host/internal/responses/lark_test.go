package responses

import (
	"regexp"
	"strings"
	"testing"
)

// patch is how an agent tells of its edits.
const patch = `start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line // a line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
`

func TestAGrammarThatIsRegularIsAnExpression(t *testing.T) {
	p, err := larkPattern(patch)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := regexp.Compile("^(?:" + p + ")$")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"*** Begin Patch\n*** Add File: a.txt\n+x\n+\n*** End Patch":                                                                  true,
		"*** Begin Patch\n*** Update File: a\n*** Move to: b\n@@ f\n-x\n+y\n z\n*** End of File\n*** Delete File: c\n*** End Patch\n": true,
		"*** Begin Patch\n*** End Patch\n":                              false,
		"*** Begin Patch\n*** Add File: a.txt\nx\n*** End Patch\n":      false,
		"*** Begin Patch\n*** Add File: \n+x\n*** End Patch\n":          false,
		"```\n*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\n```": false,
	} {
		if got := whole.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestGroupsAndSignsOfAGrammar(t *testing.T) {
	p, err := larkPattern("start: (a | [b])? a\n?a: \"x.\" // dots are dots\n!b: /[0-9]\\/y/+ DIGIT*\n%import common.DIGIT\n")
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile("^(?:" + p + ")$")
	for text, want := range map[string]bool{"x.": true, "x.x.": true, "1/yx.": true, "1/y2/y34x.": true, "xy": false, "1/y": false, "x.x.x.": false} {
		if got := whole.MatchString(text); got != want {
			t.Errorf("%q: %v, by %s", text, got, p)
		}
	}
}

func TestOtherGrammarsAreNotWritten(t *testing.T) {
	for text, want := range map[string]string{
		`start: "(" start ")" | "a"`:         "start refers to itself",
		"start: a\na: b\nb: a":               "a refers to itself",
		"start: a":                           "a is not defined",
		"a: \"b\"":                           "start is not defined",
		"start: A\n%ignore A\nA: \"a\"":      `"%ignore A`,
		"start: \"a\"i":                      `the string "a"i is not known here`,
		"start: /a/s":                        "the flags of /a/s",
		"start: FLOAT\n%import common.FLOAT": "common.FLOAT is not known here",
		"start: \"a\"\nstart: \"b\"":         "start is defined twice",
		`"a"`:                                "it does not begin with a rule",
		"start: \"a\"~2":                     `"~2" is not known here`,
		"start: \"a\"..\"z\"":                "is not known here",
		doubled():                            "it is too long as one expression",
	} {
		if p, err := larkPattern(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %.60q, %v; want %s", text, p, err, want)
		}
	}
}

// doubled has rules each of which is the one before twice.
func doubled() string {
	var b strings.Builder
	b.WriteString("start: a_\n")
	for i := range 40 {
		name := "a" + strings.Repeat("_", i+1)
		b.WriteString(name + ": " + name + "_ " + name + "_\n")
	}
	b.WriteString("a" + strings.Repeat("_", 41) + ": \"xyz\"\n")
	return b.String()
}

func FuzzLark(f *testing.F) {
	f.Add(patch)
	f.Add(doubled())
	f.Add("start: (a | [b])* /x\\/y/\n?a: \"\\n\"\n!b.2: a")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := larkPattern(text); err == nil && len(p) > 2*maxPattern {
			t.Errorf("%d bytes of %q", len(p), text)
		}
	})
}
