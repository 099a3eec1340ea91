package waiting

import (
	"strings"
	"testing"
	"time"
)

func TestWhoWaitsIsTold(t *testing.T) {
	const goroutine = `goroutine 41 [chan receive, 3 minutes]:
runtime.gopark(...)
	/usr/go/src/runtime/proc.go:1
github.com/inference-pio/inference-pio/sdk/serve.(*lifecycle).wait(0xc0001, {0x1, 0x2})
	/src/sdk/serve/lifecycle.go:120 +0x5b
github.com/inference-pio/inference-pio/sdk/serve.(*modelServer).drain(0xc0002)
	/src/sdk/serve/model.go:128 +0x11
created by testing.(*T).Run in goroutine 1
	/usr/go/src/testing/testing.go:1 +0x1`
	if got, want := summary(goroutine), "chan receive: sdk/serve.(*lifecycle).wait at lifecycle.go:120"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := summary("goroutine 1 [running]:\nmain.main()\n\t/x/main.go:1 +0x1"); got != "" {
		t.Errorf("nothing of ours runs there, yet it says %q", got)
	}
}

func TestTheBoundTellsOfTheTestThatIsOutOfTime(t *testing.T) {
	told := make(chan string)
	t.Run("slow", func(t *testing.T) {
		bound(t, 0, func(report string) { told <- report })
		if got := <-told; !strings.HasPrefix(got, t.Name()+" still waits after 0s") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("fast", func(t *testing.T) {
		bound(t, time.Hour, func(report string) { t.Error(report) })
	})
}
