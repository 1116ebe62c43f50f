/** The decision record: the one that the receipt was signed with, and how it is drawn. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeSigned, sha256, toBase64, utf8 } from "../../../app-idl/client/src/index.js";
import { chosenWords, DecisionError, type DecisionRecord, drawnOf, readDecision } from "../src/decision.js";
import { signed } from "../fixtures/receipt.js";

const score = (offer: string, over = {}) => ({ offer, cost: 10, time: 2, failure: 0.1, score: 40, share: 0, samples: 5, ttft: 0.3, speed: 50, outstanding: 0, available: true, ...over });
const measured = (over = {}) => ({ outstanding_requests: 1, newcomer: false, penalty: 1, gate: "closed" as const, ...over });
const record: DecisionRecord = {
  v: 8, id: "gen-1", dialect: "chat", preferred: [],
  routes: [{
    model: "m",
    candidates: ["a", "b", "c"].map((name) => ({ offer: name.toUpperCase(), provider: name, name, dialect: "chat" })),
    excluded: [{ offer: "D", name: "d", reason: "its price is above the limit" }],
    choice: {
      ask: { sort: "balanced" }, terms: { second: 10 },
      measured: [measured(), measured({ newcomer: true }), measured({ gate: "open" })],
      ranking: { order: [1, 0, 2], explored: true, scores: [score("A"), score("B", { score: 80 }), score("C", { available: false })] },
    },
  }],
  attempts: [
    { offer: "B", name: "b", model: "m", outcome: "connect", started_ms: 0, ms: 5, error: "refused" },
    { offer: "A", name: "a", model: "m", outcome: "opened", started_ms: 5, ms: 90, error: null },
  ],
};

test("candidates come in the order in which they are tried, with what their objective is made of", () => {
  const drawn = drawnOf(record.routes[0]!, record.attempts);
  assert.deepEqual(drawn.map(({ name, served }) => [name, served]), [["b", false], ["a", true], ["c", false]]);
  assert.deepEqual(drawn[0]!.notes, ["chosen to learn about it", "a newcomer"]);
  assert.deepEqual(drawn[1]!.parts, { money: 10 / 80, time: 20 / 80, rest: 10 / 80 });
  assert.deepEqual(drawn[2]!.notes, ["failing: tried last"]);
});

test("where one thing is asked for, the objective is made of that, and no bar is longer than its objective", () => {
  const route = structuredClone(record.routes[0]!);
  route.choice.ask.sort = "price";
  assert.deepEqual(drawnOf(route, [])[1]!.parts, { money: 0.5, time: 0, rest: 0 });
  route.choice.ask.sort = "latency";
  assert.deepEqual(drawnOf(route, [])[1]!.parts, { money: 0, time: 0.5, rest: 0 });
  route.choice.ask.sort = "balanced";
  route.choice.ranking.scores[0] = score("A", { cost: 1_000 });
  assert.deepEqual(drawnOf(route, [])[1]!.parts, { money: 0.5, time: 0, rest: 0 });
});

test("the words are those of the command line", () => {
  assert.equal(chosenWords(record), "3 candidates, 1 excluded; tried b (connect), a (opened)");
});

test("a record of another receipt is refused, and one of another version", () => {
  const told = (what: object) => {
    const bytes = utf8(JSON.stringify(what));
    const scores = [record.routes[0]!.choice.ranking.scores];
    return { generation: { id: "gen-1", decision_base64: toBase64(bytes), scores, receipt: "" }, receipt: decodeSigned(signed({ routingHash: sha256(bytes) })).receipt };
  };
  const stored = structuredClone(record) as { routes: { choice: { ranking: { scores?: unknown } } }[] };
  delete stored.routes[0]!.choice.ranking.scores;
  const right = told(stored);
  assert.deepEqual(readDecision(right.generation, right.receipt), record, "the scores come with it");
  const before = told({ ...record, v: 7 });
  assert.deepEqual(readDecision({ ...before.generation, scores: [] }, before.receipt), { ...record, v: 7 }, "they were in it");
  const other = told({ ...record, id: "gen-2" });
  assert.throws(() => readDecision(other.generation, right.receipt), DecisionError);
  const later = told({ ...record, v: 9 });
  assert.throws(() => readDecision(later.generation, later.receipt), /version 9/);
});
