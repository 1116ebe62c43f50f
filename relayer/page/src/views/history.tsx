import { useState } from "preact/hooks";
import { FIGURES, linesOfFigure, type MarketHistory, nameOf, rowsOf } from "../history.js";
import { formatTime } from "../money.js";
import { ErrorNote } from "../parts.js";
import { Legend, MOST_LINES, Plot } from "../plot.js";
import { useReading } from "../read.js";
import { history } from "../relayer.js";

export const SPANS = { "24h": "day", "7d": "week" } as const;
export type Span = keyof typeof SPANS;
const READ_MS = 60_000;
/** Rows of the table at most: the latest. */
const MOST_ROWS = 400;

/** Where a model's time is shown: a link that can be kept. */
export const linkTo = (model: string, span: Span): string => `#market/${encodeURIComponent(model)}/${span}`;

/** What a model's offers were like over a day or a week. */
export function History({ shown, model, span }: { shown: boolean; model: string; span: Span }) {
  const { value: read, at, error, again } = useReading(() => history(model, span), [model, span], { when: shown, every: READ_MS });
  return (
    <section class="card" aria-labelledby="history" data-testid="history">
      <h2 id="history">{model}, over the last {SPANS[span]}</h2>
      <p>
        <a href="#market">All models</a>{" · "}
        {Object.entries(SPANS).map(([name, title]) => (
          <a key={name} class="choose" href={linkTo(model, name as Span)} aria-current={name === span ? "true" : undefined}>The last {title}</a>
        ))}
      </p>
      {!!error && <ErrorNote error={error} since={at}><button type="button" class="quiet" onClick={again}>Read it again</button></ErrorNote>}
      {!read && !error && <p role="status">Reading …</p>}
      {read && <Drawn history={read} />}
    </section>
  );
}

function Drawn({ history }: { history: MarketHistory }) {
  const drawn = history.data.slice(0, MOST_LINES);
  const { since, until, step_seconds } = history;
  return (
    <>
      <Legend names={drawn.map(nameOf)} />
      {history.data.length + history.left_out > drawn.length && (
        <p class="hint">Drawn are the {MOST_LINES} offers with most requests of {history.data.length + history.left_out}.</p>
      )}
      <div class="plots">
        {FIGURES.map((figure) => (
          <Plot
            key={figure.title} title={figure.title} lines={linesOfFigure(history, figure, MOST_LINES)} since={since} until={until}
            gap={figure.steady ? Infinity : 3 * step_seconds} format={figure.format} {...(figure.most ? { most: figure.most } : {})}
          />
        ))}
      </div>
      <Numbers history={history} />
      <p class="hint">Measured by this relayer: its word, no proof. Prices are those of the chain, by the hour in which they were first seen.</p>
    </>
  );
}

/** The same in numbers, for those who read or hear them. */
function Numbers({ history }: { history: MarketHistory }) {
  const [open, setOpen] = useState(false);
  const rows = open ? rowsOf(history).slice(0, MOST_ROWS) : [];
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The same in numbers</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The same in numbers">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">Provider</th>
              <th scope="col">Requests</th>
              <th scope="col">First token<span class="unit">ms, median</span></th>
              <th scope="col">Speed<span class="unit">tokens/s, median</span></th>
              <th scope="col">Uptime</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row.at} ${row.offer}`} data-testid="history-row">
                <td>{formatTime(row.at)}</td>
                <td>{row.name}</td>
                <td>{row.requests.toLocaleString()}</td>
                <td>{row.ttft_ms === null ? "–" : Math.round(row.ttft_ms)}</td>
                <td>{row.tokens_per_second === null ? "–" : Math.round(row.tokens_per_second)}</td>
                <td>{`${(row.uptime * 100).toFixed(1)} %`}</td>
              </tr>
            ))}
            {history.data.flatMap((offer) =>
              offer.prices.map((price) => (
                <tr key={`${price.at} ${offer.offer} price`}>
                  <td>{formatTime(price.at)}</td>
                  <td>{nameOf(offer)}</td>
                  <td colSpan={4}>${(price.input / 1e6).toFixed(2)} per million prompt tokens, ${(price.output / 1e6).toFixed(2)} per million answer tokens</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
    </details>
  );
}
