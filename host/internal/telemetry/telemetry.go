// Package telemetry holds every metric name of the host in one table, and the set-up of its log.
//
// A metric exists twice where a gateway has a word of its own for it: the pio_* names are ours, the vllm:* names are what
// the endpoint pickers of the Gateway API Inference Extension scrape. The label of a model is model_name everywhere.
//
// vllm:cache_config_info is not exposed: the host does not know a plugin's block size, and a guess would steer a
// prefix-aware gateway wrongly.
package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is one host's registry and its instruments. The zero value is not usable: call New.
type Metrics struct {
	registry *prometheus.Registry
	table    *table

	// Requests.
	Running        *prometheus.GaugeVec     // model_name: requests that the plugin works on
	Waiting        *prometheus.GaugeVec     // model_name: requests that wait for it, or in it
	FirstToken     *prometheus.HistogramVec // model_name: seconds from acceptance to the first token
	InterToken     *prometheus.HistogramVec // model_name: seconds between two tokens of one answer
	EndToEnd       *prometheus.HistogramVec // model_name: seconds from acceptance to the last event
	QueueTime      *prometheus.HistogramVec // model_name: seconds in which a request waited, as Waiting counts it
	PrefillTime    *prometheus.HistogramVec // model_name: seconds from then to the first token
	DecodeTime     *prometheus.HistogramVec // model_name: seconds from the first token to the last
	Success        *prometheus.CounterVec   // model_name, finished_reason
	Failures       *prometheus.CounterVec   // model_name, reason: an sdk.Reason in lower case, or "cancelled", "unavailable"
	PromptTokens   *prometheus.CounterVec   // model_name
	Generated      *prometheus.CounterVec   // model_name
	PrefixQueries  *prometheus.CounterVec   // model_name: prompt tokens looked up
	PrefixHits     *prometheus.CounterVec   // model_name: prompt tokens found
	PrefixKept     *prometheus.GaugeVec     // model_name: positions kept for prompts to come
	PrefixThrown   *prometheus.CounterVec   // model_name: positions kept and given up
	Preemptions    *prometheus.CounterVec   // model_name: requests that lost their place in the plugin
	Resumed        *prometheus.CounterVec   // model_name: positions of those that were not computed again
	SpillBudget    *prometheus.GaugeVec     // model_name: bytes of the host's memory
	SpillUsed      *prometheus.GaugeVec     // model_name
	SpillOut       *prometheus.CounterVec   // model_name: bytes
	SpillBack      *prometheus.CounterVec   // model_name: bytes
	SpillDropped   *prometheus.CounterVec   // model_name: bytes
	SpillSaved     *prometheus.CounterVec   // model_name: positions
	CacheUsage     *prometheus.GaugeVec     // model_name: share of the cache's blocks in use, 0 to 1
	Resumes        *prometheus.CounterVec   // model_name: answers continued in a new process
	ResumeSeconds  *prometheus.HistogramVec // model_name: from the death to the next event of the answer
	Strikes        *prometheus.CounterVec   // model_name: deaths that one request alone can have caused
	HTTPRequests   *prometheus.CounterVec   // route, code
	HTTPSeconds    *prometheus.HistogramVec // route
	HTTPInProgress prometheus.Gauge

	// Plugins.
	Ready       *prometheus.GaugeVec     // model_name: 1 when the model answers
	Quarantined *prometheus.GaugeVec     // model_name: 1 while it does not start and is tried again seldom
	Starts      *prometheus.CounterVec   // model_name, outcome: "ok", "failed"
	Deaths      *prometheus.CounterVec   // model_name: processes that ended without being asked to
	Kills       *prometheus.CounterVec   // model_name, reason: "silent" (no answer to a health check), "stalled" (its work stood still)
	LoadSeconds *prometheus.HistogramVec // model_name: from the start of the process to ready

	Cores *prometheus.GaugeVec // model_name: that the process may use now

	// Memory, as the plugins report it.
	DeviceBudget *prometheus.GaugeVec   // model_name, device
	DeviceUsed   *prometheus.GaugeVec   // model_name, device
	DevicePeak   *prometheus.GaugeVec   // model_name, device
	DeviceReal   *prometheus.GaugeVec   // model_name, device
	Fetched      *prometheus.GaugeVec   // model_name: weights that are copied to devices again and again
	Registered   *prometheus.GaugeVec   // model_name: those of them that are copied from where they lie
	Moves        *prometheus.CounterVec // model_name: modules moved; this and what follows is summed over the processes
	Prefetches   *prometheus.CounterVec // model_name
	ExpertHits   *prometheus.CounterVec // model_name
	ExpertMisses *prometheus.CounterVec // model_name
	Evictions    *prometheus.CounterVec // model_name
	Seen         *prometheus.CounterVec // model_name: pictures
	Reused       *prometheus.CounterVec // model_name: pictures
}

