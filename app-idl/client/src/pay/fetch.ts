/**
 * A `fetch` that pays: it signs every POST to one relayer with a session key and counts what it spent from the receipts
 * it verified, never from the relayer's word. Hand it to the OpenAI SDK as its `fetch`.
 *
 * One request at a time a key: the next waits until the receipt of the one before arrived, or its answer ended or was
 * cancelled. So read every answer's stream to its end, or cancel it. In a browser the relayer must expose `Steam-Receipt`.
 */

import { sha256 as Sha256 } from "@noble/hashes/sha2.js";
import { concat, equal, fromBase64, sha256, toBase58, toBase64, toHex, type Address, type Bytes, type Hash } from "./bytes.js";
import type { SessionKey } from "./key.js";
import { decodeSigned, ReceiptError, verifyReceipt, type Receipt } from "./receipt.js";
import { contentDigest, controlHeadersHash, MAX_AHEAD_SECONDS, requestHash } from "./request.js";
import { ceilMicro, PICO_PER_MICRO } from "./units.js";
import { voucherMessage } from "./voucher.js";

/** What a holder must not forget. Plain JSON; amounts are decimal strings. */
export interface State {
  /** The key's address in base58, so that no other key uses this state. */
  key: string;
  /** Pico-USDC of charges and fees in verified receipts. */
  spent: string;
  /** The highest µUSDC ever authorised: with `spent` it bounds what the relayer can still take. */
  highWater: string;
  /** Requests sent whose receipts have not been seen, with their ceilings in µUSDC. */
  unresolved: { requestHash: string; maxCost: string }[];
}

/** Where the state lives. `save` must be durable when it returns: it is awaited before anything is sent. */
export interface Store {
  load(): State | null | Promise<State | null>;
  save(state: State): void | Promise<void>;
}

export interface Options {
  key: SessionKey;
  /** The relayer's origin, as in `https://relayer.example`. No other origin is ever sent anything. */
  origin: string;
  /** The relayer's account. */
  relayer: Address;
  domain: Hash;
  vault: Address;
  generation: bigint;
  /** The key's epoch and slot in the vault. */
  epoch: number;
  slot: number;
  /** The relayer's receipt keys by id, from its account on chain. */
  receiptKey: (id: number) => Address | undefined;
  /** The most a request may cost in µUSDC, fees included. */
  maxCost: bigint | ((request: Request, body: Bytes) => bigint);
  store: Store;
  /** Most µUSDC of ceilings without a receipt, the next request's included. Default: 1 USDC. */
  maxUnresolved?: bigint;
  /** How long a signed request may be admitted, in seconds, at most 300. Default: 60. */
  lifetimeSeconds?: bigint;
  /** Called with every verified receipt, after it was saved. */
  onReceipt?: (receipt: Receipt, signed: Bytes) => void;
  fetch?: typeof fetch;
  /** Unix milliseconds. */
  now?: () => number;
  random?: (length: number) => Bytes;
}

/** Too many answers came without a receipt: resolve them with their receipts, or use a new key. */
export class UnresolvedError extends Error {
  constructor(readonly unresolved: bigint, readonly maxUnresolved: bigint) {
    super(`${unresolved} µUSDC would be without a receipt, at most ${maxUnresolved} may be`);
  }
}

export interface SignedFetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Accepts the receipt (base64) of an earlier request whose answer was lost, as from `/v1/receipts/{id}`. */
  resolve(receipt: string): Promise<Receipt>;
  /** The state as last saved. */
  state(): Promise<State>;
}

