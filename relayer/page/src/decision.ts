/** Why a request went where it went: the decision record, whose hash is in the receipt, ready to be drawn. */

import { equal, fromBase64, type Receipt, sha256 } from "../../../app-idl/client/src/index.js";

/** An answer's record as the relayer hands it out. */
export interface Generation {
  id: string;
  /** The exact bytes of the record, base64. */
  decision_base64: string;
  /** What each candidate of each route came to, as the relayer computes it from the record. */
  scores: Score[][];
  receipt: string;
}

interface Score {
  offer: string;
  /** µUSDC. */
  cost: number;
  /** Seconds. */
  time: number;
  failure: number;
  /** The objective, µUSDC. */
  score: number;
  share: number;
  samples: number;
  ttft: number;
  speed: number;
  outstanding: number;
  available: boolean;
}
interface Route {
  model: string;
  candidates: { offer: string; provider: string; name: string; dialect: string }[];
  excluded: { offer: string; name: string; reason: string }[];
  choice: {
    ask: { sort: "balanced" | "price" | "throughput" | "latency" };
    terms: { second: number };
    measured: { outstanding_requests: number; newcomer: boolean; penalty: number; gate: "closed" | "half_open" | "open" }[];
    ranking: { order: number[]; scores: Score[]; explored: boolean };
  };
}
interface Attempt {
  offer: string;
  name: string;
  model: string;
  outcome: string;
  started_ms: number;
  ms: number;
  error: string | null;
}
export interface DecisionRecord {
  v: number;
  id: string;
  dialect: string;
  preferred: string[];
  routes: Route[];
  attempts: Attempt[];
}

/** The form of records, and the one before, which has the scores as well. */
const VERSION = 8;
const WITH_SCORES = 7;
/** The attempt that served. */
const OPENED = "opened";

/** A record, or why it is none that can be shown. */
export class DecisionError extends Error {}

/** The record of a receipt. Throws {@link DecisionError} if it is another one's. */
export function readDecision({ decision_base64, scores }: Generation, receipt: Receipt): DecisionRecord {
  const bytes = fromBase64(decision_base64);
  if (!equal(sha256(bytes), receipt.routingHash)) throw new DecisionError("The relayer shows another decision than the one that the receipt was signed with.");
  const record = JSON.parse(new TextDecoder().decode(bytes)) as DecisionRecord;
  if (record.v === WITH_SCORES) return record;
  if (record.v !== VERSION) throw new DecisionError(`This decision is of version ${record.v}, which this page cannot show. \`steam receipt verify --routing\` of that version can.`);
  record.routes.forEach((route, at) => { route.choice.ranking.scores = scores[at] ?? []; });
  return record;
}

/** A candidate as it is drawn, the first one tried first. */
export interface Drawn extends Score {
  name: string;
  /** Requests that it was working on. */
  requests: number;
  /** Parts of the highest objective among those drawn, 0 to 1: money, time, failures and doubts about honesty. */
  parts: { money: number; time: number; rest: number };
  served: boolean;
  notes: string[];
}

/** The candidates of a route in the order in which they are tried. */
export function drawnOf(route: Route, attempts: readonly Attempt[]): Drawn[] {
  const { ask, terms, measured, ranking } = route.choice;
  const highest = ranking.scores.reduce((most, { score }) => Math.max(most, score), 0);
  const served = attempts.find(({ outcome }) => outcome === OPENED)?.offer;
  return ranking.order.flatMap((index, place): Drawn[] => {
    const [candidate, score, was] = [route.candidates[index], ranking.scores[index], measured[index]];
    if (!candidate || !score || !was) return [];
    const part = (value: number) => (highest > 0 ? Math.min(Math.max(value, 0), score.score) / highest : 0);
    // Where one thing alone is asked for, the objective is made of that.
    const [money, time] = ask.sort === "balanced" ? [part(score.cost), part(score.time * terms.second)] : ask.sort === "price" ? [part(score.score), 0] : [0, part(score.score)];
    const whole = part(score.score);
    const notes = [
      place === 0 && ranking.explored && "chosen to learn about it",
      was.newcomer && "a newcomer",
      was.penalty > 1 && "flagged: counts as that much worse",
      was.gate === "open" && "failing: tried last",
      was.gate === "half_open" && "was failing, may be back",
      !score.available && was.gate === "closed" && "at its limit",
    ].filter((note) => note !== false);
    return [{ ...score, name: candidate.name, requests: was.outstanding_requests, parts: { money: Math.min(money, whole), time: Math.min(time, whole - Math.min(money, whole)), rest: Math.max(whole - money - time, 0) }, served: candidate.offer === served, notes }];
  });
}

/** The choice in a few words: the same as `steam receipt verify --routing` says. */
export function chosenWords({ routes, attempts }: DecisionRecord): string {
  const count = (of: (route: Route) => readonly unknown[]) => routes.reduce((sum, route) => sum + of(route).length, 0);
  const tried = attempts.map(({ name, outcome }) => `${name} (${outcome})`).join(", ");
  return `${count((route) => route.candidates)} candidates, ${count((route) => route.excluded)} excluded; tried ${tried}`;
}

/** What a record does not prove, in the words of `steam receipt verify --routing`. */
export const UNPROVEN = [
  "what was measured of each provider, and that the draws were random",
  "when attempts began and ended, and what went wrong with those that failed",
  "that no offer was left out, and the reasons given for those excluded",
] as const;
