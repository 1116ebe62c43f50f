/** Openings of vaults whose fee and rent the relayer pays, for wallets without SOL. */

import { fromBase64, toBase64, type Bytes } from "./bytes.js";
import { RelayerError, type RelayerApi } from "./relayer.js";
import { pause } from "./time.js";

/** Who pays, as `GET /v1/chain` names it. */
export interface Sponsor {
  /** Pays fee and rent, and gets the rent back when the vault is closed. */
  address: string;
  /** µUSDC that must be deposited at least. */
  min_deposit: number;
}

/** Hands an opening that the owner and its key have signed to the relayer, which signs it last and sends it: the whole transaction. */
export async function handToSponsor(api: RelayerApi, signed: Bytes): Promise<Bytes> {
  const hand = () => api.call<{ transaction: string }>("sponsored", { body: { transaction: toBase64(signed) } });
  try {
    return fromBase64((await hand()).transaction);
  } catch (error) {
    if (!(error instanceof RelayerError) || error.status !== 0) throw error;
    // The answer may be lost, not the transaction: the same one is paid for once.
    await pause(1_000);
    return fromBase64((await hand()).transaction);
  }
}
