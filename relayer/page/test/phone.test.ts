/** An opening from a phone, from the code to the vault: the clock is the test's, and the relayer answers as the test says. */

import assert from "node:assert/strict";
import { mock, test, type TestContext } from "node:test";
import * as program from "../../../app-idl/client/src/index.js";
import { compile, fromBase58, fromBase64, messageOf, type Place, placeOf, RelayerError, SessionKey, signatureBy, toBase58, toBase64, withSignature } from "../../../app-idl/client/src/index.js";
import { file } from "../../../app-idl/client/src/chain/interface.js";
import { grantOf } from "../src/chain/grant.js";
import type { Opening } from "../src/chain/opening.js";
import { UnreadableError } from "../src/chain/sentence.js";

const at = (seed: number) => toBase58(new Uint8Array(32).fill(seed));
const deployment = { relayer: at(1), config: at(2), mint: at(3) };
const [ANNA, BERT] = [at(11), at(12)];
const key = new SessionKey(new Uint8Array(32).fill(8));
const KEY = toBase58(key.address);
const grant = grantOf({ expires: 1_800_000_000n, total: 10_000_000n, daily: 5_000_000n, prompt: 3_000_000n, answer: 15_500_000n, request: 1_000n, feeBps: 50 });
const opening: Opening = { key, grant, amount: 7_000_000n };

/** The opening of `owner` as the relayer makes it; with another `amount`, one that was not wished. */
function made(owner: string, amount = opening.amount, blockhash = at(7)): Uint8Array {
  const place = placeOf(owner, deployment);
  return compile(owner, { blockhash, last_valid_block_height: 150 }, [program.openVault(place), program.authorizeKey(place, KEY, 0, grant), program.deposit(place, amount)]);
}

/** An account of a vault with one key, by its layout in SPEC.md. */
function vaultWith(session: string): Uint8Array {
  const data = new Uint8Array(304 + 320);
  data.set(file.accounts.find(({ name }) => name === "Vault")!.discriminator);
  data.set(fromBase58(session, 32)!, 304);
  return data;
}

type Answer = { status?: number; json: unknown };
const refusal = (status: number, code: string): Answer => ({ status, json: { error: { code, message: code } } });

/** What the relayer answers now, and what it was asked. */
class World {
  /** The opening's transaction; `null` while no wallet has asked. */
  asked: { account: string; transaction: Uint8Array; signed: boolean } | null = null;
  /** The session key in the vault of an owner, once it is open. */
  readonly vaults = new Map<string, string>();
  /** Answers with this in the place of the opening's transaction. */
  fails: Answer | "silent" | null = null;
  /** Answers a signature with this. */
  refuses: Answer | null = null;
  readonly signatures: Uint8Array[] = [];
  looks = 0;
  vaultLooks = 0;

  answer(path: string, body: string | undefined): Answer {
    if (path === "/v1/solana-pay/openings/ID/transaction" && body !== undefined) {
      if (this.refuses) return this.refuses;
      this.signatures.push(fromBase64((JSON.parse(body) as { signature: string }).signature));
      this.asked!.signed = true;
      return { json: {} };
    }
    if (path === "/v1/solana-pay/openings/ID/transaction") {
      this.looks++;
      if (this.fails === "silent") throw new TypeError("Failed to fetch");
      if (this.fails) return this.fails;
      const { account = null, transaction = null, signed = false } = this.asked ?? {};
      return { json: { account, transaction: transaction && toBase64(transaction), signed } };
    }
    const address = /^\/v1\/chain\/accounts\/(.*)$/.exec(path)?.[1];
    assert.ok(address, `asked for ${path}`);
    const owner = [ANNA, BERT].find((one) => placeOf(one, deployment).vault === address);
    if (owner) this.vaultLooks++;
    const session = owner && this.vaults.get(owner);
    return { json: { slot: 1, lamports: 0, owner: null, data: session ? toBase64(vaultWith(session)) : null } };
  }
}

let world = new World();
Object.assign(globalThis, {
  location: { origin: "http://relayer.test" },
  fetch: async (url: URL, init: RequestInit) => {
    const { status = 200, json } = world.answer(url.pathname, init.body as string | undefined);
    return new Response(JSON.stringify(json), { status });
  },
});
// It reads where it is, and how it fetches, when it is loaded.
const { openedByPhone } = await import("../src/phone.js");

interface Followed {
  told: string[];
  left: AbortController;
  /** How it ended; `null` while it has not. */
  end: { place: Place } | { error: unknown } | null;
}

/** Begins to wait for a phone's wallet. */
function followed(context: TestContext): Followed {
  world = new World();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_800_000_000_000 });
  context.after(() => mock.timers.reset());
  const state: Followed = { told: [], left: new AbortController(), end: null };
  openedByPhone("ID", opening, deployment, (account) => state.told.push(account), state.left.signal).then((place) => (state.end = { place }), (error: unknown) => (state.end = { error }));
  return state;
}

