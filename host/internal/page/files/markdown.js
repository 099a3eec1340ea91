// Markdown as models write it, made into elements: paragraphs, headings, lists, quotations, code, tables. An answer grows while it is read, so what is
// above its last block is left as it stands.

import { copy, el, iconButton } from './dom.js';
import { inline } from './inline.js';

const fence = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*?)[ \t]*$/;
const heading = /^ {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$/;
const rule = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const quote = /^ {0,3}> ?/;
const item = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( +)(?=\S)|(?= *$))/;
const underline = /^ {0,3}(=+|-+)[ \t]*$/;
const divider = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const indented = /^(?: {4}|\t)/;
const deepest = 20; // quotations and lists in each other

const blank = (line) => /^[ \t]*$/.test(line);

/** Shows a text that grows. */
export class Markdown {
  constructor() {
    this.node = el('div', { class: 'markdown' });
    this.sources = [];
  }

  /** Makes the node show text, of which it keeps the blocks that are the same. */
  show(text) {
    const blocks = split(text.replace(/\r\n?/g, '\n').split('\n'));
    let same = 0;
    while (same < blocks.length && same < this.sources.length && blocks[same].source === this.sources[same]) same++;
    while (this.node.childNodes.length > same) this.node.lastChild.remove();
    for (const b of blocks.slice(same)) this.node.append(render(b, 0));
    this.sources = blocks.map((b) => b.source);
  }
}

/** The elements of a text. */
export const markdown = (text, depth = 0) => split(text.split('\n')).map((b) => render(b, depth));

// Cuts lines into blocks, each with its kind and the lines that it is of.
function split(lines) {
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    if (blank(lines[i])) {
      i++;
      continue;
    }
    const b = block(lines, i);
    b.source = b.kind + lines.slice(i, i + b.length).join('\n') + (b.open ? '\u0000' : '');
    blocks.push(b);
    i += b.length;
  }
  return blocks;
}

function block(lines, i) {
  const line = lines[i];
  if (indented.test(line)) return codeByIndent(lines, i);
  if (fence.test(line)) return fenced(lines, i);
  const title = heading.exec(line);
  if (title) return { kind: 'heading', level: title[1].length, text: title[2] ?? '', length: 1 };
  if (rule.test(line)) return { kind: 'rule', length: 1 };
  if (quote.test(line)) return quoted(lines, i);
  if (item.test(line)) return list(lines, i);
  if (line.includes('|') && divider.test(lines[i + 1] ?? '') && cells(line).length === cells(lines[i + 1]).length) return table(lines, i);
  return paragraph(lines, i);
}

// Whether a line ends the paragraph before it.
function interrupts(line) {
  const list = item.exec(line);
  return blank(line) || fence.test(line) || heading.test(line) || rule.test(line) || quote.test(line) || (list && list[3] && /^([-*+]|1[.)])$/.test(list[2]));
}

function paragraph(lines, i) {
  let end = i + 1;
  for (; end < lines.length && !blank(lines[end]); end++) {
    const under = underline.exec(lines[end]);
    if (under) {
      const text = lines.slice(i, end).join('\n').trim();
      return { kind: 'heading', level: under[1][0] === '=' ? 1 : 2, text, length: end + 1 - i };
    }
    if (interrupts(lines[end])) break;
  }
  return { kind: 'paragraph', text: lines.slice(i, end).map((l) => l.trimStart()).join('\n').trimEnd(), length: end - i };
}

function codeByIndent(lines, i) {
  let end = i;
  for (let at = i; at < lines.length && (indented.test(lines[at]) || blank(lines[at])); at++) {
    if (!blank(lines[at])) end = at + 1;
  }
  return { kind: 'code', language: '', text: lines.slice(i, end).map((l) => (blank(l) ? l.slice(4) : l.replace(indented, ''))).join('\n'), length: end - i };
}

