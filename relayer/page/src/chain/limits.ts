/** A key's limits as they are written into a form. */

import { type KeyLimits, MAX_FEE_BPS, type MaxPrices, type SessionKeyAccount } from "../../../../app-idl/client/src/index.js";
import { formatUsdc, parseUsdc } from "../money.js";

/** USD, and per cent for the fee. */
export interface LimitForm {
  total: string;
  window: string;
  input: string;
  output: string;
  cached: string;
  cache_write: string;
  cache_write_long: string;
  request: string;
  fee: string;
}

const COMPONENTS = ["input", "cached", "cache_write", "cache_write_long", "output", "request"] as const;

/** The limits that a key has now. */
export function limitsOf({ limits: { total, window, max_price, max_fee_bps } }: Pick<SessionKeyAccount, "limits">): KeyLimits {
  const prices = Object.fromEntries(COMPONENTS.map((component) => [component, max_price[component]!]));
  return { limit_total: total, window_limit: window, max_price: prices as MaxPrices, max_fee_bps };
}

export function formOfLimits({ limit_total, window_limit, max_price, max_fee_bps }: KeyLimits): LimitForm {
  const usd = (micro: bigint) => formatUsdc(micro).replaceAll(",", "");
  const prices = Object.fromEntries(COMPONENTS.map((component) => [component, usd(max_price[component])])) as { [component in (typeof COMPONENTS)[number]]: string };
  return { total: usd(limit_total), window: usd(window_limit), ...prices, fee: String(max_fee_bps / 100) };
}

/** What a form says, or what is wrong with each field. `windowed`: the key has a window, whose length cannot be changed. */
export function readLimits(form: LimitForm, windowed: boolean): { limits: KeyLimits; faults: Partial<LimitForm> } {
  const faults: Partial<LimitForm> = {};
  const money = (name: keyof LimitForm, least: bigint): bigint => {
    const value = parseUsdc(form[name]);
    if (value === null) faults[name] = "Write an amount such as 5 or 0.25.";
    else if (value < least) faults[name] = "Write an amount above zero.";
    return value ?? 0n;
  };
  const limit_total = money("total", 1n);
  const window_limit = windowed ? money("window", 1n) : 0n;
  const max_price = Object.fromEntries(COMPONENTS.map((component) => [component, money(component, 0n)])) as MaxPrices;
  const fee = /^\s*(\d{1,3})(?:\.(\d{1,2}))?\s*$/.exec(form.fee);
  const max_fee_bps = fee ? Number(fee[1]) * 100 + Number((fee[2] ?? "").padEnd(2, "0")) : 0;
  if (!fee || max_fee_bps > MAX_FEE_BPS) faults.fee = `Write per cent with at most two places, such as 0.5; at most ${MAX_FEE_BPS / 100}.`;
  return { limits: { limit_total, window_limit, max_price, max_fee_bps }, faults };
}
