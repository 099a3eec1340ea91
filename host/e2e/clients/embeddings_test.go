package clients

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"
)

func TestEmbeddings(t *testing.T) {
	c := client(t)
	embed := func(input openai.EmbeddingNewParamsInputUnion) *openai.CreateEmbeddingResponse {
		t.Helper()
		got, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{Model: model, Input: input})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	const text = "The capital of Japan is Tokyo."
	list := embed(openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{text, "What is 27 + 38?"}})
	one := embed(openai.EmbeddingNewParamsInputUnion{OfString: openai.String(text)})
	var tokenized struct{ Tokens []int64 }
	post(t, "/tokenize", map[string]any{"model": model, "prompt": text}, &tokenized)
	ids := embed(openai.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{tokenized.Tokens}})
	if len(list.Data) != 2 || list.Data[1].Index != 1 || slices.Equal(list.Data[0].Embedding, list.Data[1].Embedding) || len(list.Data[0].Embedding) == 0 {
		t.Errorf("two texts: %d vectors", len(list.Data))
	}
	for what, got := range map[string]*openai.CreateEmbeddingResponse{"alone": one, "as ids": ids} {
		if !slices.Equal(got.Data[0].Embedding, list.Data[0].Embedding) || got.Usage.PromptTokens != int64(len(tokenized.Tokens)) || got.Usage.TotalTokens != got.Usage.PromptTokens {
			t.Errorf("%s: another vector, or usage %+v", what, got.Usage)
		}
	}
	_, err := c.Embeddings.New(context.Background(), openai.EmbeddingNewParams{Model: model,
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(text)}, Dimensions: openai.Int(8)})
	var told *openai.Error
	if !errors.As(err, &told) || told.StatusCode != 400 || told.Param != "dimensions" {
		t.Errorf("dimensions: %v", err)
	}
}