function fenced(lines, i) {
  const [, indent, mark, words] = fence.exec(lines[i]);
  const end = new RegExp(`^ {0,3}${mark[0] === '~' ? '~' : '`'}{${mark.length},}[ \\t]*$`);
  let at = i + 1;
  while (at < lines.length && !end.test(lines[at])) at++;
  const strip = new RegExp(`^ {0,${indent.length}}`);
  const open = at >= lines.length;
  const last = open && lines[at - 1] === '' && at > i + 1 ? at - 1 : at; // what a last newline ends is no line
  const text = lines.slice(i + 1, last).map((l) => l.replace(strip, '')).join('\n');
  return { kind: 'code', language: words.split(/\s/)[0], text, open, length: (open ? at : at + 1) - i };
}

function quoted(lines, i) {
  let end = i;
  const inner = [];
  for (; end < lines.length; end++) {
    if (quote.test(lines[end])) inner.push(lines[end].replace(quote, ''));
    else if (!interrupts(lines[end]) && continues(inner)) inner.push(lines[end].trimStart());
    else break;
  }
  return { kind: 'quote', lines: inner, length: end - i };
}

// Whether the last line of these belongs to a paragraph that a line without a mark goes on with.
function continues(lines) {
  const last = lines.at(-1);
  if (last === undefined || blank(last) || heading.test(last) || rule.test(last) || indented.test(last)) return false;
  return split(lines).at(-1).kind !== 'code';
}

// A list goes on as long as items of its kind come, and what belongs to them by its indent.
function list(lines, i) {
  const kind = item.exec(lines[i])[2];
  const ordered = kind.length > 1;
  const items = [];
  let end = i;
  let loose = false;
  while (end < lines.length) {
    let next = end;
    while (next < lines.length && blank(lines[next])) next++;
    const found = next < lines.length && !(rule.test(lines[next])) ? item.exec(lines[next]) : null;
    if (!found || found[2].at(-1) !== kind.at(-1)) break;
    if (items.length > 0 && next > end) loose = true;
    const one = itemAt(lines, next, found);
    loose ||= one.loose;
    items.push(one.lines);
    end = next + one.length;
  }
  return { kind: 'list', ordered, start: ordered ? parseInt(kind, 10) : 1, items, loose, length: end - i };
}

function itemAt(lines, i, [mark, indent, sign, space]) {
  const width = space === undefined ? indent.length + sign.length + 1 : space.length > 4 ? mark.length - space.length + 1 : mark.length;
  const inner = [lines[i].slice(Math.min(width, lines[i].length))];
  let end = i + 1;
  for (; end < lines.length; end++) {
    const line = lines[end].replace(/^\t/, '    ');
    if (blank(line)) {
      if (inner.length === 1 && blank(inner[0])) break;
      inner.push('');
    } else if (/^ */.exec(line)[0].length >= width) inner.push(line.slice(width));
    else if (inner.at(-1) !== '' && !interrupts(line) && !item.test(line) && continues(inner)) inner.push(line.trimStart());
    else break;
  }
  while (inner.length > 1 && inner.at(-1) === '') {
    inner.pop();
    end--;
  }
  return { lines: inner, loose: separated(inner), length: end - i };
}

// Whether blank lines stand between the blocks of an item, and not only within one.
function separated(lines) {
  const blocks = split(lines);
  let at = lines.findIndex((l) => !blank(l));
  for (const b of blocks.slice(0, -1)) {
    at += b.length;
    if (blank(lines[at] ?? 'a')) return true;
  }
  return false;
}

function cells(line) {
  const row = [];
  let cell = '';
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '\\' && line[i + 1] === '|') cell += line[++i];
    else if (line[i] === '|') {
      row.push(cell.trim());
      cell = '';
    } else cell += line[i];
  }
  row.push(cell.trim());
  if (row[0] === '') row.shift();
  if (row.at(-1) === '') row.pop();
  return row;
}

function table(lines, i) {
  const head = cells(lines[i]);
  const sides = cells(lines[i + 1]).map((c) => (c.endsWith(':') ? (c.startsWith(':') ? 'center' : 'right') : c.startsWith(':') ? 'left' : ''));
  const rows = [];
  let end = i + 2;
  for (; end < lines.length && !interrupts(lines[end]); end++) rows.push(cells(lines[end]));
  return { kind: 'table', head, sides, rows, length: end - i };
}

const renderers = {
  paragraph: (b) => el('p', {}, inline(b.text)),
  heading: (b) => el(`h${b.level}`, {}, inline(b.text)),
  rule: () => el('hr'),
  quote: (b, depth) => el('blockquote', {}, markdown(b.lines.join('\n'), depth + 1)),
  code: (b) => code(b.text, b.language),
  table: (b) => {
    const row = (list, name) => el('tr', {}, b.head.map((_, i) => el(name, { class: b.sides[i] || null }, inline(list[i] ?? ''))));
    const body = b.rows.length > 0 ? el('tbody', {}, b.rows.map((r) => row(r, 'td'))) : null;
    return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table' }, el('table', {}, el('thead', {}, row(b.head, 'th')), body));
  },
  list: (b, depth) => {
    const start = b.ordered && b.start !== 1 ? b.start : null;
    return el(b.ordered ? 'ol' : 'ul', { start }, b.items.map((lines) => listItem(lines, b.loose, depth)));
  },
};

function listItem(lines, loose, depth) {
  const task = /^\[([ xX])\] /.exec(lines[0]);
  const text = task ? [lines[0].slice(4), ...lines.slice(1)] : lines;
  const inner = markdown(text.join('\n'), depth + 1).map((n) => (!loose && n.localName === 'p' ? [...n.childNodes] : n));
  const box = task ? el('input', { type: 'checkbox', disabled: true, checked: task[1] !== ' ' }) : null;
  return el('li', { class: task ? 'task' : null }, box, inner);
}

function render(b, depth) {
  if (depth > deepest) return el('p', {}, (b.lines ?? [b.text ?? '']).join('\n'));
  return renderers[b.kind](b, depth);
}

/** A piece of code with its language and a button that copies it. */
export function code(text, language) {
  const bar = el('div', { class: 'code-bar' }, el('span', {}, language || 'text'), iconButton('copy', 'Copy code', (e) => copy(text, e.currentTarget)));
  return el('figure', { class: 'code' }, bar, el('pre', { tabindex: '0', 'aria-label': `Code ${language}` }, el('code', {}, text)));
}
