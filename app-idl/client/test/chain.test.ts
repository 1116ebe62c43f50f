/** Addresses and transactions, compared with `@solana/kit`, which the package does not need. */

import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { test } from "node:test";
import {
  address, appendTransactionMessageInstructions, compileTransaction, createTransactionMessage, getAddressEncoder, getCompiledTransactionMessageDecoder,
  getProgramDerivedAddress, getTransactionDecoder, getTransactionEncoder, pipe, setTransactionMessageFeePayer, setTransactionMessageLifetimeUsingBlockhash,
  compressTransactionMessageUsingAddressLookupTables, type Address, type Blockhash, type Instruction as KitInstruction,
} from "@solana/kit";
import * as steam from "../src/index.js";

const at = (seed: number) => steam.toBase58(new Uint8Array(32).fill(seed));
const seed = new Uint8Array(32).fill(9);
const owner = new steam.Keypair(seed);
const key = new steam.SessionKey(new Uint8Array(32).fill(8));
const KEY = steam.toBase58(key.address);
const lifetime = { blockhash: at(7), last_valid_block_height: 150 };
const place = steam.placeOf(owner.address, { relayer: at(1), config: at(2), mint: at(3) });
const prices = { input: 1n, cached: 1n, cache_write: 2n, cache_write_long: 2n, output: 5n, request: 0n };
const limits = { limit_total: 10n, window_limit: 0n, max_price: prices, max_fee_bps: 50 };
const grant = { ...limits, expires: steam.NEVER, window_seconds: 0, allow_root: new Uint8Array(32) };
const all: { [name: string]: steam.Instruction } = {
  open: steam.openVault(place),
  authorize: steam.authorizeKey(place, KEY, 3, grant),
  update: steam.updateKey(place, 3, limits),
  revoke: steam.revokeKey(place, 3),
  request: steam.requestWithdraw(place, 5n),
  cancel: steam.cancelWithdraw(place),
  execute: steam.executeWithdraw(place),
  now: steam.withdrawNow(place, at(4), 5n, { generation: 1n, settle_seq: 2, valid_until_slot: 3n }),
  close: steam.closeVault(place, owner.address),
  deposit: steam.deposit(place, 5n),
  wallet: steam.createWallet(place),
  register: steam.registerProvider(steam.providerPlace(place), "Acme", "https://acme.example/v1"),
  earnings: steam.withdrawEarnings(steam.providerPlace(place), 5n),
};

async function derived(program: string, seeds: Uint8Array[]): Promise<string> {
  return (await getProgramDerivedAddress({ programAddress: address(program), seeds }))[0];
}

test("derived addresses are those of kit", async () => {
  const bytes = (text: string) => Uint8Array.from(getAddressEncoder().encode(address(text)));
  for (let number = 0; number < 40; number++) {
    const wallet = at(number);
    const vault = steam.vaultAddress(wallet, at(1));
    assert.equal(vault, await derived(steam.PROGRAM, [steam.utf8("vault"), bytes(wallet), bytes(at(1))]));
    const token = [bytes(wallet), bytes(steam.TOKEN_PROGRAM), bytes(at(3))];
    assert.equal(steam.tokenAccount(wallet, at(3)), await derived(steam.ASSOCIATED_TOKEN_PROGRAM, token));
  }
  assert.equal(steam.configAddress(), await derived(steam.PROGRAM, [steam.utf8("config")]));
  assert.equal(steam.vaultAddress(at(5), at(1), at(6)), await derived(at(6), [steam.utf8("vault"), bytes(at(5)), bytes(at(1))]));
  assert.throws(() => steam.addressBytes("0"), /32 bytes in base58/);
});

type Named = { program: string; accounts: { address: string; signer: boolean; writable: boolean }[]; data: string };

