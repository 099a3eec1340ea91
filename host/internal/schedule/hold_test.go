package schedule

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A plugin that does not know min_tokens, as those did not that were built before it, must not pass its answer off as what was asked for.
func TestAnAnswerThatStopsBeforeMinTokensIsRefused(t *testing.T) {
	for _, c := range []struct {
		ids    int
		reason sdk.FinishReason
		want   string
	}{
		{2, sdk.FinishStop, "ended the answer after 2 tokens, and min_tokens is 3"},
		{3, sdk.FinishStop, ""},
		{2, sdk.FinishLength, ""},    // the context is used up
		{2, sdk.FinishToolCalls, ""}, // calls end an answer when they may
	} {
		f := &flight{req: sdk.GenerateRequest{MinTokens: 3}, ids: make([]int32, c.ids)}
		err := f.hold(sdk.Event{Finish: &sdk.Finish{Reason: c.reason}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d tokens and the reason %s: %v; want %q", c.ids, c.reason, err, c.want)
		}
	}
}
