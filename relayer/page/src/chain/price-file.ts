/**
 * A file of prices for many models, as `steam provider offer --from` reads it: LiteLLM's `model_prices_and_context_window.json`, or what OpenRouter's `/models`
 * answers. Nothing is rounded, and a price that an offer cannot have is an error. Of a member that is there twice the last one counts, as the form shows; the
 * command line refuses it.
 */

import { isModelName, MAX_PRICE, QUANTIZATIONS } from "../../../../app-idl/client/src/index.js";
import { EMPTY_OFFER, NO_PRICES, type OfferForm, plain, type PriceForm } from "./terms.js";

/** What is wrong with a file, or with a model of it. */
export class PriceFileError extends Error {}

/** A model of the file, as the form of its offer. */
export interface Listed {
  form: OfferForm;
  /** Members that set a price for what an offer has no price for. */
  without: string[];
}

/** A file: its models by name, each read when it is chosen. */
export type PriceFile = ReadonlyMap<string, () => Listed>;

type Members = { [name: string]: unknown };

/** Prices are in USD per token, and an offer's in µUSD per million: pico-USD both. */
const TOKEN_PLACES = 12;
/** A request's price is in USD. */
const REQUEST_PLACES = 6;

export function readPriceFile(text: string): PriceFile {
  let file: unknown;
  try {
    file = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    throw new PriceFileError("The file is no JSON. A TOML file of prices is read by the command line: steam provider offer --from FILE.");
  }
  if (!isObject(file)) throw new PriceFileError("The file is neither LiteLLM's list of prices nor OpenRouter's list of models.");
  const models = Array.isArray(file.data) ? ofOpenRouter(file.data) : ofLiteLlm(file);
  if (models.size === 0) throw new PriceFileError("The file has no models.");
  return models;
}

function ofLiteLlm(file: Members): PriceFile {
  const models = Object.entries(file).filter(([name]) => name !== "sample_spec");
  return new Map(models.map(([name, members]) => [name, () => named(name, liteLlm(new Entry(name, members)))]));
}

function ofOpenRouter(list: unknown[]): PriceFile {
  const models = new Map<string, () => Listed>();
  list.forEach((model, at) => {
    const entry = new Entry(`Model ${at + 1}`, model);
    const name = entry.needs("id", entry.text("id"));
    if (models.has(name)) throw new PriceFileError(`${name} is in the file twice.`);
    models.set(name, () => named(name, openRouter(entry)));
  });
  return models;
}

function named(model: string, { form, without }: Listed): Listed {
  if (!isModelName(model)) throw new PriceFileError(`${model} cannot be the name of an offer's model. Write its offer by hand, with another name.`);
  return { form: { ...form, model }, without };
}

/** What is stated of a price, in pico-USD; `null` follows from another part. */
type Stated = { [part in keyof PriceForm]: bigint | null };

/** A price as the form has it. What long prompts leave out costs what is stated for others, or follows as there. */
function formOf(stated: Stated, others?: Stated): PriceForm {
  const form = { ...NO_PRICES };
  for (const part of Object.keys(form) as (keyof PriceForm)[]) {
    const price = stated[part] ?? others?.[part] ?? null;
    form[part] = price === null ? "" : plain(price);
  }
  return form;
}

// LiteLLM.

const [INPUT, OUTPUT, CACHED] = ["input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"];
const [WRITE, WRITE_LONG, REASONING] = ["cache_creation_input_token_cost", "cache_creation_input_token_cost_above_1hr", "output_cost_per_reasoning_token"];
const TOLD: readonly string[] = [INPUT, OUTPUT, CACHED, WRITE, WRITE_LONG];
/** Prices of other ways of service, which relayers do not ask for. */
const OTHER_SERVICE = ["_batches", "_flex", "_priority"];
const MODES: { [mode: string]: readonly string[] } = {
  chat: ["chat", "streaming"], responses: ["responses", "streaming"], completion: ["completions", "streaming"], embedding: ["embeddings"],
};
const SUPPORTS: readonly (readonly [string, readonly string[]])[] = [
  ["supports_function_calling", ["tools"]], ["supports_vision", ["vision"]], ["supports_response_schema", ["json-mode", "json-schema"]], ["supports_reasoning", ["reasoning"]],
  ["supports_prompt_caching", ["prompt-cache"]], ["supports_audio_input", ["audio-input"]], ["supports_pdf_input", ["file-input"]],
];

