package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// chatting starts a chat in a terminal of its own, with a history of its own.
func chatting(t *testing.T) (*fakeHost, *person) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	h := newFakeHost(t)
	return h, again(t, h)
}

func again(t *testing.T, h *fakeHost) *person {
	t.Helper()
	p := sitDown(t, "chat", "--config", h.config)
	p.sees("/help lists the commands")
	p.sees(promptFirst)
	return p
}

func TestConversationInATerminal(t *testing.T) {
	h, p := chatting(t)
	h.answers("It is Tokyo.", "Japan has one.", ended)
	p.types("What is the capital of Japan?\r")
	h.question(t, "user: What is the capital of Japan?")
	p.sees(dim + "Japan has one." + plain + "\r\nIt is Tokyo.\r\n" + promptFirst)

	p.types("/system Be brief.\r/think off\r")
	p.sees("thinking is off")
	h.answers("Yes.", "", ended)
	p.types("Sure?\r")
	a := h.question(t, "system: Be brief.", "user: What is the capital of Japan?", "assistant: It is Tokyo. (Japan has one.)", "user: Sure?")
	if a.Kwargs["enable_thinking"] != false {
		t.Errorf("template variables %v after /think off", a.Kwargs)
	}
	p.sees("Yes.\r\n" + promptFirst)

	p.types("/reset\r/system\r/think on\r")
	p.sees("thinking is on")
	h.answers("One and", "", filled)
	p.types("Count.\r")
	if a := h.question(t, "user: Count."); a.Kwargs["enable_thinking"] != true {
		t.Errorf("template variables %v after /think on", a.Kwargs)
	}
	p.sees("One and\r\n" + dim + "cut off")
	p.types("/exit\r")
	p.leaves(0)
}

func TestCtrlCInterruptsTheAnswerAndKeepsIt(t *testing.T) {
	h, p := chatting(t)
	told := make(chan struct{})
	h.replies <- func(say func(string, string), gone <-chan struct{}) string {
		say("One, two,", "Easily.")
		<-gone
		close(told)
		return ""
	}
	p.types("Count to a million.\r")
	h.question(t, "user: Count to a million.")
	p.sees("One, two,")
	p.types("lost\x03kept") // what was typed ahead is given up with the answer, what comes after is the next line
	<-told
	p.sees("interrupted")
	p.sees(promptFirst)
	p.sees("kept")
	h.answers("Three.", "", ended)
	p.types("!\r")
	h.question(t, "user: Count to a million.", "assistant: One, two, (Easily.)", "user: kept!")
	p.sees("Three.\r\n" + promptFirst)

	p.types("not to be sent\x03")
	h.answers("Yes.", "", ended)
	p.types("Still there?\r")
	if a := <-h.asked; a.Messages[len(a.Messages)-1].Content != "Still there?" {
		t.Errorf("after a line that was cleared the host is asked %v", a.Messages)
	}
	p.sees("Yes.\r\n" + promptFirst)
	p.types("\x03")
	p.leaves(0)
}

// An answer that ends while more is typed does not lose it.
func TestTypingAhead(t *testing.T) {
	h, p := chatting(t)
	on := make(chan struct{})
	h.replies <- func(say func(string, string), _ <-chan struct{}) string {
		<-on
		say("First.", "")
		return ended
	}
	p.types("One\rTwo\r")
	h.question(t, "user: One")
	p.types("Three")
	close(on)
	h.answers("Second.", "", ended)
	h.question(t, "user: One", "assistant: First.", "user: Two")
	p.sees("Second.\r\n" + promptFirst)
	h.answers("Third.", "", ended)
	p.types("\r")
	h.question(t, "user: One", "assistant: First.", "user: Two", "assistant: Second.", "user: Three")
	p.sees("Third.\r\n" + promptFirst)
	p.types("\x04")
	p.leaves(0)
}

