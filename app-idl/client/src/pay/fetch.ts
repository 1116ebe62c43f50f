/**
 * A `fetch` that pays: it signs every request to one relayer with a session key and counts what it spent from the receipts it verified,
 * never from the relayer's word. Hand it to the OpenAI or Anthropic SDK as its `fetch`.
 *
 * Many requests may be under way at once. Their vouchers are cumulative, so each is signed in its turn, which takes as long as the store does,
 * and all are sent in parallel, as many as `maxUnresolved` allows for; the others wait their turn.
 */

import { sha256, type Bytes, type Hash } from "../bytes.js";
import { ReceiptError, type Receipt } from "../receipt.js";
import { RelayerApi } from "../relayer.js";
import { pause } from "../time.js";
import { formatPico } from "../units.js";
import { Account, costOf, UnresolvedError, type AccountOptions } from "./account.js";
import type { Identity } from "./identity.js";
import { ReceiptScanner } from "./scan.js";
import { Signer, type Bound, type SignerOptions } from "./sign.js";
import type { State } from "./store.js";

/** Pauses before each time that a signed request is sent again after its connection failed. It is served once. */
const RESENDS_MS = [0, 100, 300, 800, 1_600];
/** Pauses before each look for the receipt of an answer that was cut: the relayer charges what it had sent, which takes a moment. */
const LOOKS_MS = [100, 400, 1_000];
/** Requests that cost nothing. */
const FREE = ["/messages/count_tokens", "/responses/input_tokens", "/withdrawals", "/chain/transactions", "/chain/faucet"];
/** Receipts of one list. */
const PAGE = 1_000;

export interface Options extends Identity, Omit<AccountOptions, "identity" | "address">, Omit<SignerOptions, "identity"> {
  /** The relayer's URL, as in `https://relayer.example`. No other origin is ever sent anything. */
  baseUrl: string;
  /** The most a request may cost in µUSDC, fees included. */
  maxCost: bigint | ((request: Request, body: Bytes) => bigint);
  fetch?: typeof fetch | undefined;
}

/** The request was served and paid, and its answer was lost on its way. */
export class AnswerLostError extends Error {
  override readonly name = "AnswerLostError";

  constructor(readonly receipt: Receipt) {
    super(`The answer was lost on its way. It was charged ${formatPico(costOf(receipt))} USDC, as its receipt says. Ask again if you still need it: that is a new charge.`);
  }
}

export interface SignedFetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** Counts the receipts that the relayer has of this key and this store does not; throws what {@link Account.reconcile} throws. */
  recover(): Promise<void>;
  /** Calls an account's route of the relayer, signed: `usage`, `key`, `credits`, `receipts`. It costs nothing. */
  get<T>(path: string): Promise<T>;
  /** The state as last saved. */
  state(): Promise<State>;
  readonly account: Account;
  readonly signer: Signer;
}

/** See the module. The returned function throws the errors of {@link Account}, {@link ReceiptError}, {@link AnswerLostError} and what `fetch` throws. */
export function signedFetch(options: Options): SignedFetch {
  const { domain, relayer, vault, generation, epoch, slot, key, now, random, lifetimeSeconds } = options;
  const identity = { domain, relayer, vault, generation, epoch, slot };
  const account = new Account({ ...options, identity, address: key.address });
  const signer = new Signer({ key, identity, lifetimeSeconds, now, random });
  const transport: typeof fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  const payer = new Payer(options, account, signer, new RelayerApi(options.baseUrl, transport), transport);
  const call = (input: string | URL | Request, init?: RequestInit) => payer.call(new Request(input, init));
  const get = <T>(path: string) => payer.get<T>(path);
  return Object.assign(call, { recover: () => payer.recover(), get, state: () => account.state(), account, signer });
}

/** A signed request, ready to be sent, also more than once. */
interface Outgoing {
  url: URL;
  init: RequestInit;
  hash: Hash;
}

class Payer {
  /** Requests that were signed and have no answer yet; a stream has one once it begins. */
  private underWay = 0;
  /** Who waits for one of them to end. */
  private waiting: (() => void)[] = [];

