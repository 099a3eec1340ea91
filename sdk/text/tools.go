// tools.go decides what a request's tools and tool_choice mean for its answer: whether calls are looked for, which words the
// answer is made to begin with, and what the calls are named.

package text

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
)

const functionChoice = "function:" // before a name, in tool_choice

// toolUse is what a chat says about tools.
type toolUse struct {
	format chat.ToolFormat // NoTools: nothing is taken for a call
	forced bool            // the answer begins with a call
	name   string          // of the function called then; "" lets the model choose
	single bool            // the answer is that one call
	holds  bool            // arguments are held to what their tool says: a call is forced, or a tool is strict
}

// readTools checks tools and tool_choice. With "none" the tools still stand in the prompt, as in vLLM, so that a
// conversation keeps its beginning (and its prefix in the cache) when the choice changes from turn to turn.
func (m *Model) readTools(c sdk.Chat) (toolUse, error) {
	use := toolUse{format: m.calls}
	has := chat.HasTools(c.Tools)
	switch choice := c.ToolChoice; {
	case choice == "none" || !has && (choice == "" || choice == "auto"):
		return toolUse{}, nil
	case choice != "" && choice != "auto" && choice != "required" && !strings.HasPrefix(choice, functionChoice):
		return use, invalid("tool_choice", "tool_choice is %.60q; it must be auto, none, required or the name of a function", choice)
	case !has:
		return use, invalid("tool_choice", "tool_choice asks for a call, but the request has no tools")
	case use.format == chat.NoTools:
		return use, invalid("tools", "the checkpoint's chat template writes no tool calls of a form that is known here; send no tools, or tool_choice none")
	case choice == "" || choice == "auto":
		use.holds = slices.ContainsFunc(chat.Tools(c.Tools), func(t chat.Tool) bool { return t.Strict })
		return use, nil
	}
	return use.force(c.ToolChoice, chat.ToolNames(c.Tools))
}

// force makes the answer begin with a call of the function chosen, or of any of the names.
func (u toolUse) force(choice string, names []string) (toolUse, error) {
	u.forced, u.holds = true, true
	switch name, named := strings.CutPrefix(choice, functionChoice); {
	case named && !slices.Contains(names, name):
		return u, invalid("tool_choice", "tool_choice names the function %.60q; the tools have %.200q", name, names)
	case named:
		u.name, u.single = name, true
	case len(names) == 1:
		u.name = names[0] // nothing else could be called
	}
	if strings.ContainsAny(u.name, "<>{}\" \t\r\n") { // would be read as a part of the tags around it
		return u, invalid("tools", "the function name %.60q cannot be forced; it must be free of white space, quotes and brackets", u.name)
	}
	return u, nil
}

// opening is what the answer to a prompt begins with that ends in tail. Reasoning that the template opened is closed first,
// on the same line if it was opened without a newline.
func (m *Model) opening(use toolUse, tail string) string {
	if !use.forced {
		return ""
	}
	return m.closing(tail) + use.format.Opening(use.name)
}

// callNames names the calls of an answer after what decides the answer, so that a resumed one has the same names and no
// two requests share them.
func callNames(req sdk.GenerateRequest, prompt []int32) func(index int) string {
	h := sha256.New()
	h.Write([]byte(req.ID))
	for _, n := range []uint64{req.Sampling.Seed, uint64(req.Choice)} {
		h.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	for _, id := range prompt {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(id)))
	}
	answer := h.Sum(nil)
	return func(index int) string {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(slices.Clone(answer), uint64(index)))
		return "call_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15])) // 24 letters and digits
	}
}
