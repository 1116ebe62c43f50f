/** Receipts as a table for other programs. */

import { costOf, type Receipt, toBase58 } from "../../../app-idl/client/src/index.js";
import { formatPico } from "./money.js";
import type { Checked } from "./receipts.js";

/** What offers and providers are called, by their addresses. */
export interface Names {
  model(offer: string): string;
  provider(provider: string): string;
}

type Column = readonly [title: string, of: (receipt: Receipt, checked: Checked, names: Names) => string | number | bigint];

const COLUMNS: readonly Column[] = [
  ["id", (_, { id }) => id],
  ["started", ({ startedAtMs }) => new Date(Number(startedAtMs)).toISOString()],
  ["model", ({ offer }, _, names) => names.model(toBase58(offer))],
  ["provider", ({ provider }, _, names) => names.provider(toBase58(provider))],
  ["offer_address", ({ offer }) => toBase58(offer)],
  ["provider_address", ({ provider }) => toBase58(provider)],
  ["input_tokens", ({ usage }) => usage.input],
  ["cached_tokens", ({ usage }) => usage.cached],
  ["cache_write_tokens", ({ usage }) => usage.cacheWrite],
  ["cache_write_long_tokens", ({ usage }) => usage.cacheWriteLong],
  ["output_tokens", ({ usage }) => usage.output],
  ["charge_pico_usdc", ({ charge }) => charge],
  ["fee_pico_usdc", ({ fee }) => fee],
  ["cost_usdc", (receipt) => formatPico(costOf(receipt)).replaceAll(",", "")],
  ["vault", ({ vault }) => toBase58(vault)],
  ["receipt_number", ({ number }) => number],
  ["finish_reason", ({ finishReason }) => finishReason],
  ["counted_by", ({ countedBy }) => countedBy],
  ["first_token_ms", ({ ttftMs }) => ttftMs],
  ["duration_ms", ({ durationMs }) => durationMs],
  ["receipt_holds", (_, { fault }) => fault ?? "yes"],
  ["settlement", (_, { status }) => status],
  ["settled_by_transaction", (_, { transaction }) => transaction ?? ""],
];

/** By RFC 4180, with a line of titles. */
export function receiptsCsv(receipts: readonly Checked[], names: Names): string {
  const rows = receipts.map((checked) => COLUMNS.map(([, of]) => cell(of(checked.receipt, checked, names))));
  return [COLUMNS.map(([title]) => title), ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

/** Names are the providers' own. A spreadsheet would take some for formulas, so that these begin with an apostrophe. */
function cell(value: string | number | bigint): string {
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
