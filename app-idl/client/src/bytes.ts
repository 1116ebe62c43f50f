/** Bytes and their text forms. Integers are little-endian throughout. */

import { sha256 as hash } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";

export type Bytes = Uint8Array;
/** The 32 bytes of a Solana address or ed25519 public key. */
export type Address = Uint8Array;
/** A SHA-256 digest. */
export type Hash = Uint8Array;

export { bytesToHex as toHex, hexToBytes as fromHex, utf8ToBytes as utf8, concatBytes as concat } from "@noble/hashes/utils.js";

export const U32_MAX = 2 ** 32 - 1;
export const U64_MAX = 2n ** 64n - 1n;
export const U128_MAX = 2n ** 128n - 1n;

/** SHA-256 over the concatenation of `parts`. */
export function sha256(...parts: Bytes[]): Hash {
  return hash(concatBytes(...parts));
}

/** `value` as an unsigned integer of `size` bytes; throws `RangeError` if it does not fit. */
export function uint(value: bigint | number, size: number): Bytes {
  let rest = BigInt(value);
  if (rest < 0n || rest >> BigInt(8 * size) !== 0n) throw new RangeError(`${value} is not an unsigned integer of ${size} bytes`);
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

/** `value` as an i64. */
export function int64(value: bigint): Bytes {
  if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is not an i64`);
  return uint(BigInt.asUintN(64, value), 8);
}

/** `bytes` after checking that there are exactly `length`. */
export function exactly(bytes: Bytes, length: number): Bytes {
  if (bytes.length !== length) throw new RangeError(`expected ${length} bytes, got ${bytes.length}`);
  return bytes;
}

export function equal(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Reads fields from the front of `bytes`; `onEnd` makes the error of a field cut short. */
export class Reader {
  #at = 0;
  constructor(
    private readonly bytes: Bytes,
    private readonly onEnd: () => Error = () => new RangeError("the bytes end inside a field"),
  ) {}

  get left(): number {
    return this.bytes.length - this.#at;
  }

  take(length: number): Bytes {
    if (this.left < length) throw this.onEnd();
    return this.bytes.slice(this.#at, (this.#at += length));
  }

  /** An unsigned integer. */
  big(size: number): bigint {
    return this.take(size).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  /** An unsigned integer of at most 4 bytes. */
  number(size: 1 | 2 | 4): number {
    return Number(this.big(size));
  }
}

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

export function toBase58(bytes: Bytes): string {
  let value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let text = "";
  for (; value > 0n; value /= 58n) text = ALPHABET.charAt(Number(value % 58n)) + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros < 0 ? bytes.length : zeros) + text;
}

/** The `length` bytes that `text` stands for, or `null`: every value has exactly one text. */
export function fromBase58(text: string, length: number): Bytes | null {
  // Base58 takes less than 1.4 characters a byte: spare the arithmetic for what is far too long.
  if (text.length > length * 2) return null;
  let value = 0n;
  for (const char of text) {
    const digit = ALPHABET.indexOf(char);
    if (digit < 0) return null;
    value = value * 58n + BigInt(digit);
  }
  if (value >> BigInt(8 * length) !== 0n) return null;
  const bytes = uint(value, length).reverse();
  return toBase58(bytes) === text ? bytes : null;
}

export function toBase64(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes));
}

/** Throws `DOMException` if `text` is not base64. */
export function fromBase64(text: string): Bytes {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
