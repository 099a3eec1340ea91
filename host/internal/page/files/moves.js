// Which modules have moved, as one look at a placement differs from the one before. The log has what was ordered; this is what was seen.

import { bytes, plural } from './format.js';

const most = 200;

export class Moves {
  constructor() {
    this.before = new Map(); // by model: device by module
    this.list = []; // {time, model, text}, oldest first
  }

  /** Takes a placement in, and returns the modules that lie elsewhere than before. */
  see(model, { modules = [] }) {
    const before = this.before.get(model);
    const moved = before ? modules.filter((m) => before.has(m.id) && before.get(m.id) !== m.device) : [];
    for (const [way, some] of group(moved, (m) => `${before.get(m.id)} → ${m.device}`)) this.list.push({ time: new Date(), model, text: words(way, some) });
    this.list.splice(0, Math.max(0, this.list.length - most));
    this.before.set(model, new Map(modules.map((m) => [m.id, m.device])));
    return moved;
  }
}

function group(list, key) {
  const groups = new Map();
  for (const x of list) groups.set(key(x), [...(groups.get(key(x)) ?? []), x]);
  return groups;
}

function words(way, modules) {
  const size = bytes(modules.reduce((n, m) => n + (m.bytes ?? 0), 0));
  const names = modules.length <= 4 ? modules.map((m) => m.id).join(', ') : plural(modules.length, 'module');
  return `${names}: ${way}, ${size}`;
}
