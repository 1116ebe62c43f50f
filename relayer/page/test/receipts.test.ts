/** What the page says of a receipt: whether it holds, and whether it is in the batch that the relayer names. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, merkle, type Receipt, type ReceiptDocument, SessionKey, toBase64, toHex } from "../../../app-idl/client/src/index.js";
import { check, refreshed } from "../src/receipts.js";
import { expected, of, signed } from "../fixtures/receipt.js";

/** The relayer's document of the first of two receipts in a settled batch. */
function settled(first: Bytes): ReceiptDocument {
  const leaves = [first, signed({ number: 9n })].map(merkle.leaf);
  const proof = { transaction: "t", root: toHex(merkle.root(leaves)), index: 0, count: 2, path: merkle.proof(leaves, 0)!.map(toHex) };
  return { id: "x", status: "settled", receipt: toBase64(first), proof };
}

test("a receipt's settlement is what the relayer shows of it, and its proof is followed", () => {
  const known = check("x", signed(), expected);
  assert.equal(known.fault, null);
  const open = refreshed(known, { ...settled(known.bytes), status: "sealed", proof: null });
  assert.deepEqual([open.status, open.included, open.fault], ["sealed", null, null]);
  const done = refreshed(known, settled(known.bytes));
  assert.deepEqual([done.status, done.included, done.transaction, done.fault], ["settled", true, "t", null]);
  const document = settled(known.bytes);
  assert.equal(refreshed(known, { ...document, proof: { ...document.proof!, root: toHex(of(0)) } }).included, false);
});

test("the proof of another receipt does not prove the one that is kept", () => {
  const known = check("x", signed(), expected);
  const other = refreshed(known, settled(signed({ number: 1n })));
  assert.equal(other.included, false);
  assert.match(other.fault!, /another receipt/);
});

test("a receipt that does not hold is told with its reason", () => {
  const fault = (over: Partial<Receipt>, signer?: SessionKey) => check("x", signed(over, signer), expected, of(6)).fault;
  assert.equal(fault({}), null);
  assert.match(fault({}, new SessionKey(of(5)))!, /did not sign/);
  assert.match(fault({ keyId: 2 })!, /did not sign/);
  assert.match(fault({ charge: 1n })!, /its charge is not/i);
  assert.match(fault({ fee: 1n })!, /its fee is not/i);
  for (const foreign of [{ domain: of(0) }, { relayer: of(0) }, { vault: of(0) }]) assert.match(fault(foreign)!, /of another vault/);
  assert.match(fault({ responseHash: of(0) })!, /another answer/);
  assert.equal(check("x", signed({ vault: of(0) }), { ...expected, vault: null }).fault, null, "a key alone does not say which vault it is of");
});
