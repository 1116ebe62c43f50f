/** `signedFetch` against a relayer of a few lines, over real sockets. */

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { sha256, utf8 } from "../src/bytes.js";
import * as steam from "../src/index.js";

const [relayer, vault, domain] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [steam.Bytes, steam.Bytes, steam.Bytes];
const key = new steam.SessionKey(new Uint8Array(32).fill(7));
const receiptKey = new steam.SessionKey(new Uint8Array(32).fill(8));
const [generation, epoch, slot] = [348_112_233n, 3, 1];
const standard = { input: 150_000n, cached: 75_000n, cacheWrite: 150_000n, cacheWriteLong: 150_000n, output: 600_000n, request: 100n };
const none = { input: 0n, cached: 0n, cacheWrite: 0n, cacheWriteLong: 0n, output: 0n, request: 0n };
const price = { standard, longFrom: 0, long: none };
const usage = { requests: 1, input: 1_000, cached: 0, cacheWrite: 0, cacheWriteLong: 0, output: 500 };
const cost = steam.tariffCharge(price, usage) + steam.receiptFee(steam.tariffCharge(price, usage), 333);

/** One request as the relayer saw it, after it checked everything a relayer checks. */
interface Seen {
  authorized: bigint;
  maxCost: bigint;
  hash: steam.Hash;
  body: string;
  authorization: string | undefined;
}

type Answer = (seen: Seen, response: ServerResponse) => void | Promise<void>;

const seen: Seen[] = [];
const plain: string[] = [];
let answer: Answer;
let cumulative: bigint;
let inFlight = 0;
let mostInFlight = 0;

async function admit(request: IncomingMessage): Promise<Seen> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = new Uint8Array(Buffer.concat(chunks));
  const header = (name: string) => request.headers[name] as string;
  assert.equal(header("steam-vault"), steam.toBase58(vault));
  assert.equal(header("steam-key"), steam.toBase58(key.address));
  assert.match(header("steam-nonce"), /^[0-9a-f]{32}$/);
  assert.equal(header("content-digest"), steam.contentDigest(sha256(body)));
  const raw = Array.from({ length: request.rawHeaders.length / 2 }, (_, i) => request.rawHeaders.slice(2 * i, 2 * i + 2) as [string, string]);
  const hash = steam.requestHash({
    relayer,
    method: request.method!,
    path: request.url!,
    bodyHash: sha256(body),
    controlHash: steam.controlHeadersHash(raw),
    maxCost: BigInt(header("steam-max-cost")),
    notAfter: BigInt(header("steam-not-after")),
    nonce: steam.fromHex(header("steam-nonce")),
  });
  const authorized = BigInt(header("steam-authorized"));
  const message = steam.voucherMessage({ domain, vault, generation, epoch, authorized, requestHash: hash });
  assert.ok(steam.verifyStrict(key.address, message, steam.fromBase64(header("steam-signature"))), "the voucher's signature");
  const ahead = Number(header("steam-not-after")) - Date.now() / 1000;
  assert.ok(ahead > 50 && ahead <= 60);
  const body_ = new TextDecoder().decode(body);
  return { authorized, maxCost: BigInt(header("steam-max-cost")), hash, body: body_, authorization: request.headers.authorization };
}

function receipt(requestHash: steam.Hash, sent: string | Uint8Array, over: Partial<steam.Receipt> = {}): string {
  const charge = over.charge ?? steam.tariffCharge(over.price ?? price, over.usage ?? usage);
  const fee = steam.receiptFee(charge, 333);
  cumulative += charge + fee;
  const receipt: steam.Receipt = {
    keyId: 1, domain, relayer, vault, generation, keyEpoch: epoch, keySlot: slot, number: BigInt(seen.length), requestHash,
    responseHash: sha256(typeof sent === "string" ? utf8(sent) : sent), provider: new Uint8Array(32), offer: new Uint8Array(32), priceVersion: 1,
    price, usage, countedBy: "provider", charge, feeBps: 333, fee, keyCumulative: cumulative, finishReason: "stop",
    startedAtMs: BigInt(Date.now()), ttftMs: 1, durationMs: 2, routingHash: new Uint8Array(32), ...over,
  };
  return steam.toBase64(steam.encodeSigned({ receipt, signature: receiptKey.sign(steam.receiptMessage(receipt)) }));
}

const whole = (over?: Partial<steam.Receipt>): Answer => ({ hash }, response) => {
  const text = '{"choices":[]}';
  response.setHeader("Steam-Receipt", receipt(hash, text, over)).end(text);
};

