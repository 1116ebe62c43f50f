/** An offer's account: which price holds at a moment, and what the program would make of another one. */

import { isWithin, type Price, type Tariff } from "../units.js";
import type { Moment } from "./accounts.js";
import { decodeAccount } from "./codec.js";
import type { OfferTerms, Prices } from "./provider.js";

/** A moment in seconds and in slots: both must have come. */
export interface Deadline {
  time: bigint;
  slot: bigint;
}

export function hasPassed(deadline: Deadline, now: Moment): boolean {
  return now.unix >= deadline.time && now.slot >= deadline.slot;
}

export interface PricePoint {
  price: Prices;
  long_price: Prices;
  long_from: number;
  /** When it takes or took effect. */
  from: Deadline;
  /** 0 is no price. */
  version: number;
}

export interface OfferAccount {
  provider: string;
  token: string;
  rent_payer: string;
  rent_paid: bigint;
  /** As it was posted last. */
  model: string;
  previous: PricePoint;
  current: PricePoint;
  next: PricePoint;
  previous_until: Deadline;
  current_until: Deadline;
  retired_at: Deadline;
  settle_until: Deadline;
  capabilities: bigint;
  last_version: number;
  context_limit: number;
  output_limit: number;
  listed: boolean;
}

/** Value of an offer's status that says that it serves. */
const LISTED = 1;

export function readOffer(data: Uint8Array): OfferAccount {
  const { model, model_len, status, ...rest } = decodeAccount("Offer", data).value;
  const name = new TextDecoder("utf-8", { fatal: true }).decode((model as Uint8Array).subarray(0, model_len as number));
  return { ...rest, model: name, listed: status === LISTED } as unknown as OfferAccount;
}

export function tariffOf({ price, long_price, long_from }: Pick<PricePoint, "price" | "long_price" | "long_from">): Tariff {
  return { standard: priceOf(price), longFrom: long_from, long: priceOf(long_price) };
}

function priceOf({ input, cached, cache_write, cache_write_long, output, request }: Prices): Price {
  return { input, cached, cacheWrite: cache_write, cacheWriteLong: cache_write_long, output, request };
}

/** The prices of an offer at a moment. */
export interface Standing {
  /** The price that holds. */
  holds: PricePoint;
  /** The price that was announced and does not hold yet. */
  announced: PricePoint | null;
  /** Until when the price before still settles; `null` once it does not. No other price can be posted before. */
  graceUntil: Deadline | null;
}

export function standingOf(offer: OfferAccount, now: Moment): Standing {
  const { previous_until, current, current_until, next } = offer;
  const rolled = next.version !== 0 && hasPassed(next.from, now);
  const until = rolled ? current_until : previous_until;
  return {
    holds: rolled ? next : current,
    announced: next.version !== 0 && !rolled ? next : null,
    graceUntil: hasPassed(until, now) ? null : until,
  };
}

/** What the program makes of posted terms. */
export type Change =
  /** There is no such offer yet: its price holds at once. */
  | "first"
  /** The price is the one that holds; an announced one is withdrawn. */
  | "unchanged"
  /** No request costs more: the price holds at once. */
  | "now"
  /** Something costs more, or the offer was retired: the price holds after its notice. */
  | "announced"
  /** The price before is still within its grace. */
  | "too early";

export function changeOf(offer: OfferAccount | null, terms: OfferTerms, now: Moment): Change {
  if (!offer) return "first";
  const { holds, graceUntil } = standingOf(offer, now);
  const [posted, held] = [tariffOf(terms), tariffOf(holds)];
  const lower = isWithin(posted, held);
  if (offer.listed && lower && isWithin(held, posted)) return "unchanged";
  if (graceUntil) return "too early";
  return offer.listed && lower ? "now" : "announced";
}

/** Names of the bits of an offer's capabilities. */
export const CAPABILITIES: { readonly [name: string]: bigint } = Object.fromEntries(
  [
    "streaming", "vision", "tools", "json-mode", "json-schema", "logprobs", "reasoning", "embeddings", "audio-input", "file-input", "prompt-cache", "seed",
    "chat", "completions", "responses", "messages", "no-retention", "no-training",
  ].map((name, bit) => [name, 1n << BigInt(bit)]),
);

/** How weights are quantized, by the value of the field. */
export const QUANTIZATIONS = ["unknown", "int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32"] as const;
const QUANTIZATION_AT = 24n;
const QUANTIZATION_MASK = 0xfn;
/** The bits of that field. */
export const QUANTIZATION_BITS = QUANTIZATION_MASK << QUANTIZATION_AT;

/** The bits of these capabilities and of a quantization; throws `RangeError` for a name that is none. */
export function capabilitiesOf(names: readonly string[], quantization: string): bigint {
  const value = (QUANTIZATIONS as readonly string[]).indexOf(quantization);
  if (value < 0) throw new RangeError(`${quantization} is no quantization`);
  return names.reduce((bits, name) => {
    const bit = CAPABILITIES[name];
    if (bit === undefined) throw new RangeError(`${name} is no capability`);
    return bits | bit;
  }, BigInt(value) << QUANTIZATION_AT);
}

/** What the bits say: names, the quantization, and the bits without a name. */
export function readCapabilities(bits: bigint): { names: string[]; quantization: string; others: bigint } {
  const known = Object.entries(CAPABILITIES);
  const value = Number((bits >> QUANTIZATION_AT) & QUANTIZATION_MASK);
  const named = known.reduce((all, [, bit]) => all | bit, 0n);
  const quantization = QUANTIZATIONS[value];
  const field = quantization === undefined ? 0n : QUANTIZATION_BITS;
  return { names: known.filter(([, bit]) => bits & bit).map(([name]) => name), quantization: quantization ?? QUANTIZATIONS[0], others: bits & ~named & ~field };
}
