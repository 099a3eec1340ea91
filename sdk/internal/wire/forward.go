package wire

// forward.go: sequences, logits and vectors.

import (
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// ForwardRequestToPB translates the request of Forward.
func ForwardRequestToPB(r sdk.ForwardRequest) *pb.ForwardRequest {
	return &pb.ForwardRequest{Sequence: r.Sequence, Tokens: r.Tokens, Rows: int64s(r.Rows)}
}

// ForwardRequest reads what ForwardRequestToPB wrote; rows are checked to lie in tokens.
func ForwardRequest(m *pb.ForwardRequest) (sdk.ForwardRequest, error) {
	var c checks
	c.ids("tokens", m.GetTokens())
	if len(m.GetTokens()) == 0 {
		c.fail("tokens", "is empty")
	}
	for _, row := range m.GetRows() {
		if row < 0 || row >= int64(len(m.GetTokens())) {
			c.fail("rows", "has %d, but there are %d tokens", row, len(m.GetTokens()))
		}
	}
	return sdk.ForwardRequest{Sequence: m.GetSequence(), Tokens: m.GetTokens(), Rows: ints(m.GetRows())}, c.error()
}

// ForwardResultToPB translates the answer to Forward. One too large for a message is an error that says what would fit.
func ForwardResultToPB(r sdk.ForwardResult) (*pb.ForwardResponse, error) {
	if most := sdk.MaxMessageBytes - 1024; 4*len(r.Logits) > most {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "%d rows of logits do not fit a message; ask for at most %d at once",
			len(r.Logits)/max(r.Vocab, 1), most/(4*max(r.Vocab, 1)))
	}
	return &pb.ForwardResponse{Logits: f32Bytes(r.Logits), Vocab: int64(r.Vocab), Length: int64(r.Length)}, nil
}

// ForwardResult reads the answer to Forward; rows is how many rows were asked for.
func ForwardResult(m *pb.ForwardResponse, rows int) (sdk.ForwardResult, error) {
	logits, err := f32("logits", m.GetLogits())
	if err != nil {
		return sdk.ForwardResult{}, err
	}
	r := sdk.ForwardResult{Logits: logits, Vocab: int(m.GetVocab()), Length: int(m.GetLength())}
	if r.Vocab <= 0 || len(logits)%r.Vocab != 0 || len(logits)/r.Vocab != rows {
		return r, sdk.Errorf(sdk.ReasonInternal, "the plugin sent %d logits of a vocabulary of %d, but %d rows were asked for",
			len(logits), r.Vocab, rows)
	}
	if r.Length < 0 {
		return r, sdk.Errorf(sdk.ReasonInternal, "the plugin says the sequence has %d positions", r.Length)
	}
	return r, nil
}

// EmbedRequestToPB translates the request of Embed.
func EmbedRequestToPB(r sdk.EmbedRequest) *pb.EmbedRequest {
	return &pb.EmbedRequest{Texts: r.Texts, Tokens: each(r.Tokens, func(ids []int32) *pb.TokenIds { return &pb.TokenIds{Ids: ids} })}
}

// EmbedRequest reads what EmbedRequestToPB wrote.
func EmbedRequest(m *pb.EmbedRequest) (sdk.EmbedRequest, error) {
	var c checks
	r := sdk.EmbedRequest{Texts: m.GetTexts(), Tokens: each(m.GetTokens(), func(t *pb.TokenIds) []int32 {
		c.ids("tokens", t.GetIds())
		return t.GetIds()
	})}
	if len(r.Texts) > 0 && len(r.Tokens) > 0 {
		c.fail("tokens", "stands beside texts: a request has one of them")
	}
	return r, c.error()
}

// EmbedResultToPB translates the answer to Embed.
func EmbedResultToPB(r sdk.EmbedResult) *pb.EmbedResponse {
	return &pb.EmbedResponse{Vectors: each(r.Vectors, f32Bytes), Tokens: int64s(r.Tokens)}
}

// EmbedResult reads the answer to Embed; n is how many vectors were asked for. A plugin may leave the tokens out.
func EmbedResult(m *pb.EmbedResponse, n int) (sdk.EmbedResult, error) {
	if len(m.GetVectors()) != n {
		return sdk.EmbedResult{}, sdk.Errorf(sdk.ReasonInternal, "the plugin sent %d vectors for %d texts", len(m.GetVectors()), n)
	}
	if told := len(m.GetTokens()); told != 0 && told != n {
		return sdk.EmbedResult{}, sdk.Errorf(sdk.ReasonInternal, "the plugin counted the tokens of %d texts; there were %d", told, n)
	}
	var c checks
	for _, tokens := range m.GetTokens() {
		c.count("tokens", tokens)
	}
	if err := c.blame("embeddings"); err != nil {
		return sdk.EmbedResult{}, err
	}
	r := sdk.EmbedResult{Tokens: ints(m.GetTokens())}
	for _, b := range m.GetVectors() {
		v, err := f32("vector", b)
		if err != nil {
			return sdk.EmbedResult{}, err
		}
		r.Vectors = append(r.Vectors, v)
	}
	return r, nil
}
