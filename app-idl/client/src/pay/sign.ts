/** A session key's signature of a request: what it covers, and the headers that carry it. */

import { sha256, toBase58, toBase64, toHex, type Bytes, type Hash } from "../bytes.js";
import type { SessionKey } from "../key.js";
import { contentDigest, controlHeadersHash, MAX_AHEAD_SECONDS, requestHash } from "../request.js";
import { voucherMessage } from "../voucher.js";
import type { Identity } from "./identity.js";

/** What is signed of one request. */
export interface Bound {
  hash: Hash;
  bodyHash: Hash;
  maxCost: bigint;
  notAfter: bigint;
  nonce: Bytes;
}

export interface SignerOptions {
  key: SessionKey;
  identity: Identity;
  /** How long a signed request may be admitted, in seconds, at most 300. Default: 120. */
  lifetimeSeconds?: bigint | undefined;
  /** Unix milliseconds. */
  now?: (() => number) | undefined;
  random?: ((length: number) => Bytes) | undefined;
}

/** Signs requests to one relayer by one key. */
export class Signer {
  readonly #options: SignerOptions;
  readonly #lifetime: bigint;

  /** Throws `RangeError` for a lifetime that relayers refuse. */
  constructor(options: SignerOptions) {
    this.#options = options;
    this.#lifetime = options.lifetimeSeconds ?? 120n;
    if (this.#lifetime <= 0n || this.#lifetime > MAX_AHEAD_SECONDS) throw new RangeError(`lifetimeSeconds must be 1 to ${MAX_AHEAD_SECONDS}`);
  }

  /** Now, in Unix seconds. */
  now(): bigint {
    return BigInt(Math.floor((this.#options.now ?? Date.now)() / 1000));
  }

  bind(method: string, path: string, headers: Headers, body: Bytes, maxCost: bigint): Bound {
    const { identity, random = (length: number) => crypto.getRandomValues(new Uint8Array(length)) } = this.#options;
    const [notAfter, nonce, bodyHash] = [this.now() + this.#lifetime, random(16), sha256(body)];
    const controlHash = controlHeadersHash(headers);
    const hash = requestHash({ relayer: identity.relayer, method, path, bodyHash, controlHash, maxCost, notAfter, nonce });
    return { hash, bodyHash, maxCost, notAfter, nonce };
  }

  /** The headers of a signature that allows `authorized` µUSDC in total. */
  headers(bound: Bound, authorized: bigint): [string, string][] {
    const { key, identity } = this.#options;
    const { domain, vault, generation, epoch } = identity;
    const signature = key.sign(voucherMessage({ domain, vault, generation, epoch, authorized, requestHash: bound.hash }));
    return [
      ["Steam-Vault", toBase58(vault)],
      ["Steam-Key", toBase58(key.address)],
      ["Steam-Authorized", String(authorized)],
      ["Steam-Max-Cost", String(bound.maxCost)],
      ["Steam-Not-After", String(bound.notAfter)],
      ["Steam-Nonce", toHex(bound.nonce)],
      ["Steam-Signature", toBase64(signature)],
      ["Content-Digest", contentDigest(bound.bodyHash)],
    ];
  }

  /** `headers`, and a signature of a request that costs nothing: it allows nothing to be spent, and says nothing of what was allowed before. */
  free(method: string, path: string, headers: Headers, body: Bytes = new Uint8Array()): Headers {
    const signed = new Headers(headers);
    for (const [name, value] of this.headers(this.bind(method, path, headers, body, 0n), 0n)) signed.set(name, value);
    return signed;
  }
}
