// The models and the devices of a host, as tables.

import { el } from './dom.js';
import { ahead, bytes, figure, percent } from './format.js';

export const swatch = (colour) => el('i', { class: `swatch ${colour}`, 'aria-hidden': 'true' });

/** The table that `piohost ps` prints, with how a load stands. */
export function modelTable(models, colours) {
  if (models.length === 0) return el('p', { class: 'empty' }, 'No models.');
  const columns = [
    ['Model', (m) => el('span', { class: 'name' }, swatch(colours.of(m.id)), m.id)],
    ['State', state],
    ['Size', (m) => (m.size ? bytes(m.size) : '–')],
    ['Devices', (m) => (m.devices?.length ? m.devices.map((d) => d.name).join(', ') : '–')],
    ['Context', (m) => (m.context || m.max_model_len)?.toLocaleString('en') ?? '–'],
    ['Requests', (m) => (m.running === undefined ? '–' : m.waiting ? `${m.running} + ${m.waiting} waiting` : String(m.running))],
    ['Tokens/s', (m) => (m.tokens_per_second === undefined ? '–' : figure(m.tokens_per_second))],
    ['Until', until],
  ];
  const head = el('tr', {}, columns.map(([title]) => el('th', { scope: 'col' }, title)));
  const row = (m) => el('tr', {}, columns.map(([title, of], i) => el(i === 0 ? 'th' : 'td', { 'data-title': title, scope: i === 0 ? 'row' : null }, of(m))));
  return el('table', { class: 'stack' }, el('thead', {}, head), el('tbody', {}, models.map(row)));
}

function state(m) {
  const p = m.progress;
  const words = p?.total ? `${m.state} ${percent(p.done / p.total)}` : m.state;
  const kind = { ready: 'good', quarantined: 'bad', restarting: 'bad' }[m.state] ?? 'idle';
  const bar = p?.total ? el('progress', { max: p.total, value: p.done, 'aria-label': p.stage }) : null;
  return [el('span', { class: `badge ${kind}` }, words), bar, m.reason ? el('p', { class: 'reason' }, m.reason) : null];
}

function until(m) {
  if (m.until) return el('time', { datetime: m.until, title: new Date(m.until).toLocaleString('en-GB') }, ahead(new Date(m.until)));
  if (m.pinned) return 'pinned';
  return m.state === 'ready' && m.until !== undefined ? 'stays' : '–';
}

/** A card for each device: what all models have of it, and each of them. */
export function deviceCards(rows, devices, models) {
  const names = [...new Set(rows.map((r) => r.name))].sort((a, b) => (a === 'cpu' ? -1 : b === 'cpu' ? 1 : a.localeCompare(b)));
  if (names.length === 0) return el('p', { class: 'empty' }, 'No model has told of a device yet.');
  return el('div', { class: 'device-grid' }, names.map((name) => card(name, rows.filter((r) => r.name === name), devices, models)));
}

function card(name, rows, devices, models) {
  const sum = (what) => rows.reduce((n, r) => n + r[what], 0);
  const used = sum('used');
  const bounded = rows.every((r) => r.budget > 0);
  const whole = bounded ? sum('budget') : Math.max(1, sum('peak'));
  const label = bounded ? `${bytes(used)} of ${bytes(whole)}` : `${bytes(used)}, without a limit`;
  return el('article', { class: 'device' },
    el('h3', {}, swatch(devices.of(name)), name, el('span', {}, label)),
    bar(rows, whole, models, `${name}: ${label}`),
    el('table', { class: 'stack small' },
      el('thead', {}, el('tr', {}, ['Model', 'Used', 'Peak', 'Budget', 'Resident'].map((t) => el('th', { scope: 'col' }, t)))),
      el('tbody', {}, rows.map((r) => el('tr', {},
        el('th', { scope: 'row', 'data-title': 'Model' }, el('span', { class: 'name' }, swatch(models.of(r.model)), r.model)),
        el('td', { 'data-title': 'Used' }, bytes(r.used)),
        el('td', { 'data-title': 'Peak' }, bytes(r.peak)),
        el('td', { 'data-title': 'Budget' }, budgetOf(r)),
        el('td', { 'data-title': 'Resident' }, r.resident ? bytes(r.resident) : '–'))))));
}

// A byte is what the host gives where it gives nothing: 0 would be no limit.
const budgetOf = (r) => (r.budget === 0 ? 'no limit' : r.budget === 1 ? 'none' : bytes(r.budget));

// What each model uses of a device, and of its budget what it does not use.
function bar(rows, whole, models, label) {
  const part = (n, colour, title) => {
    const node = el('span', { class: colour, title });
    node.style.width = `${(100 * n) / whole}%`;
    return node;
  };
  return el('div', { class: 'bar', role: 'img', 'aria-label': label }, rows.flatMap((r) => [
    part(r.used, `fill ${models.of(r.model)}`, `${r.model}: ${bytes(r.used)}`),
    r.budget > Math.max(1, r.used) ? part(r.budget - r.used, `room ${models.of(r.model)}`, `${r.model}: ${bytes(r.budget - r.used)} of its budget are free`) : null,
  ]));
}

