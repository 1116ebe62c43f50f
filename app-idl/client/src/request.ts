/** What a voucher's request hash binds: the exact request, the most it may cost, and until when it counts. */

import { concat, exactly, int64, sha256, toBase64, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";

/** How far ahead `notAfter` may lie, in seconds. */
export const MAX_AHEAD_SECONDS = 300n;
/** Prefix of the headers that steer routing and are therefore signed. */
export const CONTROL_PREFIX = "steam-route-";

export interface RequestBinding {
  /** The relayer's account address. */
  relayer: Address;
  /** Upper case. */
  method: string;
  /** Origin form, without the query. */
  path: string;
  /** SHA-256 of the body as sent, identity coding. */
  bodyHash: Hash;
  controlHash: Hash;
  /** The most the request may cost in µUSDC, fees included. */
  maxCost: bigint;
  /** Unix seconds after which the request must be refused. */
  notAfter: bigint;
  /** 16 random bytes. */
  nonce: Bytes;
}

function withLength(bytes: Bytes): Bytes {
  return concat(uint(bytes.length, 4), bytes);
}

/** `sha256("steam-request:v1" ‖ relayer ‖ method ‖ path ‖ body hash ‖ control hash ‖ max_cost ‖ not_after ‖ nonce)`. */
export function requestHash(binding: RequestBinding): Hash {
  return sha256(
    utf8("steam-request:v1"),
    exactly(binding.relayer, 32),
    withLength(utf8(binding.method)),
    withLength(utf8(binding.path)),
    exactly(binding.bodyHash, 32),
    exactly(binding.controlHash, 32),
    uint(binding.maxCost, 8),
    int64(binding.notAfter),
    exactly(binding.nonce, 16),
  );
}

/** Hash of the headers whose name starts with {@link CONTROL_PREFIX}, lower-cased, sorted by name and then value. */
export function controlHeadersHash(headers: Iterable<readonly [string, Bytes | string]>): Hash {
  const control = [...headers]
    .map(([name, value]) => [lowerAscii(name), typeof value === "string" ? latin1(value) : value] as const)
    .filter(([name]) => name.startsWith(CONTROL_PREFIX))
    .map(([name, value]) => [utf8(name), value] as const)
    .sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]));
  return sha256(...control.flatMap(([name, value]) => [withLength(name), withLength(value)]));
}

/** The `Content-Digest` header (RFC 9530) of a body. */
export function contentDigest(bodyHash: Hash): string {
  return `sha-256=:${toBase64(bodyHash)}:`;
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (char) => char.toLowerCase());
}

/** A header's value as `fetch` holds it: one character a byte. */
function latin1(text: string): Bytes {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function compare(a: Bytes, b: Bytes): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 || at >= b.length ? a.length - b.length : a[at]! - b[at]!;
}
