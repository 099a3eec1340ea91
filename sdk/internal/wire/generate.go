package wire

// generate.go: the request of Generate and the events that answer it.

import (
	"math"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// GenerateRequestToPB translates the request of Generate.
func GenerateRequestToPB(r sdk.GenerateRequest) *pb.GenerateRequest {
	m := &pb.GenerateRequest{
		Id: r.ID, Sampling: samplingToPB(r.Sampling), MaxTokens: int64(r.MaxTokens), Stop: r.Stop, IgnoreEos: r.IgnoreEOS,
		Choice: int64(r.Choice), PromptLogprobs: r.PromptLogprobs, MinTokens: int64(r.MinTokens),
	}
	switch {
	case r.Chat != nil:
		m.Prompt = &pb.GenerateRequest_Chat{Chat: ChatToPB(*r.Chat)}
	case r.HasText || r.Text != "":
		m.Prompt = &pb.GenerateRequest_Text{Text: r.Text}
	case r.Tokens != nil:
		m.Prompt = &pb.GenerateRequest_Tokens{Tokens: &pb.TokenIds{Ids: r.Tokens}}
	}
	if r.Constraint != nil {
		m.Constraint = constraintToPB(r.Constraint)
	}
	if r.Resume != nil {
		m.Resume = &pb.Resume{Prompt: r.Resume.Prompt, Generated: r.Resume.Generated, InReasoning: r.Resume.InReasoning}
	}
	return m
}

// GenerateRequest reads what GenerateRequestToPB wrote.
func GenerateRequest(m *pb.GenerateRequest) (sdk.GenerateRequest, error) {
	var c checks
	r := sdk.GenerateRequest{
		ID: m.GetId(), Sampling: c.sampling(m.GetSampling()), MaxTokens: int(m.GetMaxTokens()), Stop: m.GetStop(),
		IgnoreEOS: m.GetIgnoreEos(), Choice: int(m.GetChoice()),
		PromptLogprobs: m.GetPromptLogprobs(), MinTokens: int(m.GetMinTokens()),
	}
	c.count("max_tokens", m.GetMaxTokens())
	c.count("min_tokens", m.GetMinTokens())
	c.count("choice", m.GetChoice())
	switch p := m.GetPrompt().(type) {
	case *pb.GenerateRequest_Text:
		r.Text, r.HasText = p.Text, true
	case *pb.GenerateRequest_Tokens:
		r.Tokens = notNil(p.Tokens.GetIds())
		c.ids("tokens", r.Tokens)
	case *pb.GenerateRequest_Chat:
		chat := Chat(p.Chat)
		r.Chat = &chat
	default:
		c.fail("prompt", "is missing: one of text, tokens and chat must be set")
	}
	if m.GetConstraint() != nil {
		r.Constraint = c.constraint(m.GetConstraint())
	}
	if m.GetResume() != nil {
		r.Resume = c.resume(m.GetResume())
	}
	return r, c.error()
}

func constraintToPB(c *sdk.Constraint) *pb.Constraint {
	m := &pb.Constraint{Strict: c.Strict}
	switch {
	case c.JSONSchema != nil:
		m.Language = &pb.Constraint_JsonSchema{JsonSchema: c.JSONSchema}
	case c.JSONObject:
		m.Language = &pb.Constraint_JsonObject{JsonObject: true}
	case c.Choices != nil:
		m.Language = &pb.Constraint_Choices{Choices: &pb.Choices{Texts: c.Choices}}
	case c.Grammar != "":
		m.Language = &pb.Constraint_Grammar{Grammar: c.Grammar}
	default:
		m.Language = &pb.Constraint_Regex{Regex: c.Regex}
	}
	return m
}

func (c *checks) constraint(m *pb.Constraint) *sdk.Constraint {
	out := &sdk.Constraint{Strict: m.GetStrict()}
	switch l := m.GetLanguage().(type) {
	case *pb.Constraint_JsonSchema:
		out.JSONSchema = l.JsonSchema
	case *pb.Constraint_JsonObject:
		out.JSONObject = l.JsonObject
	case *pb.Constraint_Regex:
		out.Regex = l.Regex
	case *pb.Constraint_Choices:
		out.Choices = l.Choices.GetTexts()
	case *pb.Constraint_Grammar:
		out.Grammar = l.Grammar
	}
	if len(out.JSONSchema) == 0 && !out.JSONObject && out.Regex == "" && len(out.Choices) == 0 && out.Grammar == "" {
		c.fail("constraint", "is empty: one of json_schema, json_object, regex, choices and grammar must be set")
	}
	return out
}

// notNil keeps an empty list of tokens different from no list.
func notNil(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}

func (c *checks) ids(field string, ids []int32) {
	for i, id := range ids {
		if id < 0 {
			c.fail(field, "has the id %d at index %d: ids cannot be negative", id, i)
			return
		}
	}
}

func (c *checks) resume(m *pb.Resume) *sdk.Resume {
	c.ids("resume.prompt", m.GetPrompt())
	c.ids("resume.generated", m.GetGenerated())
	return &sdk.Resume{Prompt: m.GetPrompt(), Generated: m.GetGenerated(), InReasoning: m.GetInReasoning()}
}

// ChatToPB and Chat translate a conversation; its JSON is not looked at.
func ChatToPB(c sdk.Chat) *pb.Chat {
	return &pb.Chat{Messages: c.Messages, Tools: c.Tools, Kwargs: c.Kwargs, ToolChoice: c.ToolChoice, SingleCall: c.SingleCall, Images: c.Images}
}

// Chat reads what ChatToPB wrote.
func Chat(m *pb.Chat) sdk.Chat {
	return sdk.Chat{Messages: m.GetMessages(), Tools: m.GetTools(), Kwargs: m.GetKwargs(), ToolChoice: m.GetToolChoice(), SingleCall: m.GetSingleCall(), Images: m.GetImages()}
}

func samplingToPB(s sdk.Sampling) *pb.Sampling {
	return &pb.Sampling{
		Seed: s.Seed, Temperature: s.Temperature, TopP: s.TopP, TopK: optional(s.TopK, func(k int) int64 { return int64(k) }),
		MinP: s.MinP, PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
		RepetitionPenalty: s.RepetitionPenalty, LogitBias: s.LogitBias, Logprobs: s.Logprobs, TopLogprobs: int64(s.TopLogprobs),
	}
}

func (c *checks) sampling(m *pb.Sampling) sdk.Sampling {
	if m == nil {
		m = &pb.Sampling{}
	}
	for _, f := range []struct {
		field string
		value *float64
	}{
		{"temperature", m.Temperature}, {"top_p", m.TopP}, {"min_p", m.MinP}, {"presence_penalty", m.PresencePenalty},
		{"frequency_penalty", m.FrequencyPenalty}, {"repetition_penalty", m.RepetitionPenalty},
	} {
		if f.value != nil {
			c.finite("sampling."+f.field, *f.value)
		}
	}
	for _, bias := range m.GetLogitBias() {
		if math.IsNaN(bias) { // an infinite one bans or forces a token
			c.fail("sampling.logit_bias", "is not a number")
		}
	}
	c.count("sampling.top_logprobs", m.GetTopLogprobs())
	return sdk.Sampling{
		Seed: m.GetSeed(), Temperature: m.Temperature, TopP: m.TopP, TopK: optional(m.TopK, func(k int64) int { return int(k) }),
		MinP: m.MinP, PresencePenalty: m.PresencePenalty, FrequencyPenalty: m.FrequencyPenalty,
		RepetitionPenalty: m.RepetitionPenalty, LogitBias: m.GetLogitBias(), Logprobs: m.GetLogprobs(),
		TopLogprobs: int(m.GetTopLogprobs()),
	}
}
