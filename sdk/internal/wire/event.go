package wire

// event.go: the messages of an answer.

import (
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// EventToPB translates an event. An event with no field set, or a finish reason that does not exist, is the author's bug.
func EventToPB(e sdk.Event) (*pb.GenerateResponse, error) {
	switch {
	case e.Start != nil && e.Token == nil && e.Finish == nil:
		s := &pb.Start{Prompt: e.Start.Prompt, InReasoning: e.Start.InReasoning, ContextLength: int64(e.Start.ContextLength),
			PromptLogprobs: each(e.Start.PromptLogprobs, logprobToPB), Constrained: e.Start.Constrained}
		return &pb.GenerateResponse{Event: &pb.GenerateResponse_Start{Start: s}}, nil
	case e.Token != nil && e.Start == nil && e.Finish == nil:
		return &pb.GenerateResponse{Event: &pb.GenerateResponse_Token{Token: tokenToPB(e.Token)}}, nil
	case e.Finish != nil && e.Start == nil && e.Token == nil:
		f, err := finishToPB(e.Finish)
		return &pb.GenerateResponse{Event: &pb.GenerateResponse_Finish{Finish: f}}, err
	}
	return nil, sdk.Errorf(sdk.ReasonInternal, "an event must have exactly one of Start, Token and Finish")
}

// Event reads an event and checks that its numbers can be.
func Event(m *pb.GenerateResponse) (sdk.Event, error) {
	var c checks
	var out sdk.Event
	switch e := m.GetEvent().(type) {
	case *pb.GenerateResponse_Start:
		c.ids("start.prompt", e.Start.GetPrompt())
		c.count("start.context_length", e.Start.GetContextLength())
		out.Start = &sdk.Start{Prompt: e.Start.GetPrompt(), InReasoning: e.Start.GetInReasoning(),
			ContextLength: int(e.Start.GetContextLength()), PromptLogprobs: each(e.Start.GetPromptLogprobs(), logprob), Constrained: e.Start.GetConstrained()}
		if n := len(out.Start.PromptLogprobs); n != 0 && n != len(out.Start.Prompt) {
			c.fail("start.prompt_logprobs", "has %d entries for %d ids", n, len(out.Start.Prompt))
		}
	case *pb.GenerateResponse_Token:
		out.Token = c.token(e.Token)
	case *pb.GenerateResponse_Finish:
		out.Finish = c.finish(e.Finish)
	default:
		c.fail("event", "is missing: one of start, token and finish must be set")
	}
	return out, c.blame("event")
}

func tokenToPB(t *sdk.Token) *pb.Token {
	m := &pb.Token{
		Index: int64(t.Index), Id: t.ID, Text: t.Text, Reasoning: t.Reasoning, ToolCalls: each(t.ToolCalls, toolCallToPB),
		Offset: int64(t.Offset),
	}
	if t.Logprob != nil {
		m.Logprob = logprobToPB(*t.Logprob)
	}
	return m
}

func logprobToPB(p sdk.TokenLogprob) *pb.TokenLogprob {
	return &pb.TokenLogprob{Logprob: p.Logprob, Bytes: p.Bytes, Top: each(p.Top, func(t sdk.TopLogprob) *pb.TopLogprob {
		return &pb.TopLogprob{Id: t.ID, Bytes: t.Bytes, Logprob: t.Logprob}
	})}
}

func logprob(m *pb.TokenLogprob) sdk.TokenLogprob {
	return sdk.TokenLogprob{Logprob: m.GetLogprob(), Bytes: m.GetBytes(), Top: each(m.GetTop(), func(t *pb.TopLogprob) sdk.TopLogprob {
		return sdk.TopLogprob{ID: t.GetId(), Bytes: t.GetBytes(), Logprob: t.GetLogprob()}
	})}
}

func (c *checks) token(m *pb.Token) *sdk.Token {
	c.count("token.index", m.GetIndex())
	c.count("token.id", int64(m.GetId()))
	c.count("token.offset", m.GetOffset())
	t := &sdk.Token{
		Index: int(m.GetIndex()), ID: m.GetId(), Text: m.GetText(), Reasoning: m.GetReasoning(),
		ToolCalls: each(m.GetToolCalls(), c.toolCall), Offset: int(m.GetOffset()),
	}
	if m.GetLogprob() != nil {
		p := logprob(m.GetLogprob())
		t.Logprob = &p
	}
	return t
}

func toolCallToPB(t sdk.ToolCallDelta) *pb.ToolCallDelta {
	return &pb.ToolCallDelta{Index: int64(t.Index), Id: t.ID, Name: t.Name, Arguments: t.Arguments}
}

func (c *checks) toolCall(m *pb.ToolCallDelta) sdk.ToolCallDelta {
	c.count("tool_call.index", m.GetIndex())
	return sdk.ToolCallDelta{Index: int(m.GetIndex()), ID: m.GetId(), Name: m.GetName(), Arguments: m.GetArguments()}
}

func finishReasonToPB(r sdk.FinishReason) pb.FinishReason {
	switch r {
	case sdk.FinishStop:
		return pb.FinishReason_FINISH_REASON_STOP
	case sdk.FinishLength:
		return pb.FinishReason_FINISH_REASON_LENGTH
	case sdk.FinishToolCalls:
		return pb.FinishReason_FINISH_REASON_TOOL_CALLS
	}
	return pb.FinishReason_FINISH_REASON_UNSPECIFIED
}

func finishReason(r pb.FinishReason) (sdk.FinishReason, bool) {
	for _, reason := range []sdk.FinishReason{sdk.FinishStop, sdk.FinishLength, sdk.FinishToolCalls} {
		if finishReasonToPB(reason) == r {
			return reason, true
		}
	}
	return "", false
}

func finishToPB(f *sdk.Finish) (*pb.Finish, error) {
	reason := finishReasonToPB(f.Reason)
	if reason == pb.FinishReason_FINISH_REASON_UNSPECIFIED {
		return nil, sdk.Errorf(sdk.ReasonInternal, "the finish reason %q does not exist; use stop, length or tool_calls", f.Reason)
	}
	return &pb.Finish{
		Reason: reason, Text: f.Text, Reasoning: f.Reasoning, ToolCalls: each(f.ToolCalls, toolCallToPB),
		PromptTokens: int64(f.PromptTokens), CompletionTokens: int64(f.CompletionTokens),
		ReasoningTokens: int64(f.ReasoningTokens), CachedTokens: int64(f.CachedTokens), QueuedNanos: int64(f.Queued), Stop: f.Stop,
	}, nil
}

func (c *checks) finish(m *pb.Finish) *sdk.Finish {
	reason, ok := finishReason(m.GetReason())
	if !ok {
		c.fail("finish.reason", "is %d, which does not exist", m.GetReason())
	}
	c.count("finish.prompt_tokens", m.GetPromptTokens())
	c.count("finish.completion_tokens", m.GetCompletionTokens())
	c.count("finish.reasoning_tokens", m.GetReasoningTokens())
	c.count("finish.cached_tokens", m.GetCachedTokens())
	c.count("finish.queued_nanos", m.GetQueuedNanos())
	return &sdk.Finish{
		Reason: reason, Text: m.GetText(), Reasoning: m.GetReasoning(), ToolCalls: each(m.GetToolCalls(), c.toolCall),
		PromptTokens: int(m.GetPromptTokens()), CompletionTokens: int(m.GetCompletionTokens()),
		ReasoningTokens: int(m.GetReasoningTokens()), CachedTokens: int(m.GetCachedTokens()),
		Queued: time.Duration(m.GetQueuedNanos()), Stop: m.GetStop(),
	}
}
