/** An owner's keypair that lies in memory, as the Solana CLI keeps it in a file. A wallet signs in its place where there is one. */

import * as ed25519 from "@noble/ed25519";
import { exactly, toBase58, type Bytes } from "./bytes.js";
import { messageOf, withSignature } from "./chain/transaction.js";
import type { OwnerSigner } from "./owner.js";
import "./voucher.js"; // sets the library's SHA-512

/** Its secret is a private field: printing or serialising it shows the address only. */
export class Keypair implements OwnerSigner {
  readonly #seed: Bytes;
  readonly address: string;

  constructor(seed: Bytes) {
    this.#seed = exactly(seed, 32).slice();
    this.address = toBase58(ed25519.getPublicKey(this.#seed));
  }

  /** From the JSON of the Solana CLI: an array of 64 numbers. Throws `TypeError` for anything else. */
  static parse(json: string): Keypair {
    // Never the text itself: it is a secret.
    const wrong = () => new TypeError("a keypair file holds a JSON array of 64 numbers, as `solana-keygen new` writes it");
    let numbers: unknown;
    try {
      numbers = JSON.parse(json);
    } catch {
      throw wrong();
    }
    const isByte = (one: unknown) => Number.isInteger(one) && (one as number) >= 0 && (one as number) < 256;
    if (!Array.isArray(numbers) || numbers.length !== 64 || !numbers.every(isByte)) throw wrong();
    const keypair = new Keypair(Uint8Array.from(numbers.slice(0, 32)));
    if (keypair.address !== toBase58(Uint8Array.from(numbers.slice(32)))) throw new TypeError("the two halves of the keypair do not belong together");
    return keypair;
  }

  async signTransaction(transaction: Bytes): Promise<Bytes> {
    return withSignature(transaction, this.address, ed25519.sign(messageOf(transaction), this.#seed));
  }

  toJSON(): string {
    return `Keypair(${this.address})`;
  }
}
