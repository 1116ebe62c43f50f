/** A group: the charges of one vault that settle together, linked to all before by a hash chain. */

import { concat, exactly, sha256, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";
import type { Usage } from "./units.js";

/** Most charges in a group. */
export const MAX_CHARGES = 16;
/** Most session keys of a vault. */
export const MAX_KEYS = 32;

/** The bit of a slot that says that a charge is of long prompts. */
export const LONG = 0x80;

/** Most vouchers in a group: one for each slot charged. */
export const MAX_VOUCHERS = MAX_CHARGES;

export interface GroupHeader {
  vault: Address;
  generation: bigint;
  /** The group's place in the chain, from 1. */
  seq: number;
  /** Receipts it stands for. */
  receipts: number;
  feeBps: number;
}

/** A charge with its offer's address resolved. */
export interface ResolvedCharge {
  slot: number;
  offer: Address;
  version: number;
  /** Of long prompts: bit 7 of the slot. */
  long: boolean;
  usage: Usage;
}

/** `requests ‖ input ‖ cached ‖ cacheWrite ‖ cacheWriteLong ‖ output`, each a u32. */
export function usageBytes(usage: Usage): Bytes {
  const { requests, input, cached, cacheWrite, cacheWriteLong, output } = usage;
  return concat(...[requests, input, cached, cacheWrite, cacheWriteLong, output].map((count) => uint(count, 4)));
}

/** The chain's next head: `Vault.settle_hash` after the group. Throws `RangeError` beyond {@link MAX_CHARGES}. */
export function nextHash(previous: Hash, header: GroupHeader, charges: readonly ResolvedCharge[]): Hash {
  if (charges.length > MAX_CHARGES) throw new RangeError("too many charges in a group");
  return sha256(
    exactly(previous, 32),
    utf8("steam-group:v1"),
    exactly(header.vault, 32),
    uint(header.generation, 8),
    uint(header.seq, 4),
    uint(header.receipts, 4),
    uint(header.feeBps, 2),
    uint(charges.length, 1),
    ...charges.flatMap(({ slot, offer, version, long, usage }) => [
      uint(slot | (long ? LONG : 0), 1), exactly(offer, 32), uint(version, 4), usageBytes(usage),
    ]),
  );
}
