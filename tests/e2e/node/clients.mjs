// The official `openai` package and the Vercel AI SDK against a running endpoint.
//
// Usage: clients.mjs NODE_MODULES ENDPOINT. Exits 0 when every expectation holds.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, endpoint] = process.argv.slice(2);
const { resolve } = createRequire(join(modules, "x.js"));
const load = (name) => import(pathToFileURL(resolve(name)));
const MODEL = "vouchsafe-demo";
const messages = [{ role: "user", content: "What does a receipt prove?" }];
const verdict = {
  type: "object",
  properties: { proved: { type: "boolean" }, level: { enum: ["attested", "settled"] } },
  required: ["proved", "level"],
  additionalProperties: false,
};
const isVerdict = (value) => typeof value.proved === "boolean" && verdict.properties.level.enum.includes(value.level);

async function openai() {
  const { OpenAI, NotFoundError, BadRequestError } = await load("openai");
  const client = new OpenAI({ baseURL: endpoint, apiKey: "unused", maxRetries: 0 });
  const shared = { model: MODEL, messages, temperature: 0, max_tokens: 60 };
  const whole = await client.chat.completions.create(shared);
  const content = whole.choices[0].message.content;
  assert.ok(content.trim());

  let text = "";
  let usage;
  const stream = await client.chat.completions.create({
    ...shared, stream: true, stream_options: { include_usage: true }, logprobs: true, top_logprobs: 2,
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    assert.ok((chunk.choices[0]?.logprobs?.content ?? []).every((token) => token.top_logprobs.length === 2));
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, content);
  assert.deepEqual(usage, whole.usage);

  const response_format = { type: "json_schema", json_schema: { name: "verdict", schema: verdict, strict: true } };
  const formed = await client.chat.completions.create({ ...shared, response_format, max_tokens: 200 });
  assert.ok(isVerdict(JSON.parse(formed.choices[0].message.content)));

  const tools = [{ type: "function", function: { name: "verify", parameters: verdict } }];
  const asked = { ...shared, tools, tool_choice: "required", parallel_tool_calls: false, max_tokens: 200 };
  const called = (await client.chat.completions.create(asked)).choices[0];
  assert.equal(called.finish_reason, "tool_calls");
  const [call] = called.message.tool_calls;
  assert.ok(call.function.name === "verify" && isVerdict(JSON.parse(call.function.arguments)));
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
  const history = [...messages, called.message, { role: "tool", tool_call_id: call.id, content: "accepted" }];
  const after = await client.chat.completions.create({ ...shared, messages: history, max_tokens: 20 });
  assert.ok(after.choices[0].message.content);

  const input = { model: MODEL, input: messages[0].content, temperature: 0, max_output_tokens: 60 };
  const response = await client.responses.create(input);
  assert.equal(response.output_text, content);
  let streamedText = "";
  for await (const event of await client.responses.create({ ...input, stream: true })) {
    if (event.type === "response.output_text.delta") streamedText += event.delta;
  }
  assert.equal(streamedText, content);

  const text2 = await client.completions.create({ model: MODEL, prompt: "Attestation is", max_tokens: 5, logprobs: 1 });
  assert.ok(text2.choices[0].logprobs.tokens.length > 0);
  const leaving = await client.chat.completions.create({ ...shared, stream: true, max_tokens: 200 });
  for await (const _ of leaving) break;
  await assert.rejects(client.chat.completions.create({ ...shared, model: "none" }), NotFoundError);
  await assert.rejects(client.chat.completions.create({ ...shared, temperature: 9 }), (error) =>
    error instanceof BadRequestError && error.param === "temperature");
}

async function vercel() {
  const { generateText, streamText, generateObject, tool, jsonSchema } = await load("ai");
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const provider = createOpenAICompatible({ name: "vouchsafe", baseURL: endpoint, supportsStructuredOutputs: true });
  const shared = {
    model: provider(MODEL), prompt: messages[0].content, temperature: 0, maxOutputTokens: 60, maxRetries: 0,
  };
  const whole = await generateText(shared);
  assert.ok(whole.text.trim());
  let text = "";
  for await (const part of streamText(shared).textStream) text += part;
  assert.equal(text, whole.text);
  const { object } = await generateObject({ ...shared, schema: jsonSchema(verdict), maxOutputTokens: 200 });
  assert.ok(isVerdict(object));
  const tools = { verify: tool({ description: "Verifies.", inputSchema: jsonSchema(verdict) }) };
  const { toolCalls } = await generateText({ ...shared, tools, toolChoice: "required", maxOutputTokens: 200 });
  assert.ok(toolCalls.length > 0 && toolCalls.every((call) => call.toolName === "verify" && isVerdict(call.input)));
}

await openai();
await vercel();
console.log("node clients: all expectations hold");
