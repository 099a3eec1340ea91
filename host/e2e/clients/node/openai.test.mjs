// The npm client openai talks to a running piohost at PIO_BASE_URL, as a user's program does: the same matrix as the Go tests beside
// this folder. host/e2e starts the host, installs what package-lock.json names, and runs this with node --test.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import OpenAI from 'openai';

const url = process.env.PIO_BASE_URL;
if (!url) throw new Error('PIO_BASE_URL is not set; run this through host/e2e');

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const model = 'tiny';
const seer = 'tiny-vl';
const answer = 'The capital of Japan is Tokyo.';
const plain = { chat_template_kwargs: { enable_thinking: false } };

const ask = (question, fields = {}) => ({
  model,
  temperature: 0,
  messages: [{ role: 'user', content: question }],
  ...plain,
  ...fields,
});
const capital = (fields) => ask('What is the capital of Japan?', fields);

const weather = (fields) =>
  ask('What is the weather in Oslo?', {
    tools: [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'Current weather in a city',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        },
      },
    ],
    ...fields,
  });

const create = (body) => client.chat.completions.create(body);

// stream returns the whole answer that the client's own accumulator makes of a stream, and its chunks.
async function stream(body) {
  const runner = client.chat.completions.stream(body);
  const chunks = [];
  for await (const chunk of runner) chunks.push(chunk);
  return { whole: await runner.finalChatCompletion(), chunks };
}

test('models', async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.deepEqual(ids, [model, seer]);
  assert.equal((await client.models.retrieve(model)).id, model);
});

test('chat', async () => {
  const got = await create(capital());
  assert.equal(got.choices[0].message.content, answer);
  assert.equal(got.choices[0].message.role, 'assistant');
  assert.equal(got.choices[0].finish_reason, 'stop');
  assert.equal(got.usage.total_tokens, got.usage.prompt_tokens + got.usage.completion_tokens);
});

test('chat, streamed', async () => {
  const { whole, chunks } = await stream(capital({ stream_options: { include_usage: true } }));
  assert.equal(whole.choices[0].message.content, answer);
  assert.equal(whole.choices[0].finish_reason, 'stop');
  assert.ok(chunks.length > 5);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
});

test('picture', async () => {
  const url = `data:image/png;base64,${readFileSync(process.env.PIO_PICTURE).toString('base64')}`;
  const content = [
    { type: 'image_url', image_url: { url, detail: 'low' } },
    { type: 'text', text: 'What is in the picture?' },
  ];
  const body = { model: seer, temperature: 0, messages: [{ role: 'user', content }] };
  assert.equal((await create(body)).choices[0].message.content, 'A blue circle.');
  assert.equal((await stream(body)).whole.choices[0].message.content, 'A blue circle.');
  await assert.rejects(create({ ...body, model }), { status: 400, param: 'messages' });
});

test('completion', async () => {
  const prompt = '<|im_start|>user\nSpell rose.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';
  const body = { model, prompt, temperature: 0, max_tokens: 20, logprobs: 2, echo: false };
  const got = await client.completions.create(body);
  assert.equal(got.choices[0].text, 'r-o-s-e');
  const { tokens, token_logprobs, top_logprobs, text_offset } = got.choices[0].logprobs;
  assert.equal(tokens.length, got.usage.completion_tokens);
  assert.equal(tokens.slice(0, -1).join(''), 'r-o-s-e');
  tokens.forEach((t, i) => assert.equal(top_logprobs[i][t], token_logprobs[i]));
  assert.equal(text_offset.at(-1), 'r-o-s-e'.length);
  let streamed = '';
  for await (const chunk of await client.completions.create({ ...body, logprobs: undefined, echo: true, stream: true })) {
    streamed += chunk.choices[0].text;
  }
  assert.equal(streamed, `${prompt}r-o-s-e`);
});