function liteLlm(entry: Entry): Listed {
  const mode = entry.text("mode") ?? "chat";
  const speaks = Object.hasOwn(MODES, mode) ? MODES[mode]! : entry.wrong("mode", `is ${JSON.stringify(mode)}, which cannot be offered`);
  if (entry.get("tiered_pricing") !== null) entry.wrong("tiered_pricing", "has more prices than an offer: two, by the length of the prompt");
  const input = entry.needs(INPUT!, entry.price(INPUT!));
  const output = entry.price(OUTPUT!) ?? (mode === "embedding" ? 0n : entry.needs(OUTPUT!, null));
  const standard: Stated = {
    input, cached: entry.price(CACHED!), cacheWrite: entry.price(WRITE!), cacheWriteLong: entry.price(WRITE_LONG!), output, request: null,
  };
  if ((entry.price(REASONING!) ?? output) !== output) entry.wrong(REASONING!, `is not the price of \`${OUTPUT}\`, and reasoning is output`);
  const context = entry.tokens("max_input_tokens") ?? entry.needs("max_input_tokens", entry.tokens("max_tokens"));
  const answer = entry.tokens("max_output_tokens") ?? (mode === "embedding" ? null : entry.tokens("max_tokens"));
  const form: OfferForm = {
    ...EMPTY_OFFER, price: formOf(standard), ...liteLlmLong(entry, standard), context: String(context), answer: answer === null ? "" : String(answer),
    capabilities: [...speaks, ...SUPPORTS.flatMap(([name, capabilities]) => (entry.flag(name) ? capabilities : []))],
  };
  const others = entry.names().filter((name) => name.includes("cost") && name !== REASONING && !TOLD.includes(name) && thousands(name) === null);
  return { form, without: others.filter((name) => !OTHER_SERVICE.some((service) => name.endsWith(service)) && Number(entry.get(name)) !== 0) };
}

/** The thousands of tokens in the name of a price of long prompts: `…_above_200k_tokens`. */
function thousands(name: string): number | null {
  const match = /^(.+)_above_(\d{1,7})k_tokens$/.exec(name);
  return match && TOLD.includes(match[1]!) ? Number(match[2]) : null;
}

function liteLlmLong(entry: Entry, standard: Stated): Pick<OfferForm, "longFrom" | "longPrice"> {
  const steps = [...new Set(entry.names().flatMap((name) => thousands(name) ?? []))];
  const [step] = steps;
  if (step === undefined) return { longFrom: "", longPrice: NO_PRICES };
  if (step === 0 || steps.length > 1) entry.wrong(INPUT!, `begins at ${steps.map((one) => `${one}k`).join(", at ")} tokens, and an offer has one price of long prompts`);
  const part = (name: string) => entry.price(`${name}_above_${step}k_tokens`);
  const long = { input: part(INPUT!), cached: part(CACHED!), cacheWrite: part(WRITE!), cacheWriteLong: part(WRITE_LONG!), output: part(OUTPUT!), request: null };
  return { longFrom: String(1_000 * step), longPrice: formOf(long, standard) };
}

// OpenRouter, and a relayer's own `/v1/models`.

const PRICES = ["prompt", "completion", "request", "input_cache_read", "input_cache_write", "input_cache_write_1h", "input_cache_write_long"];
/** What stands among the prices and is none, or none of its own. */
const BESIDE = ["internal_reasoning", "discount", "overrides", "long"];
const MODALITIES: { [name: string]: string } = { image: "vision", audio: "audio-input", file: "file-input" };
const PARAMETERS: { [name: string]: string } = {
  tools: "tools", response_format: "json-mode", structured_outputs: "json-schema", reasoning: "reasoning", logprobs: "logprobs", seed: "seed",
};

function openRouter(entry: Entry): Listed {
  const pricing = entry.needs("pricing", entry.object("pricing"));
  const standard = stated(pricing, null);
  if (![0n, standard.output].includes(pricing.price("internal_reasoning") ?? 0n)) pricing.wrong("internal_reasoning", "is not the price of `completion`, and reasoning is output");
  if ((pricing.price("discount") ?? 0n) !== 0n) pricing.wrong("discount", "is not read; state prices that hold without it");
  const top = entry.object("top_provider");
  const context = top?.tokens("context_length") ?? entry.needs("context_length", entry.tokens("context_length"));
  const answer = top?.tokens("max_completion_tokens") ?? null;
  const quantization = entry.text("quantization") ?? "unknown";
  if (!(QUANTIZATIONS as readonly string[]).includes(quantization)) entry.wrong("quantization", `names ${JSON.stringify(quantization)}; known are ${QUANTIZATIONS.join(", ")}`);
  const modalities = entry.object("architecture")?.texts("input_modalities") ?? [];
  const known = (names: readonly string[], table: { [name: string]: string }) => Object.keys(table).filter((name) => names.includes(name)).map((name) => table[name]!);
  const form: OfferForm = {
    ...EMPTY_OFFER, price: formOf(standard), ...openRouterLong(pricing, standard), context: String(context), answer: answer === null ? "" : String(answer), quantization,
    capabilities: ["chat", "streaming", ...known(modalities, MODALITIES), ...known(entry.texts("supported_parameters"), PARAMETERS)],
  };
  return { form, without: pricing.names().filter((name) => !PRICES.includes(name) && !BESIDE.includes(name) && Number(pricing.get(name)) !== 0) };
}

