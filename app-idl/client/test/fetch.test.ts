/** `signedFetch` against a relayer of a few lines, over real sockets. */

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import * as steam from "../src/index.js";
import { cost, FakeRelayer, identity, key, price, receiptKey, refuse } from "./relayer.js";

const fake = new FakeRelayer();
let origin: string;
before(async () => void (origin = await fake.start()));
after(() => fake.stop());
beforeEach(() => {
  fake.reset();
  fake.answer = fake.whole();
});

function memory(): steam.Store & { saved: steam.State[] } {
  const saved: steam.State[] = [];
  return { saved, ...steam.storeOf({ load: () => saved.at(-1) ?? null, save: (state) => void saved.push(structuredClone(state)) }) };
}

function client(store: steam.Store = memory(), over: Partial<steam.Options> = {}): steam.SignedFetch {
  const receiptKeyOf = (id: number) => (id === 1 ? receiptKey.address : undefined);
  return steam.signedFetch({ ...identity, key, baseUrl: origin, receiptKey: receiptKeyOf, maxCost: 25_000n, store, ...over });
}

function post(fetch: steam.SignedFetch, body = '{"model":"m"}', init: RequestInit = {}): Promise<Response> {
  return fetch(`${origin}/v1/chat/completions`, { method: "POST", body, ...init });
}

async function refused(promise: Promise<unknown>, code: steam.ReceiptErrorCode): Promise<steam.ReceiptError> {
  const error = await promise.then(() => assert.fail("it was taken"), (error) => error);
  assert.ok(error instanceof steam.ReceiptError && error.code === code, String(error));
  return error;
}

const authorized = () => fake.seen.map((request) => request.authorized);

test("an answer's receipt is counted and the next voucher allows what was spent plus its ceiling", async () => {
  const receipts: steam.Receipt[] = [];
  const fetch = client(memory(), { onReceipt: (receipt) => receipts.push(receipt) });
  const headers = { Authorization: `Bearer ${key.reveal()}`, "X-Api-Key": key.reveal(), "Steam-Route-Prefer": "price", "Anthropic-Beta": "a, b", "Content-Type": "application/json" };
  const response = await post(fetch, '{"n":"é"}', { headers });
  assert.deepEqual(await response.json(), { choices: [] });
  assert.equal(fake.seen[0]!.body, '{"n":"é"}');
  assert.equal((await fetch.state()).spent, String(cost));
  await post(fetch);
  assert.deepEqual(authorized(), [25_000n, steam.ceilMicro(cost) + 25_000n]);
  assert.deepEqual(receipts.map(steam.costOf), [cost, cost]);
  assert.deepEqual((await fetch.state()).unresolved, []);
});

test("the state is saved before sending and survives a restart", async () => {
  const store = memory();
  let savedWhenSent: steam.State | undefined;
  fake.answer = (request, response) => ((savedWhenSent = store.saved.at(-1)), fake.whole()(request, response));
  await post(client(store));
  assert.equal(savedWhenSent?.high_water, "25000");
  const [open] = savedWhenSent!.unresolved;
  assert.deepEqual([open!.request_hash, open!.max_cost], [steam.toHex(fake.seen[0]!.hash), 25_000]);
  await post(client(store));
  assert.equal(authorized()[1], steam.ceilMicro(cost) + 25_000n);
});

test("nothing is sent when the state cannot be saved, or is another key's", async () => {
  const failing = steam.storeOf({ load: () => null, save: () => Promise.reject(new Error("disk full")) });
  await assert.rejects(post(client(failing)), /disk full/);
  const state = await client().state();
  for (const other of [{ ...state, key: "other" }, { ...state, epoch: 4 }, { ...state, generation: 1 }, { ...state, domain: "00" }]) {
    await assert.rejects(post(client(steam.storeOf({ load: () => other, save: () => {} }))), steam.ForeignStateError);
  }
  assert.equal(fake.seen.length, 0);
});

test("many requests are under way at once, each allowed for beside all the others", async () => {
  let open!: () => void;
  const all = new Promise<void>((resolve) => (open = resolve));
  fake.answer = async (request, response) => {
    if (fake.inFlight === 12) open();
    await all;
    await (fake.seen.indexOf(request) % 2 ? fake.whole() : fake.streamed(50))(request, response);
  };
  const fetch = client();
  await Promise.all(Array.from({ length: 12 }, async () => (await post(fetch)).text()));
  assert.equal(fake.mostInFlight, 12);
  assert.deepEqual(authorized().sort((a, b) => Number(a - b)), Array.from({ length: 12 }, (_, at) => 25_000n * BigInt(at + 1)));
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unresolved, state.unknown], [String(12n * cost), [], undefined]);
  assert.deepEqual(fake.reads, [], "nothing had to be recovered");
});

