/** Finds the receipt in a stream of server-sent events, however the bytes are cut, and hashes all before it. */

import { sha256 as Sha256 } from "@noble/hashes/sha2.js";
import { concat, type Bytes, type Hash } from "../bytes.js";

const MARK = new TextEncoder().encode(": steam-receipt ");
/** More than a receipt's line has. */
const MAX_LINE = 4096;
/** What may follow the receipt, which does not cover it: the end of a stream, as the dialects have it, and empty lines. */
const AFTER_RECEIPT = ["data: [DONE]", "event: message_stop", 'data: {"type":"message_stop"}', ""];

export interface Found {
  /** Base64. */
  receipt: string;
  /** Of all bytes before the receipt. */
  responseHash: Hash;
}

export interface Scanned {
  /** The bytes to hand on. */
  bytes: Bytes;
  /** The receipt, where it was among them. */
  found?: Found;
}

/** Reads a stream piece by piece. What follows the receipt is the end of the stream, or left out. */
export class ReceiptScanner {
  readonly #hash = Sha256.create();
  /** A line that may be the receipt's, or comes after it, as far as it is here. */
  #line: Bytes = new Uint8Array();
  /** Whether the current line may still be the receipt's. */
  #open = true;
  #sealed = false;

  push(chunk: Bytes): Scanned {
    const out: Bytes[] = [];
    let found: Found | undefined;
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(10, at);
      const end = newline < 0 ? chunk.length : newline + 1;
      const part = chunk.subarray(at, end);
      at = end;
      if (this.#sealed) this.#after(part, newline >= 0, out);
      else found = this.#before(part, newline >= 0, out) ?? found;
    }
    return found ? { bytes: concat(...out), found } : { bytes: concat(...out) };
  }

  /** What is held of a line at the stream's end. */
  end(): Bytes {
    return this.#sealed || !this.#open ? new Uint8Array() : this.#line;
  }

  #before(part: Bytes, ends: boolean, out: Bytes[]): Found | undefined {
    if (!this.#open) {
      this.#hash.update(part);
      out.push(part);
    } else {
      this.#line = concat(this.#line, part);
      const marked = this.#line.length <= MAX_LINE && this.#line.subarray(0, MARK.length).every((byte, i) => byte === MARK[i]);
      if (marked && ends) {
        const receipt = new TextDecoder().decode(this.#line.subarray(MARK.length)).trim();
        out.push(this.#line);
        [this.#line, this.#sealed] = [new Uint8Array(), true];
        return { receipt, responseHash: this.#hash.digest() };
      }
      if (!marked) {
        this.#hash.update(this.#line);
        out.push(this.#line);
        [this.#line, this.#open] = [new Uint8Array(), false];
      }
    }
    if (ends) this.#open = true;
    return undefined;
  }

  #after(part: Bytes, ends: boolean, out: Bytes[]): void {
    // Longer than all that may follow: its rest is not held.
    if (this.#line.length <= MAX_LINE) this.#line = concat(this.#line, part);
    if (!ends) return;
    if (AFTER_RECEIPT.includes(new TextDecoder().decode(this.#line).trimEnd())) out.push(this.#line);
    this.#line = new Uint8Array();
  }
}
