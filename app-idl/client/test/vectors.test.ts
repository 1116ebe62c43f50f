/** The golden vectors of `tests/vectors`, which the Rust crate checks as well. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { toBase58, utf8 } from "../src/bytes.js";
import * as steam from "../src/index.js";
import { fromHex, merkle, toHex, type Bytes } from "../src/index.js";

type Json = any;

function vectors(file: string): Json {
  return JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${file}.json`, import.meta.url), "utf8"));
}

/** Checks every case, of which there must be some. */
function each(cases: Json[], check: (c: Json) => void): void {
  assert.ok(cases.length > 0);
  cases.forEach(check);
}

function price(c: Json): steam.Price {
  return {
    input: BigInt(c.input), cached: BigInt(c.cached), cacheWrite: BigInt(c.cache_write), cacheWriteLong: BigInt(c.cache_write_long),
    output: BigInt(c.output), request: BigInt(c.request),
  };
}

function tariff(c: Json): steam.Tariff {
  return { standard: price(c.standard), longFrom: Number(c.long_from), long: price(c.long) };
}

function usage(c: Json): steam.Usage {
  return {
    requests: Number(c.requests), input: Number(c.input), cached: Number(c.cached), cacheWrite: Number(c.cache_write),
    cacheWriteLong: Number(c.cache_write_long), output: Number(c.output),
  };
}

/** The amount as a decimal string, or `null` where the vectors say that it is out of range. */
function orNull(compute: () => bigint): string | null {
  try {
    return String(compute());
  } catch (error) {
    assert.ok(error instanceof RangeError);
    return null;
  }
}

function steps(c: Json[]): steam.Step[] {
  return c.map(({ left, sibling }) => ({ left, sibling: fromHex(sibling) }));
}

function sameBytes(actual: Bytes, expected: string): void {
  assert.equal(toHex(actual), expected);
}

