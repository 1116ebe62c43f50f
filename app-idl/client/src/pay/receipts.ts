/** Receipts as the relayer shows them, checked here: signature, arithmetic, and the place in a settled batch. */

import { decodeBatch, type Batch } from "../batch.js";
import { equal, fromBase64, fromHex, toHex, type Bytes, type Hash } from "../bytes.js";
import { PROGRAM, startsWith } from "../chain/codec.js";
import { dataFor } from "../chain/transaction.js";
import * as merkle from "../merkle.js";

/** What `GET /v1/receipts/{id}` answers, as far as it is read. */
export interface ReceiptDocument {
  id: string;
  /** `unsettled`, `sealed` or `settled`; or `set aside`, `written off` or `dropped`, each with the reason. */
  status: string;
  /** The signed receipt, base64. */
  receipt: string;
  /** `null` until its settlement is final. */
  proof: { transaction?: string | null; root: string; index: number; count: number; path: string[] } | null;
}

/** The root that a document's proof leads to from its receipt; `null` if there is no proof, or it leads to another than it names. */
export function provenRoot({ receipt, proof }: ReceiptDocument): Hash | null {
  if (!proof) return null;
  let path: Bytes[];
  try {
    path = proof.path.map(fromHex);
  } catch {
    return null;
  }
  const root = merkle.rootFromProof(merkle.leaf(fromBase64(receipt)), BigInt(proof.index), BigInt(proof.count), path);
  return root !== null && toHex(root) === proof.root ? root : null;
}

/** The batches that a transaction settles, from its bytes. Throws {@link TransactionError} for one of an unknown version. */
export function settledBatches(transaction: Bytes, program: string = PROGRAM): Batch[] {
  return dataFor(transaction, program).filter((data) => startsWith(data, "settle_batch")).map((data) => decodeBatch(data.subarray(8)));
}

/** Whether a document's receipt is in a batch that `transaction` settled. The transaction's bytes must come from a node that one trusts. */
export function isSettledBy(document: ReceiptDocument, transaction: Bytes, program: string = PROGRAM): boolean {
  const root = provenRoot(document);
  // A root commits to its leaves, not to their number, which the transaction says.
  const receipts = ({ groups }: Batch) => groups.reduce((sum, group) => sum + group.receipts, 0);
  return root !== null && settledBatches(transaction, program).some((batch) => equal(batch.root, root) && receipts(batch) === document.proof?.count);
}
