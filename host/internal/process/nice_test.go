package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread counts: those that compute are others than the first.
func TestNiceReachesEveryThread(t *testing.T) {
	p := start(t, spec(t, "good"))
	mine, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Nice(7); err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		const nice = 16 // field 19, counted from the one behind the name
		if got := strings.Fields(rest)[nice]; got != strconv.Itoa(min(20-mine+7, 19)) {
			t.Errorf("%s: niceness %s", task, got)
		}
	}
	p.Kill()
	<-p.Done()
	if err := p.Nice(1); err != nil {
		t.Errorf("of a process that is gone: %v", err)
	}
}

func TestWhatIsClosedIsSoInNoTime(t *testing.T) {
	c := make(chan struct{})
	if Closed(c, 0) {
		t.Error("an open channel is called closed")
	}
	close(c)
	for range 1000 {
		if !Closed(c, 0) {
			t.Fatal("a closed channel is called open")
		}
	}
}
