// Package sdk is what the author of a plugin imports. It has the interfaces a plugin implements, the requests and
// answers that cross the socket, and the errors the host understands. It touches no tensor and no protobuf type, so any
// engine can be wrapped.
//
// A plugin is a program that serves one model. Its author implements [Plugin] (Describe, Inspect, Load, Generate) and
// hands it to [github.com/inference-pio/inference-pio/sdk/serve.Main], which does the rest: handshake, logging, limits,
// recovery from panics, and death with the host. Each further ability is a one-method or few-method interface
// ([Forwarder], [Tokenizer], [Speller], [Renderer], [Embedder], [Scheduled], [Drainer], [Unloader]); the capabilities that the host
// is told of are derived from what the value implements, so they cannot disagree with it.
//
// The smallest plugin is sdk/examples/echo; copy it to start your own. With package text and package engine it is sdk/examples/scripted, which has
// tools, reasoning and structured output, and answers that are known. Package sdk/conformance checks that a plugin keeps the
// protocol, and belongs into every plugin's tests; sdk/serve/servetest serves one within a test. The wire, for authors in other
// languages, is PROTOCOL.md; sdk/examples/python is a plugin written from it.
//
// # What need not be written again
//
// None of these is needed, and a plugin may use any of them alone:
//
//	sdk/text       a checkpoint's words: prompts, tool calls, reasoning, stop strings, logprobs; its Generate is a plugin's
//	sdk/engine     many answers from a model of one method, Step: batches, chunks, cache blocks, sampling, resuming
//	sdk/tokenizer  tokenizer.json (byte-level BPE)
//	sdk/chat       chat templates, and tool calls and reasoning in answers
//	sdk/jinja      the language that chat templates are written in
//	sdk/picture    pictures out of files that may be hostile
//	sdk/plan       which module on which device, given what each holds
//
// A plugin that computes with this project's tensors has still less to do: cuda/serve makes one of a model, as
// plugins/qwen3_0_6b shows.
//
// # Life of a plugin
//
// The host starts the binary, calls Describe, opens the Scheduler stream, and calls Load once. Then Generate, Forward and
// the others arrive concurrently until Drain or Unload. A process serves one model and is never loaded twice: a new model
// or a restart is a new process.
package sdk
