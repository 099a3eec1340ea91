package clients

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"testing"

	"github.com/openai/openai-go/v3"
)

// about asks about the picture at PIO_PICTURE, which shows a blue circle.
func about(t *testing.T, model string) openai.ChatCompletionNewParams {
	t.Helper()
	file, err := os.ReadFile(os.Getenv("PIO_PICTURE"))
	if err != nil {
		t.Fatalf("PIO_PICTURE: %v", err)
	}
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(file)
	return openai.ChatCompletionNewParams{
		Model: model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: url, Detail: "high"}),
			openai.TextContentPart("What is in the picture?"),
		})},
		Temperature: openai.Float(0),
	}
}

func TestPicture(t *testing.T) {
	c := client(t)
	got, err := c.Chat.Completions.New(context.Background(), about(t, seer))
	if err != nil {
		t.Fatal(err)
	}
	if said := got.Choices[0].Message.Content; said != "A blue circle." || got.Usage.PromptTokens < 10 {
		t.Errorf("%q, usage %+v", said, got.Usage)
	}
	stream := c.Chat.Completions.NewStreaming(context.Background(), about(t, seer))
	defer stream.Close()
	var whole openai.ChatCompletionAccumulator
	for stream.Next() {
		whole.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil || whole.Choices[0].Message.Content != "A blue circle." {
		t.Errorf("streamed: %+v, %v", whole.Choices, err)
	}
}

func TestPictureForAModelThatReads(t *testing.T) {
	c := client(t)
	_, err := c.Chat.Completions.New(context.Background(), about(t, model))
	var told *openai.Error
	if !errors.As(err, &told) || told.StatusCode != 400 || told.Param != "messages" {
		t.Errorf("%v", err)
	}
}
