/** Receipts, checked here: signature, arithmetic, answer and place in a settled batch. */

import { type ConfigAccount, decodeSigned, equal, fromBase64, provenRoot, type Receipt, type ReceiptDocument, ReceiptError, receiptKeyOf, type RelayerAccount, toBase58, verifyReceipt } from "../../../app-idl/client/src/index.js";

/** What a receipt must agree with, all of it from the chain. */
export interface Expected {
  relayer: RelayerAccount;
  relayerAddress: string;
  config: ConfigAccount;
  /** The vault, if it is known: a key alone does not say which it is. */
  vault: string | null;
}

export interface Checked {
  id: string;
  receipt: Receipt;
  bytes: Uint8Array;
  /** Why it does not hold, or `null`. */
  fault: string | null;
  /** Whether it was compared with the answer, which must be here for that. */
  withAnswer: boolean;
  /** How far its settlement is, by the relayer's word. */
  status: string;
  /** Whether the proof leads to the root that the relayer names. */
  included: boolean | null;
  transaction: string | null;
}

const FAULTS: { [code: string]: string } = {
  Malformed: "It is no receipt.",
  Signature: "The relayer's key did not sign it.",
  Charge: "Its charge is not its price times its counts.",
  Fee: "Its fee is not its rate of the charge.",
  Foreign: "It is of another vault or relayer.",
  Response: "It is for another answer than the one shown.",
};

/** Checks signed bytes; `answer` is the hash of the answer that was received, if it was. */
export function check(id: string, bytes: Uint8Array, expected: Expected, answer?: Uint8Array): Checked {
  const signed = decodeSigned(bytes);
  const { receipt } = signed;
  let fault: string | null = null;
  try {
    verifyReceipt(signed, keyOf(expected.relayer, receipt.keyId));
    const ours = equal(receipt.domain, expected.config.domain) && toBase58(receipt.relayer) === expected.relayerAddress;
    if (!ours || (expected.vault !== null && toBase58(receipt.vault) !== expected.vault)) throw new ReceiptError("Foreign");
    if (answer && !equal(receipt.responseHash, answer)) throw new ReceiptError("Response");
  } catch (error) {
    if (!(error instanceof ReceiptError)) throw error;
    fault = FAULTS[error.code] ?? error.message;
  }
  return { id, receipt, bytes, fault, withAnswer: answer !== undefined, status: "unsettled", included: null, transaction: null };
}

function keyOf(relayer: RelayerAccount, id: number): Uint8Array {
  const key = receiptKeyOf(relayer, id);
  if (!key) throw new ReceiptError("Signature");
  return key;
}

/** The same receipt with how far its settlement is by the relayer's document, and the proof checked once there is one. */
export function refreshed(known: Checked, document: ReceiptDocument): Checked {
  const same = equal(fromBase64(document.receipt), known.bytes);
  const fault = same ? known.fault : "The relayer now shows another receipt for this answer.";
  const { proof } = document;
  if (!proof) return { ...known, fault, status: document.status };
  // A proof of another receipt says nothing of the one kept here.
  const included = same && provenRoot(document) !== null;
  return { ...known, fault, status: document.status, included, transaction: proof.transaction ?? null };
}
