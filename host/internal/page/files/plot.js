// Lines over time, drawn as SVG.

import { el, fill, say, svg } from './dom.js';

const height = 150;
const edge = { left: 58, right: 10, top: 8, bottom: 20 };

export class Plot {
  /** spell writes a value; base is what steps of the scale are powers of, most the end of the scale where it is known. */
  constructor(title, spell, { base = 10, most = 0 } = {}) {
    Object.assign(this, { title, spell, base, most, series: [] });
    this.picture = svg('svg', { role: 'img', height, preserveAspectRatio: 'none' });
    this.legend = el('ul', { class: 'legend' });
    this.tip = el('div', { class: 'tip', hidden: true });
    this.node = el('figure', { class: 'plot' }, el('figcaption', {}, title), el('div', { class: 'canvas' }, this.picture, this.tip), this.legend);
    this.picture.addEventListener('pointermove', (e) => this.point(e));
    this.picture.addEventListener('pointerleave', () => this.unpoint());
    new ResizeObserver(() => this.draw()).observe(this.picture);
  }

  /** Shows series {name, colour, points: [[ms, value]]} of the last seconds. */
  show(series, seconds) {
    Object.assign(this, { series, seconds, now: Date.now() });
    const state = series.map((s) => s.name + s.colour).join('\n');
    if (state !== this.named) {
      this.named = state;
      this.values = series.map(() => el('b'));
      fill(this.legend, series.map((s, i) => el('li', {}, el('i', { class: `swatch ${s.colour}` }), s.name, this.values[i])));
    }
    series.forEach((s, i) => say(this.values[i], s.points.length > 0 ? this.spell(s.points.at(-1)[1]) : ''));
    this.draw();
  }

  x(t) {
    return edge.left + (this.width - edge.left - edge.right) * (1 - (this.now - t) / 1000 / this.seconds);
  }

  y(v) {
    return height - edge.bottom - ((height - edge.top - edge.bottom) * v) / this.top;
  }

  draw() {
    this.width = this.picture.clientWidth;
    if (this.width < 50 || !this.seconds) return;
    const since = this.now - this.seconds * 1000;
    this.drawn = this.series.map((s) => ({ ...s, points: s.points.filter(([t]) => t >= since) }));
    const high = Math.max(0, ...this.drawn.flatMap((s) => s.points.map(([, v]) => v)));
    const step = this.most ? this.most / 2 : stepFor(high, this.base);
    this.top = this.most || Math.max(step, Math.ceil(high / step) * step);
    this.picture.setAttribute('viewBox', `0 0 ${this.width} ${height}`);
    const told = this.drawn.filter((s) => s.points.length > 0).map((s) => `${s.name} ${this.spell(s.points.at(-1)[1])}`).join(', ');
    this.picture.setAttribute('aria-label', `${this.title}, now: ${told || 'nothing yet'}; the most: ${this.spell(high)}`);
    fill(this.picture, this.scale(step), this.times(), this.drawn.map((s) => this.line(s)), (this.cross = svg('g', { class: 'cross' })));
  }

  scale(step) {
    const marks = [];
    for (let v = 0; v <= this.top * 1.001; v += step) {
      const y = Math.round(this.y(v)) + 0.5;
      marks.push(svg('line', { class: v === 0 ? 'axis' : 'grid', x1: edge.left, x2: this.width - edge.right, y1: y, y2: y }));
      marks.push(svg('text', { x: edge.left - 6, y: y + 4, 'text-anchor': 'end' }, this.spell(v)));
    }
    return marks;
  }

  times() {
    const parts = this.width < 360 ? 2 : 5;
    return Array.from({ length: parts + 1 }, (_, i) => {
      const ago = (this.seconds * i) / parts;
      const anchor = i === 0 ? 'end' : i === parts ? 'start' : 'middle';
      const label = i === 0 ? 'now' : this.seconds > 120 ? `-${ago / 60} min` : `-${ago} s`;
      return svg('text', { x: this.x(this.now - ago * 1000), y: height - 4, 'text-anchor': anchor }, label);
    });
  }

  // Where nothing was seen for a while, the line has a gap.
  line(s) {
    let path = '';
    let last = -Infinity;
    for (const [t, v] of s.points) {
      path += `${t - last > 15e3 ? 'M' : 'L'}${this.x(t).toFixed(1)} ${this.y(Math.min(v, this.top)).toFixed(1)}`;
      last = t;
    }
    return svg('path', { class: `curve ${s.colour}`, d: path });
  }

  point(e) {
    if (!this.drawn) return;
    const box = this.picture.getBoundingClientRect();
    const t = this.now - this.seconds * 1000 * (1 - (e.clientX - box.left - edge.left) / (this.width - edge.left - edge.right));
    const near = this.drawn.map((s) => ({ s, p: nearest(s.points, t) })).filter(({ p }) => p && Math.abs(p[0] - t) < 30e3);
    if (near.length === 0) return this.unpoint();
    const x = this.x(near[0].p[0]);
    fill(this.cross, svg('line', { x1: x, x2: x, y1: edge.top, y2: height - edge.bottom }), near.map(({ s, p }) => svg('circle', { class: s.colour, cx: x, cy: this.y(p[1]), r: 3 })));
    fill(this.tip, el('time', {}, new Date(near[0].p[0]).toLocaleTimeString('en-GB')), near.map(({ s, p }) => el('div', {}, el('i', { class: `swatch ${s.colour}` }), s.name, el('b', {}, this.spell(p[1])))));
    this.tip.hidden = false;
    this.tip.style.left = `${Math.min(Math.max(0, x + 12), this.width - this.tip.offsetWidth)}px`;
  }

  unpoint() {
    this.tip.hidden = true;
    if (this.cross) fill(this.cross);
  }
}

// A step of 1, 2 or 5 times a power, of which two to five lead to the highest value.
function stepFor(high, base) {
  if (!(high > 0)) return 1;
  const unit = base === 1024 ? 1024 ** Math.floor(Math.log(high) / Math.log(1024)) : 1;
  const n = high / unit / 3;
  const power = 10 ** Math.floor(Math.log10(n));
  const step = [1, 2, 5, 10].find((k) => k * power >= n) * power * unit;
  return base === 1024 ? Math.max(1, step) : step;
}

const nearest = (points, t) => points.reduce((best, p) => (best && Math.abs(best[0] - t) <= Math.abs(p[0] - t) ? best : p), null);
