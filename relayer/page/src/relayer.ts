/** The relayer's API. The page asks nobody else. */

import {
  type ChainView, type ConfigAccount, fromBase64, holdingsOf, type Holdings, type Lifetime, pause, type Place, readConfig, readRelayer, RelayerApi,
  RelayerError, type ReceiptDocument, type RelayerAccount, relayerChain, toBase64,
} from "../../../app-idl/client/src/index.js";
import type { Generation } from "./decision.js";
import type { MarketHistory } from "./history.js";
import type { Document } from "./openapi.js";
import type { Group, UsageRow, UsageSum } from "./sums.js";

/** Pause after a call that was one too many, and how often it is made again. */
const RETRY_MS = 5_000;
const RETRIES = 15;

export const relayer = new RelayerApi(location.origin);
/** The chain as the relayer shows it. */
export const source = relayerChain(relayer);

/** Calls with a key, or with the token of an owner's session. */
async function asked<T>(path: string, token: string, method?: string): Promise<T> {
  try {
    return await relayer.call(path, { headers: new Headers({ Authorization: `Bearer ${token}` }), ...(method ? { method } : {}) });
  } catch (error) {
    if (error instanceof RelayerError && error.code === "no_session") ended.forEach((listener) => listener());
    throw error;
  }
}

const ended = new Set<() => void>();

/** Calls `listener` once the relayer says that a session has ended. */
export function onSessionEnd(listener: () => void): () => void {
  ended.add(listener);
  return () => void ended.delete(listener);
}

/** What a wallet is to sign to sign in. */
export interface SignIn {
  message: string;
  domain: string;
  address: string;
  statement: string;
  version: string;
  nonce: string;
  issued_at: string;
  expiration_time: string;
}
export interface OwnerSession {
  token: string;
  owner: string;
  vault: string | null;
  provider: string | null;
  expires_at: number;
}

export const signIn = (address: string): Promise<SignIn> => relayer.call("sign-in", { body: { address } });

export const openSession = (address: string, nonce: string, signature: Uint8Array): Promise<OwnerSession> =>
  relayer.call("sessions", { body: { address, nonce, signature: toBase64(signature) } });

export const endSession = (token: string): Promise<unknown> => asked("sessions", token, "DELETE");

export const chain = (): Promise<ChainView> => relayer.call("chain");

/** The relayer's and the program's settings, as the chain has them. */
export async function settings(at: ChainView): Promise<{ relayer: RelayerAccount; config: ConfigAccount }> {
  const [ofRelayer, ofConfig] = await Promise.all([source.account(at.relayer), source.account(at.config)]);
  return { relayer: readRelayer(dataOf(ofRelayer, "the relayer's account")), config: readConfig(dataOf(ofConfig, "the program's settings")) };
}

function dataOf({ data }: { data: Uint8Array | null }, what: string): Uint8Array {
  if (data === null) throw new Error(`The chain has no data of ${what}. The relayer is not registered yet, or its node lags: try again in a minute, and then ask its operator.`);
  return data;
}

export const holdings = (place: Place): Promise<Holdings> => holdingsOf(source, place);

/** Beside `/v1`, and not in it. */
export const openapi = (): Promise<Document> => relayer.call("../openapi.json");

export function testMoney(wallet: string): Promise<{ signature: string } & Pick<Lifetime, "last_valid_block_height">> {
  return relayer.call("chain/faucet", { body: { wallet } });
}

/** The settler's signature below a withdrawal at once. */
export async function cosign(transaction: Uint8Array): Promise<Uint8Array> {
  return fromBase64((await relayer.call<{ transaction: string }>("withdrawals", { body: { transaction: toBase64(transaction) } })).transaction);
}

/** What a phone's wallet has asked for; nothing until one has. */
export interface OpeningTransaction {
  account: string | null;
  transaction: string | null;
  signed: boolean;
}

export const wishOpening = (wish: { key: string; authorize_key: string; deposit: number }): Promise<{ id: string; expires_at: number }> =>
  relayer.call("solana-pay/openings", { body: wish });

