// Package automaton holds regular sets of texts as deterministic automata: read from a pattern or made for a range of numbers, joined,
// intersected and subtracted over characters ([Text]), then spelled out as the bytes that a language model's tokens are made of ([Bytes]).
//
// Whatever makes an automaton is bounded: a set that needs more than [MaxStates] states is [ErrSize], never a long wait.
package automaton
