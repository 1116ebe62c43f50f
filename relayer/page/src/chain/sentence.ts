/** What the words of a transaction are made of. */

import type { Place, Struct } from "../../../../app-idl/client/src/index.js";

/** One thing that the transaction does. */
export interface Step {
  title: string;
  details: readonly Detail[];
}
export type Detail = readonly [label: string, text: string];

/** The transaction does something that the page does not know. */
export class UnreadableError extends Error {
  constructor(what: string) {
    super(`This transaction is not one of this page: ${what}. It was not shown to the wallet.`);
  }
}

/** What an instruction's words are made from: its arguments, and the account in a place that has a name. */
export interface Called<P extends Place> {
  args: Struct;
  place: P;
  account(name: string): string;
  /** Models that the page knows: an offer's address alone does not say which one it is of. */
  models: readonly string[];
}

/** Instructions by their names, and what the accounts must be that are the same for all of them. */
export interface Vocabulary<P extends Place> {
  accounts(place: P): { [name: string]: string };
  /** Instructions whose rent the relayer may pay in the place of the owner. */
  sponsored: readonly string[];
  words: { [instruction: string]: (called: Called<P>) => Step };
}
