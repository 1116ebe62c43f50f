/** What the chain has taken, beside what receipts say. */

import { costOf } from "../../../app-idl/client/src/index.js";
import type { Checked } from "./receipts.js";

export interface Compared {
  /** By the vault's account: charges and fees that were settled, in pico-USDC. */
  taken: bigint;
  /** By all receipts that hold. */
  receipted: bigint;
  /** By those of them with a proof of their settlement. */
  proven: bigint;
  /** What was taken beyond all receipts; zero if there is none. */
  beyond: bigint;
}

/** Receipts round the fee up and settlements round it down, so that what was taken is at most what receipts say, if all of them are here. */
export function compared(taken: bigint, receipts: readonly Pick<Checked, "receipt" | "fault" | "included">[]): Compared {
  const sum = (of: (one: Pick<Checked, "fault" | "included">) => boolean) => receipts.filter(of).reduce((total, one) => total + costOf(one.receipt), 0n);
  const receipted = sum((one) => one.fault === null);
  return { taken, receipted, proven: sum((one) => one.fault === null && one.included === true), beyond: taken > receipted ? taken - receipted : 0n };
}
