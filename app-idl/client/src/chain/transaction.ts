/** A transaction from its instructions to its bytes, and its signatures. */

import {
  appendTransactionMessageInstructions,
  compileTransaction,
  createTransactionMessage,
  getTransactionDecoder,
  getTransactionEncoder,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
  type Address,
  type Blockhash,
  type Instruction,
} from "@solana/kit";
import { equal } from "./bytes.js";

/** Bytes that fit into a packet. */
const MAX_BYTES = 1_232;

export interface Lifetime {
  blockhash: string;
  last_valid_block_height: number;
}

/** The bytes of a transaction of version 0 that nobody has signed. */
export function compile(payer: string, lifetime: Lifetime, instructions: readonly Instruction[]): Uint8Array {
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayer(payer as Address, message),
    (message) =>
      setTransactionMessageLifetimeUsingBlockhash(
        { blockhash: lifetime.blockhash as Blockhash, lastValidBlockHeight: BigInt(lifetime.last_valid_block_height) },
        message,
      ),
    (message) => appendTransactionMessageInstructions(instructions, message),
  );
  const bytes = Uint8Array.from(getTransactionEncoder().encode(compileTransaction(message)));
  if (bytes.length > MAX_BYTES) throw new RangeError(`the transaction has ${bytes.length} bytes, and ${MAX_BYTES} fit`);
  return bytes;
}

/** The bytes of a transaction that its signers sign. */
export function messageOf(transaction: Uint8Array): Uint8Array {
  return Uint8Array.from(getTransactionDecoder().decode(transaction).messageBytes);
}

/** The same transaction with the signature of `signer` in its place. */
export function withSignature(transaction: Uint8Array, signer: string, signature: Uint8Array): Uint8Array {
  const decoded = getTransactionDecoder().decode(transaction);
  const place = Object.keys(decoded.signatures).indexOf(signer);
  if (place < 0) throw new Error(`${signer} does not sign this transaction`);
  const bytes = transaction.slice();
  // One byte has the number of signatures, which is far below 128.
  bytes.set(signature, 1 + 64 * place);
  return bytes;
}

/** The wallet has changed what it was asked to sign. */
export class ChangedError extends Error {
  constructor() {
    super("The wallet returned another transaction than the one shown here, so it was not sent.");
  }
}

/** What a wallet returned, after checking that it signed exactly what it was shown. */
export function unchanged(shown: Uint8Array, returned: Uint8Array): Uint8Array {
  let message: Uint8Array;
  try {
    message = messageOf(returned);
  } catch {
    throw new ChangedError();
  }
  if (!equal(message, messageOf(shown))) throw new ChangedError();
  return returned;
}