  constructor(
    private readonly options: Options,
    private readonly account: Account,
    private readonly signer: Signer,
    private readonly api: RelayerApi,
    private readonly transport: typeof fetch,
  ) {}

  async call(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const { origin } = this.api.base;
    if (url.origin !== origin) throw new TypeError(`This fetch signs for ${origin} only, not for ${url.origin}: give the SDK the relayer's base URL.`);
    const body = new Uint8Array(await request.arrayBuffer());
    request.signal.throwIfAborted();
    const { method, signal } = request;
    const headers = plainHeaders(request);
    // A redirect would carry the signature elsewhere.
    const init: RequestInit = { method, signal, redirect: "error", ...(["GET", "HEAD"].includes(method) ? {} : { body }) };
    if (method !== "POST" || FREE.some((path) => url.pathname.endsWith(path))) {
      return this.transport(url, { ...init, headers: this.signer.free(method, url.pathname, headers, body) });
    }
    if (url.search && url.search !== "?beta=true") throw new TypeError(`The query ${url.search} is not signed: send it in the body.`);
    const maxCost = typeof this.options.maxCost === "bigint" ? this.options.maxCost : this.options.maxCost(request, body);
    return this.pay(url, init, headers, body, maxCost);
  }

  private async pay(url: URL, init: RequestInit, headers: Headers, body: Bytes, maxCost: bigint): Promise<Response> {
    for (let isFirst = true; ; isFirst = false) {
      const outgoing = await this.sign(url, init, headers, body, maxCost);
      this.underWay += 1;
      try {
        const response = await this.transmit(outgoing);
        if (response.ok) return await this.delivered(response, outgoing.hash);
        const isLow = await this.isLow(response, outgoing.hash);
        if (!isLow || !isFirst) return response;
      } finally {
        this.underWay -= 1;
        for (const goOn of this.waiting.splice(0)) goOn();
      }
      // Another holder spent with the key, or the store was lost.
      await this.recover();
    }
  }

  /** Signs a request and notes its ceiling durably, before anything is sent. */
  private async sign(url: URL, init: RequestInit, headers: Headers, body: Bytes, maxCost: bigint): Promise<Outgoing> {
    const bound = this.signer.bind("POST", url.pathname, headers, body, maxCost);
    const signed = new Headers(headers);
    for (const [name, value] of this.signer.headers(bound, await this.begin(bound, init.signal))) signed.set(name, value);
    return { url, init: { ...init, headers: signed }, hash: bound.hash };
  }

  /** Notes a ceiling. Where it is too much beside those of requests under way, it waits for one of them to end. */
  private async begin({ hash, maxCost, notAfter }: Bound, signal: AbortSignal | null | undefined): Promise<bigint> {
    for (let recovered = false; ; ) {
      try {
        return await this.account.begin(hash, maxCost, notAfter);
      } catch (error) {
        if (!(error instanceof UnresolvedError) || (recovered && this.underWay === 0)) throw error;
      }
      if (this.underWay > 0) {
        await new Promise<void>((goOn) => this.waiting.push(goOn));
        signal?.throwIfAborted();
      } else {
        // The relayer may have receipts of answers that were lost or left.
        await this.recover();
        recovered = true;
      }
    }
  }

  /** Sends the same bytes until the relayer answers. */
  private async transmit({ url, init, hash }: Outgoing): Promise<Response> {
    let failure: unknown;
    for (const wait of RESENDS_MS) {
      await pause(wait);
      try {
        const response = await this.transport(url, init);
        const receipt = response.headers.get("Steam-Receipt");
        if (response.status !== 409) return response;
        // The same request came before. Its receipt ends it; without one it may still be running.
        if (receipt !== null) throw new AnswerLostError(await this.account.accept(receipt, { requestHash: hash }));
        failure ??= response;
      } catch (error) {
        if (init.signal?.aborted || error instanceof AnswerLostError || error instanceof ReceiptError) throw error;
        failure ??= error;
      }
    }
    if (failure instanceof Response) return failure;
    throw failure;
  }

