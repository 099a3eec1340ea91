package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/inference-pio/inference-pio/sdk"
)

// reader is a plugin that can do one thing more than it must.
type reader struct{ sdk.Plugin }

func (reader) Tokenize(context.Context, string) ([]int32, error)   { return nil, nil }
func (reader) Detokenize(context.Context, []int32) (string, error) { return "", nil }

// What a plugin can do besides answering is what it implements; nothing is registered.
func ExampleCapabilities() {
	fmt.Println(sdk.Capabilities(reader{}))
	// Output: [tokenize]
}

// The reason crosses the socket and tells the host what to do; the words are for people. The cause stays on this side.
func ExampleErrorf() {
	err := sdk.Errorf(sdk.ReasonNotFound, "no checkpoint: %w", fs.ErrNotExist)
	fmt.Println(sdk.ReasonOf(err), errors.Is(err, fs.ErrNotExist))
	fmt.Println(err)
	fmt.Println(sdk.ReasonOf(errors.New("anything else")))
	// Output:
	// NOT_FOUND true
	// no checkpoint: file does not exist
	// INTERNAL
}
