/** What an answer under way has cost so far, about: the receipt at its end has the sum. */

import type { Market } from "./relayer.js";

/** Bytes of a token, about: of English with most tokenizers a little more. */
const TOKEN_BYTES = 4;

/** The least and the most that so much text costs at the posted prices of `model`, in µUSDC with the relayer's fee; `null` if nobody who is asked offers it. */
export function costSoFar({ data, relayer }: Pick<Market, "data" | "relayer">, model: string, prompt: string, answer: string): { tokens: number; least: bigint; most: bigint } | null {
  const [input, output] = [tokensOf(prompt), tokensOf(answer)];
  const costs = data
    .filter((offer) => offer.model === model && !offer.barred)
    .map(({ price }) => Math.ceil(((input * price.input + output * price.output) / 1e6 + price.request) * (1 + relayer.fee_bps / 10_000)));
  if (costs.length === 0) return null;
  return { tokens: output, least: BigInt(Math.min(...costs)), most: BigInt(Math.max(...costs)) };
}

function tokensOf(text: string): number {
  return Math.ceil(new TextEncoder().encode(text).length / TOKEN_BYTES);
}
