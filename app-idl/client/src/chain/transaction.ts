/** A transaction from its instructions to its bytes and back, and its signatures. */

import * as ed25519 from "@noble/ed25519";
import { concat, equal, Reader, toBase58, type Bytes } from "../bytes.js";
import "../voucher.js"; // sets the library's SHA-512
import { addressBytes } from "./address.js";
import { ROLE, type Instruction } from "./instructions.js";

/** Bytes that fit into a packet. */
const MAX_BYTES = 1_232;
/** The first byte of a message of version 0, and of a transaction of version 1, whose signatures come last. */
const VERSION_0 = 0x80;
const VERSION_1 = 0x81;

/** Until when a transaction may be carried out. */
export interface Lifetime {
  blockhash: string;
  last_valid_block_height: number;
}

/** What signers sign, read from its bytes. */
export interface Message {
  version: "legacy" | 0;
  requiredSignatures: number;
  /** Signers first, the payer of the fee as the first of them. */
  accounts: string[];
  blockhash: string;
  instructions: { program: string; accounts: string[]; data: Bytes }[];
}

/** The bytes are no transaction that this client can read. */
export class TransactionError extends Error {}

/** The bytes of a transaction of version 0 that nobody has signed. Throws `RangeError` if they do not fit into a packet. */
export function compile(payer: string, lifetime: Lifetime, instructions: readonly Instruction[]): Bytes {
  const roles = new Map<string, number>([[payer, ROLE.writableSigner]]);
  for (const { programAddress, accounts } of instructions) {
    for (const { address, role } of accounts) roles.set(address, (roles.get(address) ?? 0) | role);
    roles.set(programAddress, roles.get(programAddress) ?? ROLE.readonly);
  }
  const having = (role: number) => [...roles].filter(([, had]) => had === role).map(([address]) => address);
  const [writableSigners, readonlySigners] = [having(ROLE.writableSigner), having(ROLE.readonlySigner)];
  const readonly = having(ROLE.readonly);
  const accounts = [...writableSigners, ...readonlySigners, ...having(ROLE.writable), ...readonly];
  const at = (address: string) => accounts.indexOf(address);
  const signatures = writableSigners.length + readonlySigners.length;
  const message = concat(
    Uint8Array.of(VERSION_0, signatures, readonlySigners.length, readonly.length),
    list(accounts.map(addressBytes)),
    addressBytes(lifetime.blockhash),
    list(instructions.map(({ programAddress, accounts, data }) => concat(
      Uint8Array.of(at(programAddress)), list(accounts.map(({ address }) => Uint8Array.of(at(address)))), length(data.length), data,
    ))),
    list([]),
  );
  const bytes = concat(list(Array.from({ length: signatures }, () => new Uint8Array(64))), message);
  if (bytes.length > MAX_BYTES) throw new RangeError(`the transaction has ${bytes.length} bytes, and ${MAX_BYTES} fit: do less in one transaction`);
  return bytes;
}

function list(items: readonly Bytes[]): Bytes {
  return concat(length(items.length), ...items);
}

/** A length as transactions have it: seven bits a byte, the lowest first. */
function length(value: number): Bytes {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) return Uint8Array.from(bytes);
  }
}

function readLength(reader: Reader): number {
  let value = 0;
  for (let at = 0; at < 3; at++) {
    const byte = reader.number(1);
    value |= (byte & 0x7f) << (7 * at);
    if (byte < 0x80) {
      // One number has one form.
      if (at > 0 && byte === 0) break;
      return value;
    }
  }
  throw new TransactionError("a length in the transaction has no valid form");
}

function readList<T>(reader: Reader, read: () => T): T[] {
  return Array.from({ length: readLength(reader) }, read);
}

function readerOf(bytes: Bytes): Reader {
  return new Reader(bytes, () => new TransactionError("the transaction is cut short"));
}

/** A transaction's signatures, and the bytes that they are of. */
function split(transaction: Bytes): { signatures: Bytes[]; message: Bytes } {
  const reader = readerOf(transaction);
  const signatures = readList(reader, () => reader.take(64));
  return { signatures, message: reader.take(reader.left) };
}

/** The bytes of a transaction that its signers sign. */
export function messageOf(transaction: Bytes): Bytes {
  return split(transaction).message;
}

/** A message as it is written: accounts by their places, some of which may be looked up elsewhere. */
interface Written extends Omit<Message, "instructions"> {
  instructions: { program: number; accounts: number[]; data: Bytes }[];
  lookups: number;
}

