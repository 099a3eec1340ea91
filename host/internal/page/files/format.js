// Numbers as people read them.

const round = (n, digits) => n.toLocaleString('en', { maximumFractionDigits: digits });

/** Three digits at most: 1.23, 12.3, 123. */
export function figure(n) {
  const size = Math.abs(n);
  return round(n, size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** Bytes in powers of 1024, as models.toml has them. */
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; Math.abs(n) >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 ? round(n, 0) : figure(n)} ${units[i]}`;
}

export const percent = (share) => `${round(100 * share, share > 0 && share < 0.1 ? 1 : 0)} %`;

/** Seconds, in the unit that suits them. */
export function duration(seconds) {
  if (seconds === 0) return '0 s';
  if (seconds < 1e-3) return `${figure(seconds * 1e6)} µs`;
  if (seconds < 1) return `${figure(seconds * 1e3)} ms`;
  if (seconds < 120) return `${figure(seconds)} s`;
  if (seconds < 7200) return `${round(seconds / 60, 0)} min`;
  return `${round(seconds / 3600, 1)} h`;
}

export const clock = (date) => date.toLocaleTimeString('en-GB');

/** How far a moment lies ahead. */
export function ahead(date, now = new Date()) {
  const seconds = (date - now) / 1000;
  return seconds <= 0 ? 'now' : `in ${seconds < 90 ? `${Math.ceil(seconds)} s` : duration(seconds)}`;
}

export const plural = (n, one, more = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : more}`;
