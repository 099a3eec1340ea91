package tokenizer_test

import (
	"context"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// exampleFile knows the bytes of "a", "é" (spelled "Ã", "©"), space (spelled "Ġ") and "<end>", which is a special token, too.
var exampleFile = []byte(`{
	"added_tokens": [{"id": 9, "content": "<end>", "special": true}],
	"normalizer": {"type": "NFC"},
	"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
	"decoder": {"type": "ByteLevel"},
	"model": {"type": "BPE", "vocab": {"a": 0, "Ã": 1, "©": 2, "Ġ": 3, "<": 4, "e": 5, "n": 6, "d": 7, ">": 8}, "merges": []}}`)

// A stream shows text as soon as it is whole: half a character waits for the other half. [tokenizer.Load] reads a checkpoint's file.
func Example() {
	t, err := tokenizer.Parse(exampleFile)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := t.Encode(context.Background(), "a<end>é")
	fmt.Println(ids, err)
	s := t.NewStream(true)
	for _, id := range ids {
		fmt.Printf("%q ", s.Push(id))
	}
	fmt.Printf("%q", s.Flush())
	// Output:
	// [0 9 1 2] <nil>
	// "a" "" "" "é" ""
}

// What a stranger wrote is read as text, even if it looks like a token that ends his turn.
func ExampleTokenizer_EncodeOrdinary() {
	t, err := tokenizer.Parse(exampleFile)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := t.EncodeOrdinary(context.Background(), "é<end>a")
	end, _ := t.ID("<end>")
	fmt.Println(ids, end, err)
	// Output: [1 2 4 5 6 7 8 0] 9 <nil>
}
