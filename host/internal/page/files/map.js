// The map of a model: a tile for each module in the order of the forward pass, in the colour of the device that computes it, and of a mixture a row for
// each layer with a cell for each expert. What is on its way to its device is striped; what has just moved is ringed.

import { el, fill, say } from './dom.js';
import { bytes, duration, plural } from './format.js';
import { swatch } from './tables.js';

const expertName = /^(.*?\blayers\.(\d+))\..*\bexperts\.(\d+)$/;
const layerName = /\blayers\.(\d+)$/;
const ringTime = 5000;
const cell = 14; // height of a row of experts, in pixels

export class PlacementMap {
  constructor(colours) {
    this.colours = colours;
    this.legend = el('ul', { class: 'legend' });
    this.grid = el('div', { class: 'map' });
    this.about = el('p', { class: 'about', 'aria-live': 'polite' });
    this.summary = el('p', { class: 'summary' });
    this.node = el('div', { class: 'placement-map', hidden: true }, this.legend, this.grid, this.about, this.summary);
    this.ringed = new Map(); // module: until when
    this.grid.addEventListener('keydown', (e) => this.walk(e));
    new ResizeObserver(() => this.paintExperts()).observe(this.grid);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.paintExperts());
  }

  /** Shows where the modules of a model lie; moved are those that have just come where they are. */
  show(model, report, moved) {
    if (model !== this.model) this.ringed.clear();
    for (const m of moved) this.ringed.set(m.id, Date.now() + ringTime);
    const layout = arrange(report.modules ?? []);
    if (model !== this.model || layout.shape !== this.shape) this.build(layout);
    Object.assign(this, { model, shape: layout.shape, layout });
    for (const [id, tile] of this.tiles) this.paint(tile, layout.modules.get(id));
    this.paintExperts();
    this.drawLegend(report);
    say(this.about, this.pointed ? this.wordsOf(this.pointed) : 'Point at a module to see what it is, or walk with the arrow keys.');
  }

  build({ rows, experts }) {
    this.tiles = new Map();
    this.strips = [];
    this.grid.classList.toggle('mixture', experts > 0);
    const tile = (m) => {
      const node = el('button', { type: 'button', class: 'tile-of', tabindex: this.tiles.size === 0 ? '0' : '-1', onpointerenter: () => this.point(m.id), onfocus: () => this.point(m.id) }, labelOf(m.id));
      this.tiles.set(m.id, node);
      return node;
    };
    fill(this.grid, rows.map((row) => (experts > 0 ? el('div', { class: 'row' }, tile(row.module), row.experts.length > 0 ? this.strip(row) : null) : tile(row.module))));
  }

  strip(row) {
    const canvas = el('canvas', { height: cell, role: 'img' });
    const s = { canvas, ids: row.experts.map((m) => m.id) };
    canvas.addEventListener('pointermove', (e) => {
      const box = canvas.getBoundingClientRect();
      this.point(s.ids[Math.min(s.ids.length - 1, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * s.ids.length)))]);
    });
    this.strips.push(s);
    return canvas;
  }

  paint(tile, m) {
    const colour = this.colours.of(m.device);
    const ringed = (this.ringed.get(m.id) ?? 0) > Date.now();
    const name = `tile-of ${colour}${layerName.test(m.id) ? '' : ' wide'}${coming(m) ? ' coming' : ''}${ringed ? ' moved' : ''}`;
    if (tile.className !== name) tile.className = name;
    const words = this.wordsOf(m.id);
    if (tile.getAttribute('aria-label') !== words) tile.setAttribute('aria-label', words);
  }

  paintExperts() {
    const styles = new Map();
    const colourOf = (device) => {
      const name = this.colours.of(device);
      if (!styles.has(name)) styles.set(name, getComputedStyle(this.probe(name)).backgroundColor);
      return styles.get(name);
    };
    for (const { canvas, ids } of this.strips ?? []) {
      const list = ids.map((id) => this.layout.modules.get(id));
      canvas.setAttribute('aria-label', `${plural(list.length, 'expert')}: ${tally(list)}`);
      this.paintStrip(canvas, list, colourOf);
    }
    this.probes?.remove();
    this.probes = null;
  }

  // An element that has a colour of the style sheet, to be asked for it.
  probe(name) {
    this.probes ??= this.node.appendChild(el('div', { class: 'unseen' }));
    return this.probes.appendChild(el('i', { class: `swatch ${name}` }));
  }

  paintStrip(canvas, list, colourOf) {
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (width === 0) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(cell * scale);
    const c = canvas.getContext('2d');
    const each = canvas.width / list.length;
    const gap = each >= 4 * scale ? scale : 0;
    list.forEach((m, i) => {
      c.fillStyle = colourOf(m.device);
      c.globalAlpha = coming(m) ? 0.5 : 1;
      const from = Math.round(i * each);
      const ringed = (this.ringed.get(m.id) ?? 0) > Date.now() ? 0 : scale;
      c.fillRect(from, ringed, Math.max(1, Math.round((i + 1) * each) - from - gap), canvas.height - 2 * ringed);
    });
  }

  drawLegend({ devices = [], moves, prefetches, evictions, expert_hits: hits, expert_misses: misses, fetched = 0, registered = 0 }) {
    const all = [...this.layout.modules.values()];
    const names = [...new Set([...devices.map((d) => d.name), ...all.map((m) => m.device)])];
    fill(this.legend, names.map((name) => {
      const there = all.filter((m) => m.device === name);
      const experts = there.filter((m) => m.expert).length;
      const counts = [plural(there.length - experts, 'module'), ...(experts > 0 ? [plural(experts, 'expert')] : []), bytes(weigh(there))];
      return el('li', {}, swatch(this.colours.of(name)), name, el('b', {}, counts.join(', ')));
    }), el('li', {}, el('i', { class: 'swatch coming' }), 'not there yet', el('b', {}, String(all.filter(coming).length))));
    const counts = [plural(moves, 'move'), `${plural(prefetches, 'copy', 'copies')} ahead of need`, plural(evictions, 'eviction')];
    if (hits + misses > 0) counts.push(`${Math.round((100 * hits) / (hits + misses))} % of experts were where their layer is`);
    if (fetched > 0) counts.push(`${Math.round((100 * registered) / fetched)} % of ${bytes(fetched)} that are copied again and again are registered`);
    say(this.summary, `So far: ${counts.join(', ')}.`);
  }

  point(id) {
    this.pointed = id;
    say(this.about, this.wordsOf(id));
  }

  wordsOf(id) {
    const m = this.layout?.modules.get(id);
    if (!m) return '';
    const parts = [id, `computed on ${m.device}`, coming(m) ? `its weights are on ${m.resident.join(', ')} and not there yet` : `weights on ${m.resident.join(' and ')}`];
    if (m.bytes) parts.push(bytes(m.bytes));
    if (m.seconds) parts.push(`${duration(m.seconds)} for a pass`);
    return parts.join(' · ');
  }

  // Arrow keys go from tile to tile; the map is one stop of the tabulator.
  walk(e) {
    const tiles = [...this.tiles.values()];
    const at = tiles.indexOf(document.activeElement);
    const wide = this.strips.length > 0 ? 1 : tiles.findIndex((t) => t.offsetTop > tiles[0].offsetTop);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: Math.max(1, wide), ArrowUp: -Math.max(1, wide), Home: -tiles.length, End: tiles.length }[e.key];
    if (at < 0 || !step) return;
    e.preventDefault();
    const next = tiles[Math.min(tiles.length - 1, Math.max(0, at + step))];
    tiles[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

// What is computed elsewhere than its weights are.
const coming = (m) => !m.resident.includes(m.device);

const weigh = (list) => list.reduce((n, m) => n + (m.bytes ?? 0), 0);

function tally(list) {
  const by = new Map();
  for (const m of list) by.set(m.device, (by.get(m.device) ?? 0) + 1);
  return [...by].map(([device, n]) => `${n} on ${device}`).join(', ');
}

const labelOf = (id) => layerName.exec(id)?.[1] ?? id.replace(/^model\./, '').replaceAll('_', ' ');

// Modules as rows: each with the experts of its layer.
function arrange(list) {
  const modules = new Map();
  const rows = [];
  const byLayer = new Map();
  let experts = 0;
  for (const m of list) {
    const found = expertName.exec(m.id);
    modules.set(m.id, { ...m, expert: found !== null });
    if (found && byLayer.has(found[1])) {
      byLayer.get(found[1]).experts.push(m);
      experts++;
    } else {
      const row = { module: m, experts: [] };
      rows.push(row);
      byLayer.set(m.id, row);
    }
  }
  return { rows, experts, modules, shape: list.map((m) => m.id).join('\n') };
}