test("more requests than may be open at once wait their turn, and one that is left waits no longer", async () => {
  let open!: () => void;
  const all = new Promise<void>((resolve) => (open = resolve));
  fake.answer = async (request, response) => {
    await all;
    await fake.whole()(request, response);
  };
  const fetch = client(memory(), { maxUnresolved: 60_000n });
  const left = new AbortController();
  const posts = Array.from({ length: 9 }, () => post(fetch));
  const gone = post(fetch, undefined, { signal: left.signal });
  while (fake.inFlight < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  left.abort();
  open();
  await assert.rejects(gone, { name: "AbortError" });
  assert.deepEqual((await Promise.all(posts)).map(({ status }) => status), Array.from({ length: 9 }, () => 200));
  assert.deepEqual([fake.mostInFlight, fake.seen.length], [2, 9]);
  assert.deepEqual((await fetch.state()).spent, String(9n * cost));
  // What is too much alone is said at once.
  await assert.rejects(post(client(memory(), { maxUnresolved: 20_000n })), { name: "UnresolvedError" });
});

test("a stream's receipt is found whatever the chunks, and the bytes pass unchanged", async () => {
  for (const size of [1, 3, 7, 64, 100_000]) {
    fake.reset();
    fake.answer = fake.streamed(size);
    const fetch = client();
    const text = await (await post(fetch)).text();
    assert.match(text, /^data: \{"a":"é"\}\n\n[^]*: steam-rec\n\n: steam-receipt [A-Za-z0-9+/=]+\n\ndata: \[DONE\]\n\n$/);
    assert.equal((await fetch.state()).spent, String(cost), `chunks of ${size}`);
  }
});

test("what follows the receipt is the end of the stream, or left out", async () => {
  for (const size of [1, 5, 100_000]) {
    fake.reset();
    fake.answer = fake.streamed(size, true, 'data: {"not":"covered"}\n\ndata: [DONE]\n\n');
    const text = await (await post(client())).text();
    assert.ok(!text.includes("covered") && text.endsWith("\n\ndata: [DONE]\n\n"), text);
    // As Anthropic's streams end.
    fake.answer = fake.streamed(size, true, 'event: message_stop\ndata: {"type":"message_stop"}\n\n');
    assert.match(await (await post(client())).text(), /\n\nevent: message_stop\ndata: \{"type":"message_stop"\}\n\n$/);
  }
});

test("a stream that ends without a receipt is looked up, and allowed for where there is none", async () => {
  fake.answer = fake.streamed(16, false);
  const fetch = client(memory(), { maxUnresolved: 60_000n });
  assert.match(await (await post(fetch)).text(), /\[DONE\]\n\n$/, "the text is not thrown away");
  await (await post(fetch)).text();
  assert.deepEqual(authorized(), [25_000n, 50_000n]);
  assert.equal(fake.reads.filter((path) => path.startsWith("/v1/receipts/gen-")).length, 6);
  await assert.rejects(post(fetch), (error) => error instanceof steam.UnresolvedError && error.unresolved === 75_000n && /maxUnresolved/.test(error.message));
  assert.equal(fake.seen.length, 2);

  // Its receipt turns up: the next request finds it by itself.
  fake.receipt(fake.seen[0]!.hash, "lost");
  fake.answer = fake.whole();
  await post(fetch);
  assert.equal(authorized()[2], steam.ceilMicro(cost) + 50_000n);
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unresolved.length, state.unknown ?? "0"], [String(2n * cost), 1, "0"]);
});

test("a stream that breaks off fails, and what was charged for it is counted", async () => {
  fake.answer = ({ hash }, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.write("data: {}\n\n", () => {
      fake.receipt(hash, "data: {}\n\n");
      setImmediate(() => response.destroy());
    });
  };
  const fetch = client();
  await assert.rejects((await post(fetch)).text(), TypeError);
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unresolved], [String(cost), []]);
});

