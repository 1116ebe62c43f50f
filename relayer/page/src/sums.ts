/** Sums of usage, ready to be drawn. */

export interface UsageSum {
  requests: number;
  input_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
  cost_pico: string;
}
export interface UsageRow extends UsageSum {
  day?: string | null;
  model?: string | null;
  provider?: string | null;
  key?: string | null;
}
export type Group = "day" | "model" | "provider" | "key";

/** A line of the table. */
export interface Line extends UsageSum {
  label: string;
  cost: bigint;
  /** Part of the highest cost, 0 to 1. */
  part: number;
}

const DAY_MS = 86_400_000;

/** One line for each group: days in their order, without gaps; others by their cost. */
export function linesOf(rows: readonly UsageRow[], group: Group, since: number, until: number): Line[] {
  const lines = rows.map((row) => ({ ...row, label: row[group] ?? "unknown", cost: BigInt(row.cost_pico), part: 0 }));
  const all = group === "day" ? everyDay(lines, since, until) : lines.sort((a, b) => (a.cost < b.cost ? 1 : a.cost > b.cost ? -1 : a.label < b.label ? -1 : 1));
  const most = all.reduce((most, { cost }) => (cost > most ? cost : most), 0n);
  // Thousandths are exact enough for a bar, and an amount may be above what a number holds.
  return all.map((line) => ({ ...line, part: most === 0n ? 0 : Number((line.cost * 1_000n) / most) / 1_000 }));
}

/** The days from the first with a request to the end. */
function everyDay(lines: readonly Line[], since: number, until: number): Line[] {
  const known = new Map(lines.map((line) => [line.label, line]));
  const first = [...known.keys()].sort()[0];
  if (first === undefined) return [];
  const days: Line[] = [];
  const [begin, end] = [Math.max(Date.parse(first), since * 1_000 - DAY_MS), until * 1_000];
  for (let day = begin; day < end; day += DAY_MS) {
    const label = new Date(day).toISOString().slice(0, 10);
    days.push(known.get(label) ?? { label, requests: 0, input_tokens: 0, cached_tokens: 0, cache_write_tokens: 0, output_tokens: 0, cost_pico: "0", cost: 0n, part: 0 });
  }
  return days;
}
