// This project's client, as it is published, against a running `steam dev`: an owner from nothing to an empty vault, and a key that pays
// for many requests at once and never leaves this process.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import * as steam from "steam-router-client";
import { fileStore } from "steam-router-client/node";

const info = JSON.parse(readFileSync(process.env.STEAM_INFO, "utf8"));
const model = info.models[0];
const messages = [{ role: "user", content: "Say hello to the world in one sentence." }];
const folder = mkdtempSync(join(import.meta.dirname, "run-"));
const api = new steam.RelayerApi(info.base_url);
const chain = new steam.RpcChain(info.rpc_url);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const usdc = (amount) => BigInt(Math.round(amount * 1e6));

const price = { input: usdc(9), cached: usdc(9), cache_write: usdc(9), cache_write_long: usdc(9), output: usdc(9), request: usdc(1) };
const limits = (total) => ({ limit_total: usdc(total), window_limit: 0n, max_price: price, max_fee_bps: 100 });
const grant = (total) => ({ ...limits(total), window_seconds: 0, expires: steam.NEVER, allow_root: new Uint8Array(32) });

const seed = randomBytes(32);
const signer = new steam.Keypair(seed);
const keyFile = join(folder, "owner.json");
let owner;

before(async () => {
  writeFileSync(keyFile, JSON.stringify([...seed, ...steam.addressBytes(signer.address)]));
  const gift = await api.call("chain/faucet", { body: { wallet: signer.address } });
  await steam.finalized(steam.relayerChain(api), gift.signature, gift);
  owner = new steam.Owner({ signer, chain, api, deployment: await steam.deploymentOf(api) });
});
after(() => rmSync(folder, { recursive: true }));

/** Waits until the relayer has seen a key at a finalized slot. */
async function usable(client) {
  for (let tries = 0; ; tries++) {
    try {
      return await client.get("key");
    } catch (error) {
      assert.ok(error.status === 401 && tries < 200, String(error));
      await pause(200);
    }
  }
}

async function connected(key, store = steam.memoryStore(), over = {}) {
  const receipts = [];
  const client = await steam.connect({ baseUrl: info.base_url, key, owner: signer.address, chain, store, onReceipt: (receipt) => receipts.push(receipt), ...over });
  await usable(client);
  const openai = new OpenAI({ baseURL: client.baseUrl, apiKey: "unused", maxRetries: 0, fetch: client.fetch });
  const ask = (body = {}) => openai.chat.completions.create({ model, messages, max_tokens: 32, ...body });
  return { client, receipts, ask };
}

const spentIn = (receipts) => receipts.reduce((sum, receipt) => sum + steam.costOf(receipt), 0n);
const key = new steam.SessionKey(randomBytes(32));

test("an owner opens a vault with a key and a deposit, and deposits more", async () => {
  await owner.open({ key, grant: grant(5), deposit: usdc(5) });
  await owner.deposit(usdc(1));
  const { vault, balance, wallet } = await owner.holdings();
  assert.deepEqual([balance, wallet], [usdc(6), usdc(94)]);
  assert.equal(vault.owner, signer.address);
  assert.equal(steam.keyOf(vault, steam.toBase58(key.address)).limits.total, usdc(5));
  await assert.rejects(owner.open(), /would fail|refused/);
});

test("many requests at once on one key, whole and streamed, each with a verified receipt", async () => {
  const { client, receipts, ask } = await connected(key);
  const one = async (at) => {
    if (at % 2) return (await ask()).choices[0].message.content;
    let text = "";
    for await (const chunk of await ask({ stream: true })) text += chunk.choices[0]?.delta.content ?? "";
    return text;
  };
  const texts = await Promise.all(Array.from({ length: 10 }, (_, at) => one(at)));
  assert.ok(texts.every((text) => text.length > 0));
  assert.equal(receipts.length, 10);
  const state = await client.fetch.state();
  assert.deepEqual([state.unresolved, BigInt(state.spent), state.unknown], [[], spentIn(receipts), undefined]);
});

test("a lost store, and a key that is also sent as a bearer, go on paying", async () => {
  const { client, receipts, ask } = await connected(key);
  assert.ok((await ask()).choices[0].message.content);
  const bearer = new OpenAI({ baseURL: info.base_url, apiKey: key.reveal(), maxRetries: 0 });
  await bearer.chat.completions.create({ model, messages, max_tokens: 32 });
  assert.ok((await ask()).choices[0].message.content);
  assert.equal(receipts.length, 2);
  const [state, listed] = await Promise.all([client.fetch.state(), client.get("receipts?limit=1000")]);
  const all = listed.data.map(({ receipt }) => steam.decodeSigned(steam.fromBase64(receipt)).receipt);
  assert.equal(all.length, 13);
  // What is settled when a store begins anew counts as the chain has it, which rounds the fees of a group once.
  const short = spentIn(all) - BigInt(state.spent);
  assert.ok(short >= 0n && short < steam.PICO_PER_MICRO, String(short));
});

test("a stream that is left is charged for what was sent, and nothing stays open", async () => {
  const { client, ask } = await connected(key);
  const stream = await ask({ stream: true, max_tokens: 512 });
  for await (const _ of stream) break;
  for (let tries = 0; (await client.fetch.state()).unresolved.length > 0; tries++) {
    assert.ok(tries < 50, "the receipt was never found");
    await pause(200);
  }
});

