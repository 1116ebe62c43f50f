/** What a provider has on chain, and what the relayer makes of it. */

import {
  type ChainAccount, type Moment, offerAddress, type OfferAccount, type ProviderAccount, type ProviderPlace, readOffer, readProvider,
  RelayerError, tokenBalance,
} from "../../../app-idl/client/src/index.js";
import type { Wish } from "./approval.js";
import { chain, offersOf, type Offer, source } from "./relayer.js";

/** Accounts that are read at once: what one peer may ask the relayer for is bounded. */
const AT_ONCE = 4;

export interface OwnOffer {
  model: string;
  account: OfferAccount;
  /** As the relayer lists it; `null` if it does not. */
  listing: Offer | null;
}

export interface Provided {
  /** `null` if the wallet is no provider. */
  account: ProviderAccount | null;
  /** µUSDC that were earned and not withdrawn. */
  earnings: bigint;
  now: Moment;
  offers: OwnOffer[];
}

/** What every part of a provider's view needs. */
export interface ProviderPart {
  at: ProviderPlace;
  provided: Provided;
  ask(wish: Wish): void;
}

/** Reads a provider with its offers: those that the relayer lists, and those of `models` that there are. */
export async function readProvided(at: ProviderPlace, models: readonly string[]): Promise<Provided> {
  const [view, ofProvider, ofEarnings, listed] = await Promise.all([chain(), source.account(at.provider), source.account(at.earnings), listings(at.provider)]);
  const names = new Map([...models, ...listed.map((offer) => offer.model)].map((model) => [model.toLowerCase(), model]));
  const offers: OwnOffer[] = [];
  const wanted = [...names.values()].sort();
  for (let from = 0; from < wanted.length; from += AT_ONCE) {
    const read = await Promise.all(wanted.slice(from, from + AT_ONCE).map((model) => readOwn(at, model)));
    read.forEach((account) => account && offers.push({ model: account.model, account, listing: listed.find((one) => one.model.toLowerCase() === account.model.toLowerCase()) ?? null }));
  }
  return {
    account: ofProvider.data ? readProvider(ofProvider.data) : null,
    earnings: ofEarnings.data ? tokenBalance(ofEarnings.data) : 0n,
    now: { slot: BigInt(view.slot), unix: BigInt(view.unix_time) },
    offers,
  };
}

/** The provider's offer of a model; `null` if there is none. */
export async function readOwn(at: ProviderPlace, model: string): Promise<OfferAccount | null> {
  const { owner, data }: ChainAccount = await source.account(offerAddress(at.provider, model, at.program));
  return data && owner === at.program ? readOffer(data) : null;
}

async function listings(provider: string): Promise<Offer[]> {
  try {
    return await offersOf(provider);
  } catch (error) {
    // A provider that offers nothing is not known to the market.
    if (error instanceof RelayerError && error.status === 404) return [];
    throw error;
  }
}