/** The parts of a price; of one of long prompts, `others` has those that are left out. */
function stated(pricing: Entry, others: Stated | null): Stated {
  const part = (name: string, otherwise: bigint | null) => pricing.price(name) ?? (others ? otherwise : pricing.needs(name, null));
  return {
    input: part("prompt", others?.input ?? null), cached: pricing.price("input_cache_read"), cacheWrite: pricing.price("input_cache_write"),
    cacheWriteLong: pricing.price("input_cache_write_1h") ?? pricing.price("input_cache_write_long"), output: part("completion", others?.output ?? null),
    request: pricing.price("request", REQUEST_PLACES),
  };
}

function openRouterLong(pricing: Entry, standard: Stated): Pick<OfferForm, "longFrom" | "longPrice"> {
  const overrides = pricing.get("overrides") ?? [];
  if (!Array.isArray(overrides)) return pricing.wrong("overrides", "is no list");
  const own = pricing.object("long");
  if (overrides.length + (own ? 1 : 0) > 1) pricing.wrong("overrides", "has more than one price beside the usual one, and an offer has one, of long prompts");
  if (overrides.length === 0 && !own) return { longFrom: "", longPrice: NO_PRICES };
  const [long, from] = own ? [own, "from"] : [new Entry(pricing.place, overrides[0]), "min_prompt_tokens"];
  const other = long.names().find((name) => name !== from && !PRICES.includes(name) && long.get(name) !== 0 && long.get(name) !== "0");
  if (other !== undefined) pricing.wrong(own ? "long" : "overrides", `has \`${other}\`, and an offer has another price for long prompts alone`);
  return { longFrom: String(long.needs(from, long.tokens(from))), longPrice: formOf(stated(long, standard), standard) };
}

/** The members of one model, and the place that errors name. */
class Entry {
  readonly #members: Members;

  constructor(readonly place: string, members: unknown) {
    if (!isObject(members)) throw new PriceFileError(`${place} is no object.`);
    this.#members = members;
  }

  /** A member; `null` if it is absent. */
  get(name: string): unknown {
    return Object.hasOwn(this.#members, name) ? (this.#members[name] ?? null) : null;
  }

  /** The names of all members that are not null. */
  names(): string[] {
    return Object.keys(this.#members).filter((name) => this.get(name) !== null);
  }

  object(name: string): Entry | null {
    const value = this.get(name);
    return value === null ? null : isObject(value) ? new Entry(this.place, value) : this.wrong(name, "is no object");
  }

  text(name: string): string | null {
    const value = this.get(name);
    return value === null || typeof value === "string" ? value : this.wrong(name, "is no text");
  }

  texts(name: string): string[] {
    const value = this.get(name) ?? [];
    return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : this.wrong(name, "is no list of texts");
  }

  /** Whether a member is true; absent, it is not. */
  flag(name: string): boolean {
    const value = this.get(name) ?? false;
    return typeof value === "boolean" ? value : this.wrong(name, "is neither true nor false");
  }

  /** A number of tokens above zero. */
  tokens(name: string): number | null {
    const value = this.get(name);
    if (value === null) return null;
    return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 0xffff_ffff ? value : this.wrong(name, "is no whole number of tokens from 1 to 4294967295");
  }

  /** A price in units of 10^-places USD: a number, or one in quotes. */
  price(name: string, places = TOKEN_PLACES): bigint | null {
    const value = this.get(name);
    if (value === null) return null;
    // The shortest decimal of a number is the one that stood in the file, for as many digits as prices have.
    const text = typeof value === "number" ? String(value) : typeof value === "string" ? value : this.wrong(name, "is no number");
    const units = unitsOf(text, places);
    return typeof units === "bigint" ? units : this.wrong(name, units);
  }

  needs<T>(name: string, value: T | null): T {
    return value ?? this.wrong(name, "is missing");
  }

  wrong(name: string, what: string): never {
    throw new PriceFileError(`${this.place}: \`${name}\` ${what}.`);
  }
}

/** A decimal number in units of 10^-places, exactly; or what is wrong with it. */
function unitsOf(text: string, places: number): bigint | string {
  if (text.startsWith("-")) return `is ${text}, below zero`;
  const match = /^(\d{1,40})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text);
  if (!match) return `is ${JSON.stringify(text)}, no number`;
  const [, whole, fraction = "", exponent = "0"] = match;
  const digits = BigInt(whole! + fraction);
  const shift = places + Number(exponent) - fraction.length;
  if (digits === 0n) return 0n;
  if (shift > 40) return `is ${text}, too high for a price`;
  const scale = 10n ** BigInt(Math.abs(shift));
  if (shift < 0 && digits % scale !== 0n) return `is ${text}, with more decimal places than a price can have`;
  const units = shift < 0 ? digits / scale : digits * scale;
  return units <= MAX_PRICE ? units : `is ${text}, too high for a price`;
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