test("messages and responses are paid for as well, and counting is free", async () => {
  const { client, receipts } = await connected(key);
  const post = async (path, body) => (await client.fetch(`${client.baseUrl}/${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).text();
  assert.match(await post("messages", { model, max_tokens: 16, messages, stream: true }), /message_stop/);
  assert.match(await post("responses", { model, input: "Say hello.", stream: true }), /response.completed/);
  assert.match(await post("messages/count_tokens", { model, messages }), /input_tokens/);
  assert.equal(receipts.length, 2);
  assert.deepEqual((await client.fetch.state()).unresolved, []);
});

test("a receipt is verified against its answer and against the chain", async () => {
  const { client, ask } = await connected(key);
  const { response } = await ask().withResponse();
  const id = response.headers.get("steam-generation-id");
  await assert.rejects(client.verify(id, steam.utf8("another answer")), (error) => error.code === "Response");
  for (const deadline = Date.now() + 90_000; ; await pause(500)) {
    const { receipt, included, onChain, status } = await client.verify(id);
    assert.equal(receipt.finishReason, "length");
    if (onChain !== null) return assert.deepEqual([status, included, onChain], ["settled", true, true]);
    assert.ok(Date.now() < deadline, `it stays ${status}`);
  }
});

test("keys are authorised, changed and ended", async () => {
  const other = new steam.SessionKey(randomBytes(32));
  const address = steam.toBase58(other.address);
  await assert.rejects(steam.connect({ baseUrl: info.base_url, key: other, owner: signer.address, chain, store: steam.memoryStore() }), /not authorised in this vault: authorise it/);
  await owner.authorizeKey(other, grant(1));
  assert.equal((await owner.key(address)).slot, 1);
  const { ask } = await connected(other);
  assert.ok((await ask()).choices[0].message.content);
  await owner.updateKey(address, limits(2));
  assert.equal((await owner.key(address)).limits.total, usdc(2));
  await owner.revokeKey(address);
  await assert.rejects(owner.revokeKey(address), /KeyRevoked|revoked/i);
  await assert.rejects(connected(other), /revoked or expired: authorise a new one/);
});

test("a key bound to providers pays only those", async () => {
  const [allowed] = info.providers.filter(({ name }) => name === "alder");
  const list = new steam.AllowList([steam.addressBytes(allowed.address)]);
  const bound = new steam.SessionKey(randomBytes(32));
  await owner.authorizeKey(bound, { ...grant(1), allow_root: list.root() });
  const { receipts, ask } = await connected(bound);
  await owner.shareAllowList([allowed.address]);
  await ask();
  assert.equal(steam.toBase58(receipts[0].provider), allowed.address);
});

test("the examples run", async () => {
  const run = (name, variables) => execFileSync(process.execPath, [name], { cwd: join(import.meta.dirname, "node_modules/steam-router-client/examples"), encoding: "utf8", env: { ...process.env, ...variables } });
  const at = { STEAM_BASE_URL: info.base_url, STEAM_RPC: info.rpc_url };
  const made = JSON.parse(run("vault.mjs", { ...at, STEAM_KEYPAIR: keyFile, STEAM_DEPOSIT: "2" }));
  assert.equal(made.vault, owner.place.vault);
  const paying = { ...at, STEAM_KEY: made.key, STEAM_VAULT: made.vault };
  await usable(await steam.connect({ baseUrl: info.base_url, key: made.key, vault: made.vault, chain, store: steam.memoryStore() }));
  const answers = run("openai.mjs", { ...paying, STEAM_MODEL: model, STEAM_STATE: join(folder, "key.json") });
  assert.ok(answers.trim().length > 0);
  const receipts = run("receipts.mjs", paying).trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(receipts.length, 3);
  assert.equal(JSON.parse(readFileSync(join(folder, "key.json"), "utf8")).unresolved.length, 0);
});

test("the state's file is the one of steam chat", async () => {
  const file = join(folder, "chat.json");
  const { client, ask } = await connected(key, fileStore(file));
  await ask();
  const state = await client.fetch.state();
  const args = ["chat", "--vault", owner.place.vault, "--url", info.rpc_url, "--model", model, "--state", file, "--output", "json", "Hello"];
  execFileSync(process.env.STEAM_BIN, args, { env: { ...process.env, STEAM_API_KEY: key.reveal() } });
  const after = JSON.parse(readFileSync(file, "utf8"));
  assert.ok(BigInt(after.spent) > BigInt(state.spent) && after.unresolved.length === 0);
});

test("an owner leaves: at once with the relayer, alone after the delay, and closes the vault", async () => {
  await owner.withdrawNow(usdc(1));
  await owner.requestWithdraw(usdc(1));
  await owner.cancelWithdraw();
  await assert.rejects(owner.cancelWithdraw(), /NoWithdrawal|withdrawal/i);
  await owner.requestWithdraw(steam.EVERYTHING);
  for (let tries = 0; ; tries++) {
    try {
      await owner.executeWithdraw();
      break;
    } catch (error) {
      assert.ok(/WithdrawalLocked|delay|unlock/i.test(error.message) && tries < 60, String(error));
      await pause(1_000);
    }
  }
  assert.equal((await owner.holdings()).balance, 0n);
  await owner.close();
  assert.equal((await owner.holdings()).vault, null);
});
