/** The data of `settle_batch` after its 8-byte discriminator: to read what a relayer settled from its transaction. */

import { MAX_STEPS, type Step } from "./allow-list.js";
import { concat, exactly, Reader, uint, type Bytes, type Hash } from "./bytes.js";
import { LONG, MAX_CHARGES, MAX_KEYS, MAX_VOUCHERS } from "./group.js";
import type { Usage } from "./units.js";

/** Most groups in a batch. */
export const MAX_GROUPS = 24;
/** Most proofs of membership in a group. */
export const MAX_MEMBERSHIPS = MAX_CHARGES;
/** The bit of the number of charges that says that proofs of membership follow them. */
const HAS_MEMBERSHIPS = 0x80;
/** The bit of a charge's slot that says that `cacheWrite` follows. */
const HAS_CACHE_WRITE = 0x20;
/** The bit of a charge's slot that says that `cacheWriteLong` follows. */
const HAS_CACHE_WRITE_LONG = 0x40;

export interface BatchVoucher {
  slot: number;
  /** µUSDC the key allows in total. */
  authorized: bigint;
  requestHash: Hash;
  signature: Bytes;
}

export interface BatchCharge {
  slot: number;
  /** Place among the batch's offers. */
  offerIx: number;
  version: number;
  /** Of long prompts. */
  long: boolean;
  usage: Usage;
}

export interface Group {
  seq: number;
  receipts: number;
  feeBps: number;
  vouchers: BatchVoucher[];
  /** None voids the seq. */
  charges: BatchCharge[];
  /**
   * That the providers paid are in their keys' allow-lists: one for each distinct pair of list and provider, in the order in
   * which the charges first name them.
   */
  memberships: Step[][];
}

export interface Batch {
  /** Merkle root of the batch's receipts. */
  root: Hash;
  /** In ascending order of their vaults' addresses. */
  groups: Group[];
}

export type BatchErrorCode = "Truncated" | "TrailingBytes" | "GroupCount" | "VoucherCount" | "ChargeCount" | "ChargeSlot" | "ZeroWrites" | "MembershipCount" | "MembershipPath";

/** Why bytes are no batch, or a batch has no bytes. */
export class BatchError extends Error {
  constructor(readonly code: BatchErrorCode) {
    super(`not a batch: ${code}`);
  }
}

function count(value: number, min: number, max: number, code: BatchErrorCode): number {
  if (value < min || value > max) throw new BatchError(code);
  return value;
}

/** Throws {@link BatchError} for a count the format cannot express, `RangeError` for a number. */
export function encodeBatch(batch: Batch): Bytes {
  count(batch.groups.length, 1, MAX_GROUPS, "GroupCount");
  const parts = [exactly(batch.root, 32), uint(batch.groups.length, 1)];
  for (const group of batch.groups) {
    count(group.vouchers.length, 0, MAX_VOUCHERS, "VoucherCount");
    count(group.charges.length, 0, MAX_CHARGES, "ChargeCount");
    parts.push(uint(group.seq, 4), uint(group.receipts, 4), uint(group.feeBps, 2));
    const listed = count(group.memberships.length, 0, MAX_MEMBERSHIPS, "MembershipCount");
    parts.push(uint(group.vouchers.length, 1), uint(group.charges.length | (listed ? HAS_MEMBERSHIPS : 0), 1));
    for (const { slot, authorized, requestHash, signature } of group.vouchers)
      parts.push(uint(slot, 1), uint(authorized, 8), exactly(requestHash, 32), exactly(signature, 64));
    parts.push(...group.charges.map(chargeBytes));
    if (listed) parts.push(uint(listed, 1), ...group.memberships.map(membershipBytes));
  }
  return concat(...parts);
}

/** Reads what {@link encodeBatch} wrote; throws {@link BatchError}. */
export function decodeBatch(bytes: Bytes): Batch {
  const reader = new Reader(bytes, () => new BatchError("Truncated"));
  const root = reader.take(32);
  const groups = repeat(count(reader.number(1), 1, MAX_GROUPS, "GroupCount"), () => readGroup(reader));
  if (reader.left > 0) throw new BatchError("TrailingBytes");
  return { root, groups };
}

function readGroup(reader: Reader): Group {
  const [seq, receipts, feeBps] = [reader.number(4), reader.number(4), reader.number(2)];
  const [nVouchers, chargesByte] = [reader.number(1), reader.number(1)];
  const nCharges = chargesByte & ~HAS_MEMBERSHIPS;
  count(nVouchers, 0, MAX_VOUCHERS, "VoucherCount");
  count(nCharges, 0, MAX_CHARGES, "ChargeCount");
  // An object's fields are evaluated in the order they are written, which is the order of the bytes.
  const vouchers = repeat(nVouchers, () => ({
    slot: reader.number(1),
    authorized: reader.big(8),
    requestHash: reader.take(32),
    signature: reader.take(64),
  }));
  const charges = repeat(nCharges, () => readCharge(reader));
  const listed = chargesByte & HAS_MEMBERSHIPS ? count(reader.number(1), 1, MAX_MEMBERSHIPS, "MembershipCount") : 0;
  return { seq, receipts, feeBps, vouchers, charges, memberships: repeat(listed, () => readMembership(reader)) };
}

/** Counts of cache writes follow where they are not zero, and the upper bits of the slot say which do. */
function chargeBytes({ slot, offerIx, version, long, usage }: BatchCharge): Bytes {
  const { requests, input, cached, cacheWrite, cacheWriteLong, output } = usage;
  const flags = (cacheWrite ? HAS_CACHE_WRITE : 0) | (cacheWriteLong ? HAS_CACHE_WRITE_LONG : 0) | (long ? LONG : 0);
  const writes = [cacheWrite, cacheWriteLong].filter((written) => written !== 0);
  const numbers = [version, requests, input, cached, output, ...writes].map((number) => uint(number, 4));
  return concat(uint(count(slot, 0, MAX_KEYS - 1, "ChargeSlot") | flags, 1), uint(offerIx, 1), ...numbers);
}

function readCharge(reader: Reader): BatchCharge {
  const [first, offerIx, version] = [reader.number(1), reader.number(1), reader.number(4)];
  const [requests, input, cached, output] = [reader.number(4), reader.number(4), reader.number(4), reader.number(4)];
  const written = (flag: number) => (first & flag ? count(reader.number(4), 1, 2 ** 32 - 1, "ZeroWrites") : 0);
  const [cacheWrite, cacheWriteLong] = [written(HAS_CACHE_WRITE), written(HAS_CACHE_WRITE_LONG)];
  const usage = { requests, input, cached, cacheWrite, cacheWriteLong, output };
  return { slot: first % MAX_KEYS, offerIx, version, long: (first & LONG) !== 0, usage };
}

/** The sides from the lowest bit, a one above them; then the siblings. */
function membershipBytes(steps: readonly Step[]): Bytes {
  count(steps.length, 0, MAX_STEPS, "MembershipPath");
  const path = steps.reduce((sides, { left }, at) => sides | (left ? 1 << at : 0), 1 << steps.length);
  return concat(uint(path, 1), ...steps.map(({ sibling }) => exactly(sibling, 32)));
}

function readMembership(reader: Reader): Step[] {
  const path = count(reader.number(1), 1, 2 ** (MAX_STEPS + 1) - 1, "MembershipPath");
  const steps = 31 - Math.clz32(path);
  return Array.from({ length: steps }, (_, at) => ({ left: (path >> at) % 2 === 1, sibling: reader.take(32) }));
}

function repeat<T>(times: number, read: () => T): T[] {
  return Array.from({ length: times }, read);
}
