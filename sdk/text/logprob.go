// logprob.go adds to the engine's logprobs what it cannot know: the bytes of the tokens.

package text

import "github.com/inference-pio/inference-pio/sdk"

// spell fills in the bytes of id, which l is of, and of the alternatives.
func (m *Model) spell(l *sdk.TokenLogprob, id int32) {
	if m.tokenizer == nil {
		return
	}
	l.Bytes = []byte(m.tokenizer.Bytes(id))
	for i := range l.Top {
		l.Top[i].Bytes = []byte(m.tokenizer.Bytes(l.Top[i].ID))
	}
}

func (m *Model) spellPrompt(list []sdk.TokenLogprob, prompt []int32) []sdk.TokenLogprob {
	for i := range list {
		m.spell(&list[i], prompt[i])
	}
	return list
}
