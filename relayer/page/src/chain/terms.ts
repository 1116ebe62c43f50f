/** What a provider writes into a form, and the terms that it makes. */

import {
  capabilitiesOf, isModelName, MAX_NAME_BYTES, MAX_PRICE, MAX_URL_BYTES, type OfferTerms, type Prices, QUANTIZATION_BITS, readCapabilities, utf8,
} from "../../../../app-idl/client/src/index.js";
import { formatUsdc, parseUsdc } from "../money.js";

/** Prices as they are written, in USD; an empty one follows from another. */
export interface PriceForm {
  input: string;
  cached: string;
  cacheWrite: string;
  cacheWriteLong: string;
  output: string;
  request: string;
}
export interface OfferForm {
  model: string;
  price: PriceForm;
  /** Empty: long prompts cost the same. */
  longFrom: string;
  longPrice: PriceForm;
  context: string;
  /** Most tokens of an answer. Empty: as many as the context. */
  answer: string;
  capabilities: string[];
  quantization: string;
  /** Bits that have no name here: posting an offer again must not lose them. */
  others: bigint;
}

export const NO_PRICES: PriceForm = { input: "", cached: "", cacheWrite: "", cacheWriteLong: "", output: "", request: "" };
export const EMPTY_OFFER: OfferForm = {
  model: "", price: NO_PRICES, longFrom: "", longPrice: NO_PRICES, context: "", answer: "", capabilities: ["chat", "streaming"], quantization: "unknown", others: 0n,
};

/** What is wrong, by the names of the fields; those of the long price begin with `long.`. */
export type Faults = { [field: string]: string };

/** The terms that a form says. They mean something only where nothing is wrong. */
export function readTerms(form: OfferForm): { terms: OfferTerms; faults: Faults } {
  const faults: Faults = {};
  if (!isModelName(form.model)) faults.model = "A model's name has 1 to 64 of a-z A-Z 0-9 . _ : / - and does not end in :floor, :nitro, :free or :online.";
  const price = readPrices(form.price, "", faults);
  const long_from = form.longFrom.trim() === "" ? 0 : readTokens(form.longFrom, "longFrom", faults);
  const zero = { input: 0n, cached: 0n, cache_write: 0n, cache_write_long: 0n, output: 0n, request: 0n };
  const long_price = long_from === 0 ? zero : readPrices(form.longPrice, "long.", faults, price.request);
  const context_limit = readTokens(form.context, "context", faults);
  const output_limit = form.answer.trim() === "" ? context_limit : readTokens(form.answer, "answer", faults);
  if (!faults.answer && !faults.context && output_limit > context_limit) faults.answer = "An answer cannot be longer than prompt and answer together.";
  // A quantization without a name is among the others, until one with a name takes its place.
  const others = form.quantization === "unknown" ? form.others : form.others & ~QUANTIZATION_BITS;
  const capabilities = capabilitiesOf(form.capabilities, form.quantization) | others;
  const terms = { price, long_from, long_price, context_limit, output_limit, capabilities };
  if (long_from !== 0 && Object.keys(faults).length === 0) compare(price, long_price, faults);
  return { terms, faults };
}

/** Where a price of long prompts is below the other one. */
function compare(price: Prices, long: Prices, faults: Faults): void {
  for (const [component, field] of FIELDS) {
    if (long[component] < price[component]) faults[`long.${field}`] = "No price of long prompts may be below the other one.";
  }
}

/** Components by the names that the program gives them, and their fields. */
const FIELDS = [
  ["input", "input"], ["cached", "cached"], ["cache_write", "cacheWrite"], ["cache_write_long", "cacheWriteLong"], ["output", "output"], ["request", "request"],
] as const satisfies readonly (readonly [keyof Prices, keyof PriceForm])[];

function readPrices(form: PriceForm, prefix: string, faults: Faults, request = 0n): Prices {
  const one = (name: keyof PriceForm, otherwise: bigint | null): bigint => {
    if (form[name].trim() === "" && otherwise !== null) return otherwise;
    const price = parseUsdc(form[name]);
    if (price === null) faults[prefix + name] = "Write a price in USD such as 0.25, with at most six places.";
    else if (price > MAX_PRICE) faults[prefix + name] = `A price is at most ${formatUsdc(MAX_PRICE)} USD.`;
    return price ?? 0n;
  };
  const input = one("input", null);
  const cached = one("cached", input);
  if (!faults[`${prefix}input`] && cached > input) faults[`${prefix}cached`] = "Cached prompt tokens must not cost more than the others.";
  const cache_write = one("cacheWrite", input);
  return { input, cached, cache_write, cache_write_long: one("cacheWriteLong", cache_write), output: one("output", null), request: one("request", request) };
}

function readTokens(text: string, name: string, faults: Faults): number {
  const tokens = /^\s*\d{1,10}\s*$/.test(text) ? Number(text) : 0;
  if (tokens >= 1 && tokens <= 0xffff_ffff) return tokens;
  faults[name] = "Write a whole number of tokens.";
  return 0;
}

/** The form that says these terms. */
export function formOf(model: string, terms: OfferTerms): OfferForm {
  const { names, quantization, others } = readCapabilities(terms.capabilities);
  const prices = ({ input, cached, cache_write, cache_write_long, output, request }: Prices): PriceForm => ({
    input: plain(input), cached: plain(cached), cacheWrite: plain(cache_write), cacheWriteLong: plain(cache_write_long), output: plain(output), request: plain(request),
  });
  return {
    model, price: prices(terms.price), longFrom: terms.long_from === 0 ? "" : String(terms.long_from),
    longPrice: terms.long_from === 0 ? NO_PRICES : prices(terms.long_price),
    context: String(terms.context_limit), answer: String(terms.output_limit), capabilities: names, quantization, others,
  };
}

/** As it is written into a field: without separators of thousands. */
export function plain(micro: bigint): string {
  return formatUsdc(micro).replaceAll(",", "");
}

/** What is wrong with a provider's name; `null` if nothing is. */
export function faultOfName(name: string): string | null {
  const bytes = utf8(name).length;
  return bytes >= 1 && bytes <= MAX_NAME_BYTES && !/[\u0000-\u001f\u007f-\u009f]/.test(name) ? null : `A name has 1 to ${MAX_NAME_BYTES} bytes.`;
}

/** A base URL as the program keeps it, or what is wrong with it. */
export function readEndpoint(text: string): { url: string; fault: string | null } {
  const url = text.trim().replace(/\/+$/, "");
  const read = URL.canParse(url) ? new URL(url) : null;
  const fits = read && ["http:", "https:"].includes(read.protocol) && !read.search && !read.hash && !read.username && !read.password && !/[?#]/.test(url) && /^[!-~]*$/.test(url);
  if (!fits) return { url, fault: "Write an http(s) URL such as https://api.example.com/v1, in ASCII, without user, password, query or fragment." };
  return { url, fault: utf8(url).length > MAX_URL_BYTES ? `A URL has at most ${MAX_URL_BYTES} bytes.` : null };
}

/** What the provider's origin must serve, and where. */
export function originProof(provider: string, url: string): { at: string; json: string } {
  return { at: `${new URL(url).origin}/.well-known/steam-provider.json`, json: JSON.stringify({ providers: [{ address: provider }] }) };
}