/** See the module. The returned function throws {@link UnresolvedError}, {@link ReceiptError} and what `fetch` throws. */
export function signedFetch(options: Options): SignedFetch {
  const transport = options.fetch ?? globalThis.fetch;
  const origin = new URL(options.origin).origin;
  const maxUnresolved = options.maxUnresolved ?? 1_000_000n;
  const lifetime = options.lifetimeSeconds ?? 60n;
  if (lifetime <= 0n || lifetime > MAX_AHEAD_SECONDS) throw new RangeError(`lifetimeSeconds must be 1 to ${MAX_AHEAD_SECONDS}`);
  const random = options.random ?? ((length) => crypto.getRandomValues(new Uint8Array(length)));
  const now = options.now ?? Date.now;
  const turns = new Turns();
  const account = new Account(options);

  /** Signs one request and notes its ceiling durably, before anything is sent. */
  async function sign(request: Request, url: URL, body: Bytes): Promise<[Headers, Hash]> {
    const headers = plainHeaders(request);
    const maxCost = typeof options.maxCost === "bigint" ? options.maxCost : options.maxCost(request, body);
    const notAfter = BigInt(Math.floor(now() / 1000)) + lifetime;
    const [nonce, bodyHash] = [random(16), sha256(body)];
    const hash = requestHash({
      relayer: options.relayer, method: request.method, path: url.pathname, bodyHash, controlHash: controlHeadersHash(headers),
      maxCost, notAfter, nonce,
    });
    const state = await account.state();
    const unresolved = sumOf(state) + maxCost;
    if (unresolved > maxUnresolved) throw new UnresolvedError(unresolved, maxUnresolved);
    const authorized = ceilMicro(BigInt(state.spent)) + unresolved;
    const voucher = { ...options, authorized, requestHash: hash };
    const signature = options.key.sign(voucherMessage(voucher));
    await account.save({
      ...state,
      highWater: String(authorized > BigInt(state.highWater) ? authorized : state.highWater),
      unresolved: [...state.unresolved, { requestHash: toHex(hash), maxCost: String(maxCost) }],
    });
    headers.set("Steam-Vault", toBase58(options.vault));
    headers.set("Steam-Key", toBase58(options.key.address));
    headers.set("Steam-Authorized", String(authorized));
    headers.set("Steam-Max-Cost", String(maxCost));
    headers.set("Steam-Not-After", String(notAfter));
    headers.set("Steam-Nonce", toHex(nonce));
    headers.set("Steam-Signature", toBase64(signature));
    headers.set("Content-Digest", contentDigest(bodyHash));
    return [headers, hash];
  }

  async function pay(request: Request, url: URL, release: () => void): Promise<Response> {
    const body = new Uint8Array(await request.arrayBuffer());
    request.signal.throwIfAborted();
    const [headers, hash] = await sign(request, url, body);
    // A redirect would carry the signature elsewhere.
    const response = await transport(url, { method: request.method, headers, body, signal: request.signal, redirect: "error" });
    const receipt = response.headers.get("Steam-Receipt");
    if (response.ok && response.body && response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return rebuilt(response, watched(response.body, hash, release));
    }
    const answer = new Uint8Array(await response.arrayBuffer());
    if (receipt !== null) await account.accept(receipt, hash, sha256(answer));
    // A refusal is not charged. Should that be untrue, the next voucher allows no more than this one did.
    else if (!response.ok) await account.forget(hash);
    release();
    return rebuilt(response, answer);
  }

  /** The stream as it is, its receipt accepted before the consumer sees it. */
  function watched(body: ReadableStream<Uint8Array>, hash: Hash, release: () => void): ReadableStream<Uint8Array> {
    const [reader, scanner] = [body.getReader(), new ReceiptScanner()];
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          try {
            const { done, value } = await reader.read();
            if (done) {
              release();
              return controller.close();
            }
            const found = scanner.push(value);
            if (found) {
              await account.accept(found.receipt, hash, found.responseHash);
              release();
            }
            controller.enqueue(value);
          } catch (error) {
            release();
            reader.cancel(error).catch(() => {});
            throw error;
          }
        },
        cancel(reason) {
          release();
          return reader.cancel(reason);
        },
      },
      { highWaterMark: 0 },
    );
  }

  async function call(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.origin !== origin) throw new TypeError(`this fetch signs for ${origin} only, not for ${url.origin}`);
    if (request.method !== "POST") {
      return transport(url, { method: request.method, headers: plainHeaders(request), signal: request.signal, redirect: "error" });
    }
    if (url.search) throw new TypeError("a query is not signed: send it in the body");
    const release = await turns.next();
    try {
      return await pay(request, url, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  return Object.assign(call, {
    async resolve(receipt: string): Promise<Receipt> {
      const release = await turns.next();
      return account.accept(receipt).finally(release);
    },
    state: () => account.state(),
  });
}

/** What was spent, allowed and left open, and the rules by which a receipt counts. */
class Account {
  #state: Promise<State> | undefined;
  constructor(private readonly options: Options) {}

  state(): Promise<State> {
    return (this.#state ??= this.#load());
  }

  async #load(): Promise<State> {
    const key = toBase58(this.options.key.address);
    const state = (await this.options.store.load()) ?? { key, spent: "0", highWater: "0", unresolved: [] };
    if (state.key !== key) throw new Error(`the stored state is of key ${state.key}, not of ${key}`);
    return state;
  }

  async save(state: State): Promise<void> {
    await this.options.store.save(state);
    this.#state = Promise.resolve(state);
  }

  async forget(hash: Hash): Promise<void> {
    const state = await this.state();
    await this.save({ ...state, unresolved: state.unresolved.filter((open) => open.requestHash !== toHex(hash)) });
  }

  /** Counts a receipt of `expected`, or of any unresolved request; throws {@link ReceiptError} and changes nothing. */
  async accept(text: string, expected?: Hash, responseHash?: Hash): Promise<Receipt> {
    const { options } = this;
    const bytes = bytesOf(text);
    const signed = decodeSigned(bytes);
    const { receipt } = signed;
    const key = options.receiptKey(receipt.keyId);
    if (!key) throw new ReceiptError("Signature");
    verifyReceipt(signed, key);

    const ours = equal(receipt.domain, options.domain) && equal(receipt.relayer, options.relayer) && equal(receipt.vault, options.vault);
    const ourKey = receipt.generation === options.generation && receipt.keyEpoch === options.epoch && receipt.keySlot === options.slot;
    if (!ours || !ourKey) throw new ReceiptError("Foreign");
    const state = await this.state();
    const open = state.unresolved.find(({ requestHash }) => requestHash === toHex(receipt.requestHash));
    if (!open || (expected && !equal(receipt.requestHash, expected))) throw new ReceiptError("Request");
    if (responseHash && !equal(receipt.responseHash, responseHash)) throw new ReceiptError("Response");
    const cost = receipt.charge + receipt.fee;
    if (cost > BigInt(open.maxCost) * PICO_PER_MICRO) throw new ReceiptError("Ceiling");
    const spent = BigInt(state.spent) + cost;
    const unresolved = state.unresolved.filter((other) => other !== open);
    // The relayer may have charged what we have not seen, but not more than we allowed.
    if (receipt.keyCumulative > spent + sumOf({ unresolved }) * PICO_PER_MICRO) throw new ReceiptError("Cumulative");
    await this.save({ ...state, spent: String(spent), unresolved });
    options.onReceipt?.(receipt, bytes);
    return receipt;
  }
}

/** Hands out turns, one at a time. */
class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Waits for every turn before; the turn lasts until the function it resolves to is called. */
  async next(): Promise<() => void> {
    const before = this.#last;
    let release!: () => void;
    this.#last = new Promise((resolve) => (release = resolve));
    await before;
    return release;
  }
}

