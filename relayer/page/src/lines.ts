/** Values over time, and the path that draws them. */

export interface PlotLine {
  name: string;
  /** Seconds and values, in the order of time. */
  points: readonly (readonly [at: number, value: number])[];
}

/** Points that are close are joined; one that stands alone is a dot, which a line of no length with round ends is. */
export function pathOf(points: PlotLine["points"], x: (at: number) => number, y: (value: number) => number, gap: number): string {
  let before: number | null = null;
  return points
    .map(([at, value]) => {
      const joined = before !== null && at - before <= gap;
      before = at;
      const place = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      return joined ? `L${place}` : `M${place}h0`;
    })
    .join("");
}