test("a stream that is left is charged for what was sent, and counted", async () => {
  fake.answer = ({ hash }, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.write("data: {}\n\n");
    response.on("close", () => fake.receipt(hash, "data: {}\n\n"));
  };
  const fetch = client();
  const reader = (await post(fetch)).body!.getReader();
  await reader.read();
  await reader.cancel();
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unresolved], [String(cost), []]);
});

test("a refusal in the relayer's words costs nothing; a proxy's error and a lost connection stay allowed for", async () => {
  fake.answer = (_, response) => refuse(response, 429, "rate_limited");
  const fetch = client();
  assert.equal((await post(fetch)).status, 429);
  assert.deepEqual((await fetch.state()).unresolved, []);
  fake.answer = (_, response) => void response.writeHead(502).end("<html>bad gateway</html>");
  assert.equal((await post(fetch)).status, 502);
  assert.equal((await fetch.state()).unresolved.length, 1);
});

test("a request whose connection failed is sent again as it is, and served once", async () => {
  let tries = 0;
  fake.answer = (request, response) => (++tries < 3 ? void response.destroy() : fake.whole()(request, response));
  const fetch = client();
  assert.equal((await post(fetch)).status, 200);
  assert.equal(new Set(fake.seen.map(({ hash }) => steam.toHex(hash))).size, 1, "one signature");
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unresolved], [String(cost), []]);

  // Served, and the answer lost: its receipt says so, and it is not asked again.
  fake.reset();
  fake.answer = ({ hash }, response) => {
    fake.receipt(hash, "lost");
    response.destroy();
  };
  const other = client();
  await assert.rejects(post(other), (error) => error instanceof steam.AnswerLostError && steam.costOf(error.receipt) === cost && /Ask again/.test(error.message));
  assert.equal((await other.state()).spent, String(cost));
});

test("a lost store is recovered from the relayer's receipts, and no paid answer is thrown away", async () => {
  fake.elsewhere(5);
  const fetch = client();
  assert.equal((await post(fetch)).status, 200);
  const state = await fetch.state();
  assert.deepEqual([state.spent, state.unknown], [String(6n * cost), String(5n * cost)]);
  assert.equal(fake.reads.filter((path) => path.startsWith("/v1/receipts?")).length, 3, "in pages");
  assert.equal(authorized()[0], steam.ceilMicro(5n * cost) + 25_000n);
});

test("receipts of an earlier authorisation of the key, or in another vault, are not this state's", async () => {
  fake.elsewhere(2);
  const before = fake.cumulative;
  fake.receipt(new Uint8Array(32).fill(5), "", { keyEpoch: 2, keyCumulative: 9_000_000n * steam.PICO_PER_MICRO }, "earlier");
  fake.receipt(new Uint8Array(32).fill(6), "", { vault: new Uint8Array(32).fill(9) }, "other");
  fake.cumulative = before;
  const fetch = client();
  assert.equal((await post(fetch)).status, 200);
  assert.equal((await fetch.state()).spent, String(3n * cost));
});

test("an answer whose receipt was recovered before its end is delivered, and counted once", async () => {
  const fetch = client();
  fake.answer = async ({ hash }, response) => {
    const text = '{"choices":[]}';
    const receipt = fake.receipt(hash, text);
    await fetch.recover();
    response.setHeader("Steam-Receipt", receipt).end(text);
  };
  assert.deepEqual(await (await post(fetch)).json(), { choices: [] });
  assert.equal((await fetch.state()).spent, String(cost));
});

test("a key that is used elsewhere as well goes on, and its answers are kept", async () => {
  const fetch = client();
  for (let turn = 0; turn < 3; turn++) {
    fake.answer = (request, response) => {
      fake.elsewhere(1);
      return fake.whole()(request, response);
    };
    assert.equal((await post(fetch)).status, 200);
  }
  assert.equal((await fetch.state()).spent, String(6n * cost));
});

test("a relayer cannot invent more than maxUnknown", async () => {
  fake.elsewhere(3);
  const limit = steam.ceilMicro(3n * cost) - 1n;
  await assert.rejects(post(client(memory(), { maxUnknown: limit })), (error) => error instanceof steam.UnknownSpendingError && error.unknown === 3n * cost && /revoke the key/.test(error.message));
  assert.equal(fake.seen.length, 0);
  assert.equal((await post(client(memory(), { maxUnknown: limit + 1n }))).status, 200);

  // An answer that was paid is delivered, even if the sum beside it is too high; the next request is not made.
  fake.reset();
  fake.answer = fake.whole({ keyCumulative: 10_000_000n * steam.PICO_PER_MICRO });
  const fetch = client();
  assert.equal((await post(fetch)).status, 200);
  assert.equal((await fetch.state()).spent, String(cost));
});

