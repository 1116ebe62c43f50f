/** A relayer of a few lines, over real sockets: it checks what a relayer checks of a signed request, and answers as a test says. */

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256, utf8 } from "../src/bytes.js";
import * as steam from "../src/index.js";

export const [relayer, vault, domain] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [steam.Bytes, steam.Bytes, steam.Bytes];
export const key = new steam.SessionKey(new Uint8Array(32).fill(7));
export const receiptKey = new steam.SessionKey(new Uint8Array(32).fill(8));
export const [generation, epoch, slot] = [348_112_233n, 3, 1];
export const identity: steam.Identity = { domain, relayer, vault, generation, epoch, slot };

const none = { input: 0n, cached: 0n, cacheWrite: 0n, cacheWriteLong: 0n, output: 0n, request: 0n };
const standard = { ...none, input: 150_000n, cached: 75_000n, cacheWrite: 150_000n, cacheWriteLong: 150_000n, output: 600_000n, request: 100n };
export const price: steam.Tariff = { standard, longFrom: 0, long: none };
export const usage: steam.Usage = { requests: 1, input: 1_000, cached: 0, cacheWrite: 0, cacheWriteLong: 0, output: 500 };
const charge = steam.tariffCharge(price, usage);
/** Pico-USDC of one answer. */
export const cost = charge + steam.receiptFee(charge, 333);

/** One request as the relayer saw it, after it checked everything a relayer checks. */
export interface Seen {
  authorized: bigint;
  maxCost: bigint;
  hash: steam.Hash;
  path: string;
  body: string;
  headers: IncomingMessage["headers"];
}

export type Answer = (seen: Seen, response: ServerResponse) => void | Promise<void>;

