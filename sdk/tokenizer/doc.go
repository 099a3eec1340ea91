// Package tokenizer turns text into token ids and back, exactly as the reference does, from a checkpoint's tokenizer.json.
//
// It reads the one family that our models use: byte-level BPE. Text takes four steps, each in a file of its own:
//
//	added.go        added tokens ("<|im_start|>") are cut out of the text and become their ids
//	normalize.go    what lies between them is normalised (NFC or not at all)
//	pretokenize.go  and cut into words; split.go has the two common cuts by hand, regex.go all others
//	bpe.go          each word's bytes are merged, best rank first, into tokens
//
// pace.go stops all of them when the caller has left. What a checkpoint's own expression may cost is bounded in regex.go.
//
// decode.go goes back, whole or as a stream of ids. No beginning-of-text token is ever added: a prompt's special tokens come from
// the chat template's text.
//
//	t, err := tokenizer.Load(ctx, "models/Qwen3-0.6B")
//	ids, err := t.Encode(ctx, "<|im_start|>user\nHi")
//	s := t.NewStream(true)
//	for _, id := range ids {
//		fmt.Print(s.Push(id))
//	}
//	fmt.Print(s.Flush())
//
// A Tokenizer is safe for concurrent use; a Stream belongs to one goroutine.
package tokenizer