export const openingTransaction = (id: string): Promise<OpeningTransaction> => relayer.call(`solana-pay/openings/${id}/transaction`);

export const signOpening = (id: string, signature: Uint8Array): Promise<OpeningTransaction> =>
  relayer.call(`solana-pay/openings/${id}/transaction`, { body: { signature: toBase64(signature) } });

export interface VaultView {
  balance: number;
  unsettled_pico: string;
  held_pico: string;
  available: number;
  settle_seq: number;
  halted: boolean;
}

export const vaultView = (vault: string, token: string): Promise<VaultView> => asked(`vaults/${vault}`, token);

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
/** A suspicion of the relayer, with what it comes from. */
export interface Flag {
  reason: string;
  /** The same in words. */
  says: string;
  since_ms: number;
  requests: number;
  against: number;
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
  board: { available: boolean; share: number; flags: Flag[]; "5m"?: Figures; "1h"?: Figures; "72h"?: Figures };
}
export interface Market {
  slot: number;
  relayer: { address: string; fee_bps: number; settler: string; active: boolean; url: string };
  data: Offer[];
}

export const market = (window: string): Promise<Market> => relayer.call(`providers?window=${window}`);

/** What a model's offers were like over time. */
export const history = (model: string, span: string): Promise<MarketHistory> => relayer.call(`market/history?model=${encodeURIComponent(model)}&span=${span}`);

/** The offers of one provider; 404 if the relayer lists none. */
export const offersOf = async (provider: string): Promise<Offer[]> => (await relayer.call<Market>(`providers?window=1h&provider=${provider}`)).data;

export interface Usage {
  since: number;
  until: number;
  data: UsageRow[];
  total: UsageSum;
}

/** Sums of receipts since a second, by the relayer's word. */
export const usage = (token: string, group: Group, since: number): Promise<Usage> => asked(`usage?group_by=${group}&since=${since}`, token);

/** What a provider is paid since a second, by the relayer's word. */
export const earnings = (provider: string, token: string, group: Group, since: number): Promise<Usage> => asked(`providers/${provider}/usage?group_by=${group}&since=${since}`, token);

/** The receipts that pay a provider since a second, with the proofs of their settlement, a hundred at a time. */
export async function* paidPages(provider: string, token: string, since: number): AsyncGenerator<ReceiptDocument[]> {
  for (let after = ""; ; ) {
    const { data, next } = await patiently(() => asked<{ data: ReceiptDocument[]; next: number | null }>(`providers/${provider}/receipts?since=${since}${after}`, token));
    yield data;
    if (next === null) return;
    after = `&after=${next}`;
  }
}

export interface ListedReceipt {
  id: string;
  receipt: string;
  status: string;
  /** The key's address. */
  key?: string | null;
  transaction?: string | null;
}

/** Calls again while the relayer says that these are too many calls: its limit is for a minute. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (let left = RETRIES; ; left--) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof RelayerError) || error.status !== 429 || left === 0) throw error;
      await pause(RETRY_MS);
    }
  }
}

/** Receipts since a second, in the order in which they were charged, a thousand at a time. */
export async function* receiptPages(token: string, since: number): AsyncGenerator<ListedReceipt[]> {
  for (let after = ""; ; ) {
    const { data, has_more } = await patiently(() => asked<{ data: ListedReceipt[]; has_more: boolean }>(`receipts?limit=1000&since=${since}${after}`, token));
    yield data;
    const last = data.at(-1);
    if (!has_more || !last) return;
    after = `&after=${encodeURIComponent(last.id)}`;
  }
}

/** Why an answer came from where it came, and its receipt. */
export const generation = (id: string, token: string): Promise<Generation> => asked(`generation/${encodeURIComponent(id)}`, token);

export const receipt = (id: string, token: string): Promise<ReceiptDocument> => asked(`receipts/${encodeURIComponent(id)}`, token);
