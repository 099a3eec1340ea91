// status.go says what the rest of the host sees of a model: its state, and why a request could not be served.
package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// State is where a model stands in its life.
type State string

// The states, in the order a healthy model passes them.
const (
	StateStarting    State = "starting"    // the process comes up
	StateLoading     State = "loading"     // Load is under way
	StateReady       State = "ready"       // requests are answered
	StateRestarting  State = "restarting"  // the process died, or its start failed; the next start is due at Status.Retry
	StateQuarantined State = "quarantined" // it does not start: Reason says why; tried again at Status.Retry
	StateDraining    State = "draining"    // requests finish, new ones are refused: the model is to be stopped, or the host
	StateStopped     State = "stopped"     // by an operator, or since the host has closed
	StateUnloaded    State = "unloaded"    // nothing runs: it is loaded when it is asked for
	StateUnloading   State = "unloading"   // its process is being ended: nobody needs it, or another needs the room
)

// Status is a snapshot of one model.
type Status struct {
	ID      string
	Aliases []string
	State   State
	Reason  string // in words: the last failure, or why the model is stopped; or ""
	Since   time.Time
	Retry   time.Time // when the next start is due, in StateRestarting and StateQuarantined
	Silent  time.Time // since when the process leaves a health check unanswered; zero if it does not

	// What the plugin said of itself; the zero value before its first handshake.
	Description sdk.Description
	Path        string // of the plugin's binary
	PID         int
	Progress    sdk.Progress   // of the Load under way
	LoadRate    float64        // bytes per second of it lately; 0: not known
	Table       sdk.LayerTable // after the first Load
	Report      sdk.Report     // the newest on the Scheduler stream

	Starts  int // attempts so far
	Deaths  int // processes that ended without being asked to
	Cores   int // that its process may use now; 0: its plugin does not let itself be told
	Running int // requests that the process works on, be it at their prompts
	Waiting int // requests that have no process, or no place in it

	OnDemand bool      // it is loaded when it is asked for, and may leave
	Pinned   bool      // it makes no room for others
	Until    time.Time // when it leaves if nobody asks; zero: not by itself, or somebody uses it, or it is not there
	Used     time.Time // when a request last came or ended
	Share    int64     // bytes of the cpu's memory that are promised to it
	Rate     float64   // tokens per second, of the last ten

	giving bool // it makes room
}

// Is says whether name is the model's id or one of its aliases.
func (s Status) Is(name string) bool { return s.ID == name || slices.Contains(s.Aliases, name) }

// Ready says that requests are answered: the model is loaded, and its process gives signs of life; or it is loaded for them.
func (s Status) Ready() bool {
	switch s.State {
	case StateReady:
		return s.Silent.IsZero()
	case StateUnloaded, StateUnloading, StateStarting, StateLoading:
		return s.OnDemand
	}
	return false
}

// Why is the last failure in words, or what keeps a loaded model from answering, or "".
func (s Status) Why() string {
	if s.State == StateReady && !s.Silent.IsZero() {
		return s.silence()
	}
	return s.Reason
}

func (s Status) silence() string {
	return fmt.Sprintf("its plugin has not answered a health check for %v", time.Since(s.Silent).Round(time.Second))
}

// Waits says what a model waits for that does not run, "" if for nothing.
func (s Status) Waits() string {
	order := fmt.Sprintf("`piohost start %s`", s.ID)
	switch s.State {
	case StateRestarting:
		return "the next attempt, or " + order
	case StateQuarantined:
		return "the next attempt, a change of its checkpoint, of the plugins or of pio.lock, or " + order
	}
	return ""
}

// Coming says in words what a request waits for whose model is on its way; for whoever [OnWait] tells.
func (s Status) Coming() string {
	text := fmt.Sprintf("the model %s is %s", s.ID, s.State)
	switch {
	case s.State == StateLoading && s.Progress.Stage != "":
		return text + ": " + stage(s.Progress)
	case s.Reason != "":
		return text + ": " + s.Reason
	}
	return text
}

// Fingerprint names the arithmetic: equal fingerprints, prompts, seeds and parameters give equal tokens.
func (s Status) Fingerprint() string {
	if s.Description.Name == "" {
		return ""
	}
	return strings.Join([]string{s.Description.Name, s.Description.Version, s.Description.Kernels}, "-")
}

// UnknownModel is the error for a name that no entry of models.toml has.
type UnknownModel struct {
	Name  string
	Known []string
}

func (e *UnknownModel) Error() string {
	return fmt.Sprintf("the model %q does not exist; this host serves %s", e.Name, strings.Join(e.Known, ", "))
}

// Unavailable is the error of a request that the host could not hand to a plugin, or could not finish.
type Unavailable struct {
	Model  string
	State  State
	Reason string
	// RetryAfter is when another attempt may be worth it; 0 means not before somebody does something.
	RetryAfter time.Duration
}

func (e *Unavailable) Error() string {
	s := fmt.Sprintf("the model %q is %s", e.Model, e.State)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}