/** Lets so many seconds pass, and everything happen that is due in them. */
async function pass(seconds: number): Promise<void> {
  for (let tenth = 0; tenth < 10 * seconds; tenth++) {
    for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
    mock.timers.tick(100);
  }
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const asks = (account: string, transaction = made(account)) => (world.asked = { account, transaction, signed: false });

test("a wallet that asks is given the key's signature once, and the vault is returned when the chain has it", async (context) => {
  const state = followed(context);
  await pass(10);
  assert.equal(world.looks, 11, "it looks every second");
  assert.deepEqual([state.told, state.end, world.vaultLooks], [[], null, 0], "nothing is told and no vault looked at before a wallet asks");
  const { transaction } = asks(ANNA);
  await pass(1);
  assert.deepEqual(state.told, [ANNA]);
  assert.equal(world.signatures.length, 1);
  assert.deepEqual(signatureBy(withSignature(transaction, KEY, world.signatures[0]!), KEY), key.sign(messageOf(transaction)));
  await pass(20);
  assert.equal(world.signatures.length, 1, "what is signed is not signed again");
  assert.ok(world.vaultLooks >= 4 && world.vaultLooks <= 5, `the vault is looked at every five seconds or so: ${world.vaultLooks} times`);
  assert.equal(state.end, null);
  world.vaults.set(ANNA, KEY);
  await pass(6);
  assert.deepEqual(state.end, { place: placeOf(ANNA, deployment) });
  const { looks } = world;
  await pass(5);
  assert.equal(world.looks, looks, "it has ended");
});

test("a vault with another key than this page's is not the one that is waited for", async (context) => {
  const state = followed(context);
  asks(ANNA);
  world.vaults.set(ANNA, at(66));
  await pass(30);
  assert.equal(state.end, null);
  assert.ok(world.vaultLooks > 3);
});

test("a wallet that asks again is given another signature, and the account that asked last is told", async (context) => {
  const state = followed(context);
  asks(ANNA);
  await pass(2);
  asks(ANNA, made(ANNA, opening.amount, at(77)));
  await pass(2);
  assert.equal(world.signatures.length, 2);
  asks(BERT);
  await pass(2);
  assert.deepEqual(state.told, [ANNA, ANNA, BERT]);
  world.vaults.set(BERT, KEY);
  await pass(6);
  assert.deepEqual(state.end, { place: placeOf(BERT, deployment) });
});

test("a transaction that is not what the page wished is not signed, and ends it", async (context) => {
  const state = followed(context);
  asks(ANNA, made(ANNA, opening.amount + 1n));
  await pass(2);
  assert.ok(state.end && "error" in state.end && state.end.error instanceof UnreadableError);
  assert.deepEqual([world.signatures, state.told], [[], []]);
});

test("a relayer that is silent, too busy or broken for a while is asked again", async (context) => {
  const state = followed(context);
  for (const fails of ["silent", refusal(429, "too_many_requests"), refusal(503, "no_node")] as const) {
    world.fails = fails;
    const { looks } = world;
    await pass(3);
    assert.equal(world.looks, looks + 3);
    assert.equal(state.end, null);
  }
  world.fails = null;
  asks(ANNA);
  world.vaults.set(ANNA, KEY);
  await pass(2);
  assert.deepEqual(state.end, { place: placeOf(ANNA, deployment) });
});

test("a signature that came too late is given for the transaction that replaced it", async (context) => {
  const state = followed(context);
  asks(ANNA);
  world.refuses = refusal(400, "invalid_signature");
  await pass(3);
  assert.deepEqual([state.told, state.end], [[], null], "nobody is told of a signature that was not taken");
  world.refuses = null;
  await pass(1);
  assert.deepEqual(state.told, [ANNA]);
});

test("an opening that nobody asked for ends with the relayer's word; any other refusal as well", async (context) => {
  for (const [status, code] of [[404, "opening_unknown"], [400, "malformed_body"]] as const) {
    const state = followed(context);
    world.fails = refusal(status, code);
    await pass(1);
    assert.ok(state.end && "error" in state.end && state.end.error instanceof RelayerError && state.end.error.code === code);
    mock.timers.reset();
  }
});

test("an opening that is forgotten after it was signed may still be carried out: it is waited for, and not for ever", async (context) => {
  for (const arrives of [true, false]) {
    const state = followed(context);
    asks(ANNA);
    await pass(2);
    world.fails = refusal(404, "opening_unknown");
    await pass(60);
    assert.equal(state.end, null);
    if (arrives) world.vaults.set(ANNA, KEY);
    await pass(70);
    if (arrives) assert.deepEqual(state.end, { place: placeOf(ANNA, deployment) });
    else assert.match(String((state.end as { error: unknown } | null)?.error), /does not happen/);
    mock.timers.reset();
  }
});

test("who leaves is not followed any longer, and nothing is signed for them", async (context) => {
  const state = followed(context);
  await pass(3);
  state.left.abort();
  asks(ANNA);
  await pass(3);
  assert.ok(state.end && "error" in state.end && (state.end.error as Error).name === "AbortError");
  assert.deepEqual(world.signatures, []);
});
