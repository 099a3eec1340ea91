// The models there are to talk with, and what each can.

import { json } from './api.js';
import { el, fill } from './dom.js';
import { percent } from './format.js';

const chosenKey = 'pio.model';

export class Models {
  /** changed is called when another model is chosen, or one has come or gone. */
  constructor(select, changed) {
    Object.assign(this, { select, changed, list: [], abilities: new Map(), trouble: '' });
    select.addEventListener('change', () => {
      localStorage.setItem(chosenKey, select.value);
      this.learn();
      changed();
    });
  }

  get chosen() {
    return this.list.find((m) => m.id === this.select.value) ?? null;
  }

  choose(id) {
    if (this.list.some((m) => m.id === id)) this.select.value = id;
    this.learn();
  }

  /** Asks the host; what goes wrong stands in trouble, in words. */
  async refresh() {
    try {
      this.list = (await json('/v1/models')).data;
      this.trouble = '';
    } catch (e) {
      this.trouble = e.words ?? e.message;
    }
    this.show();
    await this.learn();
    this.changed();
  }

  show() {
    const wanted = this.select.value || localStorage.getItem(chosenKey);
    const text = JSON.stringify(this.list.map((m) => [m.id, labelOf(m)]));
    if (text !== this.shown) {
      this.shown = text;
      fill(this.select, this.list.length > 0 ? this.list.map((m) => el('option', { value: m.id }, labelOf(m))) : el('option', { value: '' }, 'no models'));
      if (this.list.some((m) => m.id === wanted)) this.select.value = wanted;
    }
  }

  // What the chosen model can; one that is not loaded does not say.
  async learn() {
    const m = this.chosen;
    if (!m || m.state !== 'ready' || this.abilities.has(m.id)) return;
    try {
      const { capabilities } = await json('/api/show', { method: 'POST', body: { model: m.id } });
      this.abilities.set(m.id, capabilities);
      this.changed();
    } catch {
      // then it is asked with the next look
    }
  }

  /** Whether the chosen model can something; true as long as nobody knows. */
  can(ability) {
    const known = this.abilities.get(this.select.value);
    return !known || known.includes(ability);
  }
}

function labelOf(m) {
  if (m.state === 'ready') return m.id;
  const part = m.progress?.total ? ` ${percent(m.progress.done / m.progress.total)}` : '';
  return `${m.id} (${m.state}${part})`;
}