func TestSeveralLinesAreOneMessage(t *testing.T) {
	h, p := chatting(t)
	for keys, want := range map[string]string{
		"\"\"\"\r/help\r\r  me\"\"\"\r":        "/help\n\n  me",
		"one \\\rtwo\r":                        "one \ntwo",
		"\x1b[200~a\r\n\tb\rc\x1b[201~ d\r":    "a\n\tb\nc d",
		"see: \x1b[200~x\x1b\x07\n\x1b[201~\r": "see: x",
		"/help\x15 /usr\r":                     "/usr",
	} {
		h.answers("Done.", "", ended)
		p.types(keys)
		a := <-h.asked
		if got := a.Messages[len(a.Messages)-1].Content; got != want {
			t.Errorf("%q sends %q, want %q", keys, got, want)
		}
		p.sees("Done.\r\n" + promptFirst)
	}
	p.types("\"\"\"\rto be given up\r\x03")
	p.sees("message given up")
	p.sees(promptFirst)
	p.types("\x04")
	p.leaves(0)
}

func TestArrowsRecallEarlierChats(t *testing.T) {
	h, p := chatting(t)
	h.answers("Yes.", "", ended)
	p.types("\x1b[200~two\rlines\x1b[201~\r")
	h.question(t, "user: two\nlines")
	p.sees("Yes.\r\n" + promptFirst)
	p.types("/ex\t\r")
	p.leaves(0)

	file := filepath.Join(os.Getenv("XDG_STATE_HOME"), "piohost", "history")
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "two␤lines\n/exit\n" {
		t.Errorf("the history is %q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the history: %v, %v", info.Mode(), err)
	}

	p = again(t, h)
	h.answers("Again.", "", ended)
	p.types("\x1b[A\x1b[A\r")
	h.question(t, "user: two\nlines")
	p.sees("Again.\r\n" + promptFirst)
	p.types("\x04")
	p.leaves(0)
}

func TestWhatFailsCostsOneTurn(t *testing.T) {
	h, p := chatting(t)
	h.answers("", "", broken)
	p.types("Too long\r")
	h.question(t, "user: Too long")
	p.sees("the prompt is too long; /reset begins anew")
	p.types("/sytem x\r")
	p.sees("did you mean /system?")
	p.types("/think maybe\r")
	p.sees("/think maybe: expected on or off")
	p.types("/exit now\r")
	p.sees(`/exit takes nothing, but is given "now"`)
	h.answers("Fine.", "", ended)
	p.types("Short\r")
	h.question(t, "user: Short")
	p.sees("Fine.\r\n" + promptFirst)
	p.types("/help\r")
	for _, c := range chatCommands() {
		p.sees(c.word)
	}
	p.types("/exit\r")
	p.leaves(0)
}

// A checkpoint is a stranger's file: what the model says cannot steer the terminal.
func TestAnswersCannotSteerTheTerminal(t *testing.T) {
	h, p := chatting(t)
	h.answers("a\x1b]0;title\x07b\u009b2Jc\td\r\n", "x\x1b[2Jy", ended)
	p.types("Hi\r")
	got := p.sees("d\r\n" + promptFirst)
	if !strings.Contains(got, dim+"x[2Jy"+plain+"\r\na]0;titleb2Jc\td\r\n"+promptFirst) {
		t.Errorf("on the screen: %q", got)
	}
	p.types("\x04")
	p.leaves(0)
}

func TestTerminalThatChangesItsSize(t *testing.T) {
	_, p := chatting(t)
	if err := pty.Setsize(p.master, &pty.Winsize{Rows: 5, Cols: 20}); err != nil {
		t.Fatal(err)
	}
	p.types("/help\r")
	p.sees("Ctrl-C")
	p.types("\x04")
	p.leaves(0)
}

// A signal ends the chat in the midst of a line or of an answer, and the terminal is given back.
func TestSignalEndsTheChat(t *testing.T) {
	h, p := chatting(t)
	p.types("half a line")
	p.sees("half a line")
	p.stop()
	p.leaves(exitInterrupted)

	p = again(t, h)
	h.replies <- func(say func(string, string), gone <-chan struct{}) string {
		say("One,", "")
		<-gone
		return ""
	}
	p.types("Count\r")
	p.sees("One,")
	p.stop()
	p.leaves(exitInterrupted)
}

// A terminal that goes away ends the chat, at the prompt and in the midst of an answer.
func TestTerminalThatGoesAway(t *testing.T) {
	h, p := chatting(t)
	p.hangsUp()

	p = again(t, h)
	told := make(chan struct{})
	h.replies <- func(say func(string, string), gone <-chan struct{}) string {
		say("One,", "")
		<-gone
		close(told)
		return ""
	}
	p.types("Count\r")
	p.sees("One,")
	p.hangsUp()
	<-told
}
