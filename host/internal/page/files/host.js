// The view of the host: what its models and devices do, where modules lie, and what the log says.

import { changeKey } from './api.js';
import { announce, byId, el, fill, say } from './dom.js';
import { bytes, figure, percent, plural } from './format.js';
import { deviceCards, modelTable } from './tables.js';
import { Log } from './log.js';
import { PlacementMap } from './map.js';
import { Moves } from './moves.js';
import { Plot } from './plot.js';
import { Source } from './source.js';
import { Palette } from './palette.js';

const lookTime = 2000; // ms
const pasts = [60, 120, 300, 600]; // seconds that plots go back: as far as there is something to see

const section = (id, title, ...children) =>
  el('section', { class: `card ${id}`, 'aria-labelledby': `${id}-title` }, el('h2', { id: `${id}-title` }, title), children);

export class Host {
  constructor(node) {
    this.source = new Source();
    this.modelColours = new Palette();
    this.deviceColours = new Palette('device');
    this.moves = new Moves();
    this.shown = false;
    this.build(node);
    document.addEventListener('visibilitychange', () => this.shown && !document.hidden && this.soon(0));
  }

  build(node) {
    const part = (name) => (this[name] = el('div', { class: name }));
    this.plots = {
      rate: new Plot('Tokens per second', figure), memory: new Plot('Memory in use', bytes, { base: 1024 }),
      cache: new Plot('Cache in use', percent, { most: 1 }), hits: new Plot('Found in the prefix cache', percent, { most: 1 }),
    };
    this.log = new Log();
    this.map = new PlacementMap(this.deviceColours);
    this.mapModel = el('select', { 'aria-label': 'Model whose modules are shown', onchange: () => this.lookAtPlacement() });
    fill(node, part('notice'), part('tiles'),
      section('models', 'Models', part('modelList')),
      section('devices', 'Devices', part('deviceList')),
      section('placement', 'Placement', this.mapModel, part('mapTrouble'), this.map.node),
      section('plots', 'The last minutes', el('div', { class: 'plot-grid' }, Object.values(this.plots).map((p) => p.node))),
      section('log', 'Log', part('logTrouble'), this.log.node));
    this.notice.setAttribute('role', 'status');
  }

  /** Begins or ends to look. */
  watch(shown) {
    this.shown = shown;
    clearTimeout(this.timer);
    if (shown) this.soon(0);
  }

  soon(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), ms);
  }

  async look() {
    if (this.looking || !this.shown || document.hidden) return;
    this.looking = true;
    try {
      await this.source.look();
      this.draw();
      await this.lookAtPlacement();
    } finally {
      this.looking = false;
      if (this.shown) this.soon(lookTime);
    }
  }

  draw() {
    const s = this.source;
    this.drawNotice();
    this.drawTiles();
    const troubled = s.trouble.models?.words;
    fill(this.modelList, troubled ? el('p', { class: 'empty' }, troubled) : modelTable(s.models, this.modelColours));
    fill(this.deviceList, deviceCards(s.devices, this.deviceColours, this.modelColours));
    say(this.logTrouble, s.trouble.log?.words ?? '');
    this.log.show(s.lines, this.moves.list);
    this.drawPlots();
  }

  // What this address does not have, or this key may not see, is left out, and one sentence says why.
  drawNotice() {
    const { orders, metrics } = this.source.trouble;
    const gone = orders?.code === 'unreachable'; // then what was seen last stays
    const missing = gone ? [] : [...(metrics ? ['devices', 'plots'] : []), ...(orders ? ['placement', 'log'] : [])];
    for (const name of ['devices', 'plots', 'placement', 'log']) byId(`${name}-title`).parentNode.hidden = missing.includes(name);
    const first = metrics ?? orders;
    const key = first?.code === 'key_not_allowed';
    const words = first && (gone ? first.words : `Not shown: ${missing.join(', ')}. ${first.words}`);
    const state = JSON.stringify([words, key]);
    if (state === this.noticed) return;
    this.noticed = state;
    fill(this.notice, first ? el('p', {}, words) : null, key ? el('button', { type: 'button', class: 'button', onclick: async () => {
      if (await changeKey('This view needs a key with admin = true.')) this.soon(0);
    } }, 'Use another key') : null);
  }

  drawTiles() {
    const { models, devices, samples, version, trouble } = this.source;
    const sum = (list, of) => list.reduce((n, x) => n + of(x), 0);
    const last = samples.at(-1);
    const tile = (label, value, below) => el('div', { class: 'tile' }, el('dt', {}, label), el('dd', {}, value, below ? el('small', {}, below) : null));
    const used = sum(devices, (d) => d.used);
    const budget = devices.every((d) => d.budget > 0) ? sum(devices, (d) => d.budget) : 0;
    const ready = models.filter((m) => m.state === 'ready').length;
    const running = models.some((m) => m.running !== undefined) ? sum(models, (m) => m.running) : null;
    fill(this.tiles, el('dl', {},
      trouble.metrics ? null : tile('Tokens per second', figure(sum(Object.values(last?.rate ?? {}), (n) => n))),
      tile('Requests', running === null ? '–' : String(running), running === null ? null : `${sum(models, (m) => m.waiting)} waiting`),
      tile('Models ready', `${ready} of ${models.length}`, version ? `piohost ${version}` : null),
      trouble.metrics ? null : tile('Memory', bytes(used), budget ? `of ${bytes(budget)}` : null)));
  }

  drawPlots() {
    const { samples } = this.source;
    const age = (Date.now() - (samples[0]?.t ?? Date.now())) / 1000;
    const past = pasts.find((p) => age <= p) ?? pasts.at(-1);
    const names = (of) => [...new Set(samples.flatMap((s) => Object.keys(s[of])))].sort();
    const series = (of, colours, only = () => true) => names(of).filter(only)
      .map((name) => ({ name, colour: colours.of(name), points: samples.filter((s) => name in s[of]).map((s) => [s.t, s[of][name]]) }));
    this.plots.rate.show(series('rate', this.modelColours), past);
    this.plots.memory.show(series('used', this.deviceColours), past);
    this.plots.cache.show(series('cache', this.modelColours), past);
    this.plots.hits.show(series('hits', this.modelColours), past);
  }

  // Placement is asked of the model's process; one with tens of thousands of experts is asked more seldom.
  async lookAtPlacement() {
    const { models, trouble } = this.source;
    this.offer(models.filter((m) => m.state === 'ready').map((m) => m.id));
    const id = this.mapModel.value;
    say(this.mapTrouble, id ? '' : 'No model is loaded.');
    this.mapModel.hidden = !id;
    this.map.node.hidden = !id || !!trouble.orders;
    if (this.map.node.hidden || (id === this.map.model && Date.now() < this.next)) return;
    try {
      const got = await this.source.placement(id);
      if (id !== this.mapModel.value) return;
      const moved = this.moves.see(id, got);
      this.map.show(id, got, moved);
      if (moved.length > 0) announce(`${plural(moved.length, 'module')} moved`);
      this.next = Date.now() + Math.min(15000, (got.modules ?? []).length / 2);
    } catch (e) {
      say(this.mapTrouble, e.words ?? e.message);
    }
  }

  offer(ids) {
    const text = ids.join('\n');
    if (text === this.offered) return;
    this.offered = text;
    const before = this.mapModel.value;
    fill(this.mapModel, ids.map((id) => el('option', { value: id }, id)));
    if (ids.includes(before)) this.mapModel.value = before;
  }
}