export class FakeRelayer {
  readonly seen: Seen[] = [];
  /** Signed reads, by their URLs. */
  readonly reads: string[] = [];
  /** Receipts by the ids of their answers, in the order of their charges. */
  readonly receipts: { id: string; receipt: string; hash: string }[] = [];
  answer: Answer = () => {};
  /** Charges and fees of the key so far, in pico-USDC. */
  cumulative = 0n;
  inFlight = 0;
  mostInFlight = 0;
  #held = 0n;
  #highest = 0n;
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response).catch((error) => response.writeHead(500).end(String(error))));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  reset(): void {
    this.seen.length = this.reads.length = this.receipts.length = this.inFlight = this.mostInFlight = 0;
    this.cumulative = this.#held = this.#highest = 0n;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = await admit(request);
    if (request.method === "GET") return this.#read(seen, response);
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    response.on("close", () => this.inFlight--);
    if (seen.path.endsWith("count_tokens")) return void this.answer(seen, response);
    const known = this.receipts.find(({ hash }) => hash === steam.toHex(seen.hash));
    if (known) return refuse(response, 409, "replay", { "Steam-Receipt": known.receipt });
    // As relayers hold: the highest total ever allowed covers what was charged, what is held, and this request.
    this.#highest = this.#highest > seen.authorized ? this.#highest : seen.authorized;
    const needed = this.cumulative + (this.#held + seen.maxCost) * steam.PICO_PER_MICRO;
    if (this.#highest * steam.PICO_PER_MICRO < needed) return refuse(response, 402, "authorized_too_low");
    this.#held += seen.maxCost;
    response.on("close", () => (this.#held -= seen.maxCost));
    this.seen.push(seen);
    response.setHeader("Steam-Generation-Id", `gen-${this.seen.length}`);
    await this.answer(seen, response);
  }

  #read(seen: Seen, response: ServerResponse): void {
    assert.deepEqual([seen.authorized, seen.maxCost], [0n, 0n], "a read allows nothing");
    this.reads.push(seen.path);
    const url = new URL(seen.path, "http://relayer");
    const id = /\/v1\/receipts\/(.+)$/.exec(url.pathname)?.[1];
    if (id) {
      const found = this.receipts.find((one) => one.id === id);
      return found ? void response.end(JSON.stringify({ ...found, status: "unsettled", proof: null })) : refuse(response, 404, "not_found");
    }
    if (url.pathname !== "/v1/receipts") return void response.end("{}");
    const after = this.receipts.findIndex((one) => one.id === url.searchParams.get("after"));
    const page = this.receipts.slice(after + 1, after + 3);
    response.end(JSON.stringify({ data: page, has_more: after + 3 < this.receipts.length }));
  }

  /** Charges an answer and signs its receipt. */
  receipt(hash: steam.Hash, sent: string | Uint8Array, over: Partial<steam.Receipt> = {}, id = `gen-${this.seen.length}`): string {
    const charge = over.charge ?? steam.tariffCharge(over.price ?? price, over.usage ?? usage);
    const fee = steam.receiptFee(charge, 333);
    this.cumulative += charge + fee;
    const receipt: steam.Receipt = {
      keyId: 1, domain, relayer, vault, generation, keyEpoch: epoch, keySlot: slot, number: BigInt(this.receipts.length), requestHash: hash,
      responseHash: sha256(typeof sent === "string" ? utf8(sent) : sent), provider: new Uint8Array(32), offer: new Uint8Array(32), priceVersion: 1,
      price, usage, countedBy: "provider", charge, feeBps: 333, fee, keyCumulative: this.cumulative, finishReason: "stop",
      startedAtMs: BigInt(Date.now()), ttftMs: 1, durationMs: 2, routingHash: new Uint8Array(32), ...over,
    };
    const text = steam.toBase64(steam.encodeSigned({ receipt, signature: receiptKey.sign(steam.receiptMessage(receipt)) }));
    this.receipts.push({ id, receipt: text, hash: steam.toHex(receipt.requestHash) });
    return text;
  }

  /** What another holder of the key spends, or what was spent before a store was lost. */
  elsewhere(answers: number): void {
    for (let at = 0; at < answers; at++) this.receipt(sha256(utf8(`elsewhere ${at} ${this.cumulative}`)), "", {}, `elsewhere-${this.receipts.length}`);
  }

  /** A whole answer with its receipt. */
  whole(over?: Partial<steam.Receipt>): Answer {
    return ({ hash }, response) => {
      const text = '{"choices":[]}';
      response.setHeader("Steam-Receipt", this.receipt(hash, text, over)).end(text);
    };
  }

  /** A stream whose bytes arrive in pieces of `size`. */
  streamed(size: number, withReceipt = true, after = "data: [DONE]\n\n"): Answer {
    return async ({ hash }, response) => {
      const before = 'data: {"a":"é"}\n\n: keep-alive\n\ndata: {"b":": steam-receipt no"}\n\n: steam-rec\n\n';
      const comment = withReceipt ? `: steam-receipt ${this.receipt(hash, before)}\n\n` : "";
      response.setHeader("Content-Type", "text/event-stream; charset=utf-8");
      const bytes = Buffer.from(`${before}${comment}${after}`);
      for (let at = 0; at < bytes.length; at += size) {
        response.write(bytes.subarray(at, at + size));
        if (size > 1) await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    };
  }
}

export function refuse(response: ServerResponse, status: number, code: string, headers: { [name: string]: string } = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify({ error: { message: "refused", code } }));
}

async function admit(request: IncomingMessage): Promise<Seen> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = new Uint8Array(Buffer.concat(chunks));
  const header = (name: string) => request.headers[name] as string;
  for (const secret of ["authorization", "x-api-key", "api-key"]) assert.equal(request.headers[secret], undefined, "the key's secret stays");
  assert.equal(header("steam-vault"), steam.toBase58(vault));
  assert.equal(header("steam-key"), steam.toBase58(key.address));
  assert.match(header("steam-nonce"), /^[0-9a-f]{32}$/);
  assert.equal(header("content-digest"), steam.contentDigest(sha256(body)));
  const raw = Array.from({ length: request.rawHeaders.length / 2 }, (_, i) => request.rawHeaders.slice(2 * i, 2 * i + 2) as [string, string]);
  const hash = steam.requestHash({
    relayer,
    method: request.method!,
    path: request.url!.split("?")[0]!,
    bodyHash: sha256(body),
    controlHash: steam.controlHeadersHash(raw),
    maxCost: BigInt(header("steam-max-cost")),
    notAfter: BigInt(header("steam-not-after")),
    nonce: steam.fromHex(header("steam-nonce")),
  });
  const authorized = BigInt(header("steam-authorized"));
  const message = steam.voucherMessage({ domain, vault, generation, epoch, authorized, requestHash: hash });
  assert.ok(steam.verifyStrict(key.address, message, steam.fromBase64(header("steam-signature"))), "the voucher's signature");
  const ahead = Number(header("steam-not-after")) - Date.now() / 1000;
  assert.ok(ahead > 110 && ahead <= 120);
  return { authorized, maxCost: BigInt(header("steam-max-cost")), hash, path: request.url!, body: new TextDecoder().decode(body), headers: request.headers };
}
