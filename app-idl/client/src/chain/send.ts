/** From a signed transaction to a final one. */

import type { Bytes } from "../bytes.js";
import { RelayerError } from "../relayer.js";
import { pause } from "../time.js";
import type { ChainSource } from "./source.js";
import { signatureOf, type Lifetime } from "./transaction.js";

/** Pause between two looks at a transaction. */
const LOOK_MS = 400;
/** How long the chain may be silent while a transaction is under way. */
const PATIENCE_MS = 120_000;

/** It was not carried out and never will be. */
export class FailedError extends Error {}

/** Whether it was carried out cannot be told. */
export class UnknownOutcomeError extends Error {
  constructor(readonly signature: string) {
    super(`The chain does not answer, so what became of the transaction is not known. It is ${signature}: look it up before you try again.`);
  }
}

/** Hands a signed transaction to the cluster; its signature. */
export async function handIn(chain: ChainSource, signed: Bytes): Promise<string> {
  try {
    await chain.send(signed);
  } catch (error) {
    if (!(error instanceof RelayerError) || !error.passes) throw error;
    // The answer may be lost, not the transaction: sending it again changes nothing.
    await pause(1_000);
    await chain.send(signed);
  }
  return signatureOf(signed);
}

/** Waits until a transaction is final, and sends it again now and then if it is here; throws {@link FailedError} if it failed or can no longer be carried out. */
export async function finalized(chain: ChainSource, signature: string, lifetime: Pick<Lifetime, "last_valid_block_height">, signed?: Bytes): Promise<void> {
  let heard = Date.now();
  for (let look = 1; ; look++) {
    try {
      const { status, error, block_height } = await chain.progress(signature);
      heard = Date.now();
      if (status === "finalized") return;
      if (status === "failed") throw new FailedError(`The transaction failed: ${error ?? "the chain does not say why"}. Only its fee was taken.`);
      if (status === "unknown" && block_height > lifetime.last_valid_block_height) {
        throw new FailedError("The network did not take the transaction in time. Nothing was done; try again.");
      }
      // The network drops transactions now and then.
      if (status === "unknown" && signed && look % 10 === 0) await chain.send(signed).catch(() => {});
    } catch (error) {
      if (!(error instanceof RelayerError) || !error.passes) throw error;
      if (Date.now() - heard > PATIENCE_MS) throw new UnknownOutcomeError(signature);
    }
    await pause(LOOK_MS);
  }
}
