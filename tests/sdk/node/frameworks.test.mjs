// Vercel's `ai` with four of its providers, and the stock Anthropic package, against a running `steam dev`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

const info = JSON.parse(readFileSync(process.env.STEAM_INFO, "utf8"));
const [model] = info.models;
const at = { baseURL: info.base_url, apiKey: info.api_key };
const compatible = createOpenAICompatible({ name: "steam", includeUsage: true, supportsStructuredOutputs: true, ...at });
const providers = {
  "@ai-sdk/openai-compatible": compatible,
  "@ai-sdk/openai, chat": createOpenAI(at).chat,
  "@ai-sdk/openai, responses": createOpenAI(at),
  "@ai-sdk/anthropic": createAnthropic(at),
  // Strict: it asks for the usage of streams.
  "@openrouter/ai-sdk-provider": createOpenRouter({ ...at, compatibility: "strict" }),
};
const schema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false });
const prompt = "Say hello to the world in one sentence.";

for (const [name, provider] of Object.entries(providers)) {
  const ask = { model: provider(model), maxRetries: 0, maxOutputTokens: 64 };

  test(`${name}: a text`, async () => {
    const { text, usage, finishReason } = await generateText({ ...ask, prompt });
    assert.ok(text.length > 0 && usage.inputTokens > 0 && usage.outputTokens > 0);
    assert.ok(["stop", "length"].includes(finishReason), finishReason);
  });

  test(`${name}: a stream`, async () => {
    const stream = streamText({ ...ask, prompt, onError: ({ error }) => assert.fail(error) });
    let text = "";
    for await (const piece of stream.textStream) text += piece;
    const [usage, finishReason] = [await stream.usage, await stream.finishReason];
    assert.ok(text.length > 0 && usage.outputTokens > 0, JSON.stringify(usage));
    assert.ok(["stop", "length"].includes(finishReason), finishReason);
  });

  test(`${name}: a tool over two turns`, async () => {
    const asked = [];
    const weather = tool({ description: "The weather", inputSchema: schema, execute: async ({ city }) => (asked.push(city), "rain") });
    const stream = streamText({ ...ask, prompt: "weather?", tools: { weather }, stopWhen: stepCountIs(3), onError: ({ error }) => assert.fail(error) });
    assert.ok((await stream.text).length > 0);
    assert.equal(asked.length, 1);
    assert.equal((await stream.steps).length, 2);
  });

  test(`${name}: errors have their status`, async () => {
    const unknown = { ...ask, prompt, model: provider("no/such-model") };
    await assert.rejects(generateText(unknown), (error) => error.statusCode === 404 && /no\/such-model/.test(error.message));
    await assert.rejects(generateText({ ...ask, prompt, topP: 7 }), (error) => error.statusCode === 400 && error.message.length > 0);
  });
}

for (const name of ["@ai-sdk/openai-compatible", "@ai-sdk/openai, chat", "@ai-sdk/openai, responses"]) {
  test(`${name}: an object of a schema`, async () => {
    const { output } = await generateText({ model: providers[name](model), maxRetries: 0, prompt: "Which city?", output: Output.object({ schema }) });
    assert.equal(typeof output.city, "string");
  });
}

test("@openrouter/ai-sdk-provider: usage with its cost", async () => {
  const priced = providers["@openrouter/ai-sdk-provider"](model, { usage: { include: true } });
  const { providerMetadata } = await generateText({ model: priced, maxRetries: 0, prompt });
  assert.ok(providerMetadata.openrouter.usage.cost > 0);
});

test("@ai-sdk/openai-compatible: embeddings", async () => {
  const { embeddings } = await embedMany({ model: compatible.textEmbeddingModel(model), values: ["a", "b"], maxRetries: 0 });
  assert.deepEqual(embeddings.map((one) => one.length), [8, 8]);
});

const anthropic = new Anthropic({ baseURL: info.base_url.replace(/\/v1$/, ""), apiKey: info.api_key, maxRetries: 0 });
const ask = { model, max_tokens: 64, messages: [{ role: "user", content: prompt }] };

test("@anthropic-ai/sdk: a message, whole and by the streaming helper", async () => {
  const whole = await anthropic.messages.create(ask);
  assert.ok(whole.content[0].text.length > 0 && whole.usage.output_tokens > 0);
  const final = await anthropic.messages.stream(ask).finalMessage();
  assert.ok(final.content[0].text.length > 0 && final.stop_reason !== null);
});

test("@anthropic-ai/sdk: tools over two turns, counting, and errors", async () => {
  const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }];
  const first = await anthropic.messages.stream({ ...ask, tools }).finalMessage();
  const call = first.content.find((block) => block.type === "tool_use");
  assert.ok(call.input.city);
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "rain" }] };
  const second = await anthropic.messages.create({ ...ask, tools, messages: [...ask.messages, { role: "assistant", content: first.content }, result] });
  assert.ok(second.content[0].text.length > 0);
  assert.ok((await anthropic.messages.countTokens({ model, messages: ask.messages })).input_tokens > 0);
  await assert.rejects(anthropic.messages.create({ ...ask, model: "no/such-model" }), (error) => error.status === 404 && error.error.error.type === "not_found_error");
});
