/** Providers and offers: addresses, instructions and accounts by the golden vectors, and what a posted price becomes as the program decides it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as steam from "../src/index.js";
import { fromHex, toBase58, toHex } from "../src/index.js";

type Json = any;
const vectors = (file: string): Json => JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${file}.json`, import.meta.url), "utf8"));
const text = (hex: string) => toBase58(fromHex(hex));
const numbers = (prices: Json) => Object.fromEntries(Object.entries(prices).map(([name, value]) => [name, BigInt(value as string)])) as steam.Prices;

const { program, instruction } = vectors("instruction");
const named = (name: string, at = 0): Json => instruction.filter((one: Json) => one.name === name)[at];
const accounts = new Map<string, string>(named("register_provider").accounts.map((one: Json) => [one.name, text(one.address)]));
const account = (name: string) => accounts.get(name)!;
const place = steam.placeOf(account("authority"), { program: text(program), config: account("config"), relayer: toBase58(new Uint8Array(32).fill(1)), mint: account("mint") });
const at = steam.providerPlace(place);
const posted = named("put_offer").args;
const terms: steam.OfferTerms = {
  price: numbers(posted.terms.price), long_from: Number(posted.terms.long_from), long_price: numbers(posted.terms.long_price),
  context_limit: Number(posted.terms.context_limit), output_limit: Number(posted.terms.output_limit), capabilities: BigInt(posted.terms.capabilities),
};

test("addresses of providers and offers are those of the vectors, and case makes no other offer", () => {
  const offer = named("put_offer").accounts.find((one: Json) => one.name === "offer").address;
  assert.deepEqual([at.provider, at.earnings], [account("provider"), account("token")]);
  assert.equal(steam.offerAddress(at.provider, posted.model, at.program), text(offer));
  assert.equal(steam.offerAddress(at.provider, posted.model.toUpperCase(), at.program), text(offer));
  for (const wrong of ["", "a b", "é", "m".repeat(65), "m:free", "m:NITRO"]) {
    assert.ok(!steam.isModelName(wrong));
    assert.throws(() => steam.offerAddress(at.provider, wrong), RangeError);
  }
  assert.ok(steam.isModelName("m".repeat(64)));
});

test("a provider's instructions are the vectors' to the byte, account by account", () => {
  const rentPayer = account("payer");
  const cases: [Json, steam.Instruction][] = [
    [named("register_provider"), steam.registerProvider(at, "Prövider", "https://provider.example")],
    [named("update_provider"), steam.updateProvider(at, { name: "Provider", url: "https://provider.example/v2", retired: false })],
    [named("update_provider", 1), steam.updateProvider(at, { name: null, url: null, retired: true })],
    [named("put_offer"), steam.putOffer(at, posted.model, terms)],
    [named("retire_offer"), steam.retireOffer(at, posted.model)],
    [named("close_offer"), steam.closeOffer(at, posted.model, rentPayer)],
    [named("close_provider"), steam.closeProvider(at, rentPayer)],
    [named("withdraw_earnings"), steam.withdrawEarnings(at, steam.EVERYTHING)],
  ];
  // The vectors let somebody else pay, and pay somebody else.
  const ours: { [name: string]: string } = { payer: place.owner, destination: place.wallet };
  for (const [vector, made] of cases) {
    assert.equal(toHex(made.data), vector.data, vector.name);
    const expected = vector.accounts.map((one: Json) => ({ address: ours[one.name] ?? text(one.address), role: (one.signer ? 2 : 0) + (one.writable ? 1 : 0) }));
    assert.deepEqual(made.accounts, expected, vector.name);
    const decoded = steam.decodeInstruction(made.data)!;
    assert.equal(toHex(steam.encodeInstruction(vector.name, decoded.args)), vector.data, vector.name);
  }
});

test("bytes that the program does not take for a flag or an option are not read", () => {
  const { data } = steam.updateProvider(at, { name: null, url: null, retired: true });
  for (let byte = data.length - 4; byte < data.length; byte++) {
    const other = data.slice();
    other[byte] = 2;
    assert.throws(() => steam.decodeInstruction(other), RangeError, `byte ${byte}`);
  }
  assert.throws(() => steam.encodeInstruction("update_provider", { update: { name: 1 as never, url: null, retired: null } }), /not of its type/);
  assert.throws(() => steam.encodeInstruction("update_provider", { update: { name: null, url: null, retired: 1 as never } }), /not of its type/);
});

test("providers and offers are read as the vectors have them, and whole", () => {
  const kinds = (kind: string): Json[] => vectors("account").account.filter((one: Json) => one.kind === kind);
  assert.ok(kinds("Provider").length > 0 && kinds("Offer").length > 0);
  for (const { fields, data } of kinds("Provider")) {
    const read = steam.readProvider(fromHex(data));
    assert.deepEqual([read.authority, read.token, read.rent_payer].map((one) => toHex(steam.addressBytes(one))), [fields.authority, fields.token, fields.rent_payer]);
    assert.deepEqual([read.name, read.url, read.status, read.offers, read.rent_paid], [fields.name, fields.url, fields.status, Number(fields.offers), BigInt(fields.rent_paid)]);
    assert.throws(() => steam.readOffer(fromHex(data)), /no account of type Offer/);
  }
  for (const { fields, data } of kinds("Offer")) {
    const read = steam.readOffer(fromHex(data));
    assert.equal(read.model, Buffer.from(fields.model, "hex").subarray(0, Number(fields.model_len)).toString());
    assert.deepEqual([read.listed, read.last_version, read.capabilities], [fields.status === "1", Number(fields.last_version), BigInt(fields.capabilities)]);
    for (const point of ["previous", "current", "next"] as const) {
      assert.deepEqual(read[point].long_price, numbers(fields[point].long_price));
      assert.deepEqual(read[point].from, { time: BigInt(fields[point].from.time), slot: BigInt(fields[point].from.slot) });
      assert.deepEqual([read[point].version, read[point].long_from], [Number(fields[point].version), Number(fields[point].long_from)]);
    }
    assert.equal(read.settle_until.slot, BigInt(fields.settle_until.slot));
    assert.throws(() => steam.readOffer(fromHex(data).slice(0, -1)), RangeError);
  }
});

test("what capabilities say, and nothing lost", () => {
  const bits = steam.capabilitiesOf(["streaming", "no-training"], "fp8");
  assert.equal(bits, 1n | (1n << 17n) | (5n << 24n));
  assert.deepEqual(steam.readCapabilities(bits), { names: ["streaming", "no-training"], quantization: "fp8", others: 0n });
  assert.deepEqual(steam.readCapabilities(1n << 63n), { names: [], quantization: "unknown", others: 1n << 63n });
  assert.equal(steam.readCapabilities(15n << 24n).others, 15n << 24n, "a quantization without a name is told");
  assert.throws(() => steam.capabilitiesOf(["chats"], "fp8"), RangeError);
  assert.throws(() => steam.capabilitiesOf([], "fp7"), RangeError);
});

/** An offer that was posted at second 1000 for this price, as the program writes it. */
function offer(over: Partial<steam.OfferAccount> = {}, input = 10n): steam.OfferAccount {
  const zero = { input: 0n, cached: 0n, cache_write: 0n, cache_write_long: 0n, output: 0n, request: 0n };
  const never = { time: 0n, slot: 0n };
  const none = { price: zero, long_price: zero, long_from: 0, from: never, version: 0 };
  const current = { ...none, price: { ...zero, input, output: input }, from: { time: 1_000n, slot: 1_000n }, version: 7 };
  return { previous: none, current, next: none, previous_until: never, current_until: never, settle_until: never, listed: true, ...over } as unknown as steam.OfferAccount;
}
function wanted(input: bigint, output = input): steam.OfferTerms {
  const { price, long_price, long_from } = offer().current;
  return { price: { ...price, input, output }, long_price, long_from, context_limit: 1, output_limit: 1, capabilities: 0n };
}
const moment = (second: bigint): steam.Moment => ({ unix: second, slot: second });

