// The stock `openai` package with this project's signing `fetch`: the key never leaves this process, and what it spent is
// counted from receipts it verified.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import OpenAI from "openai";

const { SessionKey, signedFetch, fromBase58, fromHex } = await import(process.env.STEAM_CLIENT);
const info = JSON.parse(readFileSync(process.env.STEAM_INFO, "utf8"));
const model = info.models[0];
const messages = [{ role: "user", content: "Say hello to the world in one sentence." }];

/** A key of its own: what another holder spent with a key cannot be counted from receipts. */
function newKey() {
  const args = ["key", "create", "--output", "json", "--url", info.rpc_url, "--keypair", info.owner_keypair];
  return JSON.parse(execFileSync(process.env.STEAM_BIN, [...args, "--relayer", info.relayer, "--limit", "1"], { encoding: "utf8" }));
}

async function paying() {
  const created = newKey();
  let state = null;
  const receipts = [];
  const pay = signedFetch({
    key: SessionKey.parse(created.api_key),
    origin: new URL(info.base_url).origin,
    relayer: fromBase58(info.relayer, 32),
    domain: fromHex(info.domain),
    vault: fromBase58(info.vault, 32),
    generation: BigInt(info.generation),
    epoch: created.epoch,
    slot: created.slot,
    receiptKey: (id) => (id === 1 ? fromBase58(info.receipt_key, 32) : undefined),
    maxCost: 10_000n,
    store: { load: () => state, save: (next) => void (state = next) },
    onReceipt: (receipt) => receipts.push(receipt),
  });
  const api = new OpenAI({ baseURL: info.base_url, apiKey: "unused", maxRetries: 0, fetch: pay });
  // The relayer sees the key once its slot is final.
  for (let tries = 0; ; tries++) {
    try {
      await api.chat.completions.create({ model: "no/such-model", messages });
    } catch (error) {
      if (error.status === 404) break;
      assert.ok(error.status === 401 && tries < 200, String(error));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
  return { api, receipts, state: () => state };
}

test("signed requests, whole and streamed, each with a verified receipt", async () => {
  const { api, receipts, state } = await paying();
  const answer = await api.chat.completions.create({ model, messages, max_tokens: 32 });
  assert.ok(answer.choices[0].message.content);
  let text = "";
  for await (const chunk of await api.chat.completions.create({ model, messages, max_tokens: 32, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  assert.ok(text);
  assert.equal(receipts.length, 2);
  assert.deepEqual(state().unresolved, []);
  assert.equal(BigInt(state().spent), receipts.reduce((sum, r) => sum + r.charge + r.fee, 0n));
});