test('tools: call, result, answer', async () => {
  const body = weather();
  const { message, finish_reason } = (await create(body)).choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, null);
  assert.equal(message.tool_calls.length, 1);
  const [{ id, type, function: f }] = message.tool_calls;
  assert.deepEqual([type, f.name, JSON.parse(f.arguments)], ['function', 'get_weather', { city: 'Oslo' }]);
  const result = { role: 'tool', tool_call_id: id, content: '{"degrees": 17}' };
  const got = await create({ ...body, messages: [...body.messages, message, result] });
  assert.equal(got.choices[0].message.content, 'It is 17 degrees in Oslo.');
  assert.equal(got.choices[0].finish_reason, 'stop');
});

test('tools, streamed: call, result, answer', async () => {
  const body = weather();
  const { whole, chunks } = await stream(body);
  const { message, finish_reason } = whole.choices[0];
  assert.equal(finish_reason, 'tool_calls');
  const [{ id, function: f }] = message.tool_calls;
  assert.deepEqual([f.name, JSON.parse(f.arguments)], ['get_weather', { city: 'Oslo' }]);
  const pieces = chunks.flatMap((c) => c.choices[0].delta.tool_calls ?? []);
  assert.deepEqual([pieces[0].index, pieces[0].id, pieces[0].type, pieces[0].function.name], [0, id, 'function', 'get_weather']);
  assert.ok(pieces.slice(1).every((p) => p.id === undefined && p.function.name === undefined), 'the name comes once');
  assert.equal(pieces.map((p) => p.function.arguments).join(''), f.arguments);
  const result = { role: 'tool', tool_call_id: id, content: [{ type: 'text', text: '{"degrees": 17}' }] };
  const next = await stream({ ...body, messages: [...body.messages, message, result] });
  assert.equal(next.whole.choices[0].message.content, 'It is 17 degrees in Oslo.');
});

test('the client runs the tools itself', async () => {
  const seen = [];
  const body = weather();
  body.tools[0].function.function = ({ city }) => {
    seen.push(city);
    return { degrees: 17 };
  };
  body.tools[0].function.parse = JSON.parse;
  const runner = client.chat.completions.runTools(body);
  assert.equal(await runner.finalContent(), 'It is 17 degrees in Oslo.');
  assert.deepEqual(seen, ['Oslo']);
});

test('tool_choice', async () => {
  const { messages } = capital();
  for (const tool_choice of ['required', { type: 'function', function: { name: 'get_weather' } }]) {
    const got = await create(weather({ messages, tool_choice, parallel_tool_calls: false }));
    assert.deepEqual(got.choices[0].message.tool_calls.map((c) => c.function.name), ['get_weather']);
  }
  const none = await create(weather({ tool_choice: 'none' }));
  assert.equal(none.choices[0].message.tool_calls, undefined);
  assert.equal(none.choices[0].finish_reason, 'stop');
});

test('reasoning', async () => {
  const thinking = capital({ chat_template_kwargs: { enable_thinking: true } });
  const got = await create(thinking);
  assert.equal(got.choices[0].message.content, answer);
  assert.equal(got.choices[0].message.reasoning_content, 'I know this.');
  assert.ok(got.usage.completion_tokens_details.reasoning_tokens > 0);
  const { chunks } = await stream(thinking);
  const deltas = chunks.map((c) => c.choices[0].delta);
  assert.equal(deltas.map((d) => d.reasoning_content ?? '').join(''), 'I know this.');
  assert.equal(deltas.map((d) => d.content ?? '').join(''), answer);
});

test('logprobs', async () => {
  const body = capital({ logprobs: true, top_logprobs: 3 });
  const got = await create(body);
  const { content } = got.choices[0].logprobs;
  assert.equal(content.length, got.usage.completion_tokens);
  assert.equal(Buffer.from(content.flatMap((e) => e.bytes)).toString(), `${answer}<|im_end|>`);
  for (const e of content) {
    assert.ok(e.logprob <= 0);
    assert.equal(e.top_logprobs.length, 3);
    assert.equal(e.top_logprobs[0].token, e.token); // greedy
  }
  const { whole } = await stream(body);
  assert.deepEqual(whole.choices[0].logprobs.content, content);
});

