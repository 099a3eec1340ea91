// Markdown within a paragraph: code, emphasis, links. The rules are CommonMark's, with GitHub's strikethrough and bare addresses; HTML is text, and
// pictures are links, for nothing is fetched from elsewhere.

import { el } from './dom.js';

const punctuation = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const escapable = /[!-/:-@[-`{-~]/;
const bare = /^https?:\/\/[^\s<>"]*[^\s<>"?!.,:;*_~'")\]}|]/;

/** An address that a person may follow; whatever else a model writes for one is not made a link. */
export const isSafe = (address) => /^(https?:\/\/|mailto:)/i.test(address);

// Of HTML's names for characters those that models write.
const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0', copy: '\u00a9', hellip: '\u2026', ndash: '\u2013', mdash: '\u2014', times: '\u00d7', rarr: '\u2192' };

const anchor = (address, children, title) =>
  el('a', { href: address, target: '_blank', rel: 'noopener noreferrer', title: title || null }, children);

/** The nodes of a text. */
export function inline(text) {
  return emphasise(scan(text));
}

// A piece is a node or a text, or a run of delimiters {run, mark, opens, closes, length}.
function scan(text) {
  const pieces = [];
  let plain = '';
  const push = (piece) => {
    if (plain) pieces.push(plain);
    plain = '';
    if (piece !== null) pieces.push(piece);
  };
  for (let i = 0; i < text.length; ) {
    const [piece, length] = read(text, i);
    if (typeof piece === 'string') plain += piece;
    else push(piece);
    i += length;
  }
  push(null);
  return pieces;
}

// What stands at i, and how many characters of the text it takes.
function read(text, i) {
  const c = text[i];
  const take = readers[c]?.(text, i);
  if (take) return take;
  if (c === 'h' && !/\w/.test(text[i - 1] ?? ' ')) {
    const found = bare.exec(text.slice(i, i + 2048));
    if (found) return [anchor(found[0], found[0]), found[0].length];
  }
  return [c, 1];
}

const readers = {
  '\\': (text, i) => {
    const next = text[i + 1];
    if (next === '\n') return [el('br'), 2];
    const maths = next === '(' ? '\\)' : next === '[' ? '\\]' : '';
    const end = maths ? text.indexOf(maths, i + 2) : -1;
    if (end > 0) return [el('span', { class: 'maths' }, text.slice(i, end + 2)), end + 2 - i];
    return next !== undefined && escapable.test(next) ? [next, 2] : null;
  },
  '\n': (text, i) => ['\n' + '', 1 + /^ */.exec(text.slice(i + 1, i + 100))[0].length],
  ' ': (text, i) => {
    const spaces = /^( +)\n *(?=\S)/.exec(text.slice(i, i + 200));
    if (!spaces) return null;
    return spaces[1].length > 1 ? [el('br'), spaces[0].length] : ['\n', spaces[0].length];
  },
  '`': (text, i) => {
    const ticks = /^`+/.exec(text.slice(i))[0];
    const end = closing(text, i + ticks.length, ticks.length);
    if (end < 0) return [ticks, ticks.length];
    let code = text.slice(i + ticks.length, end).replace(/\n/g, ' ');
    if (/^ .* $/.test(code) && code.trim()) code = code.slice(1, -1);
    return [el('code', {}, code), end + ticks.length - i];
  },
  '<': (text, i) => {
    const found = /^<((?:https?:\/\/|mailto:)[^\s<>]*)>/i.exec(text.slice(i, i + 2050));
    return found ? [anchor(found[1], found[1]), found[0].length] : null;
  },
  '!': (text, i) => (text[i + 1] === '[' ? link(text, i + 1, 1) : null),
  '[': (text, i) => link(text, i, 0),
  '&': (text, i) => {
    const found = /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]+));/.exec(text.slice(i, i + 12));
    const code = found && (found[1] ? Number(found[1]) : found[2] ? parseInt(found[2], 16) : 0);
    if (!found || (found[3] && !(found[3] in entities)) || code > 0x10ffff) return null;
    return [found[3] ? entities[found[3]] : String.fromCodePoint(code || 0xfffd), found[0].length];
  },
  '*': run,
  _: run,
  '~': (text, i) => (text[i + 1] === '~' ? run(text, i) : null),
  $: (text, i) => {
    if (text[i + 1] !== '$') return null;
    const end = text.indexOf('$$', i + 2);
    return end > 0 ? [el('span', { class: 'maths' }, text.slice(i, end + 2)), end + 2 - i] : null;
  },
};

// Where a run of exactly n ticks begins, from i on; -1 if there is none.
function closing(text, i, n) {
  for (const found of text.slice(i).matchAll(/`+/g)) {
    if (found[0].length === n) return i + found.index;
  }
  return -1;
}

