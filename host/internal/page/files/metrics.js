// Reads the text format of Prometheus.

/** The samples of a text by their name: [{labels, value}]. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split('\n')) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (!m || line.startsWith('#')) continue;
    if (!found.has(m[1])) found.set(m[1], []);
    found.get(m[1]).push({ labels: labels(m[2] ?? ''), value: m[3] === '+Inf' ? Infinity : Number(m[3]) });
  }
  return found;
}

function labels(text) {
  const all = {};
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    all[name] = value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
  }
  return all;
}

/** The values of one metric by one of its labels. */
export const by = (found, name, label) => Object.fromEntries((found.get(name) ?? []).map((s) => [s.labels[label], s.value]));
