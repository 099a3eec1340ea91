// How a message of a conversation looks. An answer that comes is shown as it grows.

import { copy, el, fill, iconButton, say } from './dom.js';
import { duration, figure, plural } from './format.js';
import { code, Markdown } from './markdown.js';

/** The element of a message; acts has what its buttons do. */
export function view(message, acts) {
  return new { user: UserMessage, assistant: Answer, tool: ToolResult }[message.role](message, acts);
}

class UserMessage {
  constructor(message, acts) {
    const pictures = (message.pictures ?? []).map(picture);
    this.node = el('article', { class: 'message user', 'aria-label': 'You' },
      pictures.length > 0 ? el('div', { class: 'pictures' }, pictures) : null,
      message.text ? el('div', { class: 'bubble' }, message.text) : null,
      el('div', { class: 'acts' },
        iconButton('copy', 'Copy message', (e) => copy(message.text, e.currentTarget)),
        iconButton('edit', 'Edit and ask again', () => acts.edit(message))));
  }

  update() {}
}

function picture(p) {
  if (!p.url) return el('p', { class: 'gone' }, `${p.name}: no longer kept`);
  return el('img', { src: p.url, alt: p.name || 'Picture', loading: 'lazy' });
}

class ToolResult {
  constructor(message) {
    this.node = el('article', { class: 'message tool', 'aria-label': `Result of ${message.name}` },
      el('p', { class: 'who' }, `Result of ${message.name}`), el('pre', { tabindex: '0' }, message.text));
  }

  update() {}
}

class Answer {
  constructor(message, acts) {
    this.message = message;
    this.acts = acts;
    this.words = new Markdown();
    this.thoughts = new Markdown();
    this.summary = el('span');
    this.reasoning = el('details', { class: 'reasoning', hidden: true }, el('summary', {}, this.summary), this.thoughts.node);
    this.calls = el('div', { class: 'calls' });
    this.status = el('p', { class: 'status' });
    this.error = el('p', { class: 'error', role: 'alert', hidden: true });
    this.figures = el('span', { class: 'figures' });
    this.foot = el('div', { class: 'acts' },
      iconButton('copy', 'Copy answer', (e) => copy(message.text, e.currentTarget)),
      iconButton('again', 'Answer again', () => acts.again(message)), this.figures);
    this.node = el('article', { class: 'message assistant', 'aria-label': 'Answer' },
      el('p', { class: 'who' }, message.model), this.reasoning, this.words.node, this.calls, this.status, this.error, this.foot);
    this.update();
  }

  update() {
    const m = this.message;
    const busy = ['waiting', 'reading', 'thinking', 'answering'].includes(m.state);
    this.node.setAttribute('aria-busy', String(busy));
    this.node.dataset.state = m.state;
    this.showReasoning(m);
    this.words.show(m.text);
    this.words.node.hidden = m.text === '';
    this.showCalls(m, busy);
    say(this.status, statusOf(m));
    this.status.hidden = this.status.textContent === '';
    this.status.classList.toggle('busy', busy);
    this.error.hidden = !m.error;
    say(this.error, m.error ?? '');
    this.foot.hidden = busy;
    say(this.figures, figuresOf(m));
  }

  showReasoning(m) {
    this.reasoning.hidden = m.reasoning === '';
    if (m.reasoning === '') return;
    this.thoughts.show(m.reasoning);
    say(this.summary, m.state === 'thinking' ? 'Thinking…' : `Thought${m.thought ? ` for ${duration(m.thought)}` : ''}`);
  }

  showCalls(m, busy) {
    const asked = JSON.stringify([m.calls, busy, m.answered]);
    if (asked === this.asked) return;
    this.asked = asked;
    fill(this.calls, m.calls.map((c) => callView(c)), m.calls.length > 0 && !busy && !m.answered && m.state === 'done' ? this.results(m) : null);
  }

  // What the calls are answered with; the page runs nothing itself.
  results(m) {
    const areas = m.calls.map((c) => el('textarea', { rows: 2, 'aria-label': `Result of ${c.name}`, placeholder: `What ${c.name} gives`, spellcheck: 'false' }));
    const send = (e) => {
      e.preventDefault();
      this.acts.answerCalls(m, areas.map((a) => a.value));
    };
    return el('form', { class: 'results', onsubmit: send }, areas, el('button', { type: 'submit', class: 'button strong' }, areas.length > 1 ? 'Send results' : 'Send result'));
  }
}

function callView(c) {
  return el('details', { class: 'call', open: true }, el('summary', {}, 'Call of ', el('b', {}, c.name || '…')), code(pretty(c.arguments), 'json'));
}

// Arguments that are whole, over lines; what is no JSON yet as it came.
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function statusOf(m) {
  if (m.waits) return sentence(m.waits);
  if (m.state === 'waiting' || m.state === 'reading') return 'Reading…';
  if (m.state === 'stopped') return 'Stopped.';
  if (m.state === 'done' && m.finish === 'length') return 'Cut off: the answer has as many tokens as it may.';
  if (m.state === 'done' && !m.text && m.calls.length === 0) return 'The answer is empty.';
  return '';
}

// A comment of a stream that waits: "waiting: the model ... is loading".
const sentence = (text) => {
  const words = text.replace(/^waiting:? ?/, '');
  return words ? `${words.charAt(0).toUpperCase()}${words.slice(1)}…` : 'Waiting…';
};

function figuresOf({ usage }) {
  if (!usage) return '';
  const list = [plural(usage.completion, 'token')];
  if (usage.predicted_per_second) list.push(`${figure(usage.predicted_per_second)} per second`);
  if (usage.prompt_ms) list.push(`first after ${duration(usage.prompt_ms / 1000)}`);
  list.push(`prompt ${usage.prompt.toLocaleString('en')}${usage.cached ? `, ${usage.cached.toLocaleString('en')} from the cache` : ''}`);
  return list.join(' · ');
}