test('stop strings across the borders of tokens', async () => {
  for (const [stop, want] of [
    ['l of Jap', 'The capita'],
    [['never', 'is T'], 'The capital of Japan '],
    [['Tokyo!'], answer],
  ]) {
    const { whole, chunks } = await stream(capital({ stop }));
    assert.equal(whole.choices[0].message.content, want);
    assert.equal(whole.choices[0].finish_reason, 'stop');
    let shown = '';
    for (const c of chunks) assert.ok(want.startsWith((shown += c.choices[0].delta.content ?? '')), `${shown} was shown`);
    assert.equal((await create(capital({ stop }))).choices[0].message.content, want);
  }
});

test('n = 2', async () => {
  const hot = capital({ n: 2, temperature: 2, top_p: 1, top_k: 0, seed: 7, max_tokens: 12, ignore_eos: true });
  const texts = (completion) => completion.choices.map((c) => c.message.content);
  const first = await create(hot);
  assert.notEqual(...texts(first));
  assert.equal(first.usage.completion_tokens, 24);
  assert.deepEqual(texts(await create(hot)), texts(first));
  assert.deepEqual(texts((await stream(hot)).whole), texts(first));
  assert.deepEqual(texts(await create(capital({ n: 2 }))), [answer, answer]);
});

test('max_tokens', async () => {
  for (const limit of [{ max_tokens: 4 }, { max_completion_tokens: 4 }]) {
    const got = await create(capital(limit));
    assert.equal(got.choices[0].finish_reason, 'length');
    assert.equal(got.usage.completion_tokens, 4);
    assert.ok(answer.startsWith(got.choices[0].message.content));
  }
});

test('content in parts', async () => {
  const content = [
    { type: 'text', text: 'What is the ' },
    { type: 'text', text: 'capital of Japan?' },
  ];
  assert.equal((await create(capital({ messages: [{ role: 'user', content }] }))).choices[0].message.content, answer);
});

test('errors', async () => {
  for (const [fields, status, code, param] of [
    [{ model: 'none' }, 404, 'model_not_found', 'model'],
    [{ top_p: 7 }, 400, null, 'top_p'],
    [{ n: 1000 }, 400, null, 'n'],
    [{ tool_choice: 'required' }, 400, null, 'tool_choice'],
    [{ messages: [{ role: 'user', content: 'What is the capital of Japan? '.repeat(1000) }] }, 400, 'context_length_exceeded', 'messages'],
  ]) {
    for (const streamed of [false, true]) {
      const failing = create(capital({ ...fields, stream: streamed }));
      await assert.rejects(failing, (e) => {
        assert.ok(e instanceof OpenAI.APIError);
        assert.deepEqual([e.status, e.code, e.param], [status, code, param]);
        assert.equal(e.type, 'invalid_request_error');
        assert.ok(e.message.length > 20);
        return true;
      });
    }
  }
});

test('a client may leave', async () => {
  const running = await create(capital({ stream: true, n: 2, ignore_eos: true }));
  let chunks = 0;
  for await (const _ of running) if (++chunks === 4) break; // aborts the request
  assert.equal(chunks, 4);
  assert.equal((await create(capital())).choices[0].message.content, answer);
});

// The client asks for base64 by itself and makes numbers of it; asked for numbers it gets the same.
test('embeddings', async () => {
  const input = ['The capital of Japan is Tokyo.', 'What is 27 + 38?'];
  const got = await client.embeddings.create({ model, input });
  const numbers = await client.embeddings.create({ model, input, encoding_format: 'float' });
  assert.equal(got.data.length, 2);
  assert.deepEqual(got.data.map((e) => [...e.embedding].map(Math.fround)), numbers.data.map((e) => e.embedding.map(Math.fround)));
  assert.notDeepEqual(got.data[0].embedding, got.data[1].embedding);
  assert.equal(got.usage.prompt_tokens, got.usage.total_tokens);
});
