package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// envUnlucky says where the plugin below panics; the host hands on what begins with PIO_.
const envUnlucky = "PIO_TEST_UNLUCKY"

// unlucky is a plugin that panics, in a call or beside it.
type unlucky struct{ witness }

func (unlucky) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	switch os.Getenv(envUnlucky) {
	case "call":
		panic("out of luck")
	case "goroutine":
		go func() { panic("out of luck") }()
		select {} // the process ends
	}
	return sdk.LayerTable{}, nil
}

// Whoever writes a plugin sees where it panicked, and the cause once, however many cases it spoils.
func TestPluginTestShowsTheLineOfAPanic(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"call", "goroutine"} {
		t.Run(place, func(t *testing.T) {
			t.Setenv(envUnlucky, place)
			var out, errs bytes.Buffer
			code := command(t.Context(), []string{"plugin", "test", self, "--model", t.TempDir(), "--config", os.DevNull}, stdio{strings.NewReader(""), &out, &errs})
			if code != 1 {
				t.Errorf("code %d: %s%s", code, &out, &errs)
			}
			if lines := regexp.MustCompile(`conform_test\.go:\d+`).FindAllString(out.String(), -1); len(lines) == 0 {
				t.Errorf("the author's line is not there:\n%s", &out)
			}
			if n := strings.Count(out.String(), "out of luck"); n != 1 {
				t.Errorf("the cause is told %d times:\n%s", n, &out)
			}
		})
	}
}
