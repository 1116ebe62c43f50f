/** Where the chain is read and transactions are sent: a relayer's API, or any node's RPC. */

import { fromBase64, toBase64, type Bytes } from "../bytes.js";
import { RelayerError, type RelayerApi } from "../relayer.js";
import type { Sponsor } from "../sponsor.js";
import { errorMessage } from "./codec.js";
import type { Lifetime } from "./transaction.js";

/** An account at a finalized slot. */
export interface Account {
  slot: bigint;
  lamports: bigint;
  /** The program that owns it; `null` if there is no account. */
  owner: string | null;
  data: Bytes | null;
}

export interface Progress {
  status: "unknown" | "processed" | "finalized" | "failed";
  /** Why it failed. */
  error: string | null;
  block_height: number;
}

/** What this client needs of a chain. All reads are of finalized slots. */
export interface ChainSource {
  genesisHash(): Promise<string>;
  account(address: string): Promise<Account>;
  blockhash(): Promise<Lifetime>;
  /** Hands a signed transaction to the cluster. */
  send(transaction: Bytes): Promise<void>;
  progress(signature: string): Promise<Progress>;
}

/** What `GET /v1/chain` says. */
export interface ChainView {
  genesis_hash: string;
  program: string;
  config: string;
  relayer: string;
  mint: string;
  /** The last finalized slot that the relayer has read, and the cluster's clock at it. */
  slot: number;
  unix_time: number;
  bearer_keys: boolean;
  faucet: boolean;
  /** Who pays for openings, if the relayer does. */
  sponsor: Sponsor | null;
}

/** The chain as a relayer shows it: its word. */
export function relayerChain(api: RelayerApi): ChainSource {
  interface View {
    slot: number;
    lamports: number;
    owner: string | null;
    data: string | null;
  }
  return {
    genesisHash: async () => (await api.call<ChainView>("chain")).genesis_hash,
    async account(address) {
      const { slot, lamports, owner, data } = await api.call<View>(`chain/accounts/${address}`);
      return { slot: BigInt(slot), lamports: BigInt(lamports), owner, data: data === null ? null : fromBase64(data) };
    },
    blockhash: () => api.call<Lifetime>("chain/blockhash"),
    async send(transaction) {
      await api.call("chain/transactions", { body: { transaction: toBase64(transaction) } });
    },
    progress: (signature) => api.call<Progress>(`chain/transactions/${signature}`),
  };
}

const FINALIZED = { commitment: "finalized" } as const;

/** The chain by a node's JSON-RPC, which need not be the relayer's. */
export class RpcChain implements ChainSource {
  readonly #fetch: typeof fetch;

  constructor(
    private readonly url: string,
    transport: typeof fetch = globalThis.fetch,
  ) {
    this.#fetch = (input, init) => transport(input, init);
  }

  /** Calls a method of the node; throws {@link RelayerError} with `status` 0 if it does not answer. */
  async call<T>(method: string, params: unknown[] = []): Promise<T> {
    let answer: { result?: T; error?: { code: number; message: string; data?: { err?: unknown } } };
    try {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const response = await this.#fetch(this.url, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: AbortSignal.timeout(20_000) });
      answer = (await response.json()) as typeof answer;
    } catch {
      throw new RelayerError(0, "no_node", "The RPC node does not answer. Check its URL and try again; nothing is lost.");
    }
    if (answer.error) throw new RelayerError(400, `rpc_${answer.error.code}`, `The RPC node refused ${method}: ${reason(answer.error.data?.err) ?? answer.error.message}`);
    return answer.result as T;
  }

  genesisHash(): Promise<string> {
    return this.call("getGenesisHash");
  }

  async account(address: string): Promise<Account> {
    interface Found {
      context: { slot: number };
      value: { lamports: number; owner: string; data: [string, string] } | null;
    }
    const { context, value } = await this.call<Found>("getAccountInfo", [address, { ...FINALIZED, encoding: "base64" }]);
    const slot = BigInt(context.slot);
    return value ? { slot, lamports: BigInt(value.lamports), owner: value.owner, data: fromBase64(value.data[0]) } : { slot, lamports: 0n, owner: null, data: null };
  }

  async blockhash(): Promise<Lifetime> {
    const { value } = await this.call<{ value: { blockhash: string; lastValidBlockHeight: number } }>("getLatestBlockhash", [FINALIZED]);
    return { blockhash: value.blockhash, last_valid_block_height: value.lastValidBlockHeight };
  }

  async send(transaction: Bytes): Promise<void> {
    await this.call("sendTransaction", [toBase64(transaction), { encoding: "base64", preflightCommitment: "confirmed" }]);
  }

  async progress(signature: string): Promise<Progress> {
    interface Status {
      confirmationStatus: string | null;
      err: unknown;
    }
    const [{ value: [found] }, block_height] = await Promise.all([
      this.call<{ value: (Status | null)[] }>("getSignatureStatuses", [[signature], { searchTransactionHistory: true }]),
      this.call<number>("getBlockHeight", [FINALIZED]),
    ]);
    if (!found) return { status: "unknown", error: null, block_height };
    if (found.err) return { status: "failed", error: reason(found.err) ?? JSON.stringify(found.err), block_height };
    return { status: found.confirmationStatus === "finalized" ? "finalized" : "processed", error: null, block_height };
  }

  /** The bytes of a transaction that is final; throws if the node has none. */
  async transaction(signature: string): Promise<Bytes> {
    const options = { ...FINALIZED, encoding: "base64", maxSupportedTransactionVersion: 1 };
    const found = await this.call<{ transaction: [string, string] } | null>("getTransaction", [signature, options]);
    if (!found) throw new RelayerError(404, "no_transaction", `The node knows no final transaction ${signature}. Ask a node that keeps its history.`);
    return fromBase64(found.transaction[0]);
  }
}

/** The program's words for an error of a transaction. */
function reason(error: unknown): string | undefined {
  const custom = (error as { InstructionError?: [number, { Custom?: number }] } | null)?.InstructionError?.[1]?.Custom;
  return custom === undefined ? undefined : errorMessage(custom);
}
