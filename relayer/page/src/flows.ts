/** From what a person wants to a finalized transaction. Each step can be watched, and each ends in a result or an error that says what to do. */

import type { Instruction } from "@solana/kit";
import { inWords, type Words } from "./chain/words.js";
import { compile, messageOf, unchanged, withSignature, type Lifetime } from "./chain/transaction.js";
import type { Place } from "./chain/program.js";
import { toBase58, type SessionKey } from "../../../app-idl/client/src/index.js";
import * as relayer from "./relayer.js";
import { sign, type Connected } from "./wallet.js";

/** Pause between two looks at a transaction. */
const LOOK_MS = 400;
/** How long the relayer may be silent while a transaction is under way. */
const PATIENCE_MS = 120_000;

/** A transaction that waits for its owner's approval. */
export interface Prepared {
  words: Words;
  transaction: Uint8Array;
  lifetime: Lifetime;
  place: Place;
}

/** Compiles a transaction and puts it into words, from its bytes. A new key signs first, so that the wallet sees that nothing may be changed. */
export async function prepare(place: Place, instructions: readonly Instruction[], key?: SessionKey): Promise<Prepared> {
  const lifetime = await relayer.blockhash();
  let transaction = compile(place.owner, lifetime, instructions);
  if (key) transaction = withSignature(transaction, toBase58(key.address), key.sign(messageOf(transaction)));
  return { words: inWords(transaction, place), transaction, lifetime, place };
}

/** It was not carried out and never will be. */
export class FailedError extends Error {}

/** Whether it was carried out cannot be told. */
export class UnknownError extends Error {}

/** Asks the wallet, sends, and waits until the transaction is final. `cosigned` adds the relayer's signature after the wallet's. */
export async function carryOut(
  prepared: Prepared,
  connected: Connected,
  cluster: string,
  tell: (stage: string) => void,
  cosigned?: (transaction: Uint8Array) => Promise<Uint8Array>,
): Promise<string> {
  tell(`Waiting for ${connected.wallet.name} …`);
  let signed = unchanged(prepared.transaction, await sign(connected, prepared.transaction, cluster));
  if (cosigned) {
    tell("Asking the relayer to sign as well …");
    signed = unchanged(prepared.transaction, await cosigned(signed));
  }
  tell("Sending …");
  const signature = await sent(signed);
  tell("Sent. Waiting until it is final …");
  await finalized(signature, prepared.lifetime.last_valid_block_height, async () => void (await relayer.send(signed)));
  return signature;
}

async function sent(transaction: Uint8Array): Promise<string> {
  try {
    return await relayer.send(transaction);
  } catch (error) {
    if (!(error instanceof relayer.ApiError) || !error.passes) throw error;
    // The answer may be lost, not the transaction: sending it again changes nothing.
    await pause(1_000);
    return relayer.send(transaction);
  }
}

/** Waits until a transaction is final; throws {@link FailedError} if it failed or can no longer be carried out. */
export async function finalized(signature: string, lastValidBlockHeight: number, again?: () => Promise<void>): Promise<void> {
  let heard = Date.now();
  for (let look = 1; ; look++) {
    try {
      const { status, error, block_height } = await relayer.progress(signature);
      heard = Date.now();
      if (status === "finalized") return;
      if (status === "failed") throw new FailedError(`The transaction failed: ${error ?? "the chain does not say why"}. Only its fee was taken.`);
      if (status === "unknown" && block_height > lastValidBlockHeight) {
        throw new FailedError("The network did not take the transaction in time. Nothing was done; try again.");
      }
      // The network drops transactions now and then.
      if (status === "unknown" && look % 10 === 0) await again?.().catch(() => {});
    } catch (error) {
      if (!(error instanceof relayer.ApiError) || !error.passes) throw error;
      if (Date.now() - heard > PATIENCE_MS) {
        throw new UnknownError(`The relayer does not answer, so what became of the transaction is not known. It is ${signature}: look it up before you try again.`);
      }
    }
    await pause(LOOK_MS);
  }
}

/** Waits until `seen` returns something. */
export async function until<T>(seen: () => Promise<T | null>, what: string): Promise<T> {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await pause(LOOK_MS)) {
    const found = await seen().catch((error: unknown) => {
      if (error instanceof relayer.ApiError && (error.passes || error.status === 401 || error.status === 404)) return null;
      throw error;
    });
    if (found !== null) return found;
  }
  throw new Error(`${what} does not happen. Reload this page and look again; the transaction is final and nothing is lost.`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
