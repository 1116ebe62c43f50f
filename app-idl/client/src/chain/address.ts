/** Addresses that programs derive: where the accounts of an owner at a relayer are. */

import * as ed25519 from "@noble/ed25519";
import { concat, fromBase58, sha256, toBase58, utf8, type Bytes } from "../bytes.js";
import { PROGRAM } from "./codec.js";

export const TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
export const ASSOCIATED_TOKEN_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";
export const SYSTEM_PROGRAM = "11111111111111111111111111111111";
/** The account with the cluster's clock. */
export const CLOCK = "SysvarC1ock11111111111111111111111111111111";

/** The 32 bytes of an address in base58; throws `RangeError` for anything else. */
export function addressBytes(address: string): Bytes {
  const bytes = fromBase58(address, 32);
  if (!bytes) throw new RangeError(`${address} is no address: an address is 32 bytes in base58`);
  return bytes;
}

/** Whether 32 bytes are a point of the curve, so that somebody may have a key for them. */
function isOnCurve(bytes: Bytes): boolean {
  try {
    // As the runtime decompresses points, which takes some that signatures do not.
    ed25519.Point.fromBytes(bytes, true);
    return true;
  } catch {
    return false;
  }
}

/** The address that `program` derives from `seeds`: the first off the curve, from the highest bump down. */
export function derivedAddress(program: string, seeds: readonly Bytes[]): string {
  const tail = concat(addressBytes(program), utf8("ProgramDerivedAddress"));
  for (let bump = 255; bump >= 0; bump--) {
    const candidate = sha256(...seeds, Uint8Array.of(bump), tail);
    if (!isOnCurve(candidate)) return toBase58(candidate);
  }
  throw new RangeError("no address can be derived from these seeds");
}

/** The associated token account of `owner`. */
export function tokenAccount(owner: string, mint: string): string {
  return derivedAddress(ASSOCIATED_TOKEN_PROGRAM, [owner, TOKEN_PROGRAM, mint].map(addressBytes));
}

/** What is the same for all owners at a relayer. */
export interface Deployment {
  /** The program; where it is absent, {@link PROGRAM}. */
  program?: string;
  /** The program's settings. */
  config: string;
  /** The relayer's account. */
  relayer: string;
  /** USDC. */
  mint: string;
}

/** Where everything of one owner at one relayer is. */
export interface Place extends Required<Deployment> {
  owner: string;
  vault: string;
  /** The vault's token account. */
  token: string;
  /** The owner's own token account. */
  wallet: string;
}

export function configAddress(program: string = PROGRAM): string {
  return derivedAddress(program, [utf8("config")]);
}

export function vaultAddress(owner: string, relayer: string, program: string = PROGRAM): string {
  return derivedAddress(program, [utf8("vault"), addressBytes(owner), addressBytes(relayer)]);
}

export function placeOf(owner: string, { relayer, config, mint, program = PROGRAM }: Deployment): Place {
  const vault = vaultAddress(owner, relayer, program);
  return { owner, program, relayer, config, mint, vault, token: tokenAccount(vault, mint), wallet: tokenAccount(owner, mint) };
}
