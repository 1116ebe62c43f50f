// The stock `openai` package against a running `steam dev`: only `baseURL` and `apiKey` differ from OpenAI's.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import OpenAI from "openai";

const info = JSON.parse(readFileSync(process.env.STEAM_INFO, "utf8"));
const model = info.models[0];
const messages = [{ role: "user", content: "Say hello to the world in one sentence." }];
const client = (apiKey = info.api_key) => new OpenAI({ baseURL: info.base_url, apiKey, maxRetries: 0 });
const ask = (body = {}, options = {}, api = client()) =>
  api.chat.completions.create({ model, messages, max_tokens: 32, ...body }, options);

/** Another session key of the same vault, once the relayer has seen it at a finalized slot. */
async function newKey(limit) {
  const args = ["key", "create", "--output", "json", "--url", info.rpc_url, "--keypair", info.owner_keypair];
  const made = execFileSync(process.env.STEAM_BIN, [...args, "--relayer", info.relayer, "--limit", limit], { encoding: "utf8" });
  const api = client(JSON.parse(made).api_key);
  for (let tries = 0; tries < 200; tries++) {
    const error = await ask({ model: "no/such-model" }, {}, api).catch((error) => error);
    if (error.status === 404) return api;
    assert.equal(error.status, 401, String(error));
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  throw new Error("the relayer never saw the key");
}

const refused = async (status, call) =>
  assert.rejects(call, (error) => {
    assert.equal(error.status, status);
    assert.ok(error.error.message, "an error says what to do");
    return true;
  });

test("models are listed", async () => {
  const models = [];
  for await (const one of client().models.list()) models.push(one.id);
  assert.ok(models.includes(model));
});

test("a completion", async () => {
  const answer = await ask();
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.completion_tokens > 0);
  assert.ok(answer.usage.cost > 0);
});

test("a stream with usage", async () => {
  let text = "";
  let usage;
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.ok(text);
  assert.ok(usage.completion_tokens > 0);
});

test("a stream that the client leaves", async () => {
  const stream = await ask({ stream: true, max_tokens: 512 });
  for await (const _ of stream) break;
  stream.controller.abort();
});

test("the streaming helper", async () => {
  const runner = client().chat.completions.stream({ model, messages, max_tokens: 32 });
  assert.ok((await runner.finalContent()).length > 0);
});

test("every answer carries a receipt", async () => {
  const { response } = await ask().withResponse();
  assert.equal(Buffer.from(response.headers.get("steam-receipt"), "base64").length, 541);
});

test("controls as members and as headers", async () => {
  const steered = [ask({ provider: { sort: "price" } }), ask({}, { headers: { "Steam-Route-Sort": "price" } })];
  for (const answer of await Promise.all(steered)) assert.ok(answer.choices[0].message.content);
  await refused(400, () => ask({ provider: { sort: "fast" } }));
  await refused(400, () => ask({}, { headers: { "Steam-Route-Sort": "fast" } }));
  await refused(400, () => ask({}, { headers: { "Steam-Route-No-Such-Control": "1" } }));
});

test("400 for a bad request", () => refused(400, () => ask({ messages: "not a list" })));
test("401 for a wrong key", () => refused(401, () => ask({}, {}, client("sk-wrong"))));
test("402 for a key that has nothing left", async () => {
  const api = await newKey("0.000001");
  await refused(402, () => ask({}, {}, api));
});
test("429 for too many requests", async () => {
  const api = await newKey("1");
  const many = 2 * Number(process.env.STEAM_REQUESTS_PER_MINUTE);
  const errors = [];
  for (let sent = 0; sent < many; sent += 16) {
    const some = Array.from({ length: 16 }, () => ask({ max_tokens: 1 }, {}, api).catch((error) => errors.push(error)));
    await Promise.all(some);
  }
  assert.ok(errors.length > 0 && errors.every((error) => error.status === 429), String(errors[0]));
  assert.ok(Number(errors[0].headers.get("retry-after")) >= 1);
});
test("404 for an unknown model", () => refused(404, () => ask({ model: "no/such-model" })));
test("413 for too large a request", () =>
  refused(413, () => ask({ messages: [{ role: "user", content: "x".repeat(9 << 20) }] })));
test("409 for a request that was served", async () => {
  const headers = { "Idempotency-Key": randomBytes(8).toString("hex") };
  await ask({}, { headers });
  await refused(409, () => ask({}, { headers }));
});
