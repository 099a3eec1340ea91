// The view that talks with a model.

import { answer, emptyAnswer, wire } from './answer.js';
import { announce, byId, el, fill, iconButton, say } from './dom.js';
import { Models } from './models.js';
import { Pictures } from './pictures.js';
import { Settings } from './settings.js';
import * as store from './store.js';
import { view } from './message.js';

const narrow = matchMedia('(max-width: 800px)');

export class Chat {
  constructor() {
    this.conversation = null;
    this.views = new Map(); // by message
    this.stopper = null; // of the answer under way
    this.log = byId('messages');
    this.question = byId('question');
    this.models = new Models(byId('model'), () => this.modelChanged());
    this.settings = new Settings(byId('settings'), () => this.toggle('settings', false));
    this.pictures = new Pictures(
      { list: byId('attached'), input: byId('files'), button: byId('attach'), area: byId('talk'), drop: byId('drop') },
      () => (this.models.can('vision') ? '' : `${this.models.chosen.id} reads text alone: it takes no pictures.`),
      (text) => this.complain(text));
    this.acts = { edit: (m) => this.edit(m), again: (m) => this.again(m), answerCalls: (m, texts) => this.answerCalls(m, texts) };
    this.listen();
    this.open(store.conversations()[0]?.id);
    const besides = () => this.toggle('list', !narrow.matches);
    narrow.addEventListener('change', besides);
    besides();
    new ResizeObserver(() => this.follows && this.toEnd()).observe(this.log);
  }