/** What a compiled transaction does, as kit reads it. */
function kitReads(transaction: Uint8Array): { payer: string; blockhash: string; instructions: Named[] } {
  const { messageBytes } = getTransactionDecoder().decode(transaction);
  const message = getCompiledTransactionMessageDecoder().decode(messageBytes);
  const { header, staticAccounts } = message;
  if (message.version !== 0) assert.fail("not of version 0");
  const account = (index: number) => ({
    address: staticAccounts[index] as string,
    signer: index < header.numSignerAccounts,
    writable: index < header.numSignerAccounts
      ? index < header.numSignerAccounts - header.numReadonlySignerAccounts
      : index < staticAccounts.length - header.numReadonlyNonSignerAccounts,
  });
  const instructions = message.instructions.map((one) => ({
    program: staticAccounts[one.programAddressIndex] as string,
    accounts: (one.accountIndices ?? []).map(account),
    data: steam.toHex(Uint8Array.from(one.data ?? [])),
  }));
  return { payer: staticAccounts[0] as string, blockhash: message.lifetimeToken as string, instructions };
}

test("kit reads from a compiled transaction what was put into it", () => {
  for (const [name, instruction] of Object.entries(all)) {
    const read = kitReads(steam.compile(owner.address, lifetime, [instruction]));
    assert.deepEqual([read.payer, read.blockhash, read.instructions.length], [owner.address, lifetime.blockhash, 1], name);
    const [only] = read.instructions;
    assert.equal(only!.program, instruction.programAddress);
    assert.equal(only!.data, steam.toHex(instruction.data));
    // An account that one of its places lets write or sign, may.
    const role = (address: string) => instruction.accounts.filter((one) => one.address === address).reduce((sum, one) => sum | one.role, address === owner.address ? 3 : 0);
    assert.deepEqual(only!.accounts, instruction.accounts.map(({ address }) => ({ address, signer: role(address) >= 2, writable: role(address) % 2 === 1 })), name);
  }
  const several = [all.open!, all.authorize!, all.deposit!];
  assert.deepEqual(kitReads(steam.compile(owner.address, lifetime, several)).instructions.map(({ data }) => data), several.map(({ data }) => steam.toHex(data)));
});

function byKit(instructions: readonly steam.Instruction[], lookups: { [table: string]: Address[] } = {}): Uint8Array {
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayer(address(owner.address), message),
    (message) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: lifetime.blockhash as Blockhash, lastValidBlockHeight: 1n }, message),
    (message) => appendTransactionMessageInstructions(instructions as unknown as KitInstruction[], message),
    (message) => compressTransactionMessageUsingAddressLookupTables(message, lookups as never),
  );
  return Uint8Array.from(getTransactionEncoder().encode(compileTransaction(message)));
}

test("a transaction of kit is read as it was made", () => {
  const instructions = [...Object.values(all), { ...all.deposit!, data: new Uint8Array(300).fill(1) }];
  const message = steam.decodeMessage(byKit(instructions.slice(0, 3).concat(instructions.at(-1)!)));
  assert.deepEqual(message.instructions.map(({ program, data }) => [program, steam.toHex(data)]), [0, 1, 2, instructions.length - 1].map((at) => [instructions[at]!.programAddress, steam.toHex(instructions[at]!.data)]));
  assert.deepEqual(message.instructions[1]!.accounts, instructions[1]!.accounts.map((one) => one.address));
  assert.deepEqual([message.version, message.requiredSignatures, message.blockhash], [0, 2, lifetime.blockhash]);
});

