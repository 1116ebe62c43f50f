/** From what a person wants to a finalized transaction. Each step can be watched, and each ends in a result or an error that says what to do. */

import {
  compile, finalized, handIn, type Instruction, type Lifetime, messageOf, pause, type Place, RelayerError, type SessionKey, toBase58, unchanged, withSignature,
} from "../../../app-idl/client/src/index.js";
import { inWords, type Words } from "./chain/words.js";
import { source } from "./relayer.js";
import { sign, type Connected } from "./wallet.js";

/** Pause between two looks. */
const LOOK_MS = 400;
/** How long what must follow may take. */
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
  const lifetime = await source.blockhash();
  let transaction = compile(place.owner, lifetime, instructions);
  if (key) transaction = withSignature(transaction, toBase58(key.address), key.sign(messageOf(transaction)));
  return { words: inWords(transaction, place), transaction, lifetime, place };
}

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
  const signature = await handIn(source, signed);
  tell("Sent. Waiting until it is final …");
  await finalized(source, signature, prepared.lifetime, signed);
  return signature;
}

/** Waits until `seen` returns something. */
export async function until<T>(seen: () => Promise<T | null>, what: string): Promise<T> {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await pause(LOOK_MS)) {
    const found = await seen().catch((error: unknown) => {
      if (error instanceof RelayerError && (error.passes || error.status === 401 || error.status === 404)) return null;
      throw error;
    });
    if (found !== null) return found;
  }
  throw new Error(`${what} does not happen. Reload this page and look again; the transaction is final and nothing is lost.`);
}
