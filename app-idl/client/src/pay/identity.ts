/** The two sides of a receipt: the relayer that signs it, and the key that pays. */

import type { Address, Hash } from "../bytes.js";

/** Where a key stands: its place in one incarnation of a vault, at one relayer. All of it from the chain. */
export interface Identity {
  /** The program and cluster. */
  domain: Hash;
  /** The relayer's account. */
  relayer: Address;
  vault: Address;
  /** The vault's generation: the slot at which it was opened. */
  generation: bigint;
  /** The key's epoch and slot in the vault. */
  epoch: number;
  slot: number;
}