test("bytes that are no transaction, or one that cannot be read whole, are refused", () => {
  const good = byKit([all.open!]);
  for (let length = 0; length < good.length; length++) assert.throws(() => steam.decodeMessage(good.slice(0, length)), steam.TransactionError, `${length} bytes`);
  assert.throws(() => steam.decodeMessage(Uint8Array.of(...good, 0)), /after its end/);
  const unsigned = good.slice();
  unsigned[1 + 64 + 1] = 2;
  assert.throws(() => steam.decodeMessage(unsigned), /as many signatures/);
  const version1 = good.slice();
  version1[1 + 64] = 0x81;
  assert.throws(() => steam.decodeMessage(version1), /version/);
  const looked = byKit([all.open!], { [at(20)]: [address(place.relayer), address(place.config)] });
  assert.throws(() => steam.decodeMessage(looked), /looks addresses up/);
  assert.deepEqual(steam.dataFor(looked, steam.PROGRAM).map(steam.toHex), [steam.toHex(all.open!.data)]);
  // A length that is written longer than it need be is another reading of the same bytes.
  assert.throws(() => steam.decodeMessage(Uint8Array.of(0x81, 0x00, ...good.slice(1))), /no valid form/);
  assert.throws(() => steam.compile(owner.address, lifetime, [{ ...all.deposit!, data: new Uint8Array(1_200) }]), /do less in one transaction/);
});

test("a keypair signs as node's own crypto does, and shows its secret to nobody", async () => {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const publicKey = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
  assert.equal(owner.address, steam.toBase58(publicKey));
  const unsigned = steam.compile(owner.address, lifetime, [all.open!]);
  const signed = await owner.signTransaction(unsigned);
  assert.deepEqual(Buffer.from(signed.slice(1, 65)), sign(null, steam.messageOf(unsigned), privateKey));
  assert.equal(steam.signatureOf(signed), steam.toBase58(signed.slice(1, 65)));
  assert.deepEqual(steam.signatureBy(signed, owner.address), signed.slice(1, 65));
  assert.equal(steam.signatureBy(unsigned, owner.address), null, "not signed yet");
  assert.equal(steam.signatureBy(signed, at(1)), null, "does not sign this");
  const wrong = signed.slice();
  wrong[1]! ^= 1;
  assert.equal(steam.signatureBy(wrong, owner.address), null, "a signature that does not hold");
  const file = JSON.stringify([...seed, ...publicKey]);
  assert.equal(steam.Keypair.parse(file).address, owner.address);
  assert.deepEqual(steam.unchanged(unsigned, signed), signed);
  const changed = signed.slice();
  changed[changed.length - 1]! ^= 1;
  assert.throws(() => steam.unchanged(unsigned, changed), steam.ChangedError);
  assert.throws(() => steam.unchanged(unsigned, new Uint8Array()), steam.ChangedError);
  assert.ok(!JSON.stringify(owner).includes("9,9") && !String(owner).includes("9,9"));
  for (const bad of ["", "{}", "[1]", JSON.stringify([...seed, ...seed]), file.replace("[9", "[256")]) assert.throws(() => steam.Keypair.parse(bad), TypeError);
});

/** A transaction of version 1 by hand: header, configuration of a priority fee and a limit of compute units, one instruction, and its signature last. */
function version1({ programAddress, accounts, data }: steam.Instruction): Uint8Array {
  const addresses = [...accounts.map((one) => one.address), programAddress].map(steam.addressBytes);
  const head = Uint8Array.of(accounts.length, accounts.length, ...steam.uint(data.length, 2));
  return Uint8Array.of(
    0x81, 1, 0, 1, ...steam.uint(0b111, 4), ...new Uint8Array(32).fill(7), 1, addresses.length, ...addresses.flatMap((one) => [...one]),
    ...steam.uint(5n, 8), ...steam.uint(6, 4), ...head, ...accounts.keys(), ...data, ...new Uint8Array(64),
  );
}

