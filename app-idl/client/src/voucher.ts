/** The voucher a session key signs, once a request: cumulative, so that the last one settles all before. */

import * as ed25519 from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { concat, equal, exactly, sha256, uint, utf8, type Address, type Bytes, type Hash } from "./bytes.js";

ed25519.hashes.sha512 ??= sha512;
const L = ed25519.Point.CURVE().n;

/** `sha256("steam-router:v1" ‖ program ‖ genesis hash)`: one program on one cluster. Compare it with `Config.domain`. */
export function domain(program: Address, genesisHash: Hash): Hash {
  return sha256(utf8("steam-router:v1"), exactly(program, 32), exactly(genesisHash, 32));
}

export interface Voucher {
  domain: Hash;
  vault: Address;
  /** The slot at which the vault was opened. */
  generation: bigint;
  /** The key's epoch, unique in the vault. */
  epoch: number;
  /** µUSDC, fees included, that the key allows in total. */
  authorized: bigint;
  requestHash: Hash;
}

/** The 47 bytes to sign. */
export function voucherMessage(voucher: Voucher): Bytes {
  return concat(
    utf8("steam-voucher:1"),
    sha256(
      exactly(voucher.domain, 32),
      exactly(voucher.vault, 32),
      uint(voucher.generation, 8),
      uint(voucher.epoch, 4),
      uint(voucher.authorized, 8),
      exactly(voucher.requestHash, 32),
    ),
  );
}

/**
 * Strict ed25519 verification, the same rule as program and relayer: canonical key and S, neither key nor R of small
 * order, the equation without the cofactor. (The library's own strict mode multiplies by the cofactor.)
 */
export function verifyStrict(key: Address, message: Bytes, signature: Bytes): boolean {
  if (key.length !== 32 || signature.length !== 64) return false;
  const [r, s] = [signature.slice(0, 32), littleEndian(signature.slice(32))];
  if (s >= L) return false;
  try {
    const [keyPoint, rPoint] = [ed25519.Point.fromBytes(key, false), ed25519.Point.fromBytes(r, false)];
    if (keyPoint.isSmallOrder() || rPoint.isSmallOrder()) return false;
    const challenge = littleEndian(sha512(concat(r, key, message))) % L;
    const expected = ed25519.Point.BASE.multiply(s, false).subtract(keyPoint.multiply(challenge, false));
    return equal(expected.toBytes(), r);
  } catch {
    return false; // not a point
  }
}

function littleEndian(bytes: Bytes): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