test("what is settled on chain is taken from a node, and from a relayer up to maxUnknown", async () => {
  const fresh = client().account;
  await fresh.settled(5_000_000n * steam.PICO_PER_MICRO, true);
  assert.equal((await fresh.state()).spent, String(5_000_000n * steam.PICO_PER_MICRO));
  await assert.rejects(client().account.settled(1_000_001n * steam.PICO_PER_MICRO, false), steam.UnknownSpendingError);
  // A store that knows something is not overruled by more than it may miss.
  await assert.rejects(fresh.settled(6_000_001n * steam.PICO_PER_MICRO, true), steam.UnknownSpendingError);
  await fresh.settled(1n, true);
  assert.equal((await fresh.state()).spent, String(5_000_000n * steam.PICO_PER_MICRO), "less is what is not settled yet");
});

test("requests that are long over and have no receipt are forgotten", async () => {
  fake.answer = fake.streamed(16, false);
  const store = memory();
  const fetch = client(store);
  await (await post(fetch)).text();
  await fetch.recover();
  assert.equal((await fetch.state()).unresolved.length, 1);
  const later = client(store, { now: () => Date.now() + 3_800_000 });
  await later.account.reconcile([], later.signer.now());
  assert.deepEqual((await later.state()).unresolved, []);
});

test("a receipt that does not hold is refused and not counted, and the answer is not lost with it", async () => {
  const dear = { ...price, standard: { ...price.standard, request: 1_000_000n } };
  const cases: [steam.ReceiptErrorCode, Partial<steam.Receipt>][] = [
    ["Foreign", { vault: new Uint8Array(32) }],
    ["Foreign", { domain: new Uint8Array(32) }],
    ["Foreign", { relayer: new Uint8Array(32) }],
    ["Foreign", { generation: 1n }],
    ["Foreign", { keyEpoch: 4 }],
    ["Foreign", { keySlot: 2 }],
    ["Request", { requestHash: new Uint8Array(32) }],
    ["Response", { responseHash: new Uint8Array(32) }],
    ["Charge", { charge: 1n }],
    ["Fee", { fee: 1n }],
    ["Signature", { keyId: 2 }],
    ["Ceiling", { price: dear }],
  ];
  for (const [code, over] of cases) {
    fake.reset();
    fake.answer = fake.whole(over);
    const fetch = client();
    const error = await refused(post(fetch), code);
    assert.deepEqual(await error.answer?.json(), { choices: [] });
    const state = await fetch.state();
    assert.deepEqual([state.spent, state.unresolved.length], ["0", 1]);
  }
  fake.reset();
  fake.answer = (_, response) => void response.setHeader("Steam-Receipt", "?").end();
  await refused(post(client()), "Malformed");
  fake.answer = async ({ hash }, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.end(`data: x\n\n: steam-receipt ${fake.receipt(hash, "data: y\n\n")}\n\n`);
  };
  await refused((await post(client())).text(), "Response");
});

test("a redirect is not followed: it would carry the signature elsewhere", async () => {
  for (const status of [302, 303, 307]) {
    fake.answer = (_, response) => void response.writeHead(status, { Location: "/v1/elsewhere" }).end();
    await assert.rejects(post(client()), TypeError, String(status));
  }
});

test("only requests to the relayer are signed; reads and counts cost nothing", async () => {
  const fetch = client();
  await fetch(`${origin}/v1/models?all=1`, { headers: { Authorization: "Bearer x" } });
  assert.deepEqual(fake.reads, ["/v1/models?all=1"]);
  fake.answer = ({ authorized, maxCost }, response) => void response.end(String(authorized + maxCost));
  const counted = await fetch(`${origin}/v1/messages/count_tokens?beta=true`, { method: "POST", body: "{}" });
  assert.equal(await counted.text(), "0");
  assert.deepEqual((await fetch.state()).unresolved, []);
  await assert.rejects(fetch("http://localhost:1/v1/chat/completions", { method: "POST" }), /signs for/);
  await assert.rejects(fetch(`${origin}/v1/chat/completions?x=1`, { method: "POST" }), /query/);
  for (const lifetimeSeconds of [0n, 301n]) assert.throws(() => client(memory(), { lifetimeSeconds }), RangeError);
});
