// JavaScript clients against a running piohost, as check.py beside this folder has it for Python: one line for each thing that a client can do.
//
//   node check.mjs URL
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from 'ai';

const baseURL = process.argv[2] + '/v1';
const [question, answer] = ['What is the capital of Japan?', 'The capital of Japan is Tokyo.'];
const [weather, forecast] = ['What is the weather in Oslo?', 'It is 17 degrees in Oslo.'];
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
// what a model this small, which has learnt to write no JSON, comes to the end of
const short = { type: 'object', properties: { city: { type: 'string', maxLength: 12 } }, required: ['city'], additionalProperties: false };
const definition = { type: 'function', function: { name: 'get_weather', description: 'Current weather in a city', parameters } };
const plain = { chat_template_kwargs: { enable_thinking: false } };

const checks = [];
const check = (client, name, f, known) => checks.push({ client, name, f, known });
const version = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;

const compatible = createOpenAICompatible({
  name: 'pio',
  baseURL,
  includeUsage: true,
  supportsStructuredOutputs: true,
  transformRequestBody: (body) => ({ ...body, ...plain }),
});
const common = { model: compatible('tiny'), temperature: 0, maxRetries: 0 };
const tools = { get_weather: tool({ description: 'Current weather in a city', inputSchema: jsonSchema(parameters) }) };

check('@ai-sdk/openai-compatible', 'chat', async () => {
  const got = await generateText({ ...common, prompt: question });
  assert.deepEqual([got.text, got.finishReason, got.usage.outputTokens > 0], [answer, 'stop', true]);
});
check('@ai-sdk/openai-compatible', 'stream', async () => {
  const got = streamText({ ...common, prompt: question });
  let text = '';
  for await (const piece of got.textStream) text += piece;
  assert.deepEqual([text, await got.finishReason, (await got.usage).outputTokens > 0], [answer, 'stop', true]);
});
check('@ai-sdk/openai-compatible', 'tools, streamed, and their result', async () => {
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
check('@ai-sdk/openai-compatible', 'reasoning effort', async () => {
  const bare = createOpenAICompatible({ name: 'pio', baseURL });
  const got = await generateText({ ...common, model: bare('tiny'), prompt: question, providerOptions: { pio: { reasoningEffort: 'none' } } });
  assert.deepEqual([got.text, got.reasoningText ?? ''], [answer, '']);
});
check('@ai-sdk/openai-compatible', 'object by schema', () =>
  generateObject({ ...common, prompt: weather, schema: jsonSchema(short) }));
check('@ai-sdk/openai-compatible', 'embeddings', async () => {
  const got = await embedMany({ model: compatible.textEmbeddingModel('tiny'), values: ['Tokyo', 'Oslo'], maxRetries: 0 });
  assert.equal(got.embeddings.length, 2);
});

const openai = createOpenAI({ baseURL, apiKey: 'none' });
check('@ai-sdk/openai', 'chat', async () => {
  const got = await generateText({ ...common, model: openai.chat('tiny'), prompt: question });
  assert.match(got.text, /Tokyo/);
});
check('@ai-sdk/openai', 'responses', async () => {
  const got = await generateText({ ...common, model: openai.responses('tiny'), prompt: question });
  assert.deepEqual([got.text, got.finishReason, got.reasoningText?.length > 0], [answer, 'stop', true]);
});
check('@ai-sdk/openai', 'responses: stream, tools, and their result', async () => {
  const got = streamText({ ...common, model: openai.responses('tiny'), prompt: weather, tools });
  await got.consumeStream();
  const calls = await got.toolCalls;
  assert.deepEqual(calls.map((c) => [c.toolName, c.input, c.invalid ?? false]), [['get_weather', { city: 'Oslo' }, false]]);
  const messages = [
    { role: 'user', content: weather },
    ...(await got.response).messages,
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: calls[0].toolCallId, toolName: 'get_weather', output: { type: 'json', value: { degrees: 17 } } }] },
  ];
  assert.match((await generateText({ ...common, model: openai.responses('tiny'), messages, tools })).text, /17/);
});
check('@ai-sdk/openai', 'responses: object by schema', () =>
  generateObject({ ...common, model: openai.responses('tiny'), prompt: weather, schema: jsonSchema(short) }));

const chain = (more = {}) => new ChatOpenAI({ model: 'tiny', temperature: 0, maxRetries: 0, apiKey: 'none', configuration: { baseURL }, modelKwargs: plain, ...more });
check('@langchain/openai', 'chat', async () => assert.equal((await chain().invoke(question)).content, answer));
check('@langchain/openai', 'stream and tools', async () => {
  const model = chain().bindTools([definition]);
  let whole;
  for await (const piece of await model.stream(weather)) whole = whole ? whole.concat(piece) : piece;
  assert.deepEqual(whole.tool_calls.map((c) => [c.name, c.args]), [['get_weather', { city: 'Oslo' }]]);
  const result = new ToolMessage({ content: '{"degrees": 17}', tool_call_id: whole.tool_calls[0].id });
  assert.equal((await model.invoke([new HumanMessage(weather), whole, result])).content, forecast);
});
check('@langchain/openai', 'structured output by json_schema', () =>
  chain().withStructuredOutput(short, { name: 'get_weather', method: 'jsonSchema' }).invoke(weather));


let missed = 0;
for (const { client, name, f, known } of checks) {
  let problem = '';
  try {
    await f();
  } catch (e) {
    problem = `${e.name}: ${e.message}`.replace(/\s+/g, ' ').slice(0, 300);
  }
  let verdict = problem ? 'FAIL' : 'ok';
  if (known) {
    verdict = problem ? 'known' : 'FAIL';
    problem = problem ? known : `works, although it is known not to: ${known}`;
  }
  if (verdict === 'FAIL') missed++;
  console.log(`${verdict.padEnd(5)} js ${client} ${version(client)}: ${name}${problem ? `: ${problem}` : ''}`);
}
process.exit(missed ? 1 : 0);
