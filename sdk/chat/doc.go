// Package chat turns a conversation into the text a model was trained on, and the model's answer back into reasoning,
// text and tool calls.
//
// The way in is the checkpoint's own template ([Load], [Template.Render]); no prompt format is written in Go. The way
// back is [Output], which takes reasoning off the front and finds the calls in the rest. It is a pure function of the text
// pushed so far: however it is cut, the pieces add up to the same.
//
// What looks like a call is one only if it is of a function that the request has, stands neither in code nor in a thought, and is whole. A
// value may speak of the syntax of calls: a closing tag counts only where structure follows it.
package chat
