// Package config turns models.toml into a Config that needs no further checking: every path is absolute, every default
// is filled in, every name that refers to something refers to something that exists.
//
// A file with mistakes gives one error, [Problems], that lists all of them in the order of the file, each as
// "models.toml:12: model[0].contxt: unknown key; did you mean context?". Keys of features that are not built yet are
// refused by name, so that nobody believes in a setting that does nothing.
package config

import (
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// Config is a checked models.toml.
type Config struct {
	File     string // absolute
	Server   Server
	Plugins  Plugins
	Pictures Pictures
	Weights  Weights
	Keys     []Key
	Devices  []Device
	Models   []Model

	Notes []Problem // what is no mistake and worth saying: how a path was understood

	// Absent says of each checkpoint that is not there that it is not, where the file was read with Patient.
	Absent Problems
}

// Server says how clients reach the host.
type Server struct {
	Listen string // host:port of the API, the page and the metrics
	Admin  bool   // serve /admin: placement, and orders to change it
	Page   bool   // serve the page for browsers at /

	AdminListen     string // host:port of /admin and the metrics, "" for where the API is
	Open            bool   // reachable from elsewhere without keys
	TLSCert, TLSKey string // files in PEM, absolute; "" for no TLS

	Drain   time.Duration // how long running requests may take to finish after SIGTERM
	Wait    time.Duration // how long a request waits for a model that is still loading
	MaxBody int64         // bytes of a request's body
	Hosts   []string      // names that clients may call the host, beside its own; "*.example.com" for those below one, "*" for any
	CORS    []string      // origins of pages whose scripts may use the API; "*" for any

	MaxBodies   int64 // bytes of all bodies that are read or held at the same time
	MaxRequests int   // requests with a body at the same time
	MaxQueue    int   // answers of one model that have not had their first token
	RequestLog  bool  // a line in the log for each request to a model

	Load             string        // "start" or "demand": what holds for entries that do not say
	KeepAlive        time.Duration // the same, as Model has it; Unsaid: the file does not say
	SequenceIdle     time.Duration // how long a sequence stays open without a call
	MaxOpenSequences int           // of one model
}

// Key is who may ask, by the hash of what he shows.
type Key struct {
	Name   string
	SHA256 [32]byte // of the key
	Admin  bool     // for /admin and the metrics too

	Requests, Tokens int // per minute; 0: no limit
}

// Plugins says where plugin binaries come from and how they are started.
type Plugins struct {
	Dirs          []string // absolute, searched in order
	AllowUnlocked bool     // start binaries that no pio.lock lists
	MTLS          bool     // encrypt the sockets between host and plugins

	Health time.Duration // a process that leaves a health check unanswered for so long is killed; 0: none is
}

// Pictures says where the host fetches pictures from that a request names instead of bringing them. Nothing is allowed unless
// it is listed here.
type Pictures struct {
	Hosts    []string      // "example.com", "*.example.com" for those below it, "*"; with ":8443" for another port than the scheme's
	Dirs     []string      // absolute; files in them and below
	MaxBytes int64         // of one picture, from wherever it comes
	Timeout  time.Duration // of one download
}

// Weights says where plugins keep weights in the form that they are computed in.
type Weights struct {
	Cache     string // absolute, of a folder; "" is DefaultCache, CacheNone that nothing is kept
	CacheSize int64  // bytes of all that is kept
}

// Device is a budget on one device. A device that is not listed has none, but for GPUs where none is: see Equip.
type Device struct {
	Name   string  // "cpu", "far", "gpu.0"
	Memory int64   // bytes; weights, state and scratch count. 0 of a GPU until Equip: what it has
	Copy   float64 // bytes per second from the host's memory; 0: measured
	Read   float64 // bytes per second its kernels read weights at; 0: measured
	FLOPS  float64 // of a card that is imagined; 0: measured
}

// Model is one entry the host serves, by one plugin process.
type Model struct {
	ID      string // the name clients use
	Aliases []string
	Path    string // absolute
	Plugin  string // "": the one plugin whose Inspect claims the checkpoint

	Context  int    // positions; 0: the checkpoint's
	Quantize string // "q8", "q4" or "": the checkpoint's own weights
	Numerics sdk.Numerics
	KVCache  string // "f32", "bf16", "q8" or "": what goes with Numerics
	Weights  string // "file" or "dummy"
	Layers   int    // 0: all

	Devices      []string      // "cpu" first
	AnyDevice    bool          // its entry names none: it may have all there are
	Priority     int           // higher is served first when memory is short
	MaxSequences int           // 0: the plugin's default
	StepTokens   int           // 0: the plugin's default
	Threads      int           // 0: all cores
	Stall        time.Duration // a process whose work stands still for so long is killed; 0: none is
	PrefixCache  int64         // bytes that finished requests leave filled; 0: the plugin's default, less: none
	KVSpill      int64         // bytes of the host's memory for what the cache has no room for; 0: as many as defaultSpill, less: none
	StepTime     time.Duration // of a step with answers under way; less than 0: no limit
	Env          []string      // NAME=value, added to the plugin's environment

	OnDemand  bool          // loaded at its first request, not at the start
	KeepAlive time.Duration // it is unloaded after so long without a request; 0: not by itself, less: as soon as nobody uses it
	Pin       bool          // it makes no room for others

	Line int // of the entry in the file
}

// Inspect is the question that tells whether a plugin can run this entry.
func (m Model) Inspect() sdk.InspectRequest {
	return sdk.InspectRequest{
		Path:     m.Path,
		Context:  m.Context,
		Quantize: m.Quantize,
		Numerics: m.Numerics,
		KVCache:  m.KVCache,
		Layers:   m.Layers,
		Weights:  m.Weights,

		MaxSequences: m.MaxSequences,
		StepTokens:   m.StepTokens,
	}
}

// Spill is how many bytes of the host's memory the model may spill to: a cache that lies there already has no use for it.
func (m Model) Spill() int64 {
	switch {
	case len(m.Devices) < 2 || m.KVSpill < 0:
		return 0
	case m.KVSpill == 0:
		return defaultSpill
	}
	return m.KVSpill
}

// defaultSpill holds some ten thousand positions of a model of 4 billion parameters.
const defaultSpill = 2 << 30

// Model finds an entry by its id or one of its aliases.
func (c *Config) Model(name string) (Model, bool) {
	for _, m := range c.Models {
		if m.ID == name {
			return m, true
		}
		for _, alias := range m.Aliases {
			if alias == name {
				return m, true
			}
		}
	}
	return Model{}, false
}
