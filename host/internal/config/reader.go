package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
)

// The defaults of the server.
const (
	defaultListen = "127.0.0.1:8080"
	defaultDrain  = 30 * time.Second // the longest of answers; what orchestrators grant between SIGTERM and SIGKILL
	defaultWait   = 2 * time.Minute  // a cold 60 GB checkpoint from a disk of 500 MB/s
	defaultBody   = 32 << 20         // a picture of the most bytes, in base64
	defaultHealth = 30 * time.Second // a plugin may be busy on every core
	defaultStall  = 2 * time.Minute  // no layer of a model takes so long, on whatever machine
	defaultBodies = 64 << 20         // two of those; a thousand prompts of whole books
	defaultAtOnce = 1024             // requests: a goroutine and a connection each
	defaultQueue  = 512              // requests of one model before their first token
	defaultDir    = "bin/plugins"

	defaultKeepAlive = 5 * time.Minute // a person's pause; of models that load on demand

	defaultStepTime = 250 * time.Millisecond // a stutter that a reader does not mind
	defaultMTLS     = true
)

// The defaults of sequences: a person's pause, and histories of 64 MB for a context of 64k.
const (
	DefaultSequenceIdle  = 5 * time.Minute
	DefaultOpenSequences = 256
)

// reader turns the parsed tables into a Config.
type reader struct {
	*document
	disk
	absent Problems
	dir    string // of the file: what paths in it are relative to
}

func (r *reader) config(values map[string]any) *Config {
	top := r.table("", values)
	c := &Config{
		Server:   r.server(top.sub("server")),
		Plugins:  r.plugins(top.sub("plugins")),
		Pictures: r.pictures(top.sub("pictures")),
		Weights:  r.weights(top.sub("weights")),
	}
	for _, t := range top.list("key") {
		c.Keys = append(c.Keys, r.key(t, c.Keys))
	}
	for _, t := range top.list("device") {
		c.Devices = append(c.Devices, r.device(t, c.Devices))
	}
	names, before := map[string]int{}, len(r.problems) // ids and aliases so far, with the lines of their entries
	for _, t := range top.list("model") {
		c.Models = append(c.Models, r.model(t, c, names))
	}
	if len(c.Models) == 0 && len(r.problems) == before {
		top.problem("", `no [[model]] entry, so there is nothing to serve; add one with id = "..." and path = "..."`)
	}
	top.finish()
	return c
}

func (r *reader) server(t *table) Server {
	s := Server{
		Listen:  t.text("listen", defaultListen, `host:port such as "127.0.0.1:8080"`),
		Admin:   t.flag("admin", false),
		Page:    t.flag("page", true),
		Drain:   t.duration("drain", defaultDrain),
		Wait:    t.duration("wait", defaultWait),
		MaxBody: t.bounded("max_body", defaultBody, 64<<10, 256<<20),
		Hosts:   r.hosts(t),
		CORS:    r.origins(t),

		RequestLog: t.flag("request_log", true),
	}
	r.intake(t, &s)
	s.Load = loadWord(t, "start")
	s.KeepAlive = t.durationOrForever("keep_alive", Unsaid)
	if listen, err := ParseListen(s.Listen); err != nil {
		t.problem("listen", "%v", err)
	} else {
		s.Listen = listen
	}
	r.access(t, &s)
	t.finish()
	return s
}

