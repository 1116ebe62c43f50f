/** Lines over time, drawn as SVG. The numbers are text beside it, so that they are as large as other text on every screen. */

import { pathOf, type PlotLine } from "./lines.js";
import { formatMoment } from "./money.js";

/** Lines that are told apart at most: each has a colour and a pattern of its own. */
export const MOST_LINES = 6;

interface PlotProps {
  title: string;
  lines: readonly PlotLine[];
  since: number;
  until: number;
  /** Seconds beyond which two points are not joined. */
  gap: number;
  /** A value in words. */
  format(value: number): string;
  /** The highest value that is drawn; without it the highest there is. */
  most?: number;
}

const WIDTH = 1_000;
const HEIGHT = 100;

/** One figure of several offers over time. The page has the same numbers in a table. */
export function Plot({ title, lines, since, until, gap, format, most }: PlotProps) {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value));
  const highest = most ?? Math.max(...values, 0);
  const x = (at: number) => Math.min(Math.max((WIDTH * (at - since)) / (until - since), 0), WIDTH);
  const y = (value: number) => HEIGHT - 2 - (HEIGHT - 4) * (highest > 0 ? Math.min(value / highest, 1) : 0);
  return (
    <figure class="plot" data-testid="plot">
      <figcaption>{title}</figcaption>
      {values.length === 0 ? (
        <p class="hint">Nothing was measured in this time.</p>
      ) : (
        <>
          <p class="axis"><span>{format(highest)}</span></p>
          <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
            {lines.map(({ name, points }, place) => <path key={name} class={`line line-${place}`} d={pathOf(points, x, y, gap)} />)}
          </svg>
          <p class="axis"><span>{formatMoment(since)}</span><span>{formatMoment(until)}</span></p>
        </>
      )}
    </figure>
  );
}

/** Which line is whose. */
export function Legend({ names }: { names: readonly string[] }) {
  return (
    <ul class="legend">
      {names.map((name, place) => (
        <li key={name}>
          <svg viewBox="0 0 40 10" aria-hidden="true"><path class={`line line-${place}`} d="M2 5H38" /></svg> {name}
        </li>
      ))}
    </ul>
  );
}
