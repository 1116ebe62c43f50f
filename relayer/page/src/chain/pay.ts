/** Links of Solana Pay, by which a phone's wallet asks the relayer for a transaction. */

/** A link that deposits µUSDC into a vault; `null` where the page is not served over https, since wallets follow no other address. */
export function depositLink(origin: string, vault: string, amount: bigint): string | null {
  if (!origin.startsWith("https://")) return null;
  return `solana:${encodeURIComponent(`${origin}/v1/solana-pay/deposits/${vault}?amount=${amount}`)}`;
}