const MARK = new TextEncoder().encode(": steam-receipt ");
const MAX_LINE = 4096;

/** Finds the line `: steam-receipt <base64>` in a stream, whatever its chunks, and hashes all before it. */
export class ReceiptScanner {
  readonly #hash = Sha256.create();
  #line: Bytes = new Uint8Array();
  /** Whether the current line may still be the receipt's. */
  #open = true;
  #done = false;

  push(chunk: Bytes): { receipt: string; responseHash: Hash } | undefined {
    for (let at = 0; at < chunk.length && !this.#done; ) {
      const newline = chunk.indexOf(10, at);
      const end = newline < 0 ? chunk.length : newline + 1;
      const part = chunk.subarray(at, end);
      at = end;
      if (!this.#open) {
        this.#hash.update(part);
      } else {
        this.#line = concat(this.#line, part);
        const marked = this.#line.length <= MAX_LINE && this.#line.subarray(0, MARK.length).every((byte, i) => byte === MARK[i]);
        if (marked && newline >= 0) {
          this.#done = true;
          const receipt = new TextDecoder().decode(this.#line.subarray(MARK.length)).trim();
          return { receipt, responseHash: this.#hash.digest() };
        }
        if (!marked) {
          this.#hash.update(this.#line);
          [this.#line, this.#open] = [new Uint8Array(), false];
        }
      }
      if (newline >= 0) this.#open = true;
    }
    return undefined;
  }
}

function sumOf(state: Pick<State, "unresolved">): bigint {
  return state.unresolved.reduce((sum, open) => sum + BigInt(open.maxCost), 0n);
}

/** The request's headers without `Authorization`: an SDK puts its API key there, which must not leave its holder. */
function plainHeaders(request: Request): Headers {
  const headers = new Headers(request.headers);
  headers.delete("Authorization");
  return headers;
}

/** `fetch` has decoded the body already. */
function rebuilt(response: Response, body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>): Response {
  const headers = new Headers(response.headers);
  headers.delete("Content-Encoding");
  headers.delete("Content-Length");
  const empty = [101, 204, 205, 304].includes(response.status);
  return new Response(empty ? null : body, { status: response.status, statusText: response.statusText, headers });
}

function bytesOf(text: string): Bytes {
  try {
    return fromBase64(text);
  } catch {
    throw new ReceiptError("Malformed");
  }
}
