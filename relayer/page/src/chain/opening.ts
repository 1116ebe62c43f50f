/** An opening that a phone's wallet pays for: what this page wishes, and whether what the relayer made of it is that. */

import {
  authorizeKey, compile, decodeMessage, deposit, encodeInstruction, type Instruction, type KeyGrant, messageOf, openVault, type Place, type SessionKey, toBase58, toBase64,
} from "../../../../app-idl/client/src/index.js";
import { UnreadableError } from "./sentence.js";
import { inWords } from "./words.js";

/** The place of the first key in a new vault. */
const SLOT = 0;

/** What is wished, whoever is to own the vault. */
export interface Opening {
  key: SessionKey;
  grant: KeyGrant;
  /** µUSDC. */
  amount: bigint;
}

/** What the relayer is told of it. The key's seed stays here. */
export function wishOf({ key, grant, amount }: Opening): { key: string; authorize_key: string; deposit: number } {
  return { key: toBase58(key.address), authorize_key: toBase64(encodeInstruction("authorize_key", { slot: SLOT, grant })), deposit: Number(amount) };
}

/**
 * The key's signature of a transaction that opens the vault of `place` as it was wished. What it does is read from its bytes, and must be what the page's own
 * transaction for that owner does, word for word. Throws {@link UnreadableError} for any other.
 */
export function signedOpening(transaction: Uint8Array, place: Place, opening: Opening): Uint8Array {
  const made = inWords(transaction, place);
  const lifetime = { blockhash: decodeMessage(transaction).blockhash, last_valid_block_height: 0 };
  const wished = inWords(compile(place.owner, lifetime, instructions(place, opening)), place);
  if (JSON.stringify(made) !== JSON.stringify(wished)) throw new UnreadableError("it is not the opening that this page wished");
  return opening.key.sign(messageOf(transaction));
}

function instructions(place: Place, { key, grant, amount }: Opening): Instruction[] {
  return [openVault(place), authorizeKey(place, toBase58(key.address), SLOT, grant), deposit(place, amount)];
}
