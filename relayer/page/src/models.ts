/** What is offered, as a stranger may have made it up: anybody can post an offer of any name at any price. */

import type { Market, Offer } from "./relayer.js";

type Offers = Pick<Market, "data">;

/** The offers that the relayer asks. */
export function asked({ data }: Offers): Offer[] {
  return data.filter(({ barred }) => !barred);
}

/** The models that somebody is asked for, the cheapest answer first: what is chosen for a person who has not chosen costs least. */
export function models(market: Offers): string[] {
  const least = new Map<string, number>();
  for (const { model, price } of asked(market)) least.set(model, Math.min(least.get(model) ?? Infinity, price.input + price.output + price.request));
  return [...least].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1)).map(([model]) => model);
}

/** The least and the most that `model` costs, in µUSDC a million tokens, long prompts included; `null` if nobody is asked for it. */
export function prices(market: Offers, model: string): { input: [number, number]; output: [number, number]; request: number } | null {
  const posted = asked(market).filter((offer) => offer.model === model).flatMap(({ price }) => (price.long ? [price, price.long] : [price]));
  if (posted.length === 0) return null;
  const range = (component: "input" | "output"): [number, number] => [Math.min(...posted.map((price) => price[component])), Math.max(...posted.map((price) => price[component]))];
  return { input: range("input"), output: range("output"), request: Math.max(...posted.map(({ request }) => request)) };
}

/** The most that is proposed, whatever is posted: about the dearest of well-known models, in µUSDC a million tokens, and a cent a request. Who wants more writes it. */
export const MOST = { input: 15_000_000, output: 75_000_000, request: 10_000 } as const;

/** The dearest posted price and a quarter more, but no more than [`MOST`]; and whether it would be more. Long prompts count, since a key's limit holds for them as well. */
export function proposed(market: Offers, component: keyof typeof MOST): { price: number; capped: boolean } {
  const dearest = asked(market).reduce((most, { price }) => Math.max(most, price[component], price.long?.[component] ?? 0), 0);
  const wanted = Math.ceil(dearest * 1.25);
  return { price: Math.min(wanted, MOST[component]), capped: wanted > MOST[component] };
}