function read(transaction: Bytes): Written {
  const { signatures, message } = split(transaction);
  const reader = readerOf(message);
  const first = reader.number(1);
  if (first > VERSION_0) throw new TransactionError("the transaction is of a version that this client does not read");
  const version = first === VERSION_0 ? 0 : "legacy";
  const requiredSignatures = version === 0 ? reader.number(1) : first;
  reader.take(2);
  const place = () => reader.number(1);
  const accounts = readList(reader, () => toBase58(reader.take(32)));
  const blockhash = toBase58(reader.take(32));
  const instructions = readList(reader, () => ({ program: place(), accounts: readList(reader, place), data: reader.take(readLength(reader)) }));
  const lookups = version === 0 ? readList(reader, () => [reader.take(32), readList(reader, place), readList(reader, place)]).length : 0;
  if (reader.left > 0) throw new TransactionError("the transaction has bytes after its end");
  if (signatures.length !== requiredSignatures || accounts.length < requiredSignatures) throw new TransactionError("the transaction has not as many signatures as it needs");
  return { version, requiredSignatures, accounts, blockhash, instructions, lookups };
}

/** Reads a transaction's message; throws {@link TransactionError} for one that looks addresses up, or is of an unknown version. */
export function decodeMessage(transaction: Bytes): Message {
  const { instructions, lookups, ...head } = read(transaction);
  if (lookups > 0) throw new TransactionError("the transaction looks addresses up");
  const account = (place: number) => {
    const address = head.accounts[place];
    if (address === undefined) throw new TransactionError("the transaction names an account that it does not have");
    return address;
  };
  const named = instructions.map((one) => ({ program: account(one.program), accounts: one.accounts.map(account), data: one.data }));
  return { ...head, instructions: named };
}

/** The part of a transaction of version 1 that {@link dataFor} needs. */
function readVersion1(transaction: Bytes): Pick<Written, "accounts" | "instructions"> {
  const reader = readerOf(transaction);
  reader.take(1 + 3);
  const mask = reader.number(4);
  reader.take(32);
  const [calls, addresses] = [reader.number(1), reader.number(1)];
  const accounts = Array.from({ length: addresses }, () => toBase58(reader.take(32)));
  // Four bytes for each bit of the mask.
  for (let bit = 0; bit < 32; bit++) if ((mask >>> bit) & 1) reader.take(4);
  const heads = Array.from({ length: calls }, () => ({ program: reader.number(1), accounts: reader.number(1), bytes: reader.number(2) }));
  const instructions = heads.map((head) => ({ program: head.program, accounts: [...reader.take(head.accounts)], data: reader.take(head.bytes) }));
  return { accounts, instructions };
}

/** The data of a transaction's instructions to `program`, which is never looked up elsewhere; throws {@link TransactionError}. */
export function dataFor(transaction: Bytes, program: string): Bytes[] {
  const { accounts, instructions } = transaction[0] === VERSION_1 ? readVersion1(transaction) : read(transaction);
  return instructions.filter((one) => accounts[one.program] === program).map(({ data }) => data);
}

/** The same transaction with the signature of `signer` in its place. */
export function withSignature(transaction: Bytes, signer: string, signature: Bytes): Bytes {
  const { requiredSignatures, accounts } = decodeMessage(transaction);
  const place = accounts.slice(0, requiredSignatures).indexOf(signer);
  if (place < 0) throw new Error(`${signer} does not sign this transaction`);
  const bytes = transaction.slice();
  // One byte has the number of signatures, which is far below 128.
  bytes.set(signature, 1 + 64 * place);
  return bytes;
}

/** The signature of `signer` below a transaction; `null` if there is none that holds. */
export function signatureBy(transaction: Bytes, signer: string): Bytes | null {
  const { signatures, message } = split(transaction);
  const { requiredSignatures, accounts } = read(transaction);
  const place = accounts.slice(0, requiredSignatures).indexOf(signer);
  const signature = signatures[place];
  return signature && holds(signature, message, signer) ? signature : null;
}

function holds(signature: Bytes, message: Bytes, signer: string): boolean {
  try {
    return ed25519.verify(signature, message, addressBytes(signer), { zip215: false });
  } catch {
    // Bytes that are no signature, or an address off the curve, which signs nothing by itself.
    return false;
  }
}

/** The signature by which the cluster knows a signed transaction: its first. */
export function signatureOf(transaction: Bytes): string {
  const [first] = split(transaction).signatures;
  if (!first) throw new TransactionError("the transaction has no signature");
  return toBase58(first);
}

/** The wallet has changed what it was asked to sign. */
export class ChangedError extends Error {
  constructor() {
    super("The wallet returned another transaction than the one shown here, so it was not sent.");
  }
}

/** What a wallet returned, after checking that it signed exactly what it was shown. */
export function unchanged(shown: Bytes, returned: Bytes): Bytes {
  let message: Bytes;
  try {
    message = messageOf(returned);
  } catch {
    throw new ChangedError();
  }
  if (!equal(message, messageOf(shown))) throw new ChangedError();
  return returned;
}
