/** Amounts as people write and read them. Inside they are whole µUSDC, as `bigint`. */

const PLACES = 6;
export const MICRO = 1_000_000n;

/** The µUSDC of a decimal number such as `12.5`; `null` if the text is no such number or has more than six places. */
export function parseUsdc(text: string): bigint | null {
  const match = /^\s*\$?(\d{1,12})(?:\.(\d{1,6}))?\s*$/.exec(text);
  if (!match) return null;
  return BigInt(match[1]!) * MICRO + BigInt((match[2] ?? "").padEnd(PLACES, "0"));
}

/** At least two places, and no zeros after them: `12.50`, `0.000017`. */
export function formatUsdc(micro: bigint): string {
  return trimmed(micro, PLACES);
}

/** The same of pico-USDC, with up to twelve places. */
export function formatPico(pico: bigint): string {
  return trimmed(pico, 12);
}

function trimmed(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, "0");
  const [whole, rest] = [digits.slice(0, -places), digits.slice(-places).replace(/0+$/, "")];
  return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${rest.padEnd(2, "0")}`;
}

/** Lamports in SOL, rounded down to four places. */
export function formatSol(lamports: bigint): string {
  return (Number(lamports / 100_000n) / 10_000).toFixed(4);
}

/** A span of seconds in the largest unit that fits it. */
export function formatSeconds(seconds: number): string {
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]] as const) {
    if (seconds >= size && seconds % size === 0) return plural(seconds / size, unit);
  }
  return plural(seconds, "second");
}

export function plural(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** A moment, as the reader's own clock shows it. */
export function formatTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleString();
}

/** When something was read: the time, and the day as well if it was another one. */
export function formatClock(ms: number): string {
  const [at, now] = [new Date(ms), new Date()];
  return at.toDateString() === now.toDateString() ? at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }) : at.toLocaleString();
}

/** A moment in few letters, for the ends of a plot. */
export function formatMoment(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

/** The beginning and the end of an address. The whole is always in its `title`. */
export function short(address: string): string {
  return `${address.slice(0, 4)}…${address.slice(-4)}`;
}
