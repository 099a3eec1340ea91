// commands.go has what a chat does at a word such as /help instead of asking the model.
package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// errExit ends a chat.
var errExit = errors.New("exit")

// chatCommand is one of them. do gets what follows the word.
type chatCommand struct {
	word, takes, help string
	do                func(c *chat, argument string) error
}

func chatCommands() []chatCommand {
	return []chatCommand{
		{"/system", "TEXT", "set the system message; without TEXT there is none", (*chat).setSystem},
		{"/think", "[on|off]", "reason before the answer, or not, where the model can", (*chat).setThink},
		{"/image", "[FILE]", "attach a picture to the next message; without FILE there is none", (*chat).attach},
		{"/reset", "", "forget what has been said; /system and /think stay", (*chat).reset},
		{"/help", "", "show this", (*chat).help},
		{"/exit", "", "leave, as Ctrl-D does", func(*chat, string) error { return errExit }},
	}
}

// commandWord is the word of a line that is meant as a command: a slash and letters, so that a path is none.
func commandWord(line string) (word, argument string, ok bool) {
	end := strings.IndexFunc(line, unicode.IsSpace)
	if end < 0 {
		end = len(line)
	}
	word = line[:end]
	if len(word) < 2 || word[0] != '/' || strings.ContainsAny(word[1:], "/.") {
		return "", "", false
	}
	return word, strings.TrimSpace(line[end:]), true
}

func (c *chat) command(word, argument string) error {
	var words []string
	for _, k := range chatCommands() {
		switch {
		case k.word != word:
			words = append(words, k.word)
		case k.takes == "" && argument != "":
			return fmt.Errorf("%s takes nothing, but is given %q", word, argument)
		default:
			return k.do(c, argument)
		}
	}
	const literally = "a message that begins with a space is sent as it is"
	if meant := nearest(word, words); meant != "" {
		return fmt.Errorf("no command %s; did you mean %s? (%s)", word, meant, literally)
	}
	return fmt.Errorf("no command %s; /help lists them (%s)", word, literally)
}

// complete finishes a command's word if only one begins so.
func complete(word string) string {
	var found []string
	for _, k := range chatCommands() {
		if word != "" && strings.HasPrefix(k.word, word) {
			found = append(found, k.word+strings.Repeat(" ", min(len(k.takes), 1)))
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

func (c *chat) setSystem(text string) error {
	c.talk.system = text
	if text == "" {
		c.note("no system message")
	} else {
		c.note("system message set")
	}
	return nil
}

func (c *chat) setThink(word string) error {
	switch word {
	case "on", "off":
		on := word == "on"
		c.talk.think = &on
		c.note("thinking is " + word)
	case "":
		switch {
		case c.talk.think == nil:
			c.note("thinking is left to the model; /think on or /think off decides it")
		case *c.talk.think:
			c.note("thinking is on")
		default:
			c.note("thinking is off")
		}
	default:
		return fmt.Errorf("/think %s: expected on or off", word)
	}
	return nil
}

func (c *chat) reset(string) error {
	c.talk.reset()
	c.note("forgotten")
	return nil
}

func (c *chat) help(string) error {
	for _, k := range chatCommands() {
		c.note(fmt.Sprintf("%-18s%s", k.word+" "+k.takes, k.help))
	}
	c.note(fmt.Sprintf("%-18s%s", `"""`, `begins a message of several lines, which """ ends; so does \ at the end of a line`))
	c.note(fmt.Sprintf("%-18s%s", "Ctrl-C", "interrupt the answer; clear the line; leave if it is empty"))
	return nil
}
