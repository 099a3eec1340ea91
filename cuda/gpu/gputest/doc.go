// Package gputest opens GPUs for tests: those of the software driver, or the machine's own. Without the tag cuda there is nothing in it.
package gputest
