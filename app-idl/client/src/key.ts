/** API keys: a 32-byte ed25519 seed, shown as `sk-steam-<base58>`. */

import * as ed25519 from "@noble/ed25519";
import { exactly, fromBase58, toBase58, type Address, type Bytes } from "./bytes.js";
import "./voucher.js"; // sets the library's SHA-512

export const KEY_PREFIX = "sk-steam-";

/** `Prefix`: it does not start with `sk-steam-`. `Seed`: the rest is not base58 of 32 bytes. */
export class KeyError extends Error {
  constructor(readonly code: "Prefix" | "Seed") {
    // Never the text itself: it may be a key with a typing error.
    super(code === "Prefix" ? `an API key starts with ${KEY_PREFIX}` : `an API key is ${KEY_PREFIX} followed by 32 bytes in base58`);
  }
}

/** A session key. Its seed is a private field: printing or serialising it shows the public half only. */
export class SessionKey {
  readonly #seed: Bytes;
  /** The public half: what a vault authorises. */
  readonly address: Address;

  constructor(seed: Bytes) {
    this.#seed = exactly(seed, 32).slice();
    this.address = ed25519.getPublicKey(this.#seed);
  }

  /** Throws {@link KeyError}. */
  static parse(text: string): SessionKey {
    if (!text.startsWith(KEY_PREFIX)) throw new KeyError("Prefix");
    const seed = fromBase58(text.slice(KEY_PREFIX.length), 32);
    if (!seed) throw new KeyError("Seed");
    return new SessionKey(seed);
  }

  sign(message: Bytes): Bytes {
    return ed25519.sign(message, this.#seed);
  }

  /** The text form with the secret in it: for its owner's eyes only. */
  reveal(): string {
    return KEY_PREFIX + toBase58(this.#seed);
  }

  toString(): string {
    return `SessionKey(${toBase58(this.address)})`;
  }

  toJSON(): string {
    return this.toString();
  }
}
