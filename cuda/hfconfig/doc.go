// Package hfconfig reads what every model's config.json says in the same way: JSON with its mistakes told in words, ropes in both
// spellings, the form of quantised weights. What only one model has stays in that model's config.go, and so does every
// decision: this package knows keys, not models.
//
// Keys are honoured or refused by name. A [Problems] collects what is wrong, so that a user learns all of it at once.
package hfconfig
