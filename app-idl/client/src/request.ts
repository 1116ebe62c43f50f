/** What a voucher's request hash binds: the exact request, the most it may cost, and until when it counts. */

import { concat, exactly, int64, sha256, toBase64, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";

/** How far ahead `notAfter` may lie, in seconds. */
export const MAX_AHEAD_SECONDS = 300n;
/** The headers that carry a signature and what it says. The request hash and the voucher cover their values by themselves. */
export const SIGNATURE_HEADERS: readonly string[] = [
  "steam-key", "steam-vault", "steam-authorized", "steam-max-cost", "steam-not-after", "steam-nonce", "steam-signature",
];
/** The headers of other protocols that change what is asked of a provider, or how often a request is served. */
export const CONTROL_HEADERS: readonly string[] = ["anthropic-beta", "anthropic-version", "idempotency-key", "openai-beta"];

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

/**
 * Whether a header steers how a request is served, so that its signature must cover it: every `Steam-*` header but
 * {@link SIGNATURE_HEADERS}, and {@link CONTROL_HEADERS}. Case does not matter.
 */
export function isControlHeader(name: string): boolean {
  const lower = lowerAscii(name);
  return CONTROL_HEADERS.includes(lower) || (lower.startsWith("steam-") && !SIGNATURE_HEADERS.includes(lower));
}

/**
 * Hash of the control headers of a request: those for which {@link isControlHeader} holds, names in lower case, sorted by name
 * and then by value, each as `name ‖ value` with lengths. Values are exact bytes, without the white space around them.
 */
export function controlHeadersHash(headers: Iterable<readonly [string, Bytes | string]>): Hash {
  const control = [...headers]
    .filter(([name]) => isControlHeader(name))
    .map(([name, value]) => [utf8(lowerAscii(name)), typeof value === "string" ? latin1(value) : value] as const)
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
