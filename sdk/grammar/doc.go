// Package grammar says which tokens may come next so that a model's answer belongs to a language: a mask over the vocabulary for each
// token, exact to the byte.
//
// A language is an [Expr]: literals, regular sets, sequences, alternatives, repetitions, and rules that may speak of themselves. Package
// schema makes one of a JSON Schema, [GBNF] of a written grammar. [Expr.Compile] checks it; [Grammar.Over] joins it with a [Vocabulary] to
// a [Guide], which any number of sequences use at once, each with a [Matcher] of its own:
//
//	m := guide.Start()
//	for !m.Complete() {
//		id := choose(logits, m.Mask())
//		err := m.Advance(id)
//	}
//
// # What holds
//
//   - A token is allowed if the text with it is the beginning of a text of the language, wherever in the grammar the token's bytes end.
//   - There is always a token: from every state a way leads to the end of a text, one byte at a time, and a vocabulary has all bytes.
//   - The end tokens are allowed where the text is complete, and there alone. Tokens that the tokenizer added to its model are never
//     allowed, but where the grammar names them ([Token]).
//   - Masks depend on the ids so far and on nothing else, so a replayed sequence sees the same.
//
// # How
//
// What may come next is a set of items: a place within a literal or an automaton, and a stack of what is to follow. Stacks are shared
// and equal ones are one, so an item is a key. The mask of an item is found by walking a trie of the vocabulary and is kept; within a string nearly all of
// it is the same whatever stands around the string, so that part is kept with the automaton ([Vocabulary]), and only the tokens that go
// beyond the closing quote are looked at for each stack.
package grammar
