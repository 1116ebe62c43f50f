/** The receipt a relayer signs for every answer: `borsh(Receipt) ‖ signature`, 541 bytes. */

import { concat, exactly, int64, Reader, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";
import { usageBytes } from "./group.js";
import { PRICE_PARTS, receiptFee, tariffCharge, type Price, type Tariff, type Usage } from "./units.js";
import { verifyStrict } from "./voucher.js";

/** Bytes of a signed receipt. */
export const SIGNED_LENGTH = 541;

/** Who counted the tokens, by discriminant. */
export const COUNTED_BY = ["provider", "relayer", "capped"] as const;
/** Why the answer ended, by discriminant. */
export const FINISH_REASONS = ["stop", "length", "tool_calls", "content_filter", "error", "client_gone", "other"] as const;

export interface Receipt {
  /** Which of the relayer's receipt keys signs this. */
  keyId: number;
  domain: Hash;
  relayer: Address;
  vault: Address;
  generation: bigint;
  keyEpoch: number;
  keySlot: number;
  /** The receipt's number in the vault, rising. */
  number: bigint;
  requestHash: Hash;
  /** SHA-256 of the identity bytes sent before the receipt itself. */
  responseHash: Hash;
  provider: Address;
  offer: Address;
  priceVersion: number;
  /** Both prices: which holds follows from the prompt. */
  price: Tariff;
  usage: Usage;
  countedBy: (typeof COUNTED_BY)[number];
  /** Pico-USDC. */
  charge: bigint;
  feeBps: number;
  /** Pico-USDC. */
  fee: bigint;
  /** Charges and fees of all the key's receipts up to this one, in pico-USDC: the relayer's word. */
  keyCumulative: bigint;
  finishReason: (typeof FINISH_REASONS)[number];
  /** Unix milliseconds. */
  startedAtMs: bigint;
  ttftMs: number;
  durationMs: number;
  /** SHA-256 of the routing decision record. */
  routingHash: Hash;
}

export interface SignedReceipt {
  receipt: Receipt;
  signature: Bytes;
}

/**
 * `Malformed`, `Signature`, `Charge` and `Fee` are about the receipt itself; the others say that it is not the one to
 * expect: of another vault or key, for another request or response, or above the request's ceiling.
 */
export type ReceiptErrorCode = "Malformed" | "Signature" | "Charge" | "Fee" | "Foreign" | "Request" | "Response" | "Ceiling";

const FAULTS: { [code in ReceiptErrorCode]: string } = {
  Malformed: "it is no receipt",
  Signature: "the relayer's key did not sign it",
  Charge: "its charge is not its price times its counts",
  Fee: "its fee is not its rate of the charge",
  Foreign: "it is of another vault, key or relayer",
  Request: "it is for another request",
  Response: "it is for another answer",
  Ceiling: "it charges more than the request allowed",
};

/** Why a receipt does not hold. Keep it: it is the evidence against who sent it. */
export class ReceiptError extends Error {
  /** The answer that came with it, where it came whole. */
  answer?: Response;

  constructor(readonly code: ReceiptErrorCode) {
    super(`The receipt does not hold: ${FAULTS[code]}. Ask this relayer no more before you know why.`);
  }
}

/** The borsh form: what is signed, after its tag. */
export function encodeReceipt(r: Receipt): Bytes {
  return concat(
    uint(r.keyId, 4), exactly(r.domain, 32), exactly(r.relayer, 32), exactly(r.vault, 32), uint(r.generation, 8),
    uint(r.keyEpoch, 4), uint(r.keySlot, 1), uint(r.number, 8), exactly(r.requestHash, 32), exactly(r.responseHash, 32),
    exactly(r.provider, 32), exactly(r.offer, 32), uint(r.priceVersion, 4),
    priceBytes(r.price.standard), uint(r.price.longFrom, 4), priceBytes(r.price.long), usageBytes(r.usage),
    uint(COUNTED_BY.indexOf(r.countedBy), 1), uint(r.charge, 16), uint(r.feeBps, 2), uint(r.fee, 16), uint(r.keyCumulative, 16),
    uint(FINISH_REASONS.indexOf(r.finishReason), 1), int64(r.startedAtMs), uint(r.ttftMs, 4), uint(r.durationMs, 4),
    exactly(r.routingHash, 32),
  );
}

function priceBytes(price: Price): Bytes {
  return concat(...PRICE_PARTS.map((part) => uint(price[part], 8)));
}

/** The bytes that are signed. */
export function receiptMessage(receipt: Receipt): Bytes {
  return concat(utf8("steam-receipt:v1"), encodeReceipt(receipt));
}

/** The form that is stored, sent and a leaf of the batch's tree. */
export function encodeSigned({ receipt, signature }: SignedReceipt): Bytes {
  return concat(encodeReceipt(receipt), exactly(signature, 64));
}

/** Reads {@link encodeSigned} without checking the signature; throws {@link ReceiptError} `Malformed`. */
export function decodeSigned(bytes: Bytes): SignedReceipt {
  const malformed = () => new ReceiptError("Malformed");
  if (bytes.length !== SIGNED_LENGTH) throw malformed();
  const reader = new Reader(bytes, malformed);
  const oneOf = <T>(names: readonly T[]): T => {
    const name = names[reader.number(1)];
    if (name === undefined) throw malformed();
    return name;
  };
  // An object's fields are evaluated in the order they are written, which is the order of the bytes.
  const receipt: Receipt = {
    keyId: reader.number(4),
    domain: reader.take(32),
    relayer: reader.take(32),
    vault: reader.take(32),
    generation: reader.big(8),
    keyEpoch: reader.number(4),
    keySlot: reader.number(1),
    number: reader.big(8),
    requestHash: reader.take(32),
    responseHash: reader.take(32),
    provider: reader.take(32),
    offer: reader.take(32),
    priceVersion: reader.number(4),
    price: { standard: readPrice(reader), longFrom: reader.number(4), long: readPrice(reader) },
    usage: {
      requests: reader.number(4),
      input: reader.number(4),
      cached: reader.number(4),
      cacheWrite: reader.number(4),
      cacheWriteLong: reader.number(4),
      output: reader.number(4),
    },
    countedBy: oneOf(COUNTED_BY),
    charge: reader.big(16),
    feeBps: reader.number(2),
    fee: reader.big(16),
    keyCumulative: reader.big(16),
    finishReason: oneOf(FINISH_REASONS),
    startedAtMs: BigInt.asIntN(64, reader.big(8)),
    ttftMs: reader.number(4),
    durationMs: reader.number(4),
    routingHash: reader.take(32),
  };
  return { receipt, signature: reader.take(64) };
}

function readPrice(reader: Reader): Price {
  return {
    input: reader.big(8),
    cached: reader.big(8),
    cacheWrite: reader.big(8),
    cacheWriteLong: reader.big(8),
    output: reader.big(8),
    request: reader.big(8),
  };
}

/** Checks signature and arithmetic against the relayer's receipt key; throws {@link ReceiptError}. */
export function verifyReceipt({ receipt, signature }: SignedReceipt, receiptKey: Address): void {
  if (!verifyStrict(receiptKey, receiptMessage(receipt), signature)) throw new ReceiptError("Signature");
  if (tariffCharge(receipt.price, receipt.usage) !== receipt.charge) throw new ReceiptError("Charge");
  if (receiptFee(receipt.charge, receipt.feeBps) !== receipt.fee) throw new ReceiptError("Fee");
}
