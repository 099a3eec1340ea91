// JavaScript clients of the protocols beside Chat Completions against a running piohost, as check.mjs of the folder js has it: one line for each
// thing that a client can do.
//
//   node check.mjs URL
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createAnthropic } from '@ai-sdk/anthropic';
import Anthropic from '@anthropic-ai/sdk';
import { generateText, jsonSchema, streamText, tool } from 'ai';
import { Ollama } from 'ollama';
import OpenAI from 'openai';

const host = process.argv[2];
const [question, answer] = ['What is the capital of Japan?', 'The capital of Japan is Tokyo.'];
const [weather, forecast] = ['What is the weather in Oslo?', 'It is 17 degrees in Oslo.'];
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const description = 'Current weather in a city';
const plain = { chat_template_kwargs: { enable_thinking: false } };

const checks = [];
const check = (client, name, f) => checks.push({ client, name, f });
const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;

const openai = new OpenAI({ baseURL: host + '/v1', apiKey: 'none', maxRetries: 0 });
const respond = (input, more = {}) => ({ model: 'tiny', temperature: 0, input, ...plain, ...more });
check('openai', 'responses', async () => {
  const got = await openai.responses.create(respond(question));
  assert.deepEqual([got.output_text, got.status], [answer, 'completed']);
});
check('openai', 'responses: stream with reasoning', async () => {
  const stream = openai.responses.stream({ model: 'tiny', temperature: 0, input: question });
  const got = await stream.finalResponse(); // raises at an event that it does not know
  assert.deepEqual([got.output_text, got.output.map((o) => o.type)], [answer, ['reasoning', 'message']]);
});
check('openai', 'responses: tools and their result', async () => {
  const tools = [{ type: 'function', name: 'get_weather', description, parameters, strict: false }];
  const got = await openai.responses.stream(respond(weather, { tools })).finalResponse();
  const calls = got.output.filter((o) => o.type === 'function_call');
  assert.deepEqual(calls.map((c) => [c.name, c.arguments]), [['get_weather', '{"city": "Oslo"}']]);
  const items = [{ role: 'user', content: weather }, ...got.output, { type: 'function_call_output', call_id: calls[0].call_id, output: '{"degrees": 17}' }];
  assert.equal((await openai.responses.create(respond(items, { tools }))).output_text, forecast);
});

const anthropic = new Anthropic({ baseURL: host, apiKey: 'none', maxRetries: 0 });
const message = (messages, more = {}) => ({ model: 'tiny', max_tokens: 300, temperature: 0, thinking: { type: 'disabled' }, messages, ...more });
check('@anthropic-ai/sdk', 'messages', async () => {
  const got = await anthropic.messages.create(message([{ role: 'user', content: question }]));
  assert.deepEqual([got.content[0].text, got.stop_reason, got._request_id?.length > 0], [answer, 'end_turn', true]);
});
check('@anthropic-ai/sdk', 'stream with thinking', async () => {
  const stream = anthropic.messages.stream(message([{ role: 'user', content: question }], { thinking: { type: 'enabled', budget_tokens: 1024 } }));
  const got = await stream.finalMessage();
  assert.deepEqual([got.content.map((b) => b.type), got.content.at(-1).text], [['thinking', 'text'], answer]);
});
check('@anthropic-ai/sdk', 'tools and their result', async () => {
  const tools = [{ name: 'get_weather', description, input_schema: parameters }];
  const turns = [{ role: 'user', content: weather }];
  const got = await anthropic.messages.stream(message(turns, { tools })).finalMessage();
  assert.deepEqual(got.content.map((b) => [b.name, b.input]), [['get_weather', { city: 'Oslo' }]]);
  turns.push({ role: 'assistant', content: got.content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: got.content[0].id, content: '{"degrees": 17}' }] });
  assert.equal((await anthropic.messages.create(message(turns, { tools }))).content[0].text, forecast);
});
check('@anthropic-ai/sdk', 'count_tokens', async () =>
  assert.ok((await anthropic.messages.countTokens({ model: 'tiny', messages: [{ role: 'user', content: question }] })).input_tokens > 5));

const model = createAnthropic({ baseURL: host + '/v1', apiKey: 'none' })('tiny');
const common = { model, temperature: 0, maxRetries: 0, maxOutputTokens: 300 };
check('@ai-sdk/anthropic', 'chat', async () => {
  const got = await generateText({ ...common, prompt: question });
  assert.deepEqual([got.text, got.finishReason, got.reasoningText?.length > 0], [answer, 'stop', true]);
});
check('@ai-sdk/anthropic', 'stream, tools, and their result', async () => {
  const tools = { get_weather: tool({ description, inputSchema: jsonSchema(parameters) }) };
  const got = streamText({ ...common, prompt: weather, tools });
  await got.consumeStream();
  const calls = await got.toolCalls;
  assert.deepEqual(calls.map((c) => [c.toolName, c.input, c.invalid ?? false]), [['get_weather', { city: 'Oslo' }, false]]);
  const messages = [
    { role: 'user', content: weather },
    ...(await got.response).messages,
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: calls[0].toolCallId, toolName: 'get_weather', output: { type: 'json', value: { degrees: 17 } } }] },
  ];
  assert.match((await generateText({ ...common, messages, tools })).text, /17/);
});

const ollama = new Ollama({ host });
check('ollama', 'chat, streamed', async () => {
  let text = '';
  for await (const piece of await ollama.chat({ model: 'tiny', messages: [{ role: 'user', content: question }], options: { temperature: 0 }, think: false, stream: true })) text += piece.message.content;
  assert.equal(text, answer);
});
check('ollama', 'tools', async () => {
  const tools = [{ type: 'function', function: { name: 'get_weather', description, parameters } }];
  const got = await ollama.chat({ model: 'tiny', messages: [{ role: 'user', content: weather }], options: { temperature: 0 }, think: false, tools });
  assert.deepEqual(got.message.tool_calls.map((c) => [c.function.name, c.function.arguments]), [['get_weather', { city: 'Oslo' }]]);
});
check('ollama', 'models and embeddings', async () => {
  assert.deepEqual((await ollama.list()).models.map((m) => m.name), ['tiny', 'tiny-vl']);
  assert.equal((await ollama.embed({ model: 'tiny', input: ['Tokyo', 'Oslo'] })).embeddings.length, 2);
});

let missed = 0;
for (const { client, name, f } of checks) {
  let problem = '';
  try {
    await f();
  } catch (e) {
    problem = `${e.name}: ${e.message}`.replace(/\s+/g, ' ').slice(0, 300);
    missed++;
  }
  console.log(`${(problem ? 'FAIL' : 'ok').padEnd(5)} js ${client} ${version(client)}: ${name}${problem ? `: ${problem}` : ''}`);
}
process.exit(missed ? 1 : 0);
