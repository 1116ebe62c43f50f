/** What an answer costs while it is under way, and what the chain took beside what receipts say. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { costOf, receiptFee } from "../../../app-idl/client/src/index.js";
import type { Market, Offer } from "../src/relayer.js";
import { check } from "../src/receipts.js";
import { compared } from "../src/settled.js";
import { costSoFar } from "../src/sofar.js";
import { expected, signed } from "../fixtures/receipt.js";

const offer = (model: string, input: number, output: number, request = 0, barred: string | null = null) => ({ model, barred, price: { input, cached: 0, output, request } }) as Offer;
const market = (...data: Offer[]) => ({ data, relayer: { fee_bps: 100 } }) as Market;

test("an answer under way costs what its text does at the lowest and the highest posted price, with the fee", () => {
  const listing = market(offer("a", 1_000_000, 4_000_000), offer("a", 2_000_000, 8_000_000, 1_000), offer("b", 9_000_000, 9_000_000), offer("a", 99_000_000, 99_000_000, 0, "is not verified"));
  // 400 bytes are 100 tokens, and 40 bytes are 10.
  assert.deepEqual(costSoFar(listing, "a", "x".repeat(400), "y".repeat(40)), { tokens: 10, least: 142n, most: 1293n });
  assert.deepEqual(costSoFar(listing, "a", "x".repeat(400), ""), { tokens: 0, least: 101n, most: 1212n });
  assert.equal(costSoFar(listing, "c", "x", "y"), null);
  assert.equal(costSoFar(market(offer("a", 1, 1, 0, "is not verified")), "a", "x", "y"), null);
});

test("letters that are no ASCII count by their bytes", () => {
  assert.equal(costSoFar(market(offer("a", 0, 1)), "a", "", "日本語日")!.tokens, 3);
});

test("what the chain took is at most what receipts say, or the rest is told", () => {
  const one = check("x", signed(), expected);
  const cost = costOf(one.receipt);
  const receipts = [{ ...one, included: true }, { ...one, included: null }, { ...one, included: true, fault: "Its fee is not its rate of the charge." }];
  assert.deepEqual(compared(cost, receipts), { taken: cost, receipted: 2n * cost, proven: cost, beyond: 0n });
  assert.equal(compared(2n * cost, receipts).beyond, 0n);
  assert.equal(compared(2n * cost + 1n, receipts).beyond, 1n, "a receipt that does not hold says nothing");
  assert.equal(compared(1n, []).beyond, 1n);
  assert.equal(cost, one.receipt.charge + receiptFee(one.receipt.charge, 50));
});
