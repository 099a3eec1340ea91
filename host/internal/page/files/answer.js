// An answer as it comes: what is asked for, and what the deltas of its stream add up to.

import { call, events, Problem } from './api.js';

/** A message of the assistant that nothing is known of yet. */
export const emptyAnswer = (model) => ({ role: 'assistant', model, text: '', reasoning: '', calls: [], state: 'waiting' });

/** The messages of a conversation as the API has them. */
export function wire(messages, system) {
  const list = system ? [{ role: 'system', content: system }] : [];
  for (const m of messages) {
    if (m.role === 'user') list.push({ role: 'user', content: userContent(m) });
    else if (m.role === 'tool') list.push({ role: 'tool', tool_call_id: m.call, content: m.text });
    else if (m.text || m.reasoning || m.calls.length > 0) list.push(assistant(m));
  }
  return list;
}

function userContent(m) {
  const seen = (m.pictures ?? []).filter((p) => p.url);
  if (seen.length === 0) return m.text;
  const parts = seen.map((p) => ({ type: 'image_url', image_url: { url: p.url } }));
  return m.text ? [...parts, { type: 'text', text: m.text }] : parts;
}

function assistant(m) {
  const said = { role: 'assistant', content: m.text };
  if (m.reasoning) said.reasoning_content = m.reasoning;
  if (m.calls.length > 0) {
    said.content ||= null;
    said.tool_calls = m.calls.map((c) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.arguments } }));
  }
  return said;
}

/** Asks for an answer and fills message as it comes; changed is called whenever it has grown. It never throws: message says what went wrong. */
export async function answer(message, request, signal, changed) {
  const begun = performance.now();
  try {
    const response = await call('/v1/chat/completions', {
      method: 'POST', signal, body: { ...request, stream: true, stream_options: { include_usage: true } },
    });
    message.state = 'reading';
    await read(message, response, begun, changed);
    message.state = 'done';
  } catch (e) {
    if (e.name === 'AbortError') message.state = 'stopped';
    else Object.assign(message, { state: 'failed', error: e instanceof Problem ? e.words : `The answer broke off: ${e.message}` });
  }
  delete message.waits;
  changed();
}

async function read(message, response, begun, changed) {
  let ended = false;
  for await (const { data, comment } of events(response)) {
    if (comment !== undefined) {
      message.waits = comment;
    } else if (data === '[DONE]') {
      ended = true;
    } else {
      delete message.waits;
      take(message, JSON.parse(data), begun);
    }
    changed();
  }
  if (!ended) throw new Problem('the answer broke off: the host has closed the connection');
}

function take(message, chunk, begun) {
  if (chunk.error) throw new Problem(chunk.error.message, { code: chunk.error.code ?? '' });
  if (chunk.usage) message.usage = { ...pick(chunk.usage), ...chunk.timings };
  for (const { delta, finish_reason: finish } of chunk.choices ?? []) {
    if (delta.reasoning_content) {
      message.state = 'thinking';
      message.reasoning += delta.reasoning_content;
      message.thought = (performance.now() - begun) / 1000;
    }
    if (delta.content) {
      message.state = 'answering';
      message.text += delta.content;
    }
    for (const piece of delta.tool_calls ?? []) grow(message.calls, piece);
    if (finish) message.finish = finish;
  }
}

const pick = (usage) => ({ prompt: usage.prompt_tokens, completion: usage.completion_tokens, cached: usage.prompt_tokens_details?.cached_tokens ?? 0 });

// A call comes in pieces, of which the first has its name.
function grow(calls, piece) {
  calls[piece.index] ??= { id: piece.id, name: '', arguments: '' };
  calls[piece.index].name += piece.function?.name ?? '';
  calls[piece.index].arguments += piece.function?.arguments ?? '';
}