function code(act: () => unknown): string | null {
  try {
    act();
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("units", () => {
  const file = vectors("units");
  each(file.charge, (c) => assert.equal(String(steam.charge(price(c.price), usage(c.usage))), c.charge));
  each(file.fee, (c) => {
    assert.equal(orNull(() => steam.fee(BigInt(c.charge), Number(c.bps))), c.group);
    assert.equal(orNull(() => steam.receiptFee(BigInt(c.charge), Number(c.bps))), c.receipt);
  });
  each(file.floor_step, (c) => assert.equal(orNull(() => steam.floorStep(BigInt(c.before), BigInt(c.amount))), c.micro));
  each(file.pico, (c) => {
    assert.equal(orNull(() => steam.floorMicro(BigInt(c.pico))), c.floor);
    assert.equal(orNull(() => steam.ceilMicro(BigInt(c.pico))), c.ceil);
    assert.equal(steam.formatPico(BigInt(c.pico)), c.text);
  });
  each(file.micro, (c) => assert.equal(steam.formatMicro(BigInt(c.micro)), c.text));
  each(file.tariff, (c) => {
    const [posted, used] = [tariff(c.tariff), usage(c.usage)];
    assert.equal(steam.isValidTariff(posted), c.valid);
    assert.equal(steam.isLong(posted, steam.promptTokens(used)), c.long);
    assert.equal(steam.mayBeLong(posted, used), c.may_be_long);
    assert.equal(String(steam.tariffCharge(posted, used)), c.charge);
  });
  each(file.within, (c) => assert.equal(steam.isWithin(tariff(file.posted[c.tariff]), tariff(file.posted[c.limit])), c.within));
  each(file.valid_price, (c) => assert.equal(steam.isValidPrice(price(c.price)), c.valid));
});

test("domain", () => {
  each(vectors("domain").domain, (c) => sameBytes(steam.domain(fromHex(c.program), fromHex(c.genesis)), c.domain));
});

test("voucher", () => {
  each(vectors("voucher").voucher, (c) => {
    const key = new steam.SessionKey(fromHex(c.seed));
    const message = steam.voucherMessage({
      domain: fromHex(c.domain),
      vault: fromHex(c.vault),
      generation: BigInt(c.generation),
      epoch: Number(c.epoch),
      authorized: BigInt(c.authorized),
      requestHash: fromHex(c.request_hash),
    });
    sameBytes(key.address, c.key);
    sameBytes(message, c.message);
    sameBytes(key.sign(message), c.signature);
  });
});

test("ed25519 edge cases", () => {
  each(vectors("ed25519").signature, (c) => {
    assert.equal(steam.verifyStrict(fromHex(c.key), fromHex(c.message), fromHex(c.signature)), c.valid, c.name);
  });
});

test("request", () => {
  each(vectors("request").request, (c) => {
    const controlHash = steam.controlHeadersHash(c.headers.map(([name, value]: string[]) => [name, fromHex(value!)]));
    sameBytes(controlHash, c.control_hash);
    assert.equal(steam.contentDigest(fromHex(c.body_hash)), c.content_digest);
    const hash = steam.requestHash({
      relayer: fromHex(c.relayer),
      method: c.method,
      path: c.path,
      bodyHash: fromHex(c.body_hash),
      controlHash,
      maxCost: BigInt(c.max_cost),
      notAfter: BigInt(c.not_after),
      nonce: fromHex(c.nonce),
    });
    sameBytes(hash, c.hash);
  });
});

test("group", () => {
  each(vectors("group").group, (c) => {
    const header = {
      vault: fromHex(c.vault),
      generation: BigInt(c.generation),
      seq: Number(c.seq),
      receipts: Number(c.receipts),
      feeBps: Number(c.fee_bps),
    };
    const charges = c.charges.map((charge: Json) => ({
      slot: Number(charge.slot),
      offer: fromHex(charge.offer),
      version: Number(charge.version),
      long: charge.long,
      usage: usage(charge.usage),
    }));
    sameBytes(steam.nextHash(fromHex(c.previous), header, charges), c.hash);
  });
});

test("batch", () => {
  const file = vectors("batch");
  each(file.batch, (c) => {
    const batch: steam.Batch = {
      root: fromHex(c.root),
      groups: c.groups.map((group: Json) => ({
        seq: Number(group.seq),
        receipts: Number(group.receipts),
        feeBps: Number(group.fee_bps),
        vouchers: group.vouchers.map((voucher: Json) => ({
          slot: Number(voucher.slot),
          authorized: BigInt(voucher.authorized),
          requestHash: fromHex(voucher.request_hash),
          signature: fromHex(voucher.signature),
        })),
        charges: group.charges.map((charge: Json) => ({
          slot: Number(charge.slot),
          offerIx: Number(charge.offer_ix),
          version: Number(charge.version),
          long: charge.long,
          usage: usage(charge.usage),
        })),
        memberships: group.memberships.map(steps),
      })),
    };
    sameBytes(steam.encodeBatch(batch), c.bytes);
    assert.deepEqual(steam.decodeBatch(fromHex(c.bytes)), batch);
  });
  each(file.refused, (c) => assert.equal(code(() => steam.decodeBatch(fromHex(c.bytes))), c.error));
});

test("receipt", () => {
  const file = vectors("receipt");
  const key = new steam.SessionKey(fromHex(file.seed));
  sameBytes(key.address, file.key);
  each(file.receipt, (c) => {
    const receipt: steam.Receipt = {
      keyId: Number(c.key_id),
      domain: fromHex(c.domain),
      relayer: fromHex(c.relayer),
      vault: fromHex(c.vault),
      generation: BigInt(c.generation),
      keyEpoch: Number(c.key_epoch),
      keySlot: Number(c.key_slot),
      number: BigInt(c.number),
      requestHash: fromHex(c.request_hash),
      responseHash: fromHex(c.response_hash),
      provider: fromHex(c.provider),
      offer: fromHex(c.offer),
      priceVersion: Number(c.price_version),
      price: tariff(c.price),
      usage: usage(c.usage),
      countedBy: c.counted_by,
      charge: BigInt(c.charge),
      feeBps: Number(c.fee_bps),
      fee: BigInt(c.fee),
      keyCumulative: BigInt(c.key_cumulative),
      finishReason: c.finish_reason,
      startedAtMs: BigInt(c.started_at_ms),
      ttftMs: Number(c.ttft_ms),
      durationMs: Number(c.duration_ms),
      routingHash: fromHex(c.routing_hash),
    };
    const signed = steam.decodeSigned(fromHex(c.signed));
    assert.deepEqual(signed.receipt, receipt);
    sameBytes(steam.encodeSigned({ ...signed, receipt }), c.signed);
    assert.equal(code(() => steam.verifyReceipt(signed, key.address)), c.error);
  });
  each(file.refused, (bytes) => assert.equal(code(() => steam.decodeSigned(fromHex(bytes))), "Malformed"));
});

test("merkle", () => {
  const file = vectors("merkle");
  each(file.leaf, (c) => sameBytes(merkle.leaf(fromHex(c.data)), c.hash));
  const leaves: Bytes[] = file.leaves.map((data: string) => merkle.leaf(fromHex(data)));
  each(file.tree, (c) => sameBytes(merkle.root(leaves.slice(0, Number(c.count))), c.root));
  each(file.proof, (c) => {
    const [index, count] = [Number(c.index), Number(c.count)];
    const path = merkle.proof(leaves.slice(0, count), index)!;
    assert.deepEqual(path.map(toHex), c.path);
    sameBytes(merkle.rootFromProof(leaves[index]!, BigInt(index), BigInt(count), path)!, c.root);
    assert.equal(merkle.proof(leaves.slice(0, count), count), null);
  });
  each(file.refused, (c) => {
    assert.equal(merkle.rootFromProof(leaves[2]!, BigInt(c.index), BigInt(c.count), c.path.map(fromHex)), null);
  });
});

test("allow-list", () => {
  const file = vectors("allow_list");
  each(file.list, (c) => {
    const list = new steam.AllowList(c.named.map(fromHex));
    assert.deepEqual(list.providers.map(toHex), c.providers);
    sameBytes(list.root(), c.root);
    each(c.member, (member) => {
      const [provider, proof] = [fromHex(member.provider), steps(member.steps)];
      assert.deepEqual(list.prove(provider), proof);
      assert.ok(steam.proves(proof, provider, list.root()));
    });
    assert.equal(list.prove(new Uint8Array(32)), null);
  });
  each(file.refused, (c) => assert.equal(code(() => new steam.AllowList(c.named.map(fromHex))), c.error));
  each(file.unproven, (c) => assert.ok(!steam.proves(steps(c.steps), fromHex(c.provider), fromHex(c.root))));
});

test("a batch holds no more proofs, and none of more steps, than its format can express", () => {
  const step = { left: true, sibling: new Uint8Array(32) };
  const batch = (memberships: steam.Step[][]): steam.Batch => ({
    root: new Uint8Array(32),
    groups: [{ seq: 1, receipts: 0, feeBps: 0, vouchers: [], charges: [], memberships }],
  });
  assert.equal(code(() => steam.encodeBatch(batch(Array(17).fill([])))), "MembershipCount");
  assert.equal(code(() => steam.encodeBatch(batch([Array(7).fill(step)]))), "MembershipPath");
  assert.ok(!steam.proves(Array(7).fill(step), new Uint8Array(32), new Uint8Array(32)));
});

test("key", async () => {
  const { inspect } = await import("node:util");
  const file = vectors("key");
  each(file.key, (c) => {
    const key = steam.SessionKey.parse(c.text);
    sameBytes(key.address, c.public);
    assert.equal(toBase58(key.address), c.address);
    assert.equal(key.reveal(), c.text);
    assert.equal(`${key}`, `SessionKey(${c.address})`);
    const shown = inspect(key, { showHidden: true, depth: 9 }) + JSON.stringify(key);
    assert.ok(!shown.includes(c.text.slice(9)) && !shown.includes(c.seed) && !shown.includes("seed"));
  });
  each(file.refused, (c) => {
    assert.throws(() => steam.SessionKey.parse(c.text), (error: steam.KeyError) => {
      assert.equal(error.code, c.error, c.text);
      assert.ok(c.text.length < 20 || !error.message.includes(c.text.slice(10)));
      return true;
    });
  });
});

test("control headers are latin-1 as fetch holds them", () => {
  const bytes = steam.controlHeadersHash([["steam-route-x", Uint8Array.of(0xe9, 0x20)]]);
  sameBytes(steam.controlHeadersHash(new Headers({ "Steam-Route-X": "\u00e9" })), toHex(steam.controlHeadersHash([["steam-route-x", Uint8Array.of(0xe9)]])));
  sameBytes(steam.controlHeadersHash([["Steam-Route-X", "\u00e9 "]]), toHex(bytes));
  assert.notEqual(toHex(steam.controlHeadersHash([["steam-route-x", utf8("\u00e9 ")]])), toHex(bytes));
});

test("a vault is read with its keys, of which none may be cut", () => {
  const vaults = vectors("account").account.filter((c: Json) => c.kind === "Vault");
  each(vaults, (c) => {
    const data = fromHex(c.data);
    const vault = steam.readVault(data);
    assert.equal(toHex(steam.addressBytes(vault.owner)), c.fields.owner);
    assert.equal(vault.settle_seq, Number(c.fields.settle_seq));
    const read = vault.keys.map(({ slot, key, epoch, limits, window_seconds, settled_pico }) => [
      slot, toHex(steam.addressBytes(key)), epoch, limits.total, window_seconds, settled_pico,
    ]);
    const written = c.keys.map((key: Json, slot: number) => [
      slot, key.key, Number(key.epoch), BigInt(key.limits.total), Number(key.window_seconds), BigInt(key.settled_pico),
    ]);
    assert.deepEqual(read, written);
    assert.deepEqual(vault.keys.map(steam.isUsed), c.keys.map((key: Json) => /[^0]/.test(key.key)));
    assert.throws(() => steam.readVault(data.slice(0, -1)), RangeError);
  });
});