  listen() {
    byId('composer').addEventListener('submit', (e) => {
      e.preventDefault();
      this.send();
    });
    this.question.addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' || e.shiftKey || e.isComposing || e.keyCode === 229) return; // the last: Safari ends a composition so
      e.preventDefault();
      this.send();
    });
    this.question.addEventListener('input', () => this.fit());
    byId('stop').addEventListener('click', () => this.stop());
    byId('new').addEventListener('click', () => this.begin());
    byId('clear').addEventListener('click', () => this.clear());
    byId('open-list').addEventListener('click', () => this.toggle('list'));
    byId('open-settings').addEventListener('click', () => this.toggle('settings'));
    byId('to-end').addEventListener('click', () => this.toEnd());
    this.log.addEventListener('scroll', () => this.scrolled());
    document.addEventListener('keydown', (e) => e.key === 'Escape' && !e.defaultPrevented && this.escape());
    addEventListener('storage', (e) => e.key === 'pio.conversations' && this.showList());
  }

  // Escape stops an answer; where none comes it closes what lies over the conversation.
  escape() {
    if (byId('chat').hidden) return;
    if (this.stopper) this.stop();
    else if (!byId('settings').hidden) this.toggle('settings', false, true);
    else if (narrow.matches && byId('list').classList.contains('open')) this.toggle('list', false, true);
  }

  toggle(name, open, refocus) {
    const node = byId(name);
    const button = byId(`open-${name}`);
    const is = name === 'list' ? node.classList.contains('open') : !node.hidden;
    const next = open ?? !is;
    if (name === 'list') node.classList.toggle('open', next);
    else node.hidden = !next;
    button.setAttribute('aria-expanded', String(next));
    if (next && open === undefined) node.querySelector('button, input, textarea')?.focus();
    if (refocus || (is && !next && node.contains(document.activeElement))) button.focus();
  }

  // --- conversations

  open(id) {
    this.stop();
    this.conversation = (id && store.load(id)) || store.begin();
    for (const m of this.conversation.messages) {
      if (m.role === 'assistant' && !['done', 'failed', 'stopped'].includes(m.state)) m.state = 'stopped'; // the page was closed meanwhile
    }
    if (this.conversation.model) this.models.choose(this.conversation.model);
    this.draw();
    this.showList();
    this.toEnd();
  }

  begin() {
    this.open(null);
    if (narrow.matches) this.toggle('list', false);
    this.question.focus();
  }

  clear() {
    if (!confirm('Delete all conversations that this browser keeps?')) return;
    this.stop();
    store.removeAll();
    this.begin();
    announce('All conversations are deleted');
  }

  remove(id) {
    store.remove(id);
    if (id === this.conversation.id) this.begin();
    else this.showList();
    announce('The conversation is deleted');
  }

  showList() {
    const now = this.conversation.id;
    const entry = ({ id, title }) => el('li', { class: id === now ? 'now' : null },
      el('button', { type: 'button', class: 'title', 'aria-current': id === now ? 'true' : null, onclick: () => {
        this.open(id);
        if (narrow.matches) this.toggle('list', false);
      } }, title),
      iconButton('bin', `Delete ${title}`, () => this.remove(id)));
    const list = store.conversations();
    fill(byId('conversations'), list.map(entry));
    byId('clear').hidden = list.length === 0;
  }

  keep() {
    const lost = store.save(this.conversation);
    if (lost) this.complain(lost);
    this.showList();
  }

  // --- what is shown

  draw() {
    this.views = new Map(this.conversation.messages.map((m) => [m, view(m, this.acts)]));
    fill(this.log, [...this.views.values()].map((v) => v.node));
    if (this.views.size === 0) this.log.append(this.welcome());
    this.complain('');
  }

  welcome() {
    const m = this.models.chosen;
    const about = [];
    if (m?.max_model_len) about.push(`${m.max_model_len.toLocaleString('en')} tokens of context`);
    if (m && this.models.abilities.has(m.id)) about.push(this.models.can('vision') ? 'text and pictures' : 'text');
    return el('div', { class: 'welcome' },
      el('h2', {}, m ? m.id : 'No model'),
      el('p', {}, this.models.trouble || (m ? about.join(' · ') : '')),
      m && m.reason ? el('p', { class: 'error' }, m.reason) : null);
  }

  modelChanged() {
    if (this.views.size === 0) fill(this.log, this.welcome());
    byId('attach').classList.toggle('off', !this.models.can('vision'));
  }

  complain(text) {
    const notice = byId('notice');
    notice.hidden = text === '';
    say(notice, text);
  }

  append(message) {
    if (this.views.size === 0) fill(this.log);
    const v = view(message, this.acts);
    this.views.set(message, v);
    this.log.append(v.node);
    return v;
  }

  fit() {
    this.question.style.height = 'auto';
    this.question.style.height = `${Math.min(this.question.scrollHeight, innerHeight * 0.4)}px`;
  }

  atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 48;
  }

  scrolled() {
    this.follows = this.atEnd();
    byId('to-end').hidden = this.follows;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.scrolled();
  }

  // --- asking

  send() {
    const text = this.question.value.trim();
    if (this.stopper || (text === '' && this.pictures.taken.length === 0)) return;
    if (!this.ready()) return;
    const message = { role: 'user', text, pictures: this.pictures.give() };
    if (message.pictures.length === 0) delete message.pictures;
    this.question.value = '';
    this.fit();
    this.conversation.messages.push(message);
    this.append(message);
    this.ask();
  }

  // Whether there is a model, and settings that can be sent.
  ready() {
    this.complain('');
    if (this.settings.wrong(() => this.toggle('settings', true))) return false;
    if (!this.models.chosen) {
      this.complain(this.models.trouble || 'There is no model to ask.');
      return false;
    }
    return true;
  }

  async ask() {
    const { conversation } = this;
    const model = this.models.chosen.id;
    conversation.model = model;
    const request = { model, messages: wire(conversation.messages, this.settings.system), ...this.settings.request() };
    const message = emptyAnswer(model);
    conversation.messages.push(message);
    const shown = this.append(message);
    this.keep();
    this.toEnd();
    const stopper = new AbortController();
    this.busy(stopper);
    announce('Answering');
    await answer(message, request, stopper.signal, this.painter(message, shown));
    if (this.stopper === stopper) this.busy(null);
    announce(message.state === 'failed' ? 'The answer has failed' : 'The answer is complete');
    if (conversation === this.conversation || store.load(conversation.id)) this.keepOne(conversation);
  }

  keepOne(conversation) {
    if (conversation === this.conversation) this.keep();
    else store.save(conversation);
  }

  // Draws what has come once for each frame, and follows it while the reader is at the end.
  painter(message, shown) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      const paint = () => {
        waiting = false;
        shown.update();
        if (this.follows && this.views.get(message) === shown) this.toEnd();
      };
      if (document.hidden) setTimeout(paint, 200);
      else requestAnimationFrame(paint);
    };
  }

  busy(stopper) {
    this.stopper = stopper;
    const wasOn = document.activeElement === byId(stopper ? 'send' : 'stop');
    byId('stop').hidden = !stopper;
    byId('send').hidden = !!stopper;
    if (wasOn) byId(stopper ? 'stop' : 'send').focus();
  }

  stop() {
    this.stopper?.abort();
    if (this.stopper) this.busy(null);
  }

  // --- what the buttons of a message do

  // Takes back a question and all that came after it, to be written anew.
  edit(message) {
    this.stop();
    this.cut(this.conversation.messages.indexOf(message));
    this.question.value = message.text;
    this.pictures.put((message.pictures ?? []).filter((p) => p.url));
    this.fit();
    this.question.focus();
  }

  again(message) {
    if (this.stopper || !this.ready()) return;
    this.cut(this.conversation.messages.indexOf(message));
    this.ask();
  }

  cut(at) {
    this.conversation.messages.length = at;
    const before = this.conversation.messages.at(-1);
    if (before?.role === 'assistant') delete before.answered;
    this.draw();
    if (at > 0) this.keep();
  }

  answerCalls(message, texts) {
    if (this.stopper || !this.ready()) return;
    message.answered = true;
    this.views.get(message).update();
    message.calls.forEach((c, i) => {
      const result = { role: 'tool', call: c.id, name: c.name, text: texts[i] };
      this.conversation.messages.push(result);
      this.append(result);
    });
    this.ask();
  }
}
