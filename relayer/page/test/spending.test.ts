/** What a key used as lines and as a file, and its limits as a form. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { costOf, decodeInstruction, NEVER, placeOf, toBase58, updateKey } from "../../../app-idl/client/src/index.js";
import { grantOf } from "../src/chain/grant.js";
import { formOfLimits, limitsOf, readLimits } from "../src/chain/limits.js";
import { receiptsCsv } from "../src/csv.js";
import { formatPico } from "../src/money.js";
import { check } from "../src/receipts.js";
import { linesOf, type UsageRow } from "../src/sums.js";
import { expected, of, signed } from "../fixtures/receipt.js";

const row = (over: Partial<UsageRow>): UsageRow => ({ requests: 1, input_tokens: 2, cached_tokens: 3, cache_write_tokens: 4, output_tokens: 5, cost_pico: "10", ...over });
const unix = (date: string) => Date.parse(date) / 1_000;

test("days come in their order without gaps, from the first with a request to the end", () => {
  const rows = [row({ day: "2026-11-27", cost_pico: "30" }), row({ day: "2026-11-25", cost_pico: "15" })];
  const lines = linesOf(rows, "day", unix("2026-10-29T08:00:00Z"), unix("2026-11-28T08:00:00Z"));
  assert.deepEqual(lines.map(({ label, cost, part }) => [label, cost, part]), [["2026-11-25", 15n, 0.5], ["2026-11-26", 0n, 0], ["2026-11-27", 30n, 1], ["2026-11-28", 0n, 0]]);
  assert.deepEqual(linesOf([], "day", 0, unix("2026-11-28")), []);
  // The last second of a day does not begin the next one.
  assert.equal(linesOf([row({ day: "2026-11-27" })], "day", 0, unix("2026-11-28T00:00:00Z")).length, 1);
});

test("models and providers come by their cost, whatever their size", () => {
  const rows = [row({ model: "a", cost_pico: "1" }), row({ model: "b", cost_pico: String(10n ** 30n) }), row({ model: null, cost_pico: "1" })];
  assert.deepEqual(linesOf(rows, "model", 0, 1).map(({ label, part }) => [label, part]), [["b", 1], ["a", 0], ["unknown", 0]]);
  assert.deepEqual(linesOf([row({ provider: "p", cost_pico: "0" })], "provider", 0, 1).map(({ label, part }) => [label, part]), [["p", 0]]);
});

/** A reader of RFC 4180, apart from the writer. */
function parse(text: string): string[][] {
  const rows: string[][] = [[]];
  for (let at = 0; at < text.length; ) {
    let cell = "";
    if (text[at] === '"') {
      for (at++; !(text[at] === '"' && text[at + 1] !== '"'); at++) {
        cell += text[at];
        if (text[at] === '"') at++;
      }
      at++;
    } else {
      for (; at < text.length && text[at] !== "," && text[at] !== "\r"; at++) cell += text[at];
    }
    rows.at(-1)!.push(cell);
    if (text[at] === ",") at++;
    else {
      assert.equal(text.slice(at, at + 2), "\r\n");
      at += 2;
      rows.push([]);
    }
  }
  assert.deepEqual(rows.pop(), []);
  return rows;
}

test("a file has each receipt with its cost to the last place, and whether it holds", () => {
  const good = check("gen-1", signed({ number: 5n }), expected);
  const bad = check("gen-2", signed({ fee: 1n }), expected);
  const names = { model: (address: string) => `model of ${address.slice(0, 3)}`, provider: () => "Acme" };
  const [titles, first, second, ...more] = parse(receiptsCsv([good, bad], names));
  const cell = (row: string[] | undefined, title: string) => row![titles!.indexOf(title)];
  assert.deepEqual(more, []);
  assert.equal(cell(first, "cost_usdc"), formatPico(costOf(good.receipt)));
  assert.equal(BigInt(cell(first, "charge_pico_usdc")!) + BigInt(cell(first, "fee_pico_usdc")!), costOf(good.receipt));
  assert.deepEqual([cell(first, "id"), cell(first, "receipt_number"), cell(first, "receipt_holds"), cell(first, "started")], ["gen-1", "5", "yes", "2027-01-15T08:00:00.000Z"]);
  assert.deepEqual([cell(first, "input_tokens"), cell(first, "output_tokens"), cell(first, "vault")], ["1000", "500", toBase58(of(3))]);
  assert.match(cell(second, "receipt_holds")!, /Its fee is not/);
});

test("a provider's name cannot leave its cell, and no spreadsheet takes it for a formula", () => {
  const provider = (name: string) => parse(receiptsCsv([check("x", signed(), expected)], { model: () => "m", provider: () => name }))[1]![3];
  for (const name of ['a,b', 'a"b', "a\r\nb", '""', ",", '"']) assert.equal(provider(name), name);
  for (const name of ["=1+1", "+1", "-1", "@x", "\tx", "\rx", '=HYPERLINK("http://a")']) assert.equal(provider(name), `'${name}`);
});

test("a key's limits become a form and the same limits again", () => {
  const grant = grantOf({ expires: NEVER, total: 1_234_567_890_000n, daily: 5_000_000n, prompt: 3_000_000n, answer: 15_500_000n, request: 1_000n, feeBps: 125 });
  const account = { limits: { total: grant.limit_total, window: grant.window_limit, max_price: grant.max_price as unknown as { [component: string]: bigint }, max_fee_bps: 125 } };
  const limits = limitsOf(account);
  assert.deepEqual(readLimits(formOfLimits(limits), true), { limits, faults: {} });
  const place = placeOf(toBase58(of(9)), { relayer: toBase58(of(1)), config: toBase58(of(2)), mint: toBase58(of(3)) });
  assert.deepEqual(decodeInstruction(updateKey(place, 2, limits).data)!.args, { slot: 2, limits });
});

test("what the program would refuse of new limits is said at its field", () => {
  const form = { total: "10", window: "5", input: "1", output: "2", cached: "1", cache_write: "1", cache_write_long: "1", request: "0", fee: "0.5" };
  const faulty = (change: Partial<typeof form>, windowed = true) => Object.keys(readLimits({ ...form, ...change }, windowed).faults);
  assert.deepEqual(faulty({}), []);
  assert.deepEqual(faulty({ total: "0" }), ["total"]);
  assert.deepEqual(faulty({ window: "0" }), ["window"]);
  assert.deepEqual(faulty({ window: "0" }, false), [], "a key without a window has none to limit");
  assert.equal(readLimits(form, false).limits.window_limit, 0n);
  assert.deepEqual(faulty({ output: "x" }), ["output"]);
  assert.deepEqual(faulty({ fee: "20.01" }), ["fee"]);
  assert.deepEqual(faulty({ fee: "0.005" }), ["fee"]);
  assert.equal(readLimits({ ...form, fee: "0.05" }, true).limits.max_fee_bps, 5);
});
