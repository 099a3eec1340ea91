package config

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// house is a folder as a user has it: plugins, a checkpoint, a file in the wrong place.
func house(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin/plugins/", "model/", "empty/"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"model/config.json", "model.gguf", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load writes text as models.toml in dir and loads it.
func load(t *testing.T, dir, text string) (*Config, error) {
	t.Helper()
	file := filepath.Join(dir, "models.toml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

func TestTwoLinesAreAWholeConfig(t *testing.T) {
	dir := house(t)
	c, err := load(t, dir, "[[model]]\nid = \"m\"\npath = \"model\"\n")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File: filepath.Join(dir, "models.toml"),
		Server: Server{Listen: "127.0.0.1:8080", Drain: 30 * time.Second, Wait: 2 * time.Minute, MaxBody: 32 << 20, MaxBodies: 64 << 20, MaxRequests: 1024, MaxQueue: 512, RequestLog: true, Page: true,
			SequenceIdle: 5 * time.Minute, MaxOpenSequences: 256, Load: "start", KeepAlive: Unsaid},
		Plugins:  Plugins{Dirs: []string{filepath.Join(dir, "bin/plugins")}, MTLS: true, Health: 30 * time.Second},
		Pictures: Pictures{MaxBytes: 20 << 20, Timeout: 10 * time.Second}, // from nowhere
		Weights:  Weights{CacheSize: 64 << 30},
		Models: []Model{{
			ID: "m", Path: filepath.Join(dir, "model"), Weights: "file", Numerics: sdk.NumericsExact,
			Devices: []string{"cpu"}, AnyDevice: true, StepTime: 250 * time.Millisecond, Stall: 2 * time.Minute, Line: 1,
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEveryKeyArrives(t *testing.T) {
	dir := house(t)
	other := t.TempDir()
	c, err := load(t, dir, `
[server]
listen = ":0"
drain  = "1m30s"
wait   = "0s"
max_body = "48MiB"
hosts = ["Pio.example.com", "*.example.org", "192.168.0.7"]
cors = ["https://Example.com", "http://localhost:3000"]
max_bodies = "100MiB"
max_requests = 7
max_queue = 3
sequence_idle = "7m"
max_open_sequences = 9
open = true
admin_listen = "127.0.0.1:9090"
tls_cert = "cert.pem"
tls_key = "/key.pem"
request_log = false
page = false
load = "demand"
keep_alive = "3m"

[[key]]
name = "alice"
sha256 = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
admin = true
requests_per_minute = 60
tokens_per_minute = 1000

[plugins]
dirs = ["bin/plugins", "`+other+`"]
allow_unlocked = true
mtls = false
health = "1m"
sandbox = "off"

[pictures]
hosts = ["Example.com", "*.example.org:8443", "[2606:4700::1111]"]
dirs = ["empty"]
max_bytes = "4MiB"
timeout = "1s"

[weights]
cache = "kept"
cache_size = "10GiB"

[[device]]
name = "far"
memory = "1.5MiB"
copy = "2GB/s"
read = "500 MB/s"

[[device]]
name = "cpu"
memory = "20GiB"

[[model]]
id = "one"
path = "model"
plugin = "qwen3_0_6b"
aliases = ["eins", "org/un"]
context = 2048
numerics = "exact"
kv_cache = "q8"
devices = ["cpu"]
priority = -3
weights = "dummy"
layers = 2
max_sequences = 4
step_tokens = 256
prefix_cache = "1GiB"
step_time = "0s"
threads = 1
stall = "5m"
load = "start"
keep_alive = "0s"
pin = true
[model.env]
PIO_CPU = "portable"
OMP = "1"

[[model]]
id = "two"
path = "./model/"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Server{
		Listen: ":0", Drain: 90 * time.Second, MaxBody: 48 << 20,
		Hosts: []string{"pio.example.com", "*.example.org", "192.168.0.7"}, CORS: []string{"https://example.com", "http://localhost:3000"},
		MaxBodies: 100 << 20, MaxRequests: 7, MaxQueue: 3,
		SequenceIdle: 7 * time.Minute, MaxOpenSequences: 9, Load: "demand", KeepAlive: 3 * time.Minute,
		Open: true, AdminListen: "127.0.0.1:9090", TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: "/key.pem",
	}
	if want := []Key{{"alice", [32]byte(bytes.Repeat([]byte{0x0f}, 32)), true, 60, 1000}}; !reflect.DeepEqual(c.Keys, want) {
		t.Errorf("keys: got %+v", c.Keys)
	}
	if !reflect.DeepEqual(c.Server, want) {
		t.Errorf("server: got %+v", c.Server)
	}
	if want := (Plugins{Dirs: []string{filepath.Join(dir, "bin/plugins"), other}, AllowUnlocked: true, Health: time.Minute}); !reflect.DeepEqual(c.Plugins, want) {
		t.Errorf("plugins: got %+v", c.Plugins)
	}
	if want := (Pictures{
		Hosts: []string{"example.com", "*.example.org:8443", "[2606:4700::1111]"}, Dirs: []string{filepath.Join(dir, "empty")},
		MaxBytes: 4 << 20, Timeout: time.Second,
	}); !reflect.DeepEqual(c.Pictures, want) {
		t.Errorf("pictures: got %+v", c.Pictures)
	}
	if want := (Weights{Cache: filepath.Join(dir, "kept"), CacheSize: 10 << 30}); c.Weights != want {
		t.Errorf("weights: got %+v", c.Weights)
	}
	if want := []Device{{Name: "far", Memory: 1.5 * (1 << 20), Copy: 2e9, Read: 5e8}, {Name: "cpu", Memory: 20 << 30}}; !reflect.DeepEqual(c.Devices, want) {
		t.Errorf("devices: got %+v", c.Devices)
	}
	one := Model{
		ID: "one", Aliases: []string{"eins", "org/un"}, Path: filepath.Join(dir, "model"), Plugin: "qwen3_0_6b",
		Context: 2048, Numerics: sdk.NumericsExact, KVCache: "q8", Weights: "dummy", Layers: 2, Devices: []string{"cpu"}, Priority: -3,
		MaxSequences: 4, StepTokens: 256, PrefixCache: 1 << 30, StepTime: -1, Threads: 1, Stall: 5 * time.Minute, Env: []string{"OMP=1", "PIO_CPU=portable"}, Line: 57,
		KeepAlive: -1, Pin: true,
	}
	if !reflect.DeepEqual(c.Models[0], one) {
		t.Errorf("model one: got %+v", c.Models[0])
	}
	if two := c.Models[1]; !reflect.DeepEqual(two.Devices, []string{"cpu", "far"}) {
		t.Errorf("a model without devices gets all of the file's: got %q", two.Devices)
	}
	if two := c.Models[1]; !two.OnDemand || two.KeepAlive != 3*time.Minute || two.Pin {
		t.Errorf("a model that does not say when it is loaded: %+v", two)
	}
	if m, ok := c.Model("org/un"); !ok || m.ID != "one" {
		t.Errorf("alias org/un finds %q, %v", m.ID, ok)
	}
	if _, ok := c.Model("three"); ok {
		t.Error("a model nobody configured was found")
	}
	if got, want := one.Inspect(), (sdk.InspectRequest{Path: one.Path, Context: 2048, Numerics: "exact", KVCache: "q8", Layers: 2, Weights: "dummy", MaxSequences: 4, StepTokens: 256}); got != want {
		t.Errorf("inspect: got %+v", got)
	}
}

// Quantised weights are computed with fast numerics unless the entry says otherwise; the plugin is asked for both.
func TestWhatGoesWithQuantisedWeights(t *testing.T) {
	for _, c := range []struct {
		entry, quantize string
		numerics        sdk.Numerics
	}{
		{``, "", sdk.NumericsExact},
		{`numerics = "fast"`, "", sdk.NumericsFast},
		{`quantize = "q8"`, "q8", sdk.NumericsFast},
		{`quantize = "q4"`, "q4", sdk.NumericsFast},
		{"quantize = \"q4\"\nnumerics = \"exact\"", "q4", sdk.NumericsExact},
	} {
		read, err := parse("models.toml", []byte("[[model]]\nid = \"m\"\npath = \"model\"\n"+c.entry), anywhere)
		if err != nil {
			t.Fatal(err)
		}
		if asked := read.Models[0].Inspect(); asked.Quantize != c.quantize || asked.Numerics != c.numerics {
			t.Errorf("%s: asked for %q, %q", c.entry, asked.Quantize, asked.Numerics)
		}
	}
}

// What the entry says, then what [server] says, then for ever, or five minutes of models that come on demand.
func TestWhenModelsAreLoaded(t *testing.T) {
	for _, c := range []struct {
		server, entry string
		demand        bool
		keep          time.Duration
	}{
		{``, ``, false, 0},
		{``, `load = "demand"`, true, 5 * time.Minute},
		{`load = "demand"`, ``, true, 5 * time.Minute},
		{`load = "demand"`, `load = "start"`, false, 0},
		{`keep_alive = "1h"`, ``, false, time.Hour},
		{"load = \"demand\"\nkeep_alive = \"forever\"", ``, true, 0},
		{"load = \"demand\"\nkeep_alive = \"1h\"", `keep_alive = "forever"`, true, 0},
		{`keep_alive = "0s"`, `load = "demand"`, true, -1},
		{`load = "demand"`, `keep_alive = "0s"`, true, -1},
	} {
		read, err := parse("models.toml", []byte("[server]\n"+c.server+"\n[[model]]\nid = \"m\"\npath = \"model\"\n"+c.entry), anywhere)
		if err != nil {
			t.Fatal(err)
		}
		if m := read.Models[0]; m.OnDemand != c.demand || m.KeepAlive != c.keep {
			t.Errorf("%s; %s: on demand %v, stays %v", c.server, c.entry, m.OnDemand, m.KeepAlive)
		}
	}
}

// Each mistake is told with its line, its key and what was expected.
func TestMistakes(t *testing.T) {
	const model = "[[model]]\nid = \"m\"\npath = \"model\"\n"
	for _, test := range []struct{ name, text, want string }{
		{"misspelt key", model + `contxt = 9`, `models.toml:4: model[0].contxt: unknown key; did you mean context?`},
		{"misspelt section", "[sever]\nlisten = \":1\"\n" + model, `models.toml:1: sever: unknown key; did you mean server?`},
		{"key from nowhere", model + `colour = "red"`, `models.toml:4: model[0].colour: unknown key; expected one of id, path, plugin, weights, `},
		{"key in the second entry", model + "[[model]]\nid = \"n\"\npath = \"model\"\nlayer = 1", `models.toml:7: model[1].layer: unknown key; did you mean layers?`},
		{"key in an inline table", `model = [{id = "m", path = "model"},` + "\n" + `{id = "n", path = "model", contex = 3}]`, `models.toml:2: model[1].contex: unknown key; did you mean context?`},
		{"string for a number", model + `context = "2k"`, `models.toml:4: model[0].context: expected a whole number from 1 to 2147483647, found the string "2k"`},
		{"number for a string", model + `plugin = 3`, `models.toml:4: model[0].plugin: expected the name of a plugin, found the number 3`},
		{"more sequences than any plugin decodes", model + `max_sequences = 4097`, `models.toml:4: model[0].max_sequences: 4097 is out of range; expected a whole number from 1 to 4096`},
		{"more rows than any plugin computes", model + `step_tokens = 65537`, `models.toml:4: model[0].step_tokens: 65537 is out of range; expected a whole number from 1 to 65536`},
		{"a prefix cache of no size", model + `prefix_cache = "some"`, `models.toml:4: model[0].prefix_cache: "some" has no unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; expected a size such as "20GiB" or "512MB"`},
		{"a step time without a unit", model + `step_time = "250"`, `models.toml:4: model[0].step_time: "250" is not a duration such as "30s" or "2m", up to "24h"`},
		{"fraction for a count", model + `threads = 1.5`, `models.toml:4: model[0].threads: expected a whole number from 1 to 4096, found the number 1.5`},
		{"string for a switch", "[plugins]\nallow_unlocked = \"yes\"\n" + model, `models.toml:2: plugins.allow_unlocked: expected true or false, found the string "yes"`},
		{"string for a list", model + `aliases = "a"`, `models.toml:4: model[0].aliases: expected an array of names, found the string "a"`},
		{"number in a list", model + "aliases = [\n\"a\",\n7]", `models.toml:6: model[0].aliases[1]: expected names, found the number 7`},
		{"table for a section", "server = 3\n" + model, `models.toml:1: server: expected a table [server], found the number 3`},
		{"one bracket", "[model]\nid = \"m\"\npath = \"model\"", `models.toml:1: model: expected tables with two brackets, [[model]], found [model]`},
		{"date", model + `context = 2026-01-02`, `models.toml:4: model[0].context: expected a whole number from 1 to 2147483647, found a date`},
		{"context out of range", model + `context = 0`, `models.toml:4: model[0].context: 0 is out of range; expected a whole number from 1 to 2147483647`},
		{"context beyond int64", model + `context = 99999999999999999999`, `models.toml:4: not valid TOML: `},
		{"empty id", "[[model]]\nid = \" \"\npath = \"model\"", `models.toml:2: model[0].id: is empty; expected the name clients use`},
		{"no id", "\n[[model]]\npath = \"model\"", `models.toml:2: model[0]: has no id; add id = "the-name-clients-use"`},
		{"no path", "[[model]]\nid = \"m\"", `models.toml:1: model[0]: has no path; add path = "a Hugging Face folder"`},
		{"id with a space", "[[model]]\nid = \"a b\"\npath = \"model\"", `models.toml:2: model[0].id: "a b": a name has at most 128 bytes and no spaces`},
		{"id twice", model + model, `models.toml:5: model[1].id: "m" is taken by the model of line 1`},
		{"alias is another's id", model + "[[model]]\nid = \"n\"\npath = \"model\"\naliases = [\"m\"]", `models.toml:7: model[1].aliases: "m" is taken by the model of line 1`},
		{"no folder", "[[model]]\nid = \"m\"\npath = \"nowhere\"", `models.toml:3: model[0].path: DIR/nowhere: there is no such folder; a checkpoint is the folder that Hugging Face publishes`},
		{"folder without a checkpoint", "[[model]]\nid = \"m\"\npath = \"empty\"", `models.toml:3: model[0].path: DIR/empty: there is no config.json; a checkpoint is the folder`},
		{"file for a folder", "[[model]]\nid = \"m\"\npath = \"notes.txt\"", `models.toml:3: model[0].path: DIR/notes.txt: is a file; a checkpoint is the folder`},
		{"gguf", "[[model]]\nid = \"m\"\npath = \"model.gguf\"", `models.toml:3: model[0].path: DIR/model.gguf: is named as a GGUF file and is none; is the download complete?`},
		{"no plugin folder", "[plugins]\ndirs = [\n\"bin/plugins\",\n\"lib\"]\n" + model, `models.toml:4: plugins.dirs[1]: no folder DIR/lib; build the plugins into it or name another`},
		{"file for the plugin folder", "[plugins]\ndirs = [\"notes.txt\"]\n" + model, `models.toml:2: plugins.dirs[0]: DIR/notes.txt is a file; expected the folder that holds the plugins`},
		{"plugin path for a name", model + `plugin = "bin/plugins/x"`, `models.toml:4: model[0].plugin: "bin/plugins/x" is not a plugin's name; expected lower case`},
		{"size without a unit", "[[device]]\nname = \"cpu\"\nmemory = \"20\"\n" + model, `models.toml:3: device[0].memory: "20" has no unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; expected a size such as "20GiB" or "512MB"`},
		{"size as a number", "[[device]]\nname = \"cpu\"\nmemory = 20\n" + model, `models.toml:3: device[0].memory: expected a size such as "20GiB" or "512MB", found the number 20`},
		{"rate without a time", "[[device]]\nname = \"far\"\nmemory = \"1MiB\"\ncopy = \"2GB\"\n" + model, `models.toml:4: device[0].copy: "2GB" does not end in /s; expected a rate such as "2GB/s"`},
		{"device twice", "[[device]]\nname = \"cpu\"\n[[device]]\nname = \"cpu\"\n" + model, `models.toml:4: device[1].name: "cpu" has an entry already`},
		{"device without a name", "[[device]]\nmemory = \"1MiB\"\n" + model, `models.toml:1: device[0]: has no name; add one: "cpu", "far" or a GPU such as "gpu.0"`},
		{"gpu", "[[device]]\nname = \"gpu\"\n" + model, `models.toml:2: device[0].name: "gpu" is no device; expected "cpu", "far" or a GPU such as "gpu.0"`},
		{"no such device", "[[device]]\nname = \"tpu\"\n" + model, `models.toml:2: device[0].name: "tpu" is no device; expected "cpu", "far" or a GPU such as "gpu.0"`},
		{"far without memory", "[[device]]\nname = \"far\"\n" + model, `models.toml:1: device[0]: "far" needs memory, such as memory = "1MiB"`},
		{"rates of the cpu", "[[device]]\nname = \"cpu\"\nread = \"1GB/s\"\n" + model, `models.toml:1: device[0]: the rates of "cpu" are measured; remove copy and read`},
		{"unknown device of a model", model + `devices = ["cpu", "far"]`, `models.toml:4: model[0].devices[1]: no [[device]] has the name "far"; expected one of cpu`},
		{"bad duration", "[server]\ndrain = \"soon\"\n" + model, `models.toml:2: server.drain: "soon" is not a duration such as "30s" or "2m", up to "24h"`},
		{"negative duration", "[server]\nwait = \"-1s\"\n" + model, `models.toml:2: server.wait: "-1s" is not a duration`},
		{"listen without a port", "[server]\nlisten = \"localhost\"\n" + model, `models.toml:2: server.listen: "localhost" is not host:port such as "127.0.0.1:8080"`},
		{"listen on port 70000", "[server]\nlisten = \"localhost:70000\"\n" + model, `models.toml:2: server.listen: "70000" is not a port; expected a number up to 65535`},
		{"weights", model + `weights = "random"`, `models.toml:4: model[0].weights: "random" is neither "file" nor "dummy" (random weights of the config's shapes)`},
		{"environment value", model + "[model.env]\nA = 1", `models.toml:5: model[0].env.A: expected a string, found the number 1`},
		{"environment name", model + "[model.env]\n\"A-B\" = \"1\"", `models.toml:5: model[0].env.A-B: is no name of an environment variable`},
		{"environment of the handshake", model + "[model.env]\nPLUGIN_CLIENT_CERT = \"\"", `models.toml:5: model[0].env.PLUGIN_CLIENT_CERT: names that begin with PLUGIN_ belong to the handshake with the plugin`},
		{"another form", model + `quantize = "q5"`, `models.toml:4: model[0].quantize: "q5" is not built; expected "q8" or "q4", or leave it out to keep the checkpoint's own weights`},
		{"quantize as a number", model + `quantize = 8`, `models.toml:4: model[0].quantize: expected "q8" or "q4", found the number 8`},
		{"another cache", model + `kv_cache = "q4"`, `models.toml:4: model[0].kv_cache: "q4" is not built; expected "f32", "bf16" or "q8", or leave it out for what goes with the numerics`},
		{"a cache as a number", model + `kv_cache = 8`, `models.toml:4: model[0].kv_cache: expected "f32", "bf16" or "q8", found the number 8`},
		{"numerics as a switch", model + `numerics = true`, `models.toml:4: model[0].numerics: expected "exact" or "fast", found`},
		{"other numerics", model + `numerics = "quick"`, `models.toml:4: model[0].numerics: "quick" is no mode; expected "exact" or "fast"`},
		{"another time to load", model + `load = "later"`, `models.toml:4: model[0].load: "later" is neither; expected "start" or "demand"`},
		{"an age to stay", model + `keep_alive = "always"`, `models.toml:4: model[0].keep_alive: "always" is not a duration such as "30s" or "2m", up to "24h", or "forever"`},
		{"a number to stay", model + `keep_alive = -1`, `models.toml:4: model[0].keep_alive: expected a duration such as "30s" or "2m", up to "24h", or "forever", found the number -1`},
		{"sandbox", "[plugins]\nsandbox = \"strict\"\n" + model, `models.toml:2: plugins.sandbox: tier "strict" is not built yet; only "off" is`},
		{"body too small", "[server]\nmax_body = \"1kB\"\n" + model, `models.toml:2: server.max_body: 1000 bytes is out of range; expected 64 KiB to 256 MiB`},
		{"one body larger than all", "[server]\nmax_body = \"64MiB\"\nmax_bodies = \"32MiB\"\n" + model, `models.toml:3: server.max_bodies: 32 MiB is less than max_body, 64 MiB: such a body could never be read`},
		{"no requests", "[server]\nmax_requests = 0\n" + model, `models.toml:2: server.max_requests: 0 is out of range; expected a whole number from 1 to 1048576`},
		{"no queue", "[server]\nmax_queue = 0\n" + model, `models.toml:2: server.max_queue: 0 is out of range; expected a whole number from 1 to 1048576`},
		{"no time for sequences", "[server]\nsequence_idle = \"0s\"\n" + model, `models.toml:2: server.sequence_idle: 0 would close every sequence at once; expected a duration such as "5m"`},
		{"no sequences", "[server]\nmax_open_sequences = 0\n" + model, `models.toml:2: server.max_open_sequences: 0 is out of range; expected a whole number from 1 to 1048576`},
		{"word for a switch of the log", "[server]\nrequest_log = \"off\"\n" + model, `models.toml:2: server.request_log: expected true or false, found the string "off"`},
		{"host with a port", "[server]\nhosts = [\"a.com\", \"b.com:80\"]\n" + model, `models.toml:2: server.hosts[1]: "b.com:80" is no host name; expected "pio.example.com", "*.example.com" or "*", without a port`},
		{"star inside a host", "[server]\nhosts = [\"a.*.com\"]\n" + model, `models.toml:2: server.hosts[0]: "a.*.com" is no host name; `},
		{"origin with a path", "[server]\ncors = [\"https://a.com/b\"]\n" + model, `models.toml:2: server.cors[0]: "https://a.com/b" is no origin; expected "https://example.com", "http://localhost:3000" or "*", without a path`},
		{"origin without a scheme", "[server]\ncors = [\"*\", \"a.com\"]\n" + model, `models.toml:2: server.cors[1]: "a.com" is no origin; `},
		{"star inside an origin", "[server]\ncors = [\"http://localhost:*\"]\n" + model, `models.toml:2: server.cors[0]: "http://localhost:*" is no origin; `},
		{"string for origins", "[server]\ncors = \"*\"\n" + model, `models.toml:2: server.cors: expected an array of origins such as "https://example.com", found the string "*"`},
		{"picture larger than a message", "[pictures]\nmax_bytes = \"64MiB\"\n" + model, `models.toml:2: pictures.max_bytes: 67108864 bytes is out of range; expected 1 KiB to 56 MiB`},
		{"no time for pictures", "[pictures]\ntimeout = \"0s\"\n" + model, `models.toml:2: pictures.timeout: "0s" leaves no time to fetch a picture; expected a duration such as "10s"`},
		{"no folder of pictures", "[pictures]\ndirs = [\"nowhere\"]\n" + model, `models.toml:2: pictures.dirs[0]: no folder DIR/nowhere; name the folder that clients may read pictures from`},
		{"file for the pictures", "[pictures]\ndirs = [\"notes.txt\"]\n" + model, `models.toml:2: pictures.dirs[0]: DIR/notes.txt is a file; expected a folder of pictures`},
		{"path after a host", "[pictures]\nhosts = [\"a.com\", \"b.com/c\"]\n" + model, `models.toml:2: pictures.hosts[1]: "b.com/c" is no host name; expected "example.com", "*.example.com" or "*", perhaps with a port such as ":8443"`},
		{"star inside a host", "[pictures]\nhosts = [\"a.*.com\"]\n" + model, `models.toml:2: pictures.hosts[0]: "a.*.com" is no host name; `},
		{"port of a host", "[pictures]\nhosts = [\"a.com:http\"]\n" + model, `models.toml:2: pictures.hosts[0]: "a.com:http" is no host name; `},
		{"host of other letters", "[pictures]\nhosts = [\"bücher.de\"]\n" + model, `models.toml:2: pictures.hosts[0]: "bücher.de" is no host name; `},
		{"IPv6 without brackets", "[pictures]\nhosts = [\"2606:4700::1111\"]\n" + model, `models.toml:2: pictures.hosts[0]: "2606:4700::1111" is an IPv6 address without brackets; expected "[2606:4700::1111]"`},
		{"misspelt key of pictures", "[pictures]\nhost = [\"a.com\"]\n" + model, `models.toml:2: pictures.host: unknown key; did you mean hosts?`},
		{"a key in plain", "[[key]]\nname = \"a\"\nsha256 = \"sk-1\"\n" + model, `models.toml:3: key[0].sha256: is no SHA-256 in 64 hexadecimal digits; a key itself does not belong here, only its hash, as ` + "`piohost config key`" + ` prints it`},
		{"a key without a hash", "[[key]]\nname = \"a\"\n" + model, "models.toml:1: key[0]: sha256 is missing; `piohost config key` makes a key and prints its hash"},
		{"a key without a name", "[[key]]\nsha256 = \"" + strings.Repeat("0f", 32) + "\"\n" + model, `models.toml:1: key[0]: name is missing; the log says by it who asked`},
		{"a name with a line's end", "[[key]]\nname = \"a\\nb\"\nsha256 = \"" + strings.Repeat("0f", 32) + "\"\n" + model, `models.toml:2: key[0].name: "a\nb" is no name of a key; expected at most 64 letters, digits and ._@-`},
		{"half of TLS", "[server]\ntls_cert = \"cert.pem\"\n" + model, `models.toml:1: server: tls_cert and tls_key go together; give both or none`},
		{"two doors in one place", "[server]\nlisten = \":8080\"\nadmin_listen = \"127.0.0.1:8080\"\n" + model, `models.toml:3: server.admin_listen: 127.0.0.1:8080 is where the API listens too; give it another port, or leave it out`},
		{"no folder of plugins", "[plugins]\ndirs = []\n" + model, `models.toml:2: plugins.dirs: names no folder; expected those that hold the plugins, such as "bin/plugins"`},
		{"environment in a line", model + "env = \"A=1\"", `models.toml:4: model[0].env: expected a table [model.env], found the string "A=1"`},
		{"syntax", "[ser ver]\n" + model, `models.toml:1: not valid TOML: `},
		{"key twice", model + "id = \"n\"", `models.toml:4: not valid TOML: `},
		{"empty list", "model = []", `models.toml: no [[model]] entry, so there is nothing to serve; `},
		{"nothing to serve", "", `models.toml: no [[model]] entry, so there is nothing to serve; add one with id = "..." and path = "..."`},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := house(t)
			_, err := load(t, dir, test.text)
			if err == nil {
				t.Fatalf("no error; want %s", test.want)
			}
			want := dir + "/" + strings.ReplaceAll(test.want, "DIR", dir) // which Join would clean, addresses in it too
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one mistake, several problems:\n%s", err)
			}
		})
	}
}

// Who allows larger bodies need not know of the other key.
func TestABodyThatMayBeReadMayBeReadAlone(t *testing.T) {
	c, err := load(t, house(t), "[server]\nmax_body = \"128MiB\"\n[[model]]\nid = \"m\"\npath = \"model\"\n")
	if err != nil || c.Server.MaxBodies != 128<<20 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAllMistakesAreToldAtOnceInOrder(t *testing.T) {
	dir := house(t)
	_, err := load(t, dir, `[[model]]
id = "m"
path = "nowhere"
contxt = 1

[[model]]
id = "m"
context = "a"
path = "model"

[server]
listen = 8080
`)
	problems, ok := err.(Problems)
	if !ok {
		t.Fatalf("got %T %v", err, err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Key)
	}
	want := []string{"model[0].path", "model[0].contxt", "model[1].id", "model[1].context", "server.listen"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsNotAConfigFileIsSaidInASentence(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.toml"): "no such file; name one with --config",
		dir:                             "is a folder; expected a TOML file such as models.toml in it",
		big:                             "is larger than 256 KiB; is it a models.toml?",
	} {
		if _, err := Load(path); err == nil || err.Error() != path+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// anywhere finds a folder at every path but those that end in a file's name, and a checkpoint at every path.
var anywhere = disk{
	stat:       func(path string) (fs.FileInfo, error) { return info{file: filepath.Ext(path) != ""}, nil },
	checkpoint: func(path string) (string, error) { return path, nil },
}

type info struct {
	fs.FileInfo
	file bool
}

func (i info) IsDir() bool { return !i.file }

// Whatever the text, there is a config in which every reference resolves, or an error in which every problem has a line.
func FuzzParse(f *testing.F) {
	f.Add("[[model]]\nid = \"m\"\npath = \"model\"\n")
	f.Add("[server]\nlisten = \":1\"\ndrain = \"1s\"\n[[device]]\nname = \"far\"\nmemory = \"1MiB\"\ncopy = \"1GB/s\"\n[[model]]\nid='a'\npath='b'\ndevices=['far']\n[model.env]\nA='b'\n")
	f.Add("[server]\nmax_body = \"1MiB\"\n[pictures]\nhosts = [\"a.b:1\", \"[::1]:2\", \":\"]\ndirs = [\"c\"]\n[[model]]\nid='a'\npath='b'\n")
	f.Add("model = [{id = \"a\", path = \"b\"}, 3]\ndevice = 4\nplugins = []")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("models.toml", []byte(text), anywhere)
		if err != nil {
			for _, p := range err.(Problems) {
				if p.Text == "" || p.File == "" || p.Line > strings.Count(text, "\n")+1 {
					t.Errorf("problem %+v", p)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, m := range c.Models {
			if m.ID == "" || !filepath.IsAbs(m.Path) || m.Devices[0] != "cpu" || seen[m.ID] {
				t.Errorf("model %+v", m)
			}
			seen[m.ID] = true
		}
		if p := c.Pictures; p.MaxBytes < 1 || p.MaxBytes > maxPicture || p.Timeout <= 0 || c.Server.MaxBody <= 0 {
			t.Errorf("pictures %+v, bodies of %d bytes", p, c.Server.MaxBody)
		}
		for _, d := range c.Devices {
			if d.Memory < 0 || d.Memory > maxSize || d.Copy < 0 || d.Read < 0 {
				t.Errorf("device %+v", d)
			}
		}
	})
}

// A command that starts a plugin by hand starts it as serving would, whatever else the file says.
func TestMTLSAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "models.toml")
	for _, test := range []struct {
		text string
		want bool
	}{
		{"", true}, {"[plugins]\n", true}, {"[plugins]\nmtls = false\n", false}, {"[plugins]\nmtls = true\ndirs = [\"none\"]\nunknown = 1\n", true},
	} {
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := MTLS(file); err != nil || got != test.want {
			t.Errorf("%q: got %v, %v", test.text, got, err)
		}
	}
	if got, err := MTLS(file + ".absent"); err != nil || !got {
		t.Errorf("no file: got %v, %v", got, err)
	}
	for text, want := range map[string]string{"[plugins]\nmtls = 1\n": file + ":2: plugins.mtls: expected ", "[plugins\n": file + ":2: not valid TOML: ", "plugins = 3": file + ":1: plugins: expected "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := MTLS(file); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// A host waits for checkpoints; whoever wants to use one at once does not.
func TestACheckpointThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "models.toml")
	for _, d := range []string{"there", "bare", "bin/plugins"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "there/config.json"), "{}")
	entries := ""
	for _, path := range []string{"there", "bare", "gone"} {
		entries += fmt.Sprintf("[[model]]\nid = %q\npath = %q\n", path, path)
	}
	write(file, entries)
	want := []string{
		file + ":6: model[1].path: " + dir + "/bare: there is no config.json",
		file + ":9: model[2].path: " + dir + "/gone: there is no such folder",
	}
	tells := func(err error) bool {
		lines := strings.Split(err.Error(), "\n")
		return len(lines) == 2 && strings.HasPrefix(lines[0], want[0]) && strings.HasPrefix(lines[1], want[1])
	}
	if _, err := Load(file); err == nil || !tells(err) {
		t.Errorf("Load: %v", err)
	}
	c, err := Patient(file)
	if err != nil || len(c.Models) != 3 || !tells(c.Absent) {
		t.Errorf("Patient: %v, %+v", err, c)
	}
	write(file, entries+"contxt = 3\n")
	if _, err := Patient(file); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("Patient with a mistake tells all three: %v", err)
	}
}
