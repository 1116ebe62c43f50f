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

/** A posted price: µUSDC per million tokens, and µUSDC per request. */
export interface Price {
  input: bigint;
  cached: bigint;
  output: bigint;
  request: bigint;
}

/** What is charged for, each a u32. `input` excludes `cached` (OpenAI's `prompt_tokens` includes it). */
export interface Usage {
  requests: number;
  input: number;
  cached: number;
  output: number;
}

function within(value: bigint, max: bigint): bigint {
  if (value < 0n || value > max) throw new RangeError(`${value} is out of range`);
  return value;
}

function ceilDiv(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

/** Whether every component is within bounds and `cached <= input`. */
export function isValidPrice(price: Price): boolean {
  return price.cached <= price.input && [price.input, price.output, price.request].every((part) => part <= MAX_PRICE);
}

/** The one charge formula, in pico-USDC: `input·p_in + cached·p_cached + output·p_out + requests·p_request·10^6`. */
export function charge(price: Price, usage: Usage): bigint {
  return (
    BigInt(usage.input) * price.input +
    BigInt(usage.cached) * price.cached +
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
