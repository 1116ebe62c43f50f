/** The relayer's API. The page asks nobody else. */

import { fromBase64, toBase64 } from "./chain/bytes.js";
import { errorMessage } from "./chain/idl.js";
import { readConfig, readRelayer, readVault, tokenBalance, type ConfigAccount, type RelayerAccount, type VaultAccount } from "./chain/accounts.js";
import type { Place } from "./chain/program.js";
import type { Lifetime } from "./chain/transaction.js";

/** Time the relayer has to answer. */
const TIMEOUT_MS = 20_000;

/** The relayer refused, or did not answer: `status` is 0 then. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export async function api<T>(path: string, options: { body?: unknown; key?: string | undefined; signal?: AbortSignal | undefined } = {}): Promise<T> {
  const headers = new Headers();
  if (options.key) headers.set("Authorization", `Bearer ${options.key}`);
  const request: RequestInit = { headers, signal: options.signal ?? AbortSignal.timeout(TIMEOUT_MS) };
  if (options.body !== undefined) {
    headers.set("Content-Type", "application/json");
    Object.assign(request, { method: "POST", body: JSON.stringify(options.body) });
  }
  const response = await answered(path, request);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw refusal(response.status, body);
  return body as T;
}

/** The response, or an error that says that there is none. */
export async function answered(path: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...request, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (request.signal?.aborted && (request.signal.reason as Error | undefined)?.name === "AbortError") throw error;
    throw new ApiError(0, "no_answer", "The relayer does not answer. Check the connection and try again; nothing is lost.");
  }
}

/** The error in the body of a refusal. */
export function refusal(status: number, body: unknown): ApiError {
  const error = (body as { error?: { code?: string; message?: string } } | null)?.error;
  const message = error?.message ?? `The relayer answered with status ${status}.`;
  // The program's own reasons have numbers.
  const number = /custom program error: 0x([0-9a-f]+)/.exec(message)?.[1];
  const reason = number && errorMessage(parseInt(number, 16));
  return new ApiError(status, error?.code ?? "unknown", reason ? `This transaction would fail, so it was not sent: ${reason}.` : message);
}

export interface Chain {
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
}

interface Account {
  slot: number;
  lamports: number;
  owner: string | null;
  data: string | null;
}

export type Status = "unknown" | "processed" | "finalized" | "failed";

export const chain = (): Promise<Chain> => api("/v1/chain");
export const blockhash = (): Promise<Lifetime> => api("/v1/chain/blockhash");
export const account = (address: string): Promise<Account> => api(`/v1/chain/accounts/${address}`);

/** The relayer's and the program's settings, as the chain has them. */
export async function settings(at: Chain): Promise<{ relayer: RelayerAccount; config: ConfigAccount }> {
  const [relayer, config] = await Promise.all([account(at.relayer), account(at.config)]);
  return { relayer: readRelayer(bytesOf(relayer, "the relayer's account")), config: readConfig(bytesOf(config, "the program's settings")) };
}

function bytesOf({ data }: Account, what: string): Uint8Array {
  if (data === null) throw new Error(`${what} cannot be read`);
  return fromBase64(data);
}

/** What an owner has: in the wallet and in the vault, at one or more finalized slots. */
export interface Holdings {
  lamports: bigint;
  /** µUSDC in the wallet. */
  wallet: bigint;
  /** Whether the wallet has an account for USDC. */
  hasWallet: boolean;
  /** `null` if it was not opened. */
  vault: VaultAccount | null;
  /** µUSDC in the vault. */
  balance: bigint;
  slot: number;
}

export async function holdings(place: Place): Promise<Holdings> {
  const [owner, wallet, vault, token] = await Promise.all([place.owner, place.wallet, place.vault, place.token].map(account));
  const balance = (read: Account | undefined) => (read?.data ? tokenBalance(fromBase64(read.data)) : 0n);
  return {
    lamports: BigInt(owner!.lamports),
    wallet: balance(wallet),
    hasWallet: !!wallet!.data,
    vault: vault!.data ? readVault(fromBase64(vault!.data)) : null,
    balance: balance(token),
    slot: vault!.slot,
  };
}

export async function send(transaction: Uint8Array): Promise<string> {
  return (await api<{ signature: string }>("/v1/chain/transactions", { body: { transaction: toBase64(transaction) } })).signature;
}

export function progress(signature: string): Promise<{ status: Status; error: string | null; block_height: number }> {
  return api(`/v1/chain/transactions/${signature}`);
}

export function testMoney(wallet: string): Promise<{ signature: string; last_valid_block_height: number; lamports: number; amount: number }> {
  return api("/v1/chain/faucet", { body: { wallet } });
}

/** The settler's signature below a withdrawal at once. */
export async function cosign(transaction: Uint8Array): Promise<Uint8Array> {
  return fromBase64((await api<{ transaction: string }>("/v1/withdrawals", { body: { transaction: toBase64(transaction) } })).transaction);
}

export interface VaultView {
  balance: number;
  unsettled_pico: string;
  held_pico: string;
  available: number;
  settle_seq: number;
  halted: boolean;
}

export const vaultView = (vault: string, key: string): Promise<VaultView> => api(`/v1/vaults/${vault}`, { key });

export interface Figures {
  ttft_ms: Quantiles | null;
  tokens_per_second: Quantiles | null;
  uptime: number | null;
}
export interface Quantiles {
  p50: number;
}
export interface PriceParts {
  input: number;
  cached: number;
  output: number;
  request: number;
}
export interface Price extends PriceParts {
  /** What a prompt of more than `from` tokens costs, if that has a price of its own. */
  long?: PriceParts & { from: number };
}
export interface Offer {
  address: string;
  provider: string;
  provider_name: string;
  /** The host that names the provider as its own. */
  host: string | null;
  /** Why the relayer asks it for nobody. */
  barred: string | null;
  model: string;
  context_limit: number;
  output_limit: number;
  price: Price;
  board: { available: boolean; share: number; flags: { reason: string }[]; "5m"?: Figures; "1h"?: Figures };
}
export interface Market {
  slot: number;
  relayer: { address: string; fee_bps: number; settler: string; active: boolean; url: string };
  data: Offer[];
}

export const market = (window: string): Promise<Market> => api(`/v1/providers?window=${window}`);

export interface ReceiptDocument {
  id: string;
  status: string;
  receipt: string;
  proof: { transaction?: string; root: string; index: number; count: number; path: string[] } | null;
}

/** The last receipts of a key, in the order in which they were charged. */
export async function receiptsOf(key: string): Promise<{ id: string; receipt: string }[]> {
  return (await api<{ data: { id: string; receipt: string }[] }>("/v1/receipts?limit=1000", { key })).data;
}

export const receipt = (id: string, key: string): Promise<ReceiptDocument> => api(`/v1/receipts/${encodeURIComponent(id)}`, { key });
