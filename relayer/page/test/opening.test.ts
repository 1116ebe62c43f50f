/** The key signs for a phone's wallet what this page wished, and nothing that differs from it in anything. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as program from "../../../app-idl/client/src/index.js";
import {
  compile, decodeInstruction, fromBase64, type Instruction, type KeyGrant, messageOf, placeOf, SessionKey, signatureBy, type Struct, toBase58, withSignature,
} from "../../../app-idl/client/src/index.js";
import { grantOf } from "../src/chain/grant.js";
import { type Opening, signedOpening, wishOf } from "../src/chain/opening.js";
import { UnreadableError } from "../src/chain/sentence.js";

const at = (seed: number) => toBase58(new Uint8Array(32).fill(seed));
const deployment = { relayer: at(1), config: at(2), mint: at(3) };
const OWNER = toBase58(new SessionKey(new Uint8Array(32).fill(9)).address);
const place = placeOf(OWNER, deployment);
const key = new SessionKey(new Uint8Array(32).fill(8));
const KEY = toBase58(key.address);
const grant = grantOf({ expires: 1_800_000_000n, total: 10_000_000n, daily: 5_000_000n, prompt: 3_000_000n, answer: 15_500_000n, request: 1_000n, feeBps: 50 });
const opening: Opening = { key, grant, amount: 7_000_000n };
const lifetime = { blockhash: at(7), last_valid_block_height: 150 };

const steps = () => [program.openVault(place), program.authorizeKey(place, KEY, 0, grant), program.deposit(place, opening.amount)];

/** A transaction without a version, as wallets read it: the same without the first byte of its message and without the last, of its tables. */
function legacy(instructions: readonly Instruction[], payer = OWNER): Uint8Array {
  const bytes = compile(payer, lifetime, instructions);
  const message = messageOf(bytes);
  return Uint8Array.of(...bytes.subarray(0, bytes.length - message.length), ...message.subarray(1, -1));
}

const refused = (part: RegExp, transaction: Uint8Array, of = place) =>
  assert.throws(() => signedOpening(transaction, of, opening), (error) => error instanceof UnreadableError && part.test(error.message));
const OTHER = /not the opening that this page wished/;

test("what was wished is signed, in either form", () => {
  for (const bytes of [legacy(steps()), compile(OWNER, lifetime, steps())]) {
    const signature = signedOpening(bytes, place, opening);
    assert.deepEqual(signatureBy(withSignature(bytes, KEY, signature), KEY), signature);
  }
});

test("the relayer is told the key's address and never its seed", () => {
  const wish = wishOf(opening);
  assert.deepEqual({ ...wish, authorize_key: "" }, { key: KEY, authorize_key: "", deposit: 7_000_000 });
  const decoded = decodeInstruction(fromBase64(wish.authorize_key))!;
  assert.equal(decoded.instruction.name, "authorize_key");
  assert.equal(decoded.args.slot, 0);
  assert.deepEqual((decoded.args.grant as Struct).limit_total, 10_000_000n);
  assert.ok(!JSON.stringify(wish).includes(key.reveal()));
});

test("another key, another limit, another amount or another place in the vault is not signed", () => {
  const [open, authorize, deposit] = steps() as [Instruction, Instruction, Instruction];
  const granted = (change: object) => legacy([open, program.authorizeKey(place, KEY, 0, { ...grant, ...change } as KeyGrant), deposit]);
  refused(OTHER, legacy([open, program.authorizeKey(place, at(66), 0, grant), deposit]));
  refused(OTHER, legacy([open, program.authorizeKey(place, KEY, 1, grant), deposit]));
  refused(OTHER, legacy([open, authorize, program.deposit(place, opening.amount + 1n)]));
  for (const change of [
    { expires: program.NEVER }, { limit_total: 10_000_001n }, { window_seconds: 86_401 }, { window_limit: 5_000_001n }, { max_fee_bps: 51 }, { allow_root: new Uint8Array(32).fill(1) },
    ...Object.keys(grant.max_price).map((part) => ({ max_price: { ...grant.max_price, [part]: 999n } })),
  ]) refused(OTHER, granted(change));
});

test("more, less, or the same in another order is not signed", () => {
  const [open, authorize, deposit] = steps() as [Instruction, Instruction, Instruction];
  for (const list of [[open, authorize], [open, deposit, authorize], [open, authorize, deposit, deposit], [open, authorize, deposit, program.requestWithdraw(place, 1n)]]) refused(OTHER, legacy(list));
  refused(/calls the program/, legacy([...steps(), { programAddress: program.SYSTEM_PROGRAM, accounts: [], data: Uint8Array.of(2, 0, 0, 0) }]));
});

test("another owner, another payer or another relayer is not signed", () => {
  refused(/another account pays/, legacy(steps()), placeOf(at(44), deployment));
  refused(/another account pays/, legacy(steps(), at(44)));
  const elsewhere = placeOf(OWNER, { ...deployment, relayer: at(45) });
  refused(/in the place of/, legacy([program.openVault(elsewhere), program.authorizeKey(elsewhere, KEY, 0, grant), program.deposit(elsewhere, opening.amount)]));
});

test("bytes that are no transaction are not signed", () => {
  const bytes = legacy(steps());
  refused(/cut short/, bytes.slice(0, -1));
  refused(/after its end/, Uint8Array.of(...bytes, 0));
});
