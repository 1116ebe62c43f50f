/** The relayer's API. The page asks nobody else. */

import {
  type ChainView, type ConfigAccount, fromBase64, holdingsOf, type Holdings, type Lifetime, type Place, readConfig, readRelayer, RelayerApi,
  type ReceiptDocument, type RelayerAccount, relayerChain, toBase64,
} from "../../../app-idl/client/src/index.js";

export const relayer = new RelayerApi(location.origin);
/** The chain as the relayer shows it. */
export const source = relayerChain(relayer);

function asked<T>(path: string, key: string): Promise<T> {
  return relayer.call(path, { headers: new Headers({ Authorization: `Bearer ${key}` }) });
}

export const chain = (): Promise<ChainView> => relayer.call("chain");

/** The relayer's and the program's settings, as the chain has them. */
export async function settings(at: ChainView): Promise<{ relayer: RelayerAccount; config: ConfigAccount }> {
  const [ofRelayer, ofConfig] = await Promise.all([source.account(at.relayer), source.account(at.config)]);
  return { relayer: readRelayer(dataOf(ofRelayer, "the relayer's account")), config: readConfig(dataOf(ofConfig, "the program's settings")) };
}

function dataOf({ data }: { data: Uint8Array | null }, what: string): Uint8Array {
  if (data === null) throw new Error(`${what} cannot be read`);
  return data;
}

export const holdings = (place: Place): Promise<Holdings> => holdingsOf(source, place);

export function testMoney(wallet: string): Promise<{ signature: string } & Pick<Lifetime, "last_valid_block_height">> {
  return relayer.call("chain/faucet", { body: { wallet } });
}

/** The settler's signature below a withdrawal at once. */
export async function cosign(transaction: Uint8Array): Promise<Uint8Array> {
  return fromBase64((await relayer.call<{ transaction: string }>("withdrawals", { body: { transaction: toBase64(transaction) } })).transaction);
}

export interface VaultView {
  balance: number;
  unsettled_pico: string;
  held_pico: string;
  available: number;
  settle_seq: number;
  halted: boolean;
}

export const vaultView = (vault: string, key: string): Promise<VaultView> => asked(`vaults/${vault}`, key);

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

export const market = (window: string): Promise<Market> => relayer.call(`providers?window=${window}`);

/** The last receipts of a key, in the order in which they were charged. */
export async function receiptsOf(key: string): Promise<{ id: string; receipt: string }[]> {
  return (await asked<{ data: { id: string; receipt: string }[] }>("receipts?limit=1000", key)).data;
}

export const receipt = (id: string, key: string): Promise<ReceiptDocument> => asked(`receipts/${encodeURIComponent(id)}`, key);
