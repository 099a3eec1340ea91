// The settings of a conversation: what stands before it, how words are drawn, which tools a model may call. All are left out of a request until
// they are set: then the model's own hold.

import { el, fill, iconButton } from './dom.js';
import { keepSettings, settings as stored } from './store.js';

const number = (name, label, help, min, max, step) => ({ kind: 'number', name, label, help, min, max, step });
const whole = (name, label, help, min, max) => number(name, label, help, min, max, 1);

const groups = [
  ['', [
    { kind: 'text', name: 'system', label: 'System message', help: 'Stands before every conversation.', rows: 3 },
    { kind: 'choice', name: 'reasoning_effort', label: 'Thinking', help: 'Most models know no degrees.', choices: [['', 'as the model does'], ['none', 'none'], ['low', 'low'], ['medium', 'medium'], ['high', 'high']] },
    whole('max_tokens', 'Most tokens', 'Of an answer. Without it what the context holds.', 1),
  ]],
  ['Sampling', [
    number('temperature', 'Temperature', '0 takes the likeliest.', 0, 2, 0.1),
    number('top_p', 'Top p', 'Tokens that are together so likely.', 0.01, 1, 0.01),
    whole('top_k', 'Top k', 'So many of the likeliest; -1 is all.', -1),
    number('min_p', 'Min p', 'Relative to the likeliest.', 0, 1, 0.01),
    { kind: 'seed', name: 'seed', label: 'Seed', help: 'With it the same answer comes again.' },
    number('presence_penalty', 'Presence penalty', '-2 to 2', -2, 2, 0.1),
    number('frequency_penalty', 'Frequency penalty', '-2 to 2', -2, 2, 0.1),
    number('repetition_penalty', 'Repetition penalty', '1 is none.', 0.01, 100, 0.01),
    { kind: 'lines', name: 'stop', label: 'Stop at', help: 'A text on each line, at most 16.', rows: 2 },
  ]],
  ['Structure', [
    { kind: 'json', name: 'tools', label: 'Tools', help: 'A JSON list as the API has it. Calls are shown, and you answer them.', rows: 4, list: true },
    { kind: 'choice', name: 'tool_choice', label: 'Calls', help: 'With tools.', choices: [['', 'as the model likes'], ['required', 'one at least'], ['none', 'none']] },
    { kind: 'json', name: 'schema', label: 'Answer as JSON', help: 'A JSON Schema that the answer is held to.', rows: 3 },
  ]],
];

const fields = groups.flatMap(([, list]) => list);

/** The panel of settings. */
export class Settings {
  constructor(node, close) {
    this.values = stored();
    this.inputs = new Map();
    fill(node,
      el('div', { class: 'panel-head' }, el('h2', {}, 'Settings'), iconButton('close', 'Close settings', close)),
      el('form', { class: 'fields', onsubmit: (e) => e.preventDefault() }, groups.map(([title, list]) => this.group(title, list))),
      el('button', { type: 'button', class: 'button quiet', onclick: () => this.reset() }, 'Back to the model’s own'));
    this.node = node;
  }

  group(title, list) {
    return el('fieldset', {}, title ? el('legend', {}, title) : null, list.map((f) => this.field(f)));
  }

  field(f) {
    const id = `set-${f.name}`;
    const value = this.values[f.name] ?? '';
    const input = inputs[f.kind](f, { id, name: f.name, value, 'aria-describedby': `${id}-help`, oninput: () => this.changed(f) });
    this.inputs.set(f.name, input);
    return el('div', { class: `field ${f.kind}` }, el('label', { for: id }, f.label), input, el('p', { class: 'help', id: `${id}-help` }, f.help));
  }

  changed(f) {
    const input = this.inputs.get(f.name);
    input.setCustomValidity(complaint(f, input.value));
    input.setAttribute('aria-invalid', String(!input.checkValidity()));
    if (input.value === '') delete this.values[f.name];
    else this.values[f.name] = input.value;
    keepSettings(this.values);
  }

  reset() {
    this.values = {};
    keepSettings({});
    for (const input of this.inputs.values()) {
      input.value = '';
      input.setCustomValidity('');
      input.removeAttribute('aria-invalid');
    }
  }

  /** Shows the first field that is wrong, and says whether there is one. */
  wrong(open) {
    for (const f of fields) {
      const input = this.inputs.get(f.name);
      input.setCustomValidity(complaint(f, input.value));
      if (!input.checkValidity()) {
        open();
        input.reportValidity();
        return true;
      }
    }
    return false;
  }

  get system() {
    return this.values.system ?? '';
  }

  /** The fields of a request. */
  request() {
    const r = {};
    for (const f of fields) {
      const text = this.values[f.name];
      if (text === undefined || f.name === 'system' || (f.name === 'tool_choice' && !this.values.tools)) continue;
      Object.assign(r, f.name === 'schema' ? held(JSON.parse(text)) : { [f.name]: meaning(f, text) });
    }
    return r;
  }
}

const held = (schema) => ({ response_format: { type: 'json_schema', json_schema: { name: 'answer', schema } } });

function meaning(f, text) {
  switch (f.kind) {
    case 'number':
    case 'seed':
      return Number(text);
    case 'json':
      return JSON.parse(text);
    case 'lines':
      return text.split('\n').filter((l) => l !== '');
  }
  return text;
}

// Why a value cannot be sent, '' if it can. What else is wrong with it the host says.
function complaint(f, text) {
  if (text === '') return '';
  if (f.kind === 'seed' && !Number.isSafeInteger(Number(text))) return 'A seed is a whole number.';
  if (f.kind !== 'json') return '';
  try {
    const value = JSON.parse(text);
    if (f.list && !Array.isArray(value)) return 'Tools are a list: [{"type": "function", "function": {...}}]';
    return typeof value === 'object' && value !== null ? '' : 'A schema is an object.';
  } catch (e) {
    return `This is no JSON: ${e.message}`;
  }
}

const area = (f, props) => el('textarea', { rows: f.rows, spellcheck: f.kind === 'text' ? null : 'false', placeholder: f.kind === 'text' ? null : '', ...props });

const inputs = {
  number: (f, props) => el('input', { type: 'number', min: f.min, max: f.max, step: f.step === 1 ? 1 : 'any', placeholder: 'the model’s', inputmode: 'decimal', ...props }),
  seed: (f, props) => el('input', { type: 'text', inputmode: 'numeric', placeholder: 'drawn anew', autocomplete: 'off', ...props }),
  text: area,
  lines: area,
  json: area,
  choice: (f, props) => {
    const select = el('select', props, f.choices.map(([value, label]) => el('option', { value }, label)));
    select.value = props.value;
    return select;
  },
};
