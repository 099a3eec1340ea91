package engine

import (
	"errors"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Reason != sdk.ReasonInvalid || e.Field != field {
		t.Errorf("want an invalid %s, got %v", field, err)
	}
}
