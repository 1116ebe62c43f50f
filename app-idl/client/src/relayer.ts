/** One relayer's HTTP API: where it is, and what it says when it refuses. */

import { errorMessage } from "./chain/codec.js";

/** Time that the relayer has to answer a call that asks for no completion. */
const TIMEOUT_MS = 20_000;

/** The relayer refused. It did not answer, or its answer broke off: `status` is 0 then. */
export class RelayerError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the same call may succeed later. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The error in the body of a refusal. */
export function refusal(status: number, body: unknown): RelayerError {
  const error = (body as { error?: { code?: string; message?: string } } | null)?.error;
  const message = error?.message ?? `The relayer answered with status ${status}.`;
  // The program's own reasons have numbers.
  const number = /custom program error: 0x([0-9a-f]+)/.exec(message)?.[1];
  const reason = number && errorMessage(parseInt(number, 16));
  return new RelayerError(status, error?.code ?? "unknown", reason ? `This transaction would fail, so it was not sent: ${reason}.` : message);
}

export interface CallOptions {
  method?: string;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Headers;
  signal?: AbortSignal;
}

/** Calls one relayer. */
export class RelayerApi {
  /** The base URL with its `/v1`. */
  readonly base: URL;
  readonly #fetch: typeof fetch;

  /** `baseUrl`: the relayer's URL, with or without `/v1`. Throws `TypeError` if it is none. */
  constructor(baseUrl: string | URL, transport: typeof fetch = globalThis.fetch) {
    const url = new URL(baseUrl);
    if (!["http:", "https:"].includes(url.protocol)) throw new TypeError(`${baseUrl} is no http(s) URL of a relayer`);
    const path = url.pathname.replace(/\/+$/, "");
    this.base = new URL((path.endsWith("/v1") ? path : `${path}/v1`) + "/", url.origin);
    // Called as a method, the browser's own `fetch` refuses.
    this.#fetch = (input, init) => transport(input, init);
  }

  /** The URL of `path` below the base. */
  url(path: string): URL {
    return new URL(path.replace(/^\/+/, ""), this.base);
  }

  /** Calls `path` and reads the JSON it answers; throws {@link RelayerError}. */
  async call<T>(path: string, options: CallOptions = {}): Promise<T> {
    const { signal = AbortSignal.timeout(TIMEOUT_MS), ...others } = options;
    const response = await this.send(path, { ...others, signal });
    let answer: unknown;
    try {
      answer = await response.json();
    } catch (error) {
      if (isLeft(signal)) throw error;
      // A refusal has its status at least. An answer that broke off says nothing, and may not be taken for one.
      if (response.ok) throw new RelayerError(0, "no_answer", "The relayer's answer broke off or cannot be read. Check the connection and try again.");
      answer = null;
    }
    if (!response.ok) throw refusal(response.status, answer);
    return answer as T;
  }

  /** Calls `path`; the response may be a refusal. Throws {@link RelayerError} if there is none. */
  async send(path: string, { method, body, headers = new Headers(), signal }: CallOptions): Promise<Response> {
    const request: RequestInit = { method: method ?? (body === undefined ? "GET" : "POST"), headers, credentials: "omit", redirect: "error" };
    if (signal) request.signal = signal;
    if (body !== undefined) {
      headers.set("Content-Type", "application/json");
      request.body = JSON.stringify(body);
    }
    try {
      return await this.#fetch(this.url(path), request);
    } catch (error) {
      if (signal && isLeft(signal)) throw error;
      throw new RelayerError(0, "no_answer", "The relayer does not answer. Check the connection and try again; nothing is lost.");
    }
  }
}

/** Whether the caller no longer wants an answer. A time that ran out is another matter. */
function isLeft({ aborted, reason }: AbortSignal): boolean {
  return aborted && (reason as Error | undefined)?.name === "AbortError";
}
