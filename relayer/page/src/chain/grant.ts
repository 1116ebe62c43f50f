/** What a key is granted, by the names that the program gives it. */

import type { KeyGrant } from "../../../../app-idl/client/src/index.js";

const DAY = 86_400;

export interface Limits {
  /** Unix seconds. */
  expires: bigint;
  /** µUSDC in all and in a day. */
  total: bigint;
  daily: bigint;
  /** µUSDC per million tokens, and per request. */
  prompt: bigint;
  answer: bigint;
  request: bigint;
  feeBps: number;
}

export function grantOf(limits: Limits): KeyGrant {
  return {
    expires: limits.expires,
    limit_total: limits.total,
    window_seconds: DAY,
    window_limit: limits.daily,
    max_price: {
      input: limits.prompt,
      cached: limits.prompt,
      // A provider takes more for a token that it also keeps: up to twice as much is usual.
      cache_write: 2n * limits.prompt,
      cache_write_long: 2n * limits.prompt,
      output: limits.answer,
      request: limits.request,
    },
    max_fee_bps: limits.feeBps,
    allow_root: new Uint8Array(32),
  };
}
