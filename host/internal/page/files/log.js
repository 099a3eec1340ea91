// The log of the host, newest first, with the moves that the page has seen.

import { el, fill } from './dom.js';
import { clock, figure } from './format.js';

const mostShown = 300;
const head = ['seq', 'time', 'level', 'msg', 'cut', 'model'];

export class Log {
  constructor() {
    this.filter = el('input', { type: 'search', placeholder: 'Filter', 'aria-label': 'Filter the log', oninput: () => this.draw() });
    this.level = el('select', { 'aria-label': 'Lines to show', onchange: () => this.draw() },
      el('option', { value: '' }, 'everything'), el('option', { value: 'moves' }, 'memory and moves'), el('option', { value: 'warn' }, 'warnings and errors'));
    this.list = el('ol', { class: 'lines', tabindex: '0', 'aria-label': 'Lines of the log, newest first' });
    this.node = el('div', { class: 'log-view' }, el('div', { class: 'log-head' }, this.filter, this.level), this.list);
    this.entries = [];
  }

  /** Shows lines of the host's log and moves as Moves has them. */
  show(lines, moves) {
    const state = `${lines.at(-1)?.seq}/${lines.length}/${moves.length}/${moves.at(-1)?.time}`;
    if (state === this.state) return;
    this.state = state;
    const seen = moves.map((m) => ({ time: m.time, level: 'MOVE', text: m.text, model: m.model, rest: [], move: true }));
    this.entries = [...lines.map(entryOf), ...seen].sort((a, b) => b.time - a.time);
    this.draw();
  }

  draw() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter((w) => w);
    const kept = this.entries.filter((e) => this.takes(e) && words.every((w) => e.all.includes(w)));
    fill(this.list, kept.slice(0, mostShown).map(lineOf), kept.length === 0 ? el('li', { class: 'empty' }, 'Nothing yet.') : null);
  }

  takes(e) {
    e.all ??= [e.level, e.model, e.text, ...e.rest.flat()].join(' ').toLowerCase();
    if (this.level.value === 'warn') return e.level === 'WARN' || e.level === 'ERROR';
    if (this.level.value === 'moves') return e.move || /device|share|memory|module|moved|budget|room/.test(e.all);
    return true;
  }
}

function entryOf(line) {
  const rest = Object.entries(line).filter(([name]) => !head.includes(name)).map(([name, value]) => [name, written(value)]);
  return { time: new Date(line.time), level: line.level, text: line.msg, model: line.model ?? '', rest };
}

// A measured number has more digits than it knows; a number of a process or a port has all of them.
const figures = (n) => (Number.isInteger(n) ? String(n) : figure(n));

const written = (value) => typeof value === 'number' ? figures(value) : (typeof value === 'object' ? JSON.stringify(value) : String(value));

function lineOf(e) {
  return el('li', { class: `line ${e.level.toLowerCase()}` },
    el('time', { datetime: e.time.toISOString() }, clock(e.time)),
    el('span', { class: 'level' }, e.level === 'MOVE' ? 'seen' : e.level.toLowerCase()),
    el('div', { class: 'words' },
      e.model ? el('b', {}, e.model) : null, el('span', {}, e.text),
      e.rest.length > 0 ? el('dl', {}, e.rest.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value)))) : null));
}
