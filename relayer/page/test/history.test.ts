/** The market over time, as lines and as a table. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FIGURES, linesOfFigure, type MarketHistory, nameOf, rowsOf } from "../src/history.js";
import { pathOf } from "../src/lines.js";

const point = (at: number, over = {}) => ({ at, requests: 2, uptime: 0.5, ttft_ms: 100, tokens_per_second: null, ...over });
const history: MarketHistory = {
  model: "m", step_seconds: 300, since: 0, until: 3_000, left_out: 0,
  data: [
    { offer: "A", provider_name: "a", host: "a.example", points: [point(300), point(600, { ttft_ms: null })], prices: [{ at: -600, input: 1, output: 2 }, { at: 600, input: 1, output: 4 }] },
    { offer: "B", provider_name: "b", host: null, points: [point(600)], prices: [] },
  ],
};

test("what was not measured is no point, and a price holds until the next one", () => {
  const lines = (title: string, most = 9) => linesOfFigure(history, FIGURES.find((figure) => figure.title.startsWith(title))!, most).map(({ points }) => points);
  assert.deepEqual(lines("First token"), [[[300, 100]], [[600, 100]]]);
  assert.deepEqual(lines("Speed"), [[], []]);
  assert.deepEqual(lines("Uptime", 1), [[[300, 0.5], [600, 0.5]]]);
  assert.deepEqual(lines("Price of a million answer"), [[[-600, 2], [600, 2], [600, 4], [3_000, 4]], []]);
});

test("the table has every step, the last one first, by the host that is proven", () => {
  assert.deepEqual(rowsOf(history).map(({ at, name }) => [at, name]), [[600, "a.example"], [600, "b (not verified)"], [300, "a.example"]]);
  assert.equal(nameOf(history.data[1]!), "b (not verified)");
});

test("points that are far apart are not joined, and one that stands alone is drawn", () => {
  const same = (value: number) => value;
  assert.equal(pathOf([[0, 1], [10, 2], [99, 3]], same, same, 10), "M0.0 1.0h0L10.0 2.0M99.0 3.0h0");
  assert.equal(pathOf([], same, same, 10), "");
});