// Buckets: a token takes from a millisecond on a GPU to seconds on a laptop; an answer up to minutes.
var (
	tokenBuckets   = []float64{.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .5, .75, 1, 2.5, 5, 10}
	firstBuckets   = []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160}
	requestBuckets = []float64{.05, .1, .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920}
	httpBuckets    = append([]float64{.001, .0025, .005, .01, .025}, requestBuckets...) // a probe takes no time
	loadBuckets    = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320}
)

// New makes a registry with every instrument, the Go runtime's and the process's own.
func New(version string) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t := &table{registry: r}
	m := &Metrics{
		registry: r,
		table:    t,

		Running:       t.gauge("vllm:num_requests_running", "Requests that the plugin works on, be it at their prompts.", "model_name"),
		Waiting:       t.gauge("vllm:num_requests_waiting", "Requests that wait for their plugin, or in it for a place.", "model_name"),
		FirstToken:    t.histogram("vllm:time_to_first_token_seconds", "From acceptance to the first token.", firstBuckets, "model_name"),
		InterToken:    t.histogram("vllm:inter_token_latency_seconds", "Between two tokens of one answer.", tokenBuckets, "model_name"),
		EndToEnd:      t.histogram("vllm:e2e_request_latency_seconds", "From acceptance to the end of the answer.", requestBuckets, "model_name"),
		QueueTime:     t.histogram("vllm:request_queue_time_seconds", "In which an answer's request waited for its plugin, or in it for a place.", requestBuckets, "model_name"),
		PrefillTime:   t.histogram("vllm:request_prefill_time_seconds", "From then to the first token of the answer.", requestBuckets, "model_name"),
		DecodeTime:    t.histogram("vllm:request_decode_time_seconds", "From the first token of the answer to its last.", requestBuckets, "model_name"),
		Success:       t.counter("vllm:request_success_total", "Answers that ended well, by reason.", "model_name", "finished_reason"),
		PromptTokens:  t.counter("vllm:prompt_tokens_total", "Tokens of prompts.", "model_name"),
		Generated:     t.counter("vllm:generation_tokens_total", "Tokens generated.", "model_name"),
		PrefixQueries: t.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", "model_name"),
		PrefixHits:    t.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", "model_name"),
		PrefixKept:    t.gauge("pio_prefix_cache_kept", "Positions of prompts that the prefix cache holds for prompts to come.", "model_name"),
		PrefixThrown:  t.counter("pio_prefix_cache_thrown_total", "Positions of prompts that the prefix cache held and gave up.", "model_name"),
		Preemptions:   t.counter("vllm:num_preemptions_total", "Requests that lost their place in the plugin and came back to another.", "model_name"),
		Resumed:       t.counter("pio_preemptions_resumed_positions_total", "Positions of requests that lost their place and did not have to be computed again.", "model_name"),
		SpillBudget:   t.gauge("pio_kv_spill_budget_bytes", "What the cache may spill to of the host's memory.", "model_name"),
		SpillUsed:     t.gauge("pio_kv_spill_used_bytes", "What it takes of that.", "model_name"),
		SpillOut:      t.counter("pio_kv_spill_out_bytes_total", "Bytes of the cache that were copied to the host's memory.", "model_name"),
		SpillBack:     t.counter("pio_kv_spill_back_bytes_total", "Bytes of the cache that were copied back.", "model_name"),
		SpillDropped:  t.counter("pio_kv_spill_dropped_bytes_total", "Bytes in the host's memory that gave way to others.", "model_name"),
		SpillSaved:    t.counter("pio_kv_spill_saved_positions_total", "Positions that were copied back and not computed again.", "model_name"),
		CacheUsage:    t.gauge("vllm:kv_cache_usage_perc", "Share of the cache's blocks in use, 0 to 1.", "model_name"),

		Failures:      t.counter("pio_request_failures_total", "Requests that ended in an error.", "model_name", "reason"),
		Resumes:       t.counter("pio_resumes_total", "Answers continued in a new process after a death.", "model_name"),
		ResumeSeconds: t.histogram("pio_resume_seconds", "From a plugin's death to the next event of an answer.", loadBuckets, "model_name"),
		Strikes:       t.counter("pio_strikes_total", "Deaths of a plugin that one request alone can have caused.", "model_name"),

		HTTPRequests:   t.counter("pio_http_requests_total", "HTTP requests.", "route", "code"),
		HTTPSeconds:    t.histogram("pio_http_request_seconds", "HTTP requests, first byte in to last byte out.", httpBuckets, "route"),
		HTTPInProgress: t.gauge("pio_http_requests_in_progress", "HTTP requests under way.").WithLabelValues(),

		Ready:       t.gauge("pio_model_ready", "1 when the model answers.", "model_name"),
		Quarantined: t.gauge("pio_model_quarantined", "1 while the model does not start and is tried again seldom.", "model_name"),
		Starts:      t.counter("pio_plugin_starts_total", "Attempts to start a plugin and load its model.", "model_name", "outcome"),
		Deaths:      t.counter("pio_plugin_deaths_total", "Plugin processes that ended without being asked to.", "model_name"),
		Kills:       t.counter("pio_plugin_kills_total", "Plugin processes that the host killed, since they were of no use any more.", "model_name", "reason"),
		LoadSeconds: t.histogram("pio_model_load_seconds", "From the start of the process to ready.", loadBuckets, "model_name"),

		Cores: t.gauge("pio_cores", "Cores that the process may use now, of a plugin that lets itself be told.", "model_name"),

		DeviceBudget: t.gauge("pio_device_budget_bytes", "What the process may hold on a device; 0 is no limit.", "model_name", "device"),
		DeviceUsed:   t.gauge("pio_device_used_bytes", "What counts against the process's budget on a device; a cache counts from the time it is reserved.", "model_name", "device"),
		DevicePeak:   t.gauge("pio_device_peak_bytes", "The most that ever counted at once.", "model_name", "device"),
		DeviceReal:   t.gauge("pio_device_resident_bytes", "What the process really has on a device, mapped weights among it.", "model_name", "device"),
		Fetched:      t.gauge("pio_fetched_weights_bytes", "Weights that are copied to devices again and again.", "model_name"),
		Registered:   t.gauge("pio_registered_weights_bytes", "Those of them that are copied from where they lie, as their pages are registered with the driver.", "model_name"),
		Moves:        t.counter("pio_moves_total", "Modules moved between devices.", "model_name"),
		Prefetches:   t.counter("pio_prefetches_total", "Modules copied ahead of need.", "model_name"),
		ExpertHits:   t.counter("pio_expert_hits_total", "Experts entered that lay on their layer's device.", "model_name"),
		ExpertMisses: t.counter("pio_expert_misses_total", "Experts entered that had to be computed on the CPU although their layer was not.", "model_name"),
		Evictions:    t.counter("pio_evictions_total", "Modules given up.", "model_name"),
		Seen:         t.counter("pio_pictures_seen_total", "Pictures that were looked at.", "model_name"),
		Reused:       t.counter("pio_pictures_reused_total", "Pictures that were sent again while it was remembered what was seen of them.", "model_name"),
	}
	t.gauge("pio_build_info", "Always 1; the version is the label.", "version").WithLabelValues(version).Set(1)
	return m
}