  /**
   * Reads a refusal. In the relayer's own words it frees the request's ceiling; anything else may be a proxy that gave up on an answer
   * under way. Whether the request allowed too little in total.
   */
  private async isLow(response: Response, hash: Hash): Promise<boolean> {
    const body = (await response.clone().json().catch(() => null)) as { error?: { message?: unknown; code?: unknown } } | null;
    if (typeof body?.error?.message === "string" && !response.headers.has("Steam-Receipt")) await this.account.release(hash);
    return body?.error?.code === "authorized_too_low";
  }

  private async delivered(response: Response, hash: Hash): Promise<Response> {
    const id = response.headers.get("Steam-Generation-Id");
    if (response.body && response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return rebuilt(response, this.watched(response.body, hash, id));
    }
    let answer: Uint8Array<ArrayBuffer>;
    try {
      answer = new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      throw (await this.lost(id, hash)) ?? error;
    }
    const receipt = response.headers.get("Steam-Receipt");
    const whole = rebuilt(response, answer);
    try {
      if (receipt !== null) await this.account.accept(receipt, { requestHash: hash, responseHash: sha256(answer) });
    } catch (error) {
      if (error instanceof ReceiptError) error.answer = whole;
      throw error;
    }
    if (receipt === null) await this.lost(id, hash);
    return whole;
  }

  /** The stream as it is, its receipt accepted before the consumer sees it. */
  private watched(body: ReadableStream<Uint8Array>, hash: Hash, id: string | null): ReadableStream<Uint8Array> {
    const [reader, scanner] = [body.getReader(), new ReceiptScanner()];
    let counted = false;
    const next = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
      const { done, value } = await reader.read();
      const { bytes, found } = done ? { bytes: scanner.end(), found: undefined } : scanner.push(value);
      if (found) {
        await this.account.accept(found.receipt, { requestHash: hash, responseHash: found.responseHash });
        counted = true;
      }
      if (bytes.length > 0) controller.enqueue(bytes);
      if (!done) return bytes.length > 0 ? undefined : next(controller);
      if (!counted) await this.lost(id, hash);
      controller.close();
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            await next(controller);
          } catch (error) {
            reader.cancel(error).catch(() => {});
            if (!counted && !(error instanceof ReceiptError)) await this.lost(id, hash);
            throw error;
          }
        },
        cancel: async (reason) => {
          await reader.cancel(reason).catch(() => {});
          if (!counted) await this.lost(id, hash);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /**
   * Looks for the receipt of an answer that is not here or was cut, and counts it. Without one the request's ceiling stays allowed for
   * until {@link recover} finds it.
   */
  private async lost(id: string | null, hash: Hash): Promise<AnswerLostError | undefined> {
    if (!id || !/^[\w-]+$/.test(id)) return undefined;
    for (const wait of LOOKS_MS) {
      await pause(wait);
      const found = await this.get<{ receipt: string }>(`receipts/${id}`).catch(() => null);
      if (found) return new AnswerLostError(await this.account.accept(found.receipt, { requestHash: hash }));
    }
    return undefined;
  }

  async recover(): Promise<void> {
    const receipts: string[] = [];
    for (let after = ""; ; ) {
      const page = await this.get<{ data: { id: string; receipt: string }[]; has_more: boolean }>(`receipts?limit=${PAGE}${after}`);
      receipts.push(...page.data.map(({ receipt }) => receipt));
      const last = page.data.at(-1);
      if (!page.has_more || !last) break;
      after = `&after=${last.id}`;
    }
    await this.account.reconcile(receipts, this.signer.now());
  }

  async get<T>(path: string): Promise<T> {
    return this.api.call<T>(path, { headers: this.signer.free("GET", this.api.url(path).pathname, new Headers()) });
  }
}

/** The request's headers without the SDK's API key: it must not leave its holder. */
function plainHeaders(request: Request): Headers {
  const headers = new Headers(request.headers);
  for (const name of ["Authorization", "X-Api-Key", "Api-Key"]) headers.delete(name);
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
