// Package sdk is what the author of a plugin imports. It has the interfaces a plugin implements, the requests and
// answers that cross the socket, and the errors the host understands. It touches no tensor and no protobuf type, so any
// engine can be wrapped.
//
// A plugin is a program that serves one model. Its author implements [Plugin] (Describe, Inspect, Load, Generate) and
// hands it to [github.com/inference-pio/inference-pio/sdk/serve.Main], which does the rest: handshake, logging, limits,
// recovery from panics, and death with the host. Each further ability is a one-method or few-method interface
// ([Forwarder], [Tokenizer], [Renderer], [Embedder], [Scheduled], [Drainer], [Unloader]); the capabilities that the host
// is told of are derived from what the value implements, so they cannot disagree with it.
//
// The smallest plugin is sdk/examples/echo; copy it to start your own. Package sdk/conformance checks that a plugin keeps the
// protocol, and belongs into every plugin's tests. The wire, for authors in other languages, is PROTOCOL.md.
//
// # Life of a plugin
//
// The host starts the binary, calls Describe, opens the Scheduler stream, and calls Load once. Then Generate, Forward and
// the others arrive concurrently until Drain or Unload. A process serves one model and is never loaded twice: a new model
// or a restart is a new process.
package sdk