test("a receipt is settled by a transaction that has its batch, with its count", () => {
  const receipts = [1, 2, 3].map((byte) => new Uint8Array(steam.SIGNED_LENGTH).fill(byte));
  const leaves = receipts.map(steam.merkle.leaf);
  const root = steam.merkle.root(leaves);
  const batchOf = (count: number, root: Uint8Array) => {
    const usage = { requests: count, input: 1, cached: 0, cacheWrite: 0, cacheWriteLong: 0, output: 1 };
    const charge = { slot: 1, offerIx: 0, version: 1, long: false, usage };
    const voucher = { slot: 1, authorized: 1n, requestHash: new Uint8Array(32), signature: new Uint8Array(64) };
    return steam.encodeBatch({ root, groups: [{ seq: 1, receipts: count, feeBps: 50, vouchers: [voucher], charges: [charge], memberships: [] }] });
  };
  const discriminator = steam.sha256(steam.utf8("global:settle_batch")).slice(0, 8);
  const settling = (count: number, of = root): steam.Instruction => ({ programAddress: steam.PROGRAM, accounts: [{ address: owner.address, role: 3 }, { address: at(40), role: 1 }], data: Uint8Array.of(...discriminator, ...batchOf(count, of)) });
  const document: steam.ReceiptDocument = {
    id: "x", status: "settled", receipt: steam.toBase64(receipts[1]!),
    proof: { transaction: "t", root: steam.toHex(root), index: 1, count: 3, path: steam.merkle.proof(leaves, 1)!.map(steam.toHex) },
  };
  assert.ok(steam.isSettledBy(document, byKit([settling(3)])));
  assert.ok(steam.isSettledBy(document, byKit([settling(3)], { [at(20)]: [address(at(40))] })), "also where it looks addresses up");
  assert.ok(steam.isSettledBy(document, version1(settling(3))), "also one of version 1");
  for (let length = 1; length < 150; length++) assert.throws(() => steam.isSettledBy(document, version1(settling(3)).slice(0, length)), steam.TransactionError);
  assert.ok(!steam.isSettledBy(document, byKit([settling(4)])), "of another number of receipts");
  assert.ok(!steam.isSettledBy(document, byKit([settling(3, new Uint8Array(32))])), "of another root");
  assert.equal(steam.toHex(steam.provenRoot(document)!), steam.toHex(root));
  assert.equal(steam.provenRoot({ ...document, proof: { ...document.proof!, root: "00".repeat(32) } }), null, "the proof leads elsewhere");
  assert.ok(!steam.isSettledBy(document, byKit([{ ...settling(3), programAddress: at(41) }])), "of another program");
  assert.ok(!steam.isSettledBy({ ...document, receipt: steam.toBase64(receipts[0]!) }, byKit([settling(3)])), "of another receipt");
  assert.ok(!steam.isSettledBy({ ...document, proof: null }, byKit([settling(3)])));
  assert.equal(steam.provenRoot({ ...document, proof: { ...document.proof!, path: ["zz"] } }), null);
});

test("a key's place is free once its grace has passed by the cluster's clock, in seconds and in slots", () => {
  const key = (slot: number, time: bigint, until: bigint) => ({ slot, key: KEY, settle_until: { time, slot: until } });
  const vault = (...keys: object[]) => ({ keys }) as unknown as steam.VaultAccount;
  const now = { slot: 100n, unix: 1_000n };
  assert.equal(steam.freePlace(vault(key(0, 1_000n, 100n)), now), 0);
  assert.equal(steam.freePlace(vault(key(0, 1_001n, 100n)), now), 1, "a second too early: the vault grows");
  assert.equal(steam.freePlace(vault(key(0, 1_000n, 101n)), now), 1, "a slot too early");
  assert.equal(steam.freePlace(vault(key(0, 9_999n, 0n), { slot: 1, key: at(0) }), now), 1, "never used");
  const full = Array.from({ length: steam.MAX_KEYS }, (_, slot) => key(slot, 9_999n, 0n));
  assert.equal(steam.freePlace(vault(...full), now), null);
  const clock = Uint8Array.of(...steam.uint(100, 8), ...new Uint8Array(24), ...steam.uint(1_000, 8));
  assert.deepEqual(steam.readClock(clock), now);
  assert.throws(() => steam.readClock(clock.slice(1)), RangeError);
});