// [words](address "title"), whose words may have brackets of their own; before tells how many characters stand before the bracket.
function link(text, i, before) {
  const end = bracket(text, i);
  if (end < 0) return null;
  const target = /^\(\s*(<[^<>\n]*>|(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*)(?:\s+(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\(((?:[^()\\]|\\.)*)\)))?\s*\)/s.exec(text.slice(end + 1, end + 4096));
  if (!target) return null;
  const address = target[1].replace(/^<(.*)>$/s, '$1').replace(/\\([!-/:-@[-`{-~])/g, '$1');
  const words = text.slice(i + 1, end);
  const children = inline(words);
  const length = before + end + 1 - i + target[0].length;
  if (before) { // a picture: its words
    const spoken = el('span', {}, children).textContent || address;
    return [isSafe(address) ? anchor(address, spoken) : el('span', {}, spoken), length];
  }
  if (!isSafe(address)) return [el('span', {}, children), length];
  if (children.some((c) => c.querySelector && (c.matches('a') || c.querySelector('a')))) return null;
  return [anchor(address, children, target[2] ?? target[3] ?? target[4]), length];
}

// Where the bracket that opens at i is closed.
function bracket(text, i) {
  const most = Math.min(text.length, i + 4096);
  for (let depth = 0, at = i; at < most; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') at += Math.max(0, (readers['`'](text, at)?.[1] ?? 1) - 1);
    else if (text[at] === '[') depth++;
    else if (text[at] === ']' && --depth === 0) return at;
  }
  return -1;
}

function run(text, i) {
  const mark = text[i];
  let length = 1;
  while (text[i + length] === mark) length++;
  const before = [...text.slice(Math.max(0, i - 2), i)].pop() ?? ' ';
  const after = [...text.slice(i + length, i + length + 2)][0] ?? ' ';
  const left = !/\s/.test(after) && (!punctuation.test(after) || /\s/.test(before) || punctuation.test(before));
  const right = !/\s/.test(before) && (!punctuation.test(before) || /\s/.test(after) || punctuation.test(after));
  const within = mark === '_';
  const opens = left && (!within || !right || punctuation.test(before));
  const closes = right && (!within || !left || punctuation.test(after));
  return [{ mark, opens, closes, length, whole: length }, length];
}

// Pairs runs of delimiters as CommonMark does: each that closes with the nearest before it that opens.
function emphasise(pieces) {
  for (let at = 0; at < pieces.length; at++) {
    const closer = pieces[at];
    if (!closer.mark || !closer.closes) continue;
    const from = opener(pieces, at);
    if (from < 0) continue;
    const n = pair(pieces[from], closer);
    const node = el(closer.mark === '~' ? 'del' : n === 2 ? 'strong' : 'em', {}, settle(pieces.slice(from + 1, at)));
    pieces[from].length -= n;
    closer.length -= n;
    const kept = [];
    if (pieces[from].length > 0) kept.push(pieces[from]);
    kept.push(node);
    if (closer.length > 0) kept.push(closer);
    pieces.splice(from, at - from + 1, ...kept);
    at = from + kept.length - 1 - (closer.length > 0 ? 1 : 0);
  }
  return settle(pieces);
}

function opener(pieces, at) {
  const closer = pieces[at];
  for (let from = at - 1; from >= 0; from--) {
    const p = pieces[from];
    if (p.mark !== closer.mark || !p.opens) continue;
    const odd = (p.closes || closer.opens) && (p.whole + closer.whole) % 3 === 0 && (p.whole % 3 !== 0 || closer.whole % 3 !== 0);
    if (!odd && pair(p, closer) > 0) return from;
  }
  return -1;
}

// How many characters of two runs make a pair.
function pair(open, close) {
  const both = open.length >= 2 && close.length >= 2;
  if (open.mark === '~') return both ? 2 : 0;
  return both ? 2 : 1;
}

// Runs that found no partner are what they are: characters.
const settle = (pieces) => pieces.map((p) => (p.mark ? p.mark.repeat(p.length) : p));
