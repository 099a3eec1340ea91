// Package text stands between words and ids: it turns a request into prompt ids and sampling parameters, and sampled ids
// into the events of an answer. It joins a checkpoint's tokenizer, chat template and generation_config.json to
// [github.com/inference-pio/inference-pio/sdk/engine]; [Model.Generate] is the whole of a plugin's Generate.
//
// What an answer shows is a pure function of the prompt's last words, the request and the ids so far: [Decoder] keeps no
// other state. A resumed answer feeds the ids already sent through a new Decoder, drops what it says, and goes on.
//
// On its way an id's text passes
//
//	the tokenizer   special tokens show nothing, a character spread over several ids waits for the last of them
//	stop strings    looked for in all that the model writes, reasoning and tags included; the beginning of one is held back
//	reasoning       what stands between the template's think tags is told apart from the answer (chats only)
//
// A checkpoint without a tokenizer takes prompts of ids and shows no text.
package text
