/** A provider: its addresses, its account, and the instructions of its authority. */

import { addressBytes, derivedAddress, tokenAccount, type Place } from "./address.js";
import { sha256, utf8 } from "../bytes.js";
import { decodeAccount, PROGRAM, type Struct } from "./codec.js";
import { programInstruction, type Instruction } from "./instructions.js";

/** Longest name and URL of a provider, in bytes. */
export const MAX_NAME_BYTES = 32;
export const MAX_URL_BYTES = 128;
/** What a model's name must not end in: appended to a name, each asks for a way of routing. */
const RESERVED_SUFFIXES = [":floor", ":nitro", ":free", ":online"];

/** Whether an offer may have this name: 1 to 64 of `a-z A-Z 0-9 . _ : / -`, and no ending that asks for a way of routing. */
export function isModelName(model: string): boolean {
  return /^[a-zA-Z0-9._:/-]{1,64}$/.test(model) && !RESERVED_SUFFIXES.some((suffix) => model.toLowerCase().endsWith(suffix));
}

export function providerAddress(authority: string, program: string = PROGRAM): string {
  return derivedAddress(program, [utf8("provider"), addressBytes(authority)]);
}

/** The offer of `model` by the provider at this address. Names that differ in case alone are one. Throws `RangeError` if it is no name of a model. */
export function offerAddress(provider: string, model: string, program: string = PROGRAM): string {
  if (!isModelName(model)) throw new RangeError(`${model} is no name of a model`);
  return derivedAddress(program, [utf8("offer"), addressBytes(provider), sha256(utf8(model.toLowerCase()))]);
}

/** Where everything of one provider is. `owner` is its authority, and `wallet` the authority's own token account. */
export interface ProviderPlace extends Place {
  provider: string;
  /** The token account that settlement pays. */
  earnings: string;
}

/** The provider of a place's owner. */
export function providerPlace(place: Place): ProviderPlace {
  const provider = providerAddress(place.owner, place.program);
  return { ...place, provider, earnings: tokenAccount(provider, place.mint) };
}

export interface ProviderAccount {
  authority: string;
  token: string;
  rent_payer: string;
  /** Lamports that `rent_payer` paid for the account, and for its token account. */
  rent_paid: bigint;
  token_rent_paid: bigint;
  registered_slot: bigint;
  /** Offers that are not closed. */
  offers: number;
  status: "Active" | "Suspended" | "Retired";
  name: string;
  url: string;
}

export function readProvider(data: Uint8Array): ProviderAccount {
  return decodeAccount("Provider", data).value as unknown as ProviderAccount;
}

/** An instruction that the authority of `at` signs, who also pays. */
function byAuthority(at: ProviderPlace, name: string, args: Struct = {}, others: { [name: string]: string } = {}): Instruction {
  return programInstruction(at, name, args, { authority: at.owner, provider: at.provider, token: at.earnings, ...others });
}

export function registerProvider(at: ProviderPlace, name: string, url: string): Instruction {
  return byAuthority(at, "register_provider", { name, url });
}

/** What a provider changes of itself; what is `null` stays. */
export interface ProviderUpdate extends Struct {
  name: string | null;
  url: string | null;
  retired: boolean | null;
}

export function updateProvider(at: ProviderPlace, update: ProviderUpdate): Instruction {
  return byAuthority(at, "update_provider", { update });
}

/** µUSDC per million tokens, and µUSDC per request, as the program names them. */
export interface Prices extends Struct {
  input: bigint;
  cached: bigint;
  cache_write: bigint;
  cache_write_long: bigint;
  output: bigint;
  request: bigint;
}

/** What an offer posts. */
export interface OfferTerms extends Struct {
  price: Prices;
  /** Most tokens of a prompt at this price; 0: there is no other price. */
  long_from: number;
  /** The price of requests with a longer prompt; zeros if there is none. */
  long_price: Prices;
  /** Most tokens of prompt and answer together. */
  context_limit: number;
  /** Most tokens of an answer. */
  output_limit: number;
  capabilities: bigint;
}

/** Lists a model, or writes all of its terms anew. */
export function putOffer(at: ProviderPlace, model: string, terms: OfferTerms): Instruction {
  return byAuthority(at, "put_offer", { model, terms }, { offer: offerAddress(at.provider, model, at.program) });
}

/** Stops serving a model; what was served settles for the grace. */
export function retireOffer(at: ProviderPlace, model: string): Instruction {
  return byAuthority(at, "retire_offer", {}, { offer: offerAddress(at.provider, model, at.program) });
}

/** Closes a retired offer after its grace; its rent goes back to who paid it. */
export function closeOffer(at: ProviderPlace, model: string, rentPayer: string): Instruction {
  return byAuthority(at, "close_offer", {}, { offer: offerAddress(at.provider, model, at.program), rent_payer: rentPayer });
}

/** Closes a provider without offers and earnings; its rent goes back to who paid it. */
export function closeProvider(at: ProviderPlace, rentPayer: string): Instruction {
  return byAuthority(at, "close_provider", {}, { rent_payer: rentPayer });
}

/** Moves µUSDC of the earnings, or everything, to the authority's own token account. */
export function withdrawEarnings(at: ProviderPlace, amount: bigint): Instruction {
  return byAuthority(at, "withdraw_earnings", { amount });
}
