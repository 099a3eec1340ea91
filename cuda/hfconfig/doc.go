// Package hfconfig reads what every model's config.json says in the same way: JSON with its mistakes told in words, the keys of a
// decoder, ropes in both spellings, the form of quantised weights. A model embeds [Checkpoint] and [Decoder] in its Config, adds
// the keys that only it has, and reads the file with [Read]. What a key means for the computation is said by the model.
//
// Keys are honoured or refused by name. A [Problems] collects what is wrong, so that a user learns all of it at once.
package hfconfig
