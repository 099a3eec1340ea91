// The host's API: requests with the key that the user has given, errors in words, and streams of events.

let key = sessionStorage.getItem('pio.key') ?? '';
let asking = null; // the question under way
let ask = async () => '';

/** Says how a user is asked for a key: with a sentence, for a promise of the key, '' if there is none. */
export function onKey(how) {
  ask = how;
}

/** What went wrong, in words; code and status are the API's. */
export class Problem extends Error {
  constructor(message, { status = 0, code = '', after = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, after });
  }

  /** A sentence for people. */
  get words() {
    const text = this.message.charAt(0).toUpperCase() + this.message.slice(1);
    const end = /[.!?]$/.test(text) ? '' : '.';
    return `${text}${end}${this.after ? ` Another attempt is worth it in ${this.after} s.` : ''}`;
  }
}

/** Asks the user for another key than the one there is, and says whether there is one now. */
export async function changeKey(reason) {
  asking ??= ask(reason).finally(() => {
    asking = null;
  });
  const given = await asking;
  if (!given) return false;
  key = given;
  sessionStorage.setItem('pio.key', key);
  return true;
}

/** Sends a request; the answer is good, or a Problem is thrown. body is sent as JSON. */
export async function call(path, { method = 'GET', body, signal, quiet = false } = {}) {
  for (;;) {
    const shown = key;
    const response = await send(path, { method, body, signal }, shown);
    if (response.ok) return response;
    const problem = await problemOf(response);
    const stale = key !== shown; // another request has asked meanwhile
    if (response.status !== 401 || quiet || (!stale && !(await changeKey(shown ? 'It does not know the key that it was shown.' : '')))) throw problem;
  }
}

async function send(path, { method, body, signal }, shown) {
  const headers = {};
  if (shown) headers.Authorization = `Bearer ${shown}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  try {
    return await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: 'no-store', redirect: 'error' });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem('the host does not answer; is it running?', { code: 'unreachable' });
  }
}

/** The answer as JSON. */
export const json = async (path, options) => (await call(path, options)).json();

async function problemOf(response) {
  const after = Number(response.headers.get('Retry-After')) || 0;
  const about = { status: response.status, after };
  let text = '';
  try {
    text = await response.text();
    const { error } = JSON.parse(text);
    if (typeof error === 'string') return new Problem(error, about);
    return new Problem(error.message, { ...about, code: error.code ?? '' });
  } catch {
    return new Problem(`the host answered with ${response.status} ${response.statusText}${text ? `: ${text.slice(0, 200)}` : ''}`, about);
  }
}

/** The events of a stream, as they come: {data} or {comment}. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith('data:')) yield { data: line.slice(5).trimStart() };
        else if (line.startsWith(':')) yield { comment: line.slice(1).trim() };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
