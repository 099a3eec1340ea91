package clients

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

func respond(input responses.ResponseNewParamsInputUnion) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model, Input: input, Temperature: openai.Float(0),
		Tools: []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
			Name: "get_weather", Description: openai.String("Current weather in a city"),
			Parameters: map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}},
		}}},
	}
}

func TestResponse(t *testing.T) {
	c := client(t)
	p := respond(responses.ResponseNewParamsInputUnion{OfString: openai.String("What is the capital of Japan?")})
	p.Tools = nil
	got, err := c.Responses.New(context.Background(), p, plain)
	if err != nil || got.OutputText() != answer || got.Status != "completed" || got.Usage.OutputTokens == 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The model calls, gets the result, and answers with it: the items are sent back as they came.
func TestResponsesRoundTripStreamed(t *testing.T) {
	c := client(t)
	items := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage("What is the weather in Oslo?", responses.EasyInputMessageRoleUser)}
	p := respond(responses.ResponseNewParamsInputUnion{OfInputItemList: items})
	stream := c.Responses.NewStreaming(context.Background(), p, plain)
	defer stream.Close()
	var whole responses.Response
	last := int64(-1)
	for stream.Next() {
		e := stream.Current()
		if e.SequenceNumber != last+1 {
			t.Errorf("event %s has the number %d after %d", e.Type, e.SequenceNumber, last)
		}
		if last = e.SequenceNumber; e.Type == "response.completed" {
			whole = e.Response
		}
	}
	if err := stream.Err(); err != nil || len(whole.Output) != 1 {
		t.Fatalf("%v, %+v", err, whole.Output)
	}
	one := whole.Output[0].AsFunctionCall()
	if one.Name != "get_weather" || one.Arguments != call || one.CallID == "" {
		t.Errorf("call %+v", one)
	}
	p.Input.OfInputItemList = append(items, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(one.RawJSON())),
		responses.ResponseInputItemUnionParam{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
			CallID: openai.String(one.CallID), Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openai.String(`{"degrees": 17}`)},
		}})
	got, err := c.Responses.New(context.Background(), p, plain)
	if err != nil || got.OutputText() != forecast {
		t.Errorf("%v, %v", got, err)
	}
}
