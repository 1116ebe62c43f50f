/** Prices in words. A component that this page does not know is shown by its name, and never left out. */

import type { Struct } from "../../../../app-idl/client/src/index.js";
import { formatUsdc } from "../money.js";
import type { Detail } from "./sentence.js";

const COMPONENTS: { [component: string]: string } = {
  input: "a million prompt tokens",
  cached: "a million cached prompt tokens",
  cache_write: "a million prompt tokens written to a cache",
  cache_write_long: "a million prompt tokens written to a cache for longer",
  output: "a million answer tokens",
  request: "a request",
};

/** A line for each component, which `label` makes of what it is for. */
export function priceLines(prices: Struct, label: (what: string) => string): Detail[] {
  return Object.entries(prices).map(([component, price]) => [label(COMPONENTS[component] ?? component), `$${formatUsdc(price as bigint)}`]);
}
