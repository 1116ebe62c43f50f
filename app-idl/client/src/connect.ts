/** From a key and a relayer's URL to a `fetch` that pays: everything else is read from the chain. */

import { equal, fromBase58, fromBase64, sha256, toBase58, type Bytes } from "./bytes.js";
import { isLive, readConfig, readRelayer, readVault, receiptKeyOf, type RelayerAccount } from "./chain/accounts.js";
import { addressBytes, configAddress, vaultAddress, type Deployment } from "./chain/address.js";
import { PROGRAM } from "./chain/codec.js";
import { relayerChain, RpcChain, type ChainSource, type ChainView } from "./chain/source.js";
import { SessionKey } from "./key.js";
import { keyOf, VaultError } from "./owner.js";
import { signedFetch, type Options, type SignedFetch } from "./pay/fetch.js";
import { isSettledBy, provenRoot, type ReceiptDocument } from "./pay/receipts.js";
import type { Store } from "./pay/store.js";
import type { Expected } from "./pay/account.js";
import type { Receipt } from "./receipt.js";
import { RelayerApi } from "./relayer.js";
import { domain as domainOf } from "./voucher.js";

/** µUSDC that a request may cost where nothing else is said: 0.10 USDC. */
const MAX_COST = 100_000n;

export interface ConnectOptions extends Pick<Options, "maxUnresolved" | "maxUnknown" | "lifetimeSeconds" | "onReceipt" | "fetch"> {
  /** The relayer's URL, with or without `/v1`. */
  baseUrl: string;
  /** The key, or its text `sk-steam-…`. It never leaves this process. */
  key: SessionKey | string;
  /** The vault that the key spends from, or its owner. One of the two is needed. */
  vault?: string;
  owner?: string;
  /** The relayer's account. Default: the one that the relayer names, which must be the vault's. */
  relayer?: string;
  /** The program's address. Default: that of this package's interface. */
  program?: string;
  /** Where the chain is read: a node's RPC URL, or a source. Default: the relayer's own API, whose word it then is. */
  chain?: string | ChainSource;
  store: Store;
  /** The most a request may cost in µUSDC, fees included. Default: 100,000. */
  maxCost?: Options["maxCost"];
}

/** How far a receipt holds. */
export interface Verified {
  receipt: Receipt;
  /** How far its settlement is, by the relayer's word. */
  status: string;
  /** Whether the relayer's proof leads from the receipt to the root that it names; `null` while there is no proof. */
  included: boolean | null;
  /** Whether that root was settled on chain by the transaction that the relayer names, as the node says; `null` without a node or a proof. */
  onChain: boolean | null;
}

/** A key at its relayer. */
export class Client {
  constructor(
    /** For SDKs: signs, pays and verifies. */
    readonly fetch: SignedFetch,
    readonly api: RelayerApi,
    readonly chain: ChainSource,
    readonly relayer: RelayerAccount,
    readonly program: string,
  ) {}

  /** The base URL for SDKs of OpenAI. Anthropic's take it without its `/v1`. */
  get baseUrl(): string {
    return this.api.base.href.replace(/\/$/, "");
  }

  /** Calls an account's route of the relayer, signed: `usage`, `key`, `credits`, `receipts`. */
  get<T>(path: string): Promise<T> {
    return this.fetch.get<T>(path);
  }

  /** Fetches the receipt of an answer by its `Steam-Generation-Id` and verifies it; throws {@link ReceiptError} if it does not hold. `answer`: the bytes before the receipt. */
  async verify(id: string, answer?: Bytes): Promise<Verified> {
    const document = await this.get<ReceiptDocument>(`receipts/${encodeURIComponent(id)}`);
    const expected: Expected = answer ? { responseHash: sha256(answer) } : {};
    const { receipt } = this.fetch.account.verify(fromBase64(document.receipt), expected);
    const included = document.proof ? provenRoot(document) !== null : null;
    const transaction = document.proof?.transaction;
    const onChain = transaction && this.chain instanceof RpcChain ? isSettledBy(document, await this.chain.transaction(transaction), this.program) : null;
    return { receipt, status: document.status, included, onChain };
  }
}

/** What is the same for all owners at the relayer of `api`, as it names itself. */
export async function deploymentOf(api: RelayerApi): Promise<Required<Deployment>> {
  const { program, config, relayer, mint } = await api.call<ChainView>("chain");
  return { program, config, relayer, mint };
}

/** Reads what a client needs from the chain; throws {@link VaultError} where key, vault and relayer do not fit together. */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { baseUrl, store, program = PROGRAM, maxCost = MAX_COST, maxUnresolved, maxUnknown, lifetimeSeconds, onReceipt } = options;
  const key = typeof options.key === "string" ? SessionKey.parse(options.key) : options.key;
  const api = new RelayerApi(baseUrl, options.fetch);
  const chain = sourceOf(options.chain, api, options.fetch);
  const address = options.vault ?? (await vaultOf(options, api, program));
  const accounts = await Promise.all([chain.account(configAddress(program)), chain.account(address), chain.genesisHash()]);
  const [config, { data: vaultData }, genesis] = [dataOf(accounts[0], program, "settings of the program"), accounts[1], accounts[2]];
  if (!vaultData || accounts[1].owner !== program) throw new VaultError(`There is no vault at ${address}: open it, or check the address.`);
  const vault = readVault(vaultData);
  const place = keyOf(vault, toBase58(key.address));
  if (!isLive(place, Date.now() / 1000)) throw new VaultError(`The key ${toBase58(key.address)} is revoked or expired: authorise a new one.`);
  if (options.relayer && options.relayer !== vault.relayer) throw new VaultError(`The vault ${address} is at the relayer ${vault.relayer}, not at ${options.relayer}.`);
  const relayer = readRelayer(dataOf(await chain.account(vault.relayer), program, "relayer"));
  const { domain } = readConfig(config);
  if (!equal(domain, domainOf(addressBytes(program), fromBase58(genesis, 32) ?? new Uint8Array(32)))) {
    throw new VaultError("The program's settings are of another cluster: the node does not tell the truth about one of them.");
  }
  const identity = {
    domain, relayer: addressBytes(vault.relayer), vault: addressBytes(address), generation: vault.generation, epoch: place.epoch, slot: place.slot,
  };
  const receiptKey = (id: number) => receiptKeyOf(relayer, id);
  const pay = signedFetch({
    ...identity, key, baseUrl: api.base.href, receiptKey, maxCost, store, maxUnresolved, maxUnknown, lifetimeSeconds, onReceipt, fetch: options.fetch,
  });
  await pay.account.settled(place.settled_pico, chain instanceof RpcChain);
  return new Client(pay, api, chain, relayer, program);
}

function sourceOf(chain: ConnectOptions["chain"], api: RelayerApi, transport: typeof fetch | undefined): ChainSource {
  if (chain === undefined) return relayerChain(api);
  return typeof chain === "string" ? new RpcChain(chain, transport) : chain;
}

async function vaultOf({ owner, relayer }: ConnectOptions, api: RelayerApi, program: string): Promise<string> {
  if (!owner) throw new TypeError("connect needs `vault`, the address of the key's vault, or `owner`, the address of the wallet that owns it");
  return vaultAddress(owner, relayer ?? (await deploymentOf(api)).relayer, program);
}

function dataOf({ owner, data }: { owner: string | null; data: Bytes | null }, program: string, what: string): Bytes {
  if (!data || owner !== program) throw new VaultError(`There are no ${what} of the program ${program} on this chain: check \`program\`, and that the node is of the relayer's cluster.`);
  return data;
}
