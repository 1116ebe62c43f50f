/**
 * Money. Tokens move in whole µUSDC; prices are µUSDC per million tokens, which is pico-USDC per token, so that every
 * charge is an exact integer of pico-USDC (1e-12 USDC). Amounts are `bigint`; what leaves its range throws `RangeError`.
 */

import { U128_MAX, U64_MAX } from "./bytes.js";

/** Pico-USDC in one µUSDC. */
export const PICO_PER_MICRO = 1_000_000n;
/** Upper bound of each price component. */
export const MAX_PRICE = 1_000_000_000_000n;
/** Upper bound of a relayer's fee, in basis points of the charge. */
export const MAX_FEE_BPS = 2_000;

/** The price of one kind of prompt: µUSDC per million tokens, and µUSDC per request. */
export interface Price {
  /** Prompt tokens neither read from nor written to a cache. */
  input: bigint;
  /** Prompt tokens from the provider's cache. */
  cached: bigint;
  /** Prompt tokens written to the provider's cache, for the shorter lifetime. */
  cacheWrite: bigint;
  /** Prompt tokens written to the provider's cache, for the longer lifetime. */
  cacheWriteLong: bigint;
  output: bigint;
  request: bigint;
}

/** What an offer posts: with a prompt of more than `longFrom` tokens all of a request costs `long`; 0: no other price. */
export interface Tariff {
  standard: Price;
  longFrom: number;
  long: Price;
}

/** What is charged for, each a u32. The four counts of prompt tokens are apart (OpenAI's `prompt_tokens` includes them all). */
export interface Usage {
  requests: number;
  input: number;
  cached: number;
  cacheWrite: number;
  cacheWriteLong: number;
  output: number;
}

/** The components of a price in the order of their bytes. */
export const PRICE_PARTS = ["input", "cached", "cacheWrite", "cacheWriteLong", "output", "request"] as const;

function within(value: bigint, max: bigint): bigint {
  if (value < 0n || value > max) throw new RangeError(`${value} is out of range`);
  return value;
}

function ceilDiv(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

/** Whether every component is within bounds and `cached <= input`. */
export function isValidPrice(price: Price): boolean {
  return price.cached <= price.input && PRICE_PARTS.every((part) => price[part] <= MAX_PRICE);
}

/** Whether both prices are valid, and the long one is not below the standard one, or zero where there is none. */
export function isValidTariff({ standard, longFrom, long }: Tariff): boolean {
  const fits = (part: (typeof PRICE_PARTS)[number]) => (longFrom === 0 ? long[part] === 0n : standard[part] <= long[part]);
  return isValidPrice(standard) && isValidPrice(long) && PRICE_PARTS.every(fits);
}

/** Whether no component is above `limit`'s. */
function isPriceWithin(price: Price, limit: Price): boolean {
  return PRICE_PARTS.every((part) => price[part] <= limit[part]);
}

/** Whether no request costs more than by `limit`: no component is above, and long prompts begin no earlier. */
export function isWithin(tariff: Tariff, limit: Tariff): boolean {
  const long = tariff.longFrom === 0 || (limit.longFrom !== 0 && tariff.longFrom >= limit.longFrom && isPriceWithin(tariff.long, limit.long));
  return isPriceWithin(tariff.standard, limit.standard) && long;
}

/** Prompt tokens: all four kinds. */
export function promptTokens(usage: Usage): number {
  return usage.input + usage.cached + usage.cacheWrite + usage.cacheWriteLong;
}

/** Whether a prompt of so many tokens is a long one. */
export function isLong(tariff: Tariff, prompt: number): boolean {
  return tariff.longFrom !== 0 && prompt > tariff.longFrom;
}

/** Whether the requests summed up can all have had long prompts: `prompt >= requests·(longFrom + 1)`. */
export function mayBeLong(tariff: Tariff, sum: Usage): boolean {
  return tariff.longFrom !== 0 && BigInt(promptTokens(sum)) >= BigInt(sum.requests) * BigInt(tariff.longFrom + 1);
}

/** What one request costs, in pico-USDC: the prompt decides which price holds for all of it. */
export function tariffCharge(tariff: Tariff, usage: Usage): bigint {
  return charge(isLong(tariff, promptTokens(usage)) ? tariff.long : tariff.standard, usage);
}

/** The one charge formula, in pico-USDC: each count of tokens by its price, and `requests·p_request·10^6`. */
export function charge(price: Price, usage: Usage): bigint {
  return (
    BigInt(usage.input) * price.input +
    BigInt(usage.cached) * price.cached +
    BigInt(usage.cacheWrite) * price.cacheWrite +
    BigInt(usage.cacheWriteLong) * price.cacheWriteLong +
    BigInt(usage.output) * price.output +
    BigInt(usage.requests) * price.request * PICO_PER_MICRO
  );
}

/** The relayer's fee on the charges of one key in one group: `⌊Σc·bps/10^4⌋` pico-USDC. */
export function fee(charges: bigint, bps: number): bigint {
  return within(charges * BigInt(bps), U128_MAX) / 10_000n;
}

/** The fee a receipt shows for its own charge: `⌈c·bps/10^4⌉` pico-USDC. A group's receipts always cover its fee. */
export function receiptFee(charge: bigint, bps: number): bigint {
  return ceilDiv(within(charge * BigInt(bps), U128_MAX), 10_000n);
}

/** Whole µUSDC that move when the cumulative sum `before` grows by `amount`: `⌊(before+amount)/10^6⌋ − ⌊before/10^6⌋`. */
export function floorStep(before: bigint, amount: bigint): bigint {
  return within(within(before + amount, U128_MAX) / PICO_PER_MICRO - before / PICO_PER_MICRO, U64_MAX);
}

/** Whole µUSDC in `pico`. */
export function floorMicro(pico: bigint): bigint {
  return within(pico / PICO_PER_MICRO, U64_MAX);
}

/** The least number of µUSDC that covers `pico`. */
export function ceilMicro(pico: bigint): bigint {
  return within(ceilDiv(pico, PICO_PER_MICRO), U64_MAX);
}

function decimal(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, "0");
  return `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** Decimal USDC with six places: `1.500000`. */
export function formatMicro(micro: bigint): string {
  return decimal(micro, 6);
}

/** Decimal USDC with twelve places. */
export function formatPico(pico: bigint): string {
  return decimal(pico, 12);
}