test("a lower price holds at once, a higher one after its notice, and none within the grace of the one before", () => {
  assert.equal(steam.changeOf(null, wanted(1n), moment(1n)), "first");
  assert.equal(steam.changeOf(offer(), wanted(10n), moment(2_000n)), "unchanged");
  assert.equal(steam.changeOf(offer(), wanted(9n), moment(2_000n)), "now");
  assert.equal(steam.changeOf(offer(), wanted(9n, 11n), moment(2_000n)), "announced", "one component is enough");
  assert.equal(steam.changeOf(offer({ listed: false }), wanted(10n), moment(2_000n)), "announced", "an offer that was retired");
  const fallen = offer({ previous_until: { time: 2_300n, slot: 2_300n } });
  assert.equal(steam.changeOf(fallen, wanted(9n), moment(2_299n)), "too early");
  assert.equal(steam.changeOf(fallen, wanted(10n), moment(2_299n)), "unchanged", "the price that holds can always be posted");
  assert.equal(steam.changeOf(fallen, wanted(9n), { unix: 2_300n, slot: 2_299n }), "too early", "slots count as well");
  assert.equal(steam.changeOf(fallen, wanted(9n), moment(2_300n)), "now");
});

test("an announced price holds from its moment on, and the one before settles for the grace", () => {
  const next = { ...offer({}, 20n).current, from: { time: 2_100n, slot: 2_100n }, version: 8 };
  const rising = offer({ next, current_until: { time: 2_400n, slot: 2_400n } });
  const before = steam.standingOf(rising, moment(2_099n));
  assert.deepEqual([before.holds.version, before.announced?.version, before.graceUntil], [7, 8, null]);
  assert.equal(steam.changeOf(rising, wanted(30n), moment(2_099n)), "announced", "a second rise replaces the first");
  assert.equal(steam.changeOf(rising, wanted(10n), moment(2_099n)), "unchanged", "and the price that holds withdraws it");
  const after = steam.standingOf(rising, moment(2_100n));
  assert.deepEqual([after.holds.version, after.announced, after.graceUntil], [8, null, rising.current_until]);
  assert.equal(steam.changeOf(rising, wanted(30n), moment(2_399n)), "too early");
  assert.equal(steam.changeOf(rising, wanted(15n), moment(2_400n)), "now");
});
