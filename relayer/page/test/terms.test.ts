/** What a provider writes, and the terms, proofs and sentences that are made of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilitiesOf, decodeInstruction, isValidTariff, type OfferAccount, type OfferTerms, placeOf, providerPlace, putOffer, tariffOf, toBase58 } from "../../../app-idl/client/src/index.js";
import { consequence } from "../src/chain/consequence.js";
import { EMPTY_OFFER, faultOfName, formOf, type OfferForm, originProof, readEndpoint, readTerms } from "../src/chain/terms.js";

const at = (seed: number) => toBase58(new Uint8Array(32).fill(seed));
const provider = providerPlace(placeOf(at(9), { relayer: at(1), config: at(2), mint: at(3) }));
const form: OfferForm = { ...EMPTY_OFFER, model: "qwen/qwen3-32b", price: { ...EMPTY_OFFER.price, input: "0.30", output: "1.2" }, context: "32768" };
const long: OfferForm = { ...form, longFrom: "200000", longPrice: { ...form.price, input: "0.6", output: "2.4" } };

test("a price that is left empty follows from another", () => {
  const { terms, faults } = readTerms(form);
  assert.deepEqual(faults, {});
  assert.deepEqual(terms.price, { input: 300_000n, cached: 300_000n, cache_write: 300_000n, cache_write_long: 300_000n, output: 1_200_000n, request: 0n });
  assert.deepEqual([terms.long_from, terms.long_price.input, terms.context_limit, terms.output_limit], [0, 0n, 32_768, 32_768]);
  assert.equal(terms.capabilities, capabilitiesOf(["chat", "streaming"], "unknown"));
  const written = readTerms({ ...form, price: { ...form.price, cacheWrite: "0.375" } }).terms.price;
  assert.deepEqual([written.cache_write, written.cache_write_long], [375_000n, 375_000n]);
  assert.equal(readTerms(long).terms.long_price.output, 2_400_000n);
});

test("what the program would refuse is said at its field", () => {
  const faulty = (change: Partial<OfferForm>) => Object.keys(readTerms({ ...form, ...change }).faults);
  const price = (change: object) => ({ price: { ...form.price, ...change } });
  assert.deepEqual(faulty({ model: "a b" }), ["model"]);
  assert.deepEqual(faulty({ model: "m:free" }), ["model"]);
  assert.deepEqual(faulty(price({ input: "" })), ["input"]);
  assert.deepEqual(faulty(price({ output: "x" })), ["output"], "and not at the longest answer");
  assert.deepEqual(faulty(price({ cached: "0.31" })), ["cached"]);
  assert.deepEqual(faulty(price({ output: "1000000.000001" })), ["output"]);
  assert.deepEqual(faulty(price({ output: "1000000" })), []);
  assert.deepEqual(faulty(price({ input: "0.0000001" })), ["input"]);
  assert.deepEqual(faulty({ context: "0" }), ["context"]);
  assert.deepEqual(faulty({ context: "4294967296" }), ["context"]);
  assert.deepEqual(faulty({ answer: "32769" }), ["answer"]);
  assert.deepEqual(faulty({ ...long, longFrom: "1.5" }), ["longFrom"]);
  assert.deepEqual(faulty({ ...long, longPrice: { ...long.longPrice, input: "" } }), ["long.input"]);
  assert.deepEqual(faulty({ ...long, longPrice: { ...long.longPrice, output: "1.1" } }), ["long.output"], "below the other price");
  assert.deepEqual(faulty({ ...long, longPrice: { ...long.longPrice, request: "0" }, ...price({ request: "0.01" }) }), ["long.request"]);
  assert.equal(readTerms({ ...long, price: { ...long.price, request: "0.01" } }).terms.long_price.request, 10_000n, "an empty price of a request is the same for long prompts");
});

test("an offer's terms become a form and the same terms again, bits without a name included", () => {
  const { terms } = readTerms({ ...long, price: { ...long.price, cached: "0.03", request: "0.00001" }, quantization: "fp8", answer: "8192" });
  const all: OfferTerms = { ...terms, price: { ...terms.price, output: 1_234_567_000_000n / 10n }, capabilities: terms.capabilities | (1n << 63n) };
  all.long_price = { ...all.long_price, output: all.price.output };
  assert.ok(isValidTariff(tariffOf(all)), "by the program's own rule");
  assert.deepEqual(readTerms(formOf("qwen/qwen3-32b", all)), { terms: all, faults: {} });
  const unnamed = { ...all, capabilities: 15n << 24n };
  assert.equal(readTerms(formOf("m", unnamed)).terms.capabilities, 15n << 24n);
  assert.equal(readTerms({ ...formOf("m", unnamed), quantization: "int4" }).terms.capabilities, 1n << 24n, "a chosen quantization replaces one without a name");
  const bytes = decodeInstruction(putOffer(provider, "m", all).data)!;
  assert.deepEqual(bytes.args.terms, all);
});

test("names and URLs that the program or relayers refuse", () => {
  for (const good of ["Acme", "Prövider", "x".repeat(32)]) assert.equal(faultOfName(good), null);
  for (const bad of ["", "x".repeat(33), "ö".repeat(17), "a\nb"]) assert.ok(faultOfName(bad), bad);
  assert.deepEqual(readEndpoint(" https://api.example.com/v1// "), { url: "https://api.example.com/v1", fault: null });
  for (const bad of ["", "api.example.com", "ftp://a.example", "https://a.example/?x=1", "https://a.example/#x", "https://u:p@a.example", "https://a.example/?", `https://a.example/${"x".repeat(128)}`]) {
    assert.ok(readEndpoint(bad).fault, bad);
  }
});

test("the proof is the file that relayers read, at the root of the origin", () => {
  const { at: where, json } = originProof(provider.provider, "https://api.example.com:8443/some/v1");
  assert.equal(where, "https://api.example.com:8443/.well-known/steam-provider.json");
  assert.deepEqual(JSON.parse(json), { providers: [{ address: provider.provider }] });
});

test("notice and grace are said as they are", () => {
  const delays = { notice: { seconds: 600 }, grace: { seconds: 2_700 } };
  const say = (change: Parameters<typeof consequence>[0], listed = true, until: bigint | null = null) => consequence(change, { listed } as OfferAccount, until, delays);
  assert.match(say("first"), /hold at once/);
  assert.match(say("unchanged"), /announced are withdrawn/);
  assert.match(say("now"), /hold at once.*settles for 45 minutes; no other prices/);
  assert.match(say("announced"), /^Something costs more.*notice of 10 minutes/);
  assert.match(say("announced", false), /was retired.*notice of 10 minutes/);
  assert.match(say("too early", true, 1_800_000_000n), /still settle until .*2027/);
});