// ParseListen checks an address to listen at, host:port.
func ParseListen(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " /") {
		return "", fmt.Errorf("%q is not host:port such as %q", shorten(text), defaultListen)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("%q is not a port; expected a number up to 65535", shorten(port))
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

func (r *reader) plugins(t *table) Plugins {
	dirs := t.texts("dirs", `folders such as "bin/plugins"`, defaultDir)
	if list, is := t.values["dirs"].([]any); is && len(list) == 0 {
		t.problem("dirs", "names no folder; expected those that hold the plugins, such as \"bin/plugins\"")
	}
	p := Plugins{AllowUnlocked: t.flag("allow_unlocked", false), MTLS: t.flag("mtls", defaultMTLS), Health: t.duration("health", defaultHealth)}
	p.Dirs = r.folders(t, "dirs", dirs, "build the plugins into it or name another", "the folder that holds the plugins")
	if tier := t.text("sandbox", "off", `"off"`); tier != "off" {
		t.problem("sandbox", `tier %q is not built yet; only "off" is`, shorten(tier))
	}
	t.finish()
	return p
}

// folders makes the paths of key absolute and reports those that are none. absent says what to do about one, expected what it is for.
func (r *reader) folders(t *table, key string, list []string, absent, expected string) []string {
	var paths []string
	for i, dir := range list {
		path := r.absolute(dir)
		switch info, err := r.stat(path); {
		case err != nil:
			t.problem(element(key, i), "%s; %s", missing(path, err), absent)
		case !info.IsDir():
			t.problem(element(key, i), "%s is a file; expected %s", path, expected)
		}
		paths = append(paths, path)
	}
	return paths
}

const deviceNames = `"cpu", "far" or a GPU such as "gpu.0"`

func (r *reader) device(t *table, others []Device) Device {
	d := Device{
		Name:   t.text("name", "", deviceNames),
		Memory: t.size("memory"),
		Copy:   t.rate("copy"),
		Read:   t.rate("read"),
	}
	switch {
	case t.values["name"] == nil:
		t.problem("", "has no name; add one: %s", deviceNames)
	case d.Name != "cpu" && d.Name != "far" && !gpuName.MatchString(d.Name) && d.Name != "":
		t.problem("name", "%q is no device; expected %s", shorten(d.Name), deviceNames)
	case slices.ContainsFunc(others, func(o Device) bool { return o.Name == d.Name }) && d.Name != "":
		t.problem("name", "%q has an entry already", d.Name)
	case d.Name != "far" && (d.Copy != 0 || d.Read != 0):
		t.problem("", `the rates of %q are measured; remove copy and read`, d.Name)
	case d.Name == "far" && t.values["memory"] == nil:
		t.problem("", `"far" needs memory, such as memory = "1MiB"`)
	}
	t.finish()
	return d
}

func (r *reader) model(t *table, c *Config, names map[string]int) Model {
	m := Model{
		ID:      t.text("id", "", "the name clients use"),
		Path:    t.text("path", "", "a checkpoint's folder"),
		Plugin:  t.text("plugin", "", "the name of a plugin"),
		Weights: t.text("weights", "file", `"file" or "dummy"`),

		Context:      t.count("context", 1, math.MaxInt32),
		Layers:       t.count("layers", 1, 1<<16),
		Priority:     t.count("priority", -1000, 1000),
		MaxSequences: t.count("max_sequences", 1, sdk.MaxSequences),
		StepTokens:   t.count("step_tokens", 1, sdk.MaxStepTokens),
		Threads:      t.count("threads", 1, 1<<12),
		Stall:        t.duration("stall", defaultStall),
		Line:         r.lineOf(t.path),
	}
	m.KVSpill = t.sizeOrNone("kv_spill")
	m.PrefixCache, m.StepTime = t.sizeOrNone("prefix_cache"), t.duration("step_time", defaultStepTime)
	if m.StepTime == 0 {
		m.StepTime = -1
	}
	m.Aliases = t.texts("aliases", "names")
	r.names(t, m, names)
	if m.Plugin != "" && !pluginName.MatchString(m.Plugin) {
		t.problem("plugin", "%q is not a plugin's name; expected lower case letters, digits and underscores, such as \"qwen3_0_6b\"", shorten(m.Plugin))
	}
	if m.Weights != "file" && m.Weights != "dummy" {
		t.problem("weights", `%q is neither "file" nor "dummy" (random weights of the config's shapes)`, shorten(m.Weights))
	}
	m.Path = r.checkpointOf(t, m.Path)
	m.Devices, m.AnyDevice = modelDevices(t, c.Devices), t.values["devices"] == nil
	m.Env = r.environment(t.sub("env"))
	m.Quantize = quantize(t)
	m.Numerics = numerics(t, m.Quantize, m.Path)
	m.KVCache = kvCache(t)
	presence(t, c.Server, &m)
	t.finish()
	return m
}

// Unsaid is a keep_alive that the file does not have.
const Unsaid = time.Duration(math.MinInt64)

// presence reads when a model is in memory.
func presence(t *table, s Server, m *Model) {
	m.OnDemand = loadWord(t, s.Load) == "demand"
	m.KeepAlive = t.durationOrForever("keep_alive", s.KeepAlive)
	if m.KeepAlive == Unsaid {
		m.KeepAlive = 0
		if m.OnDemand {
			m.KeepAlive = defaultKeepAlive
		}
	}
	m.Pin = t.flag("pin", false)
}

// loadWord reads when models are loaded.
func loadWord(t *table, fallback string) string {
	const expected = `"start" or "demand"`
	said := t.text("load", "", expected)
	if said != "" && said != "start" && said != "demand" {
		t.problem("load", "%q is neither; expected %s", shorten(said), expected)
	}
	return cmp.Or(said, fallback)
}

// names checks the id and the aliases: each may be used once in the file.
func (r *reader) names(t *table, m Model, taken map[string]int) {
	if t.values["id"] == nil {
		t.problem("", `has no id; add id = "the-name-clients-use"`)
	}
	check := func(key, name string) {
		if name == "" {
			return // reported already
		}
		if len(name) > 128 || strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
			t.problem(key, "%q: a name has at most 128 bytes and no spaces", shorten(name))
		} else if line, used := taken[name]; used {
			t.problem(key, "%q is taken by the model of line %d", name, line)
		} else {
			taken[name] = m.Line
		}
	}
	check("id", m.ID)
	for _, alias := range m.Aliases {
		check("aliases", alias)
	}
}

var pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,63}$`)

// checkpointOf finds the checkpoint; what is in its files is the plugin's to judge.
func (r *reader) checkpointOf(t *table, path string) string {
	if path == "" {
		if t.values["path"] == nil {
			t.problem("", `has no path; add path = "a Hugging Face folder"`)
		}
		return ""
	}
	path = r.absolute(path)
	folder, err := r.checkpoint(path)
	switch {
	case err != nil:
		if key := join(t.path, "path"); errors.Is(err, fs.ErrNotExist) {
			r.absent = append(r.absent, Problem{r.file, r.lineOf(key), key, err.Error()})
		} else {
			t.problem("path", "%v", err)
		}
	case folder != path:
		key := join(t.path, "path")
		r.notes = append(r.notes, Problem{r.file, r.lineOf(key), key, fmt.Sprintf("%s is a hub cache; the revision %s is used", path, folder)})
	}
	return folder
}

// modelDevices are the devices the model's layers may lie on: by default all that the file lists.
func modelDevices(t *table, devices []Device) []string {
	known := []string{"cpu"}
	for _, d := range devices {
		if d.Name != "cpu" && d.Name != "" {
			known = append(known, d.Name)
		}
	}
	wanted := t.texts("devices", `device names such as "cpu"`)
	if t.values["devices"] == nil {
		return known
	}
	list := []string{"cpu"} // always: what does not fit elsewhere is computed there
	for i, name := range wanted {
		if !slices.Contains(known, name) {
			t.problem(element("devices", i), "no [[device]] has the name %q; expected one of %s", shorten(name), strings.Join(known, ", "))
		} else if name != "cpu" {
			list = append(list, name)
		}
	}
	return list
}

// quantize is what weights are quantised to; "" keeps the checkpoint's own.
func quantize(t *table) string {
	const expected = `"q8" or "q4"`
	form := t.text("quantize", "", expected)
	if form != "" && form != "q8" && form != "q4" {
		t.problem("quantize", "%q is not built; expected %s, or leave it out to keep the checkpoint's own weights", shorten(form), expected)
	}
	return form
}

// DefaultNumerics are what an entry has that says nothing of them. Whoever quantises, or takes weights that somebody has quantised, wants speed
// more than the last bits.
func DefaultNumerics(quantize, path string) sdk.Numerics {
	if quantize != "" || regular.InCodes(path) {
		return sdk.NumericsFast
	}
	return sdk.NumericsExact
}

func numerics(t *table, quantize, path string) sdk.Numerics {
	const expected = `"exact" or "fast"`
	mode := sdk.Numerics(t.text("numerics", "", expected))
	if mode == "" {
		return DefaultNumerics(quantize, path)
	}
	if mode != sdk.NumericsExact && mode != sdk.NumericsFast {
		t.problem("numerics", "%q is no mode; expected %s", shorten(string(mode)), expected)
	}
	return mode
}

// kvCache is the form of keys and values between steps; "" is what goes with the numerics.
func kvCache(t *table) string {
	const expected = `"f32", "bf16" or "q8"`
	form := t.text("kv_cache", "", expected)
	if form != "" && form != "f32" && form != "bf16" && form != "q8" {
		t.problem("kv_cache", "%q is not built; expected %s, or leave it out for what goes with the numerics", shorten(form), expected)
	}
	return form
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment reads [model.env]: NAME = "value", added to what a plugin's process is given.
func (r *reader) environment(t *table) []string {
	names := make([]string, 0, len(t.values))
	for name := range t.values {
		names = append(names, name)
	}
	slices.Sort(names)
	var env []string
	for _, name := range names {
		value, ok := read[string](t, name, "a string")
		switch {
		case !ok:
		case !variableName.MatchString(name):
			t.problem(name, "is no name of an environment variable")
		case strings.HasPrefix(name, "PLUGIN_"):
			t.problem(name, "names that begin with PLUGIN_ belong to the handshake with the plugin")
		case strings.ContainsRune(value, 0):
			t.problem(name, "has a zero byte")
		default:
			env = append(env, name+"="+value)
		}
	}
	return env
}

// missing says why a folder cannot be looked at.
func missing(path string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no folder " + path
	}
	return err.Error()
}

func (r *reader) absolute(path string) string {
	path = Expand(path)
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.dir, path)
}