// Handler serves the registry in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, Timeout: 10 * time.Second})
}

// Touch makes a model's series exist with the value zero, so that a scraper sees a model before its first request.
func (m *Metrics) Touch(model string) {
	for _, g := range []*prometheus.GaugeVec{m.Running, m.Waiting, m.CacheUsage, m.PrefixKept, m.SpillBudget, m.SpillUsed, m.Fetched, m.Registered, m.Ready, m.Quarantined} {
		g.WithLabelValues(model).Set(0)
	}
	for _, c := range []*prometheus.CounterVec{
		m.PromptTokens, m.Generated, m.PrefixQueries, m.PrefixHits, m.PrefixThrown, m.Preemptions, m.Resumes, m.Strikes, m.Deaths,
		m.Moves, m.Prefetches, m.ExpertHits, m.ExpertMisses, m.Evictions, m.Seen, m.Reused,
		m.Resumed, m.SpillOut, m.SpillBack, m.SpillDropped, m.SpillSaved,
	} {
		c.WithLabelValues(model)
	}
	for _, h := range []*prometheus.HistogramVec{m.FirstToken, m.InterToken, m.EndToEnd, m.QueueTime, m.PrefillTime, m.DecodeTime} {
		h.WithLabelValues(model)
	}
}

// Counts are what a process counts in its life. In the metrics they only go up, however many processes there are.
type Counts struct {
	Moves, Prefetches, ExpertHits, ExpertMisses, Evictions, Seen, Reused uint64
	Preemptions, PrefixQueries, PrefixHits, PrefixThrown                 uint64
	Resumed, SpillOut, SpillBack, SpillDropped, SpillSaved               uint64
}

