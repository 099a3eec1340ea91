// Package text stands between words and ids: it turns a request into prompt ids and sampling parameters, and sampled ids
// into the events of an answer. It joins a checkpoint's tokenizer, chat template and generation_config.json to
// [github.com/inference-pio/inference-pio/sdk/engine]; [Model.Generate] is the whole of a plugin's Generate.
//
// What an answer shows is a pure function of the prompt's ids, the request and the ids so far: [Decoder] keeps no other
// state. A resumed answer feeds the ids already sent through a new Decoder, drops what it says, and goes on.
//
// On its way an id's text passes
//
//	the tokenizer   special tokens show nothing, a character spread over several ids waits for the last of them
//	stop strings    looked for in all that the model writes, reasoning, calls and tags included; the beginning of one is held back
//	reasoning       what stands between the template's think tags is told apart from the answer (chats only)
//	tool calls      written in the template's format, they become calls once they are whole (chats with tools only)
//
// # Tools
//
// The format of calls is read off the template. With tool_choice "none" the tools stand in the prompt and nothing is taken for
// a call. With "required" or a function's name the answer begins with a call's opening, behind the end of reasoning that the
// template opened: its ids are forced in the engine, sent like sampled ones, counted, and replayed by a resume. What follows
// is held to the tools' parameters (below). A call that is malformed, of a function that is not among the tools, quoted in code, or
// cut off inside a value is shown as text. A forced call comes instead
// of reasoning, not after it: who wants both asks with "auto". A function asked for by name is the one that is called, whatever
// the model writes behind its name, and its call ends the answer, as the first call does where calls are one per answer. An
// answer with a call that ends by itself has the reason "tool_calls", one that is cut off "length". Stop strings are not
// looked for in what was forced.
//
// # Languages
//
// A request's Constraint, a forced call and tools that are strict have the answer held to a language of sdk/grammar, behind its reasoning,
// which is free. The tags around reasoning and calls are tokens of their own where the tokenizer has them, and nothing within a value. Where the language
// leaves one text, its ids are given to the engine without a step for each, as far as it is certain that the tokenizer would cut the text so.
//
// # Sampling
//
// A field that the client leaves out is generation_config.json's, then neutral. In which order they work is said at
// [github.com/inference-pio/inference-pio/sdk/engine.Params].
//
// A checkpoint without a tokenizer takes prompts of ids and shows no text.
package text