/** A stream whose bytes arrive in pieces of `size`. */
const streamed = (size: number, withReceipt = true): Answer => async ({ hash }, response) => {
  const before = 'data: {"a":"é"}\n\n: keep-alive\n\ndata: {"b":": steam-receipt no"}\n\n: steam-rec\n\n';
  const comment = withReceipt ? `: steam-receipt ${receipt(hash, before)}\n\n` : "";
  response.setHeader("Content-Type", "text/event-stream; charset=utf-8");
  const bytes = Buffer.from(`${before}${comment}data: [DONE]\n\n`);
  for (let at = 0; at < bytes.length; at += size) {
    response.write(bytes.subarray(at, at + size));
    if (size > 1) await new Promise((resolve) => setImmediate(resolve));
  }
  response.end();
};

const server = createServer((request, response) => {
  if (request.method === "GET") {
    plain.push(request.url!, String(request.headers.authorization), String(request.headers["steam-signature"]));
    return void response.end("{}");
  }
  mostInFlight = Math.max(mostInFlight, ++inFlight);
  response.on("close", () => inFlight--);
  admit(request)
    .then((admitted) => (seen.push(admitted), answer(admitted, response)))
    .catch((error) => response.writeHead(500).end(String(error)));
});

let origin: string;
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());
beforeEach(() => {
  seen.length = plain.length = inFlight = mostInFlight = 0;
  cumulative = 0n;
  answer = whole();
});

function memory(): steam.Store & { saved: steam.State[] } {
  const saved: steam.State[] = [];
  return { saved, load: () => saved.at(-1) ?? null, save: (state) => void saved.push(structuredClone(state)) };
}

function client(store: steam.Store, over: Partial<steam.Options> = {}): steam.SignedFetch {
  const receiptKeyOf = (id: number) => (id === 1 ? receiptKey.address : undefined);
  return steam.signedFetch({ key, origin, relayer, domain, vault, generation, epoch, slot, receiptKey: receiptKeyOf, maxCost: 25_000n, store, ...over });
}

function post(fetch: steam.SignedFetch, body = '{"model":"m"}', init: RequestInit = {}): Promise<Response> {
  return fetch(`${origin}/v1/chat/completions`, { method: "POST", body, ...init });
}

async function refused(promise: Promise<unknown>, code: steam.ReceiptErrorCode): Promise<void> {
  await assert.rejects(promise, (error: steam.ReceiptError) => error instanceof steam.ReceiptError && error.code === code);
}

test("an answer's receipt is counted and the next voucher allows what was spent plus its ceiling", async () => {
  const store = memory();
  const receipts: steam.Receipt[] = [];
  const fetch = client(store, { onReceipt: (receipt) => receipts.push(receipt) });
  const headers = { Authorization: `Bearer ${key.reveal()}`, "Steam-Route-Prefer": "price", "Anthropic-Beta": "a, b", "Content-Type": "application/json" };
  const response = await post(fetch, '{"n":"é"}', { headers });
  assert.deepEqual(await response.json(), { choices: [] });
  assert.equal(seen[0]!.body, '{"n":"é"}');
  assert.equal(seen[0]!.authorization, undefined, "the key's secret stays");
  assert.equal(seen[0]!.authorized, 25_000n);
  assert.equal((await fetch.state()).spent, String(cost));
  await post(fetch);
  assert.equal(seen[1]!.authorized, steam.ceilMicro(cost) + 25_000n);
  assert.deepEqual(receipts.map((r) => r.charge + r.fee), [cost, cost]);
  assert.deepEqual((await fetch.state()).unresolved, []);
});

test("the state is saved before sending and survives a restart", async () => {
  const store = memory();
  let savedWhenSent: steam.State | undefined;
  answer = (request, response) => ((savedWhenSent = store.saved.at(-1)), whole()(request, response));
  await post(client(store));
  assert.equal(savedWhenSent?.highWater, "25000");
  assert.deepEqual(savedWhenSent?.unresolved, [{ requestHash: steam.toHex(seen[0]!.hash), maxCost: "25000" }]);
  await post(client(store));
  assert.equal(seen[1]!.authorized, steam.ceilMicro(cost) + 25_000n);
});

test("nothing is sent when the state cannot be saved, or is another key's", async () => {
  const failing = { load: () => null, save: () => Promise.reject(new Error("disk full")) };
  await assert.rejects(post(client(failing)), /disk full/);
  const other = { ...memory(), load: () => ({ key: "other", spent: "0", highWater: "0", unresolved: [] }) };
  await assert.rejects(post(client(other)), /of key other/);
  assert.equal(seen.length, 0);
});

