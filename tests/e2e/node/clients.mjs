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

  const completed = await client.completions.create({ model: MODEL, prompt: "Attestation is", max_tokens: 5, logprobs: 1 });
  assert.ok(completed.choices[0].logprobs.tokens.length > 0);
  const leaving = await client.chat.completions.create({ ...shared, stream: true, max_tokens: 200 });
  for await (const _ of leaving) break;
  await assert.rejects(client.chat.completions.create({ ...shared, model: "none" }), NotFoundError);
  await assert.rejects(client.chat.completions.create({ ...shared, temperature: 9 }), (error) =>
    error instanceof BadRequestError && error.param === "temperature");
}

async function vercel() {
  const { generateText, streamText } = await load("ai");
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const provider = createOpenAICompatible({ name: "vouchsafe", baseURL: endpoint });
  const shared = {
    model: provider(MODEL), prompt: messages[0].content, temperature: 0, maxOutputTokens: 60, maxRetries: 0,
  };
  const whole = await generateText(shared);
  assert.ok(whole.text.trim());
  let text = "";
  for await (const part of streamText(shared).textStream) text += part;
  assert.equal(text, whole.text);
}

await openai();
await vercel();
console.log("node clients: all expectations hold");
