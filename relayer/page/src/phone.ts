/** Opens a vault from a phone: shows its wallet's transaction to nobody but this page's own check, signs it, and waits until it is final. */

import { type Deployment, fromBase64, isUsed, pause, placeOf, type Place, RelayerError, toBase58 } from "../../../app-idl/client/src/index.js";
import { type Opening, signedOpening } from "./chain/opening.js";
import { until } from "./flows.js";
import { holdings, openingTransaction, signOpening } from "./relayer.js";

/** Pause between two looks at what a wallet has asked for, and at the vault. */
const LOOK_MS = 1_000;
const VAULT_MS = 5_000;

/** Waits for the wallet that scans the code of `id`; `told` is called with its address whenever this page has signed. Throws once `signal` is aborted. */
export async function openedByPhone(id: string, opening: Opening, deployment: Deployment, told: (account: string) => void, signal: AbortSignal): Promise<Place> {
  let place: Place | null = null;
  for (let looked = 0; ; await pause(LOOK_MS)) {
    signal.throwIfAborted();
    try {
      const { account, transaction, signed } = await openingTransaction(id);
      if (account !== null && transaction !== null && !signed) {
        place = placeOf(account, deployment);
        await signOpening(id, signedOpening(fromBase64(transaction), place, opening));
        told(account);
      }
      if (place && Date.now() - looked > VAULT_MS) {
        looked = Date.now();
        if (await isOpen(place, opening)) return place;
      }
    } catch (error) {
      if (!(error instanceof RelayerError)) throw error;
      // What was signed may still be approved for as long as its blockhash lives.
      if (error.code === "opening_unknown" && place) return await lastly(place, opening);
      // A wallet that asks again is given another transaction, and that is signed at the next look.
      if (!error.passes && error.code !== "invalid_signature") throw error;
    }
  }
}

async function lastly(place: Place, opening: Opening): Promise<Place> {
  return until(async () => ((await isOpen(place, opening)) ? place : null), "The opening that the phone was given");
}

/** The seed is used as an API key only after this: the chain is asked, and not the relayer with the key. */
async function isOpen(place: Place, { key }: Opening): Promise<boolean> {
  const address = toBase58(key.address);
  return !!(await holdings(place)).vault?.keys.some((one) => isUsed(one) && one.key === address);
}
