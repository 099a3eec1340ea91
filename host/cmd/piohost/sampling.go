// sampling.go holds the flags of the commands that ask a model, and the request they make.
package main

import (
	"strings"

	"github.com/spf13/pflag"
)

type askFlags struct {
	set         *pflag.FlagSet
	system      string
	temperature float64
	topP        float64
	topK        int
	maxTokens   int
	seed        uint64
	noThink     bool
	verbose     bool
}

func (f *askFlags) add(flags *pflag.FlagSet) {
	f.set = flags
	flags.StringVar(&f.system, "system", "", "a system message before the first question")
	flags.Float64Var(&f.temperature, "temperature", 0, "0 is greedy; the checkpoint's default if absent")
	flags.Float64Var(&f.topP, "top-p", 0, "the checkpoint's default if absent")
	flags.IntVar(&f.topK, "top-k", 0, "the checkpoint's default if absent")
	flags.IntVar(&f.maxTokens, "max-tokens", 0, "of one answer; as many as the context holds if absent")
	flags.Uint64Var(&f.seed, "seed", 0, "makes the answer repeatable; drawn if absent")
	flags.BoolVar(&f.verbose, "verbose", false, "say after an answer how many tokens it was, and how fast they came")
	flags.BoolVar(&f.noThink, "no-think", false, "answer without reasoning first, where the model can")
}

// conversation is one that has not begun.
func (f *askFlags) conversation() conversation {
	c := conversation{system: f.system}
	if f.noThink {
		c.think = new(bool)
	}
	return c
}

// request asks model for the next answer of c. It has only what was asked for, so that everything else is the checkpoint's
// default.
func (f *askFlags) request(model string, c conversation, question string) map[string]any {
	req := map[string]any{"model": model, "messages": c.asking(question), "stream": true, "stream_options": map[string]any{"include_usage": true}}
	for name, value := range map[string]any{
		"temperature": f.temperature, "top-p": f.topP, "top-k": f.topK, "max-tokens": f.maxTokens, "seed": f.seed,
	} {
		if f.set.Changed(name) {
			req[strings.ReplaceAll(name, "-", "_")] = value
		}
	}
	if c.think != nil {
		req["chat_template_kwargs"] = map[string]any{"enable_thinking": *c.think}
	}
	return req
}
