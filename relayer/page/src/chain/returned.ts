/** What a signer outside of this browser gives back: the transaction with its signature, or the signature alone. */

import { equal, fromBase58, fromBase64, messageOf, signatureBy, TransactionError, withSignature } from "../../../../app-idl/client/src/index.js";

/** Letters of a signature in base58, at most. A transaction in base64 has more. */
const MAX_SIGNATURE = 88;

/** It is not what was asked for; the message says why. */
export class ReturnedError extends Error {}

/** The transaction that was shown, with the signature of `signer` out of `text`. No other byte of `text` is used. Throws {@link ReturnedError}. */
export function returned(shown: Uint8Array, text: string, signer: string): Uint8Array {
  const given = text.replace(/\s+/g, "");
  if (!given) throw new ReturnedError("Paste the signed transaction, or its signature.");
  // Command lines write `ADDRESS=SIGNATURE`.
  const alone = given.slice(given.indexOf("=") + 1);
  const signature = alone.length > 0 && alone.length <= MAX_SIGNATURE ? fromBase58(alone, 64) : null;
  const signed = signature ? withSignature(shown, signer, signature) : sameTransaction(shown, given);
  const valid = signatureBy(signed, signer);
  if (!valid) throw new ReturnedError(`The signature of ${signer} is missing or does not hold for these bytes. If you made the bytes anew since, sign the new ones.`);
  return withSignature(shown, signer, valid);
}

function sameTransaction(shown: Uint8Array, text: string): Uint8Array {
  let bytes: Uint8Array;
  let message: Uint8Array;
  try {
    bytes = fromBase64(text);
    message = messageOf(bytes);
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TransactionError)) throw error;
    throw new ReturnedError("This is neither a transaction in base64 nor a signature in base58.");
  }
  if (!equal(message, messageOf(shown))) throw new ReturnedError("This is another transaction than the one shown here, so it was not sent.");
  return bytes;
}