test("a stream's receipt is found whatever the chunks, and the bytes pass unchanged", async () => {
  for (const size of [1, 3, 7, 64, 100_000]) {
    const store = memory();
    cumulative = 0n;
    answer = streamed(size);
    const fetch = client(store);
    const text = await (await post(fetch)).text();
    assert.match(text, /^data: \{"a":"é"\}\n\n[^]*: steam-receipt [A-Za-z0-9+/=]+\n\ndata: \[DONE\]\n\n$/);
    assert.equal((await fetch.state()).spent, String(cost), `chunks of ${size}`);
  }
});

test("a stream without a receipt stays unresolved and is allowed for", async () => {
  answer = streamed(16, false);
  const fetch = client(memory(), { maxUnresolved: 60_000n });
  await (await post(fetch)).text();
  await (await post(fetch)).text();
  assert.deepEqual(seen.map((request) => request.authorized), [25_000n, 50_000n]);
  await assert.rejects(post(fetch), (error) => error instanceof steam.UnresolvedError && error.unresolved === 75_000n);
  assert.equal(seen.length, 2);

  await fetch.resolve(receipt(seen[0]!.hash, "lost"));
  await refused(fetch.resolve(receipt(seen[0]!.hash, "lost")), "Request");
  answer = whole();
  await post(fetch);
  assert.equal(seen[2]!.authorized, steam.ceilMicro(cost) + 50_000n);
});

test("a cancelled stream lets the next request go", async () => {
  answer = async ({ hash }, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.write("data: {}\n\n");
    if (seen.length > 1) response.end(`: steam-receipt ${receipt(hash, "data: {}\n\n")}\n\n`);
  };
  const fetch = client(memory());
  const reader = (await post(fetch)).body!.getReader();
  await reader.read();
  const second = post(fetch);
  await reader.cancel();
  await (await second).text();
  assert.equal(seen[1]!.authorized, 50_000n);
  assert.equal((await fetch.state()).unresolved.length, 1);
});

test("requests go one at a time", async () => {
  answer = async (request, response) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await (seen.length % 2 ? whole() : streamed(50))(request, response);
  };
  const fetch = client(memory());
  await Promise.all([1, 2, 3, 4, 5].map(async () => (await post(fetch)).text()));
  assert.equal(mostInFlight, 1);
  assert.equal((await fetch.state()).spent, String(5n * cost));
});

test("a refusal costs nothing and a broken connection stays open", async () => {
  answer = (_, response) => void response.writeHead(429).end("slow down");
  const fetch = client(memory());
  assert.equal((await post(fetch)).status, 429);
  assert.deepEqual((await fetch.state()).unresolved, []);
  answer = (_, response) => void response.destroy();
  await assert.rejects(post(fetch), TypeError);
  assert.equal((await fetch.state()).unresolved.length, 1);
  answer = whole();
  await post(fetch);
  assert.deepEqual(seen.map((request) => request.authorized), [25_000n, 25_000n, 50_000n]);
});

test("a receipt that does not hold is refused and not counted", async () => {
  const dear = { ...price, standard: { ...standard, request: 1_000_000n } };
  const cases: [steam.ReceiptErrorCode, Partial<steam.Receipt>][] = [
    ["Foreign", { vault: new Uint8Array(32) }],
    ["Foreign", { domain: new Uint8Array(32) }],
    ["Foreign", { keyEpoch: 4 }],
    ["Request", { requestHash: new Uint8Array(32) }],
    ["Response", { responseHash: new Uint8Array(32) }],
    ["Charge", { charge: 1n }],
    ["Fee", { fee: 1n }],
    ["Signature", { keyId: 2 }],
    ["Ceiling", { price: dear }],
    ["Cumulative", { keyCumulative: cost + 1n }],
  ];
  for (const [code, over] of cases) {
    cumulative = 0n;
    answer = whole(over);
    const fetch = client(memory());
    await refused(post(fetch), code);
    assert.equal((await fetch.state()).spent, "0");
    assert.equal((await fetch.state()).unresolved.length, 1);
  }
  answer = (_, response) => void response.setHeader("Steam-Receipt", "?").end();
  await refused(post(client(memory())), "Malformed");
  answer = async ({ hash }, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.end(`data: x\n\n: steam-receipt ${receipt(hash, "data: y\n\n")}\n\n`);
  };
  await refused((await post(client(memory()))).text(), "Response");
});

test("only POSTs to the relayer are signed, and no query", async () => {
  const fetch = client(memory());
  await fetch(`${origin}/v1/models?all=1`, { headers: { Authorization: "Bearer x" } });
  assert.deepEqual(plain, ["/v1/models?all=1", "undefined", "undefined"]);
  await assert.rejects(fetch("http://localhost:1/v1/chat/completions", { method: "POST" }), /signs for/);
  await assert.rejects(fetch(`${origin}/v1/chat/completions?x=1`, { method: "POST" }), /query/);
  assert.throws(() => client(memory(), { lifetimeSeconds: 301n }), RangeError);
});