// Grow adds what a model's process has counted since the counts before, and returns those to begin from the next time.
func (m *Metrics) Grow(model string, before, now Counts) Counts {
	for _, c := range []struct {
		sum         *prometheus.CounterVec
		before, now *uint64
	}{
		{m.Moves, &before.Moves, &now.Moves}, {m.Prefetches, &before.Prefetches, &now.Prefetches}, {m.Evictions, &before.Evictions, &now.Evictions},
		{m.ExpertHits, &before.ExpertHits, &now.ExpertHits}, {m.ExpertMisses, &before.ExpertMisses, &now.ExpertMisses},
		{m.Seen, &before.Seen, &now.Seen}, {m.Reused, &before.Reused, &now.Reused},
		{m.Preemptions, &before.Preemptions, &now.Preemptions}, {m.PrefixQueries, &before.PrefixQueries, &now.PrefixQueries},
		{m.PrefixHits, &before.PrefixHits, &now.PrefixHits}, {m.PrefixThrown, &before.PrefixThrown, &now.PrefixThrown},
		{m.Resumed, &before.Resumed, &now.Resumed}, {m.SpillOut, &before.SpillOut, &now.SpillOut}, {m.SpillBack, &before.SpillBack, &now.SpillBack},
		{m.SpillDropped, &before.SpillDropped, &now.SpillDropped}, {m.SpillSaved, &before.SpillSaved, &now.SpillSaved},
	} {
		if *c.now > *c.before {
			c.sum.WithLabelValues(model).Add(float64(*c.now - *c.before))
			*c.before = *c.now
		}
	}
	return before
}

// Gone says that a model's process is no more, and nothing of what it held.
func (m *Metrics) Gone(model string) {
	m.CacheUsage.WithLabelValues(model).Set(0)
	m.PrefixKept.WithLabelValues(model).Set(0)
	m.SpillUsed.WithLabelValues(model).Set(0)
	m.SpillBudget.WithLabelValues(model).Set(0)
	m.Fetched.WithLabelValues(model).Set(0)
	m.Registered.WithLabelValues(model).Set(0)
	for _, g := range []*prometheus.GaugeVec{m.DeviceBudget, m.DeviceUsed, m.DevicePeak, m.DeviceReal} {
		g.DeletePartialMatch(prometheus.Labels{"model_name": model})
	}
}

// table registers instruments as they are made: a name that is used twice stops the host at its start, in every test.
type table struct {
	registry *prometheus.Registry
	rows     []row
}

// row is what a reader of the metrics is told of one.
type row struct{ name, kind, help string }

func (t *table) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(t, row{name, "gauge", help}, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

func (t *table) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(t, row{name, "counter", help}, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func (t *table) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(t, row{name, "histogram", help}, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))
}

func register[V prometheus.Collector](t *table, r row, v V) V {
	t.registry.MustRegister(v)
	t.rows = append(t.rows, r)
	return v
}
