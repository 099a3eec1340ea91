// What the second view knows of the host. What it may not ask, or cannot, stands in words beside what it was to be.

import { call, json } from './api.js';
import { by, parse } from './metrics.js';

const mostSamples = 600;
const keptKey = 'pio.samples';

export class Source {
  constructor() {
    this.models = []; // as /admin/ps has them, or what /v1/models has of that
    this.devices = []; // {model, name, budget, used, peak, resident}
    this.samples = restore(); // {t, rate: {model}, used: {device}, budget: {device}, cache: {model}, hits: {model}}
    this.lines = []; // of the log, oldest first
    this.last = 0;
    this.since = '';
    this.trouble = {}; // by part, in words
    this.version = '';
    this.counters = {};
  }

  // Runs an attempt, and keeps in words why it failed.
  async attempt(part, act) {
    try {
      await act();
      delete this.trouble[part];
    } catch (e) {
      if (e.name === 'AbortError') throw e;
      this.trouble[part] = { words: e.words ?? String(e.message), code: e.code };
    }
  }

  /** Looks at everything but placement. */
  async look() {
    await Promise.all([
      this.attempt('models', () => this.lookModels()),
      this.attempt('metrics', () => this.lookMetrics()),
      this.attempt('log', () => this.lookLog()),
    ]);
  }

  async lookModels() {
    try {
      this.models = (await json('/admin/ps')).models;
      delete this.trouble.orders;
    } catch (e) {
      this.trouble.orders = { words: e.words ?? String(e.message), code: e.code };
      if (e.code === 'unreachable') throw e;
      this.models = (await json('/v1/models')).data;
    }
  }

  async lookMetrics() {
    const found = parse(await (await call('/metrics')).text());
    this.version = found.get('pio_build_info')?.[0]?.labels.version ?? '';
    const rows = new Map();
    for (const what of ['budget', 'used', 'peak', 'resident']) {
      for (const { labels, value } of found.get(`pio_device_${what}_bytes`) ?? []) {
        const key = `${labels.model_name}\n${labels.device}`;
        if (!rows.has(key)) rows.set(key, { model: labels.model_name, name: labels.device, budget: 0, used: 0, peak: 0, resident: 0 });
        rows.get(key)[what] = value;
      }
    }
    this.devices = [...rows.values()];
    this.sample(found, Date.now());
  }

  sample(found, t) {
    const total = by(found, 'vllm:generation_tokens_total', 'model_name');
    const before = this.counters;
    const s = { t, rate: {}, used: {}, budget: {}, cache: by(found, 'vllm:kv_cache_usage_perc', 'model_name'), hits: {} };
    const queries = by(found, 'vllm:prefix_cache_queries_total', 'model_name');
    const hits = by(found, 'vllm:prefix_cache_hits_total', 'model_name');
    for (const model of Object.keys(total)) {
      const grown = before.total ? total[model] - (before.total[model] ?? 0) : 0;
      s.rate[model] = before.t ? Math.max(0, grown / ((t - before.t) / 1000)) : 0; // a new host counts from 0
      if (queries[model] > 0) s.hits[model] = hits[model] / queries[model];
    }
    for (const d of this.devices) {
      s.used[d.name] = (s.used[d.name] ?? 0) + d.used;
      s.budget[d.name] = (s.budget[d.name] ?? 0) + d.budget;
    }
    this.counters = { t, total };
    this.work = Object.fromEntries(['pio_moves_total', 'pio_prefetches_total', 'pio_evictions_total', 'pio_expert_hits_total', 'pio_expert_misses_total']
      .map((name) => [name, by(found, name, 'model_name')]));
    this.samples.push(s);
    if (this.samples.length > mostSamples) this.samples.splice(0, this.samples.length - mostSamples);
    if (this.samples.length % 5 === 0) this.keepSamples();
  }

  keepSamples() {
    try {
      sessionStorage.setItem(keptKey, JSON.stringify(this.samples));
    } catch {
      // without room they last as long as the page
    }
  }

  async lookLog() {
    if (this.trouble.orders) throw Object.assign(new Error(this.trouble.orders.words), { words: this.trouble.orders.words, code: this.trouble.orders.code });
    const got = await json(`/admin/log?after=${this.last}`);
    if (got.since !== this.since) { // another host, which counts anew
      this.lines = [];
      if (this.since) {
        this.since = got.since;
        this.last = 0;
        return this.lookLog();
      }
      this.since = got.since;
    }
    this.lines = [...this.lines, ...got.lines].slice(-1000);
    this.last = got.last;
  }

  /** Where the modules of a model lie. */
  placement(id, signal) {
    return json(`/admin/placement/${id.split('/').map(encodeURIComponent).join('/')}`, { signal });
  }
}

// Samples of this tab from before it was loaded again.
function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(keptKey)) ?? [];
    return kept.filter((s) => Date.now() - s.t < 30 * 60e3);
  } catch {
    return [];
  }
}
