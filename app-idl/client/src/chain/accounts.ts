/** Accounts of the program, from its interface. */

import { equal, Reader } from "../bytes.js";
import { MAX_KEYS } from "../group.js";
import { SYSTEM_PROGRAM } from "./address.js";
import { decodeAccount, decodeType, declare, type Struct } from "./codec.js";

const u128 = { defined: { name: "U128" } } as const;
const deadline = { defined: { name: "Deadline" } } as const;

/** What the file of the interface lacks: a vault's keys follow it in its account's data. */
declare("Limits", [
  { name: "total", type: "u64" },
  { name: "window", type: "u64" },
  { name: "max_price", type: { defined: { name: "Prices" } } },
  { name: "max_fee_bps", type: "u16" },
  { name: "_padding", type: { array: ["u8", 6] } },
]);
declare("SessionKey", [
  { name: "key", type: "pubkey" },
  { name: "allow_root", type: { array: ["u8", 32] } },
  { name: "settled_pico", type: u128 },
  { name: "window_spent", type: u128 },
  { name: "window_start", type: "i64" },
  { name: "expires", type: "i64" },
  { name: "revoked_at", type: "i64" },
  { name: "settle_until", type: deadline },
  { name: "limits", type: { defined: { name: "Limits" } } },
  { name: "former", type: { defined: { name: "Limits" } } },
  { name: "former_until", type: deadline },
  { name: "window_seconds", type: "u32" },
  { name: "epoch", type: "u32" },
  { name: "_reserved", type: { array: ["u8", 16] } },
]);

export interface Limits {
  total: bigint;
  window: bigint;
  max_price: { [component: string]: bigint };
  max_fee_bps: number;
}

export interface SessionKeyAccount {
  /** Its place in the vault. */
  slot: number;
  key: string;
  allow_root: Uint8Array;
  settled_pico: bigint;
  expires: bigint;
  revoked_at: bigint;
  settle_until: { time: bigint; slot: bigint };
  limits: Limits;
  window_seconds: number;
  epoch: number;
}

export interface VaultAccount {
  owner: string;
  relayer: string;
  token: string;
  rent_payer: string;
  generation: bigint;
  pending_withdrawal: bigint;
  unlock_at: { time: bigint; slot: bigint };
  settle_seq: number;
  settled_pico: bigint;
  fee_pico: bigint;
  /** Every place, used or not. */
  keys: SessionKeyAccount[];
}

export function readVault(data: Uint8Array): VaultAccount {
  const vault = decodeAccount("Vault", data);
  const keys: Struct[] = [];
  for (let left = vault.rest; left.length > 0; ) {
    const { value, rest } = decodeType("SessionKey", left);
    keys.push({ ...value, slot: keys.length });
    left = rest;
  }
  return { ...vault.value, keys } as unknown as VaultAccount;
}

/** Whether a place has ever had a key. */
export function isUsed(key: SessionKeyAccount): boolean {
  // 32 zeros, which are that program's address.
  return key.key !== SYSTEM_PROGRAM;
}

/** Whether a key may sign. */
export function isLive(key: SessionKeyAccount, unix: number): boolean {
  return isUsed(key) && key.revoked_at === 0n && key.expires > BigInt(Math.floor(unix));
}

/** A moment as the chain has it. */
export interface Moment {
  slot: bigint;
  /** Unix seconds by the cluster's clock, which need not be this machine's. */
  unix: bigint;
}

/** The first place of a vault without a key that can still settle at a moment; `null` if there is none. An earlier moment than the present one is safe. */
export function freePlace(vault: VaultAccount, { slot, unix }: Moment): number | null {
  const free = vault.keys.find((key) => !isUsed(key) || (key.settle_until.time <= unix && key.settle_until.slot <= slot));
  if (free) return free.slot;
  return vault.keys.length < MAX_KEYS ? vault.keys.length : null;
}

/** The cluster's clock, from the data of its account {@link CLOCK}. */
export function readClock(data: Uint8Array): Moment {
  const reader = new Reader(data, () => new RangeError("this is no clock"));
  const slot = reader.big(8);
  reader.take(24);
  return { slot, unix: BigInt.asIntN(64, reader.big(8)) };
}

/** Whether a key is bound to a list of providers. */
export function isBound(key: SessionKeyAccount): boolean {
  return !equal(key.allow_root, new Uint8Array(32));
}

export interface RelayerAccount {
  settler: string;
  receipt_key: Uint8Array;
  receipt_key_id: number;
  previous_receipt_keys: { id: number; key: Uint8Array }[];
  url: string;
}

export function readRelayer(data: Uint8Array): RelayerAccount {
  return decodeAccount("Relayer", data).value as unknown as RelayerAccount;
}

/** The relayer's receipt key of this id, now or before; `undefined` if it never had it or has forgotten it. */
export function receiptKeyOf(relayer: RelayerAccount, id: number): Uint8Array | undefined {
  const known = [{ id: relayer.receipt_key_id, key: relayer.receipt_key }, ...relayer.previous_receipt_keys];
  return known.find((one) => one.id === id && id !== 0)?.key;
}

export interface ConfigAccount {
  domain: Uint8Array;
  mint: string;
  delays: { [name: string]: { seconds: number; slots: number } };
}

export function readConfig(data: Uint8Array): ConfigAccount {
  return decodeAccount("Config", data).value as unknown as ConfigAccount;
}

/** The balance in a token account: it follows mint and owner. */
export function tokenBalance(data: Uint8Array): bigint {
  const reader = new Reader(data, () => new RangeError("this is no token account"));
  reader.take(64);
  return reader.big(8);
}
