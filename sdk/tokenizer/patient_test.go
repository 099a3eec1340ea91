package tokenizer

import "context"

// patient is the pace of a caller who stays. What a test asks for in this way cannot fail.
func patient() *pace { return &pace{ctx: context.Background()} }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(t *Tokenizer, text string) []int32 { return must(t.Encode(context.Background(), text)) }

func ordinary(t *Tokenizer, text string) []int32 {
	return must(t.EncodeOrdinary(context.Background(), text))
}

func nfcOf(text string) string { return must(nfc(patient(), text)) }
