/** For every flow of the page: what it says of a transaction is what its bytes do, and bytes that do something else have no words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as program from "../../../app-idl/client/src/index.js";
import { ChangedError, compile, type Instruction, messageOf, placeOf, SessionKey, toBase58, unchanged, withSignature } from "../../../app-idl/client/src/index.js";
import { inWords, UnreadableError, type Words } from "../src/chain/words.js";
import { grantOf } from "../src/chain/grant.js";

const at = (seed: number) => toBase58(new Uint8Array(32).fill(seed));
const OWNER = toBase58(new SessionKey(new Uint8Array(32).fill(9)).address);
const key = new SessionKey(new Uint8Array(32).fill(8));
const KEY = toBase58(key.address);
const lifetime = { blockhash: at(7), last_valid_block_height: 150 };
const place = placeOf(OWNER, { relayer: at(1), config: at(2), mint: at(3) });
const grant = grantOf({ expires: 1_800_000_000n, total: 10_000_000n, daily: 5_000_000n, prompt: 3_000_000n, answer: 15_500_000n, request: 1_000n, feeBps: 50 });

const say = (...instructions: Instruction[]): Words => inWords(compile(OWNER, lifetime, instructions), place);
const titles = (...instructions: Instruction[]) => say(...instructions).steps.map((step) => step.title);
const details = (instruction: Instruction) => Object.fromEntries(say(instruction).steps[0]!.details);
const refused = (part: RegExp, ...instructions: Instruction[]) => assert.throws(() => say(...instructions), (error) => error instanceof UnreadableError && part.test(error.message));

test("opening, authorising and depositing is one transaction in three steps", () => {
  const words = say(program.openVault(place), program.authorizeKey(place, KEY, 0, grant), program.deposit(place, 10_000_000n));
  assert.deepEqual(words.steps.map((step) => step.title), ["Open your vault at this relayer", "Let a new key spend from your vault", "Deposit 10.00 USDC into your vault"]);
  assert.equal(words.payer, OWNER);
  assert.deepEqual(words.signers, [OWNER, KEY]);
});

test("every limit of a key is said", () => {
  assert.deepEqual(details(program.authorizeKey(place, KEY, 3, grant)), {
    Key: KEY,
    "Place in the vault": "3",
    "At most in all": "10.00 USDC, fees included",
    "At most in 1 day": "5.00 USDC, fees included",
    "Highest price of a million prompt tokens": "$3.00",
    "Highest price of a million cached prompt tokens": "$3.00",
    "Highest price of a million prompt tokens written to a cache": "$6.00",
    "Highest price of a million prompt tokens written to a cache for longer": "$6.00",
    "Highest price of a million answer tokens": "$15.50",
    "Highest price of a request": "$0.001",
    "Highest fee of the relayer": "0.5 % of each charge",
    Until: "2027-01-15T08:00:00.000Z",
    Providers: "any registered provider",
  });
  const said = (change: object) => details(program.authorizeKey(place, KEY, 0, { ...grant, ...change }));
  assert.equal(said({ expires: program.NEVER })["Until"], "you end it");
  assert.equal(said({ window_seconds: 0, window_limit: 0n })["At most in a window"], "no such limit");
  assert.match(said({ allow_root: new Uint8Array(32).fill(255) })["Providers"]!, /^only those of the list ffff/);
});

test("the other flows", () => {
  const agreement = { generation: 5n, settle_seq: 6, valid_until_slot: 77n };
  assert.deepEqual(titles(program.deposit(place, 1n)), ["Deposit 0.000001 USDC into your vault"]);
  assert.deepEqual(titles(program.revokeKey(place, 4)), ["End the key in place 4"]);
  assert.deepEqual(titles(program.requestWithdraw(place, 1_500_000n)), ["Ask for 1.50 USDC back"]);
  assert.deepEqual(titles(program.requestWithdraw(place, program.EVERYTHING)), ["Ask for everything back"]);
  assert.deepEqual(titles(program.cancelWithdraw(place)), ["Take the request for a withdrawal back"]);
  assert.deepEqual(titles(program.createWallet(place), program.executeWithdraw(place)), ["Make a USDC account for your wallet, if there is none", "Withdraw what was asked for"]);
  const now = program.withdrawNow(place, at(4), 2_000_000n, agreement);
  assert.deepEqual(titles(now), ["Withdraw 2.00 USDC at once"]);
  assert.equal(details(now)["With the relayer's signature"], at(4));
  assert.equal(details(now)["Only until slot"], "77");
  assert.equal(details(now)["To your wallet's USDC account"], place.wallet);
});

test("an instruction of another program, or one that the page never asks for, has no words", () => {
  const transfer = { programAddress: program.SYSTEM_PROGRAM, accounts: [], data: Uint8Array.of(2, 0, 0, 0) };
  refused(/calls the program 1111/, program.deposit(place, 1n), transfer);
  const close = { ...program.cancelWithdraw(place), data: Uint8Array.of(141, 103, 17, 126, 72, 75, 29, 29) };
  refused(/more or fewer accounts|never asks/, close);
  refused(/no such instruction/, { ...program.cancelWithdraw(place), data: new Uint8Array(8) });
  refused(/bytes more than its arguments/, { ...program.cancelWithdraw(place), data: Uint8Array.of(...program.cancelWithdraw(place).data, 0) });
  refused(/end inside a field/, { ...program.requestWithdraw(place, 1n), data: program.requestWithdraw(place, 1n).data.slice(0, -1) });
});

test("money that would go anywhere else has no words", () => {
  const swapped = (instruction: Instruction, index: number): Instruction => ({
    ...instruction,
    accounts: instruction.accounts.map((meta, place) => (place === index ? { ...meta, address: at(66) } : meta)),
  });
  const agreement = { generation: 5n, settle_seq: 6, valid_until_slot: 77n };
  for (const [name, instruction] of Object.entries({
    open: program.openVault(place), authorize: program.authorizeKey(place, KEY, 0, grant), deposit: program.deposit(place, 1n), revoke: program.revokeKey(place, 0),
    request: program.requestWithdraw(place, 1n), cancel: program.cancelWithdraw(place), execute: program.executeWithdraw(place),
    now: program.withdrawNow(place, at(4), 1n, agreement), create: program.createWallet(place),
  })) {
    instruction.accounts.forEach((meta, index) => {
      // Who the new key is, and which settler agrees, is said and not known beforehand.
      if ([KEY, at(4)].includes(meta.address)) return;
      assert.throws(() => say(swapped(instruction, index)), UnreadableError, `${name}: account ${index}`);
    });
    assert.throws(() => say({ ...instruction, accounts: instruction.accounts.slice(1) }), UnreadableError, name);
  }
  const approve = { ...program.deposit(place, 1n), data: Uint8Array.of(4, 1, 0, 0, 0, 0, 0, 0, 0, 6) };
  refused(/something else than a transfer/, approve);
});

test("a transaction that another account pays, or that looks addresses up, has no words", () => {
  const other = compile(at(55), lifetime, [program.deposit(place, 1n)]);
  assert.throws(() => inWords(other, place), /another account pays/);
});

test("a wallet may add its signature and change nothing", () => {
  const transaction = compile(OWNER, lifetime, [program.openVault(place), program.authorizeKey(place, KEY, 0, grant)]);
  const signed = withSignature(transaction, KEY, key.sign(messageOf(transaction)));
  assert.equal(signed.length, transaction.length);
  assert.deepEqual(unchanged(transaction, signed), signed);
  for (const at of [signed.length - 1, signed.length - 40, 1 + 64 * 2 + 5]) {
    const changed = signed.slice();
    changed[at]! ^= 1;
    assert.throws(() => unchanged(transaction, changed), ChangedError);
  }
  assert.throws(() => unchanged(transaction, new Uint8Array()), ChangedError);
  assert.throws(() => withSignature(transaction, at(66), new Uint8Array(64)), /does not sign/);
});

test("a role that is missing is not made up", () => {
  assert.equal(program.revokeKey(place, 0).accounts.at(-1)!.role, program.ROLE.readonly);
});
