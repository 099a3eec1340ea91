// count.go says how long a conversation's prompt is, without an answer to it.
package answer

import (
	"context"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
)

// errCounted ends an answer of which only the prompt was wanted. To whoever counts failures it is one that the client gave up.
var errCounted = fmt.Errorf("the prompt has been counted: %w", context.Canceled)

// roomOfID is for each byte of a prompt, which may be an id of its own.
const roomOfID = 12

// Count is how many tokens the prompt of a conversation has. How many a picture takes is known to whoever looks at it: where there is one, an
// answer is begun, which says what its prompt is before anything is computed, and ended at once.
func (s *Service) Count(ctx context.Context, req *Request, h *Held, field string) (int, error) {
	if len(req.Pictures) == 0 {
		return s.countWords(ctx, req, h)
	}
	if err := s.look(ctx, req, h, field); err != nil {
		return 0, err
	}
	n := 0
	one := *req
	one.N, one.MaxTokens, one.MinTokens = 1, 1, 0
	err := s.Backend.Generate(ctx, req.Model, one.Choices(NewID("count_"))[0], func(e sdk.Event) error {
		if e.Start == nil {
			return nil
		}
		n = len(e.Start.Prompt)
		return errCounted
	})
	if errors.Is(err, errCounted) {
		err = nil
	}
	return n, err
}

func (s *Service) countWords(ctx context.Context, req *Request, h *Held) (int, error) {
	words, err := s.Render(ctx, req)
	if err != nil {
		return 0, err
	}
	if err := h.TakeAnswer(ctx, roomOfID*int64(len(words))); err != nil {
		return 0, err
	}
	ids, err := s.Backend.Tokenize(ctx, req.Model, words)
	return len(ids), err
}
