/** The market over time, ready to be drawn. */

import type { PlotLine } from "./lines.js";

export interface HistoryPoint {
  at: number;
  requests: number;
  uptime: number;
  ttft_ms: number | null;
  tokens_per_second: number | null;
}
export interface OfferHistory {
  offer: string;
  provider_name: string;
  host: string | null;
  points: HistoryPoint[];
  prices: { at: number; input: number; output: number }[];
}
export interface MarketHistory {
  model: string;
  step_seconds: number;
  since: number;
  until: number;
  data: OfferHistory[];
  left_out: number;
}

/** A figure that is drawn. */
export interface Figure {
  title: string;
  format(value: number): string;
  of(history: OfferHistory, until: number): [at: number, value: number][];
  most?: number;
  /** It holds until the next one, so that all are joined. */
  steady?: boolean;
}

const measured = (of: (point: HistoryPoint) => number | null) => ({ points }: OfferHistory) =>
  points.flatMap((point): [number, number][] => {
    const value = of(point);
    return value === null ? [] : [[point.at, value]];
  });

/** A price holds until the next one: each is drawn as a step. */
const posted = (part: "input" | "output") => ({ prices }: OfferHistory, until: number) =>
  prices.flatMap((price, place): [number, number][] => [[price.at, price[part]], [prices[place + 1]?.at ?? until, price[part]]]);

const usd = (micro: number) => `$${(micro / 1e6).toFixed(2)}`;

export const FIGURES: readonly Figure[] = [
  { title: "First token (ms, median)", format: (ms) => `${Math.round(ms)} ms`, of: measured(({ ttft_ms }) => ttft_ms) },
  { title: "Speed (tokens a second, median)", format: (speed) => `${Math.round(speed)} tokens/s`, of: measured(({ tokens_per_second }) => tokens_per_second) },
  { title: "Uptime (share of requests that did not fail)", format: (share) => `${Math.round(share * 1_000) / 10} %`, of: measured(({ uptime }) => uptime), most: 1 },
  { title: "Price of a million answer tokens", format: usd, of: posted("output"), steady: true },
  { title: "Price of a million prompt tokens", format: usd, of: posted("input"), steady: true },
];

/** What an offer's provider is called: its host, which is proven, or the name that it chose, which proves nothing and may be another's host. */
export const nameOf = ({ host, provider_name }: OfferHistory): string => host ?? `${provider_name} (not verified)`;

/** The lines of a figure, of the first `most` offers. */
export function linesOfFigure({ data, until }: MarketHistory, figure: Figure, most: number): PlotLine[] {
  return data.slice(0, most).map((history) => ({ name: history.offer, points: figure.of(history, until) }));
}

/** A row of the table: what each offer was like in a part of the time. */
export interface Row {
  at: number;
  name: string;
  offer: string;
  requests: number;
  uptime: number;
  ttft_ms: number | null;
  tokens_per_second: number | null;
}

/** Every step of every offer, the last one first. */
export function rowsOf({ data }: MarketHistory): Row[] {
  const rows = data.flatMap((history) => history.points.map((point) => ({ ...point, name: nameOf(history), offer: history.offer })));
  return rows.sort((a, b) => b.at - a.at || (a.name < b.name ? -1 : 1));
}
