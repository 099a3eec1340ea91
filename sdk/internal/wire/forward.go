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
	return &pb.ForwardResponse{Logits: F32Bytes(r.Logits), Vocab: int64(r.Vocab), Length: int64(r.Length)}, nil
}

// ForwardResult reads the answer to Forward; rows is how many rows were asked for.
func ForwardResult(m *pb.ForwardResponse, rows int) (sdk.ForwardResult, error) {
	logits, err := F32("logits", m.GetLogits())
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

// VectorsToPB translates the answer to Embed.
func VectorsToPB(r sdk.EmbedResult) *pb.EmbedResponse {
	return &pb.EmbedResponse{Vectors: each(r.Vectors, F32Bytes)}
}

// Vectors reads the answer to Embed; texts is how many texts were sent.
func Vectors(m *pb.EmbedResponse, texts int) (sdk.EmbedResult, error) {
	if len(m.GetVectors()) != texts {
		return sdk.EmbedResult{}, sdk.Errorf(sdk.ReasonInternal, "the plugin sent %d vectors for %d texts", len(m.GetVectors()), texts)
	}
	var r sdk.EmbedResult
	for _, b := range m.GetVectors() {
		v, err := F32("vector", b)
		if err != nil {
			return sdk.EmbedResult{}, err
		}
		r.Vectors = append(r.Vectors, v)
	}
	return r, nil
}
