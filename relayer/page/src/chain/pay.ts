/** Links of Solana Pay, by which a phone's wallet asks the relayer for a transaction. */

/** A link that deposits µUSDC into a vault; `null` where the page is not served over https, since wallets follow no other address. */
export function depositLink(origin: string, vault: string, amount: bigint): string | null {
  return link(origin, `deposits/${vault}?amount=${amount}`);
}

/** A link that opens the vault that was wished under `id`; `null` as for {@link depositLink}. */
export function openingLink(origin: string, id: string): string | null {
  return link(origin, `openings/${id}`);
}

/** Whether wallets follow links to a page of this origin. */
export function isFollowed(origin: string): boolean {
  return origin.startsWith("https://");
}

function link(origin: string, path: string): string | null {
  return isFollowed(origin) ? `solana:${encodeURIComponent(`${origin}/v1/solana-pay/${path}`)}` : null;
}
