/** From what a person wants to a finalized transaction. Each step can be watched, and each ends in a result or an error that says what to do. */

import {
  compile, finalized, handIn, handToSponsor, type Instruction, type Lifetime, messageOf, pause, type Place, RelayerError, type SessionKey, signatureOf, type Sponsor,
  toBase58, unchanged, withSignature,
} from "../../../app-idl/client/src/index.js";
import { inWords, type Words } from "./chain/words.js";
import { relayer, source } from "./relayer.js";

/** Pause between two looks. */
const LOOK_MS = 400;
/** Age up to which a transaction is given to a wallet as it is: of its half minute the wallet and the cluster need the rest. */
const FRESH_MS = 5_000;
/** How long what must follow may take. */
const PATIENCE_MS = 120_000;

/** A transaction that waits for its owner's approval. */
export interface Prepared {
  words: Words;
  transaction: Uint8Array;
  lifetime: Lifetime;
  place: Place;
  /** When it was made, in milliseconds: a blockhash lives for about half a minute. */
  at: number;
}

/** What a transaction is made of. */
export interface Parts {
  instructions: readonly Instruction[];
  /** A new key. It signs first, so that the wallet sees that nothing may be changed. */
  key?: SessionKey | undefined;
  /** Models that the owner may have offers of. */
  models?: readonly string[] | undefined;
  /** Who pays fee and rent in the place of the owner. */
  sponsor?: Sponsor | undefined;
}

/** Compiles a transaction and puts it into words, from its bytes. */
export async function prepare(place: Place, { instructions, key, models, sponsor }: Parts): Promise<Prepared> {
  const lifetime = await source.blockhash();
  let transaction = compile(sponsor?.address ?? place.owner, lifetime, instructions);
  if (key) transaction = withSignature(transaction, toBase58(key.address), key.sign(messageOf(transaction)));
  return { words: inWords(transaction, place, { models, sponsor: sponsor?.address }), transaction, lifetime, place, at: Date.now() };
}

/** The same transaction with a blockhash that lives long enough for a wallet to answer. `null` if its words became others: then they are shown first. */
export async function renewed(prepared: Prepared, parts: Parts): Promise<Prepared | null> {
  if (Date.now() - prepared.at < FRESH_MS) return prepared;
  const anew = await prepare(prepared.place, parts);
  return JSON.stringify(anew.words) === JSON.stringify(prepared.words) ? anew : null;
}

/** How a transaction goes on once its owner has signed. */
export interface Further {
  /** Adds the relayer's signature after the owner's. */
  cosign?: ((transaction: Uint8Array) => Promise<Uint8Array>) | undefined;
  /** Pays for it, and sends it. */
  sponsor?: Sponsor | undefined;
}

/** Takes the owner's signature from `signed`, sends, and waits until the transaction is final. */
export async function carryOut(
  prepared: Prepared,
  signed: Uint8Array,
  tell: (stage: string) => void,
  { cosign, sponsor }: Further,
): Promise<string> {
  let whole = unchanged(prepared.transaction, signed);
  if (cosign) {
    tell("Asking the relayer to sign as well …");
    whole = unchanged(prepared.transaction, await cosign(whole));
  }
  tell(sponsor ? "Asking the relayer to pay, and to send it …" : "Sending …");
  if (sponsor) whole = unchanged(prepared.transaction, await handToSponsor(relayer, whole));
  const signature = sponsor ? signatureOf(whole) : await handIn(source, whole);
  tell("Sent. Waiting until it is final …");
  await finalized(source, signature, prepared.lifetime, whole);
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
