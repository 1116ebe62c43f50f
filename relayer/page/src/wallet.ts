/** Wallets of the browser, by the Wallet Standard. Each signs what it is shown; this page sends it. */

import { getWallets } from "@wallet-standard/app";
import type { Wallet, WalletAccount } from "@wallet-standard/base";
import { equal } from "../../../app-idl/client/src/index.js";
import type { SignIn } from "./relayer.js";

const CONNECT = "standard:connect";
const DISCONNECT = "standard:disconnect";
const EVENTS = "standard:events";
const SIGN = "solana:signTransaction";
const SIGN_IN = "solana:signIn";
const SIGN_MESSAGE = "solana:signMessage";

interface ConnectFeature {
  connect(input?: { silent?: boolean }): Promise<{ accounts: readonly WalletAccount[] }>;
}
interface SignFeature {
  supportedTransactionVersions: readonly (number | "legacy")[];
  signTransaction(...inputs: { account: WalletAccount; transaction: Uint8Array; chain?: string }[]): Promise<readonly { signedTransaction: Uint8Array }[]>;
}
interface SignInFeature {
  signIn(...inputs: SignInInput[]): Promise<readonly { account: WalletAccount; signedMessage: Uint8Array; signature: Uint8Array }[]>;
}
interface SignInInput {
  domain: string;
  address: string;
  statement: string;
  version: string;
  nonce: string;
  issuedAt: string;
  expirationTime: string;
}
interface SignMessageFeature {
  signMessage(...inputs: { account: WalletAccount; message: Uint8Array }[]): Promise<readonly { signedMessage: Uint8Array; signature: Uint8Array }[]>;
}
interface EventsFeature {
  on(event: "change", listener: (change: { accounts?: readonly WalletAccount[] }) => void): () => void;
}

/** The person did not allow it, or the wallet is gone. */
export class WalletError extends Error {}

/** An account of a wallet that may be asked to sign. */
export interface Connected {
  wallet: Wallet;
  account: WalletAccount;
}

/** An address whose signer is not in this browser: a multisig, or a key that lies offline. The page prepares its transactions and sends what it signed. */
export interface Elsewhere {
  wallet: null;
  address: string;
}

/** Who acts. */
export type Actor = Connected | Elsewhere;

export function addressOf(actor: Actor): string {
  return actor.wallet ? actor.account.address : actor.address;
}

/** The wallets that can sign Solana transactions of version 0 for a page. */
export function usableWallets(): Wallet[] {
  return getWallets().get().filter((wallet) => {
    const sign = wallet.features[SIGN] as SignFeature | undefined;
    return CONNECT in wallet.features && !!sign?.supportedTransactionVersions.includes(0);
  });
}

/** Calls `listener` whenever a wallet comes or goes. */
export function onWallets(listener: () => void): () => void {
  const wallets = getWallets();
  const off = [wallets.on("register", listener), wallets.on("unregister", listener)];
  return () => off.forEach((end) => end());
}

export async function connect(wallet: Wallet): Promise<Connected> {
  const { connect } = wallet.features[CONNECT] as ConnectFeature;
  let accounts: readonly WalletAccount[];
  try {
    accounts = (await connect()).accounts;
  } catch {
    throw new WalletError(`${wallet.name} did not connect. Nothing was signed.`);
  }
  const account = accounts.find((one) => one.chains.some((chain) => chain.startsWith("solana:")));
  if (!account) throw new WalletError(`${wallet.name} has no Solana account. Make one there, and connect again.`);
  return { wallet, account };
}

/** Calls `gone` once the wallet takes the account away. */
export function onGone({ wallet, account }: Connected, gone: () => void): () => void {
  const events = wallet.features[EVENTS] as EventsFeature | undefined;
  const off = events?.on("change", ({ accounts }) => {
    if (accounts && !accounts.some((one) => one.address === account.address)) gone();
  });
  const unregistered = getWallets().on("unregister", (...wallets) => {
    if (wallets.includes(wallet)) gone();
  });
  return () => {
    off?.();
    unregistered();
  };
}

export async function disconnect({ wallet }: Connected): Promise<void> {
  const feature = wallet.features[DISCONNECT] as { disconnect(): Promise<void> } | undefined;
  await feature?.disconnect().catch(() => {});
}

/** The transaction as the wallet signed it. Nothing is sent. */
export async function sign({ wallet, account }: Connected, transaction: Uint8Array, chain: string): Promise<Uint8Array> {
  if (!usableWallets().includes(wallet)) throw new WalletError(`${wallet.name} is no longer in this browser. Nothing was signed.`);
  const { signTransaction } = wallet.features[SIGN] as SignFeature;
  try {
    const [signed] = await signTransaction({ account, transaction, chain });
    if (signed) return signed.signedTransaction;
  } catch (error) {
    const said = error instanceof Error && error.message ? ` It says: ${error.message.slice(0, 200)}` : "";
    throw new WalletError(`${wallet.name} did not sign. Nothing was sent.${said}`);
  }
  throw new WalletError(`${wallet.name} returned no transaction. Nothing was sent.`);
}

/** Whether a wallet can sign in: the one feature is made for it, and the other signs any message. */
export function canSignIn({ wallet }: Connected): boolean {
  return SIGN_IN in wallet.features || SIGN_MESSAGE in wallet.features;
}

/** The wallet's signature of the message of a sign-in, which the wallet shows and compares with this page's address where it knows the form. */
export async function signInWith({ wallet, account }: Connected, asked: SignIn): Promise<Uint8Array> {
  const message = new TextEncoder().encode(asked.message);
  try {
    if (SIGN_IN in wallet.features) {
      const { signIn } = wallet.features[SIGN_IN] as SignInFeature;
      const { domain, address, statement, version, nonce, issued_at: issuedAt, expiration_time: expirationTime } = asked;
      const [signed] = await signIn({ domain, address, statement, version, nonce, issuedAt, expirationTime });
      if (signed && equal(signed.signedMessage, message)) return signed.signature;
      // It wrote the message in another way than the relayer checks, so that it is asked for exactly this one.
      if (signed && !(SIGN_MESSAGE in wallet.features)) throw new Error("It signed another message than the one asked for.");
    }
    const { signMessage } = wallet.features[SIGN_MESSAGE] as SignMessageFeature;
    const [signed] = await signMessage({ account, message });
    if (signed && equal(signed.signedMessage, message)) return signed.signature;
  } catch (error) {
    const said = error instanceof Error && error.message ? ` It says: ${error.message.slice(0, 200)}` : "";
    throw new WalletError(`${wallet.name} did not sign. You are not signed in.${said}`);
  }
  throw new WalletError(`${wallet.name} returned no signature of the message. You are not signed in.`);
}

const CLUSTERS: { [genesis: string]: string } = {
  "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp": "solana:mainnet",
  EtWTRABZaYq6iMfeYKouRu166VU2xqa1: "solana:devnet",
  "4uhcVJyU9pJkvQyS88uRDiswHXSGkY3z": "solana:testnet",
};

/** The cluster as wallets name it: by the first 32 characters of its genesis hash, as in CAIP-2. */
export function clusterOf(genesisHash: string): string {
  return CLUSTERS[genesisHash.slice(0, 32)] ?? "solana:localnet";
}
