/** A stranger's offers neither choose for anybody nor bend what is proposed. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUsdc } from "../src/money.js";
import { MOST, models, prices, proposed } from "../src/models.js";
import type { Offer } from "../src/relayer.js";
import { first } from "../src/views/limits.js";

const offer = (model: string, input: number, output: number, over: Partial<Offer> = {}, request = 0) =>
  ({ model, barred: null, price: { input, cached: 0, output, request }, ...over }) as Offer;
const honest = [offer("b/large", 1_000_000, 4_000_000), offer("a/small", 200_000, 800_000), offer("b/large", 1_110_000, 4_460_000)];
const market = (...strangers: Offer[]) => ({ data: [...strangers, ...honest], relayer: { fee_bps: 100 } }) as never as Parameters<typeof first>[0];

test("the cheapest model is chosen for who has not chosen, whatever others are called", () => {
  assert.deepEqual(models(market(offer("-0/gpt", 700_000_000, 700_000_000), offer("__proto__", 9e9, 9e9))), ["a/small", "b/large", "-0/gpt", "__proto__"]);
  assert.deepEqual(models(market(offer("free/ghost", 0, 0, { barred: "is not verified" }))), ["a/small", "b/large"]);
  assert.deepEqual(models(market(offer("dear/request", 0, 0, {}, 50_000_000)))[0], "a/small");
});

test("the prices of a model are those that are asked", () => {
  assert.deepEqual(prices(market(offer("b/large", 1, 1, { barred: "no" })), "b/large"), { input: [1_000_000, 1_110_000], output: [4_000_000, 4_460_000], request: 0 });
  assert.equal(prices(market(), "nobody/has"), null);
});

test("proposed is the dearest and a quarter more, without barred offers and never more than well-known models cost", () => {
  assert.deepEqual(proposed(market(), "input"), { price: 1_387_500, capped: false });
  const ghost = offer("ghost/40000", 40_000_000_000, 40_000_000_000, { barred: "is not verified" }, 40_000_000_000);
  assert.deepEqual(proposed(market(ghost), "output"), { price: 5_575_000, capped: false });
  assert.deepEqual(proposed(market(ghost), "request"), { price: 0, capped: false });
  for (const component of ["input", "output", "request"] as const) {
    assert.deepEqual(proposed(market(offer("-0/gpt", 7e8, 7e8, {}, 7e8)), component), { price: MOST[component], capped: true });
  }
});

test("what the form proposes, it takes", () => {
  for (const strangers of [[], [offer("x", 7e8, 7e8, {}, 7e8)], [offer("x", 4e10, 4e10)]]) {
    const form = first(market(...strangers));
    assert.notEqual(parseUsdc(form.prompt), null, form.prompt);
    assert.notEqual(parseUsdc(form.answer), null, form.answer);
  }
});
