import { useState } from "preact/hooks";
import { formatTime, formatUsdc, plural } from "../money.js";
import { ErrorNote } from "../parts.js";
import { useReading } from "../read.js";
import { type Flag, market, type Market as Listing, type Offer } from "../relayer.js";
import { useSession } from "../session.js";
import { History, linkTo } from "./history.js";

const WINDOWS = { "5m": "5 minutes", "1h": "hour", "72h": "3 days" } as const;
type Window = keyof typeof WINDOWS;
const READ_MS = 5_000;

/** All models; with a path, one of them over time. */
export function Market({ shown, path }: { shown: boolean; path: readonly string[] }) {
  const [model, span] = path;
  return (
    <>
      <h1>Market</h1>
      {model ? <History key={model} shown={shown} model={model} span={span === "7d" ? "7d" : "24h"} /> : <Models shown={shown} />}
    </>
  );
}

function Models({ shown }: { shown: boolean }) {
  const { relayer } = useSession();
  const [window, setWindow] = useState<Window>("5m");
  const { value, at, error } = useReading(() => market(window), [window], { when: shown, every: READ_MS });
  const listing: Listing = value ?? relayer.market;
  const models = [...new Set(listing.data.map((offer) => offer.model))].sort();
  return (
    <>
      <p class="lead">Prices are posted on chain. Speed and uptime are what this relayer measured: its word, no proof. Its fee is {listing.relayer.fee_bps / 100} % of each charge.</p>
      <fieldset class="choice">
        <legend>Measured over the last</legend>
        {Object.entries(WINDOWS).map(([name, title]) => (
          <label key={name}>
            <input type="radio" name="window" checked={window === name} onChange={() => setWindow(name as Window)} /> {title}
          </label>
        ))}
      </fieldset>
      {!!error && <ErrorNote error={error} since={at} />}
      {models.length === 0 && <p class="note">No provider offers a model at this relayer.</p>}
      {models.map((model) => <ModelTable key={model} model={model} window={window} offers={listing.data.filter((offer) => offer.model === model)} />)}
    </>
  );
}

function ModelTable({ model, offers, window }: { model: string; offers: Offer[]; window: Window }) {
  const rows = [...offers].sort((a, b) => b.board.share - a.board.share || a.price.output - b.price.output);
  return (
    <section class="card" aria-label={model}>
      <h2>{model}</h2>
      <p><a href={linkTo(model, "24h")}>Over time</a></p>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Providers of ${model}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Provider</th>
              <th scope="col">Prompt<span class="unit">$ per million</span></th>
              <th scope="col">Cached</th>
              <th scope="col">Answer</th>
              <th scope="col">First token<span class="unit">ms, median</span></th>
              <th scope="col">Speed<span class="unit">tokens/s, median</span></th>
              <th scope="col">Uptime</th>
              <th scope="col">Share</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((offer) => {
              const { ttft_ms, tokens_per_second, uptime } = offer.board[window] ?? { ttft_ms: null, tokens_per_second: null, uptime: null };
              return (
                <tr key={offer.address} data-testid="offer">
                  <th scope="row">
                    {offer.provider_name}
                    {offer.host && <span class="unit">{offer.host}</span>}
                    {offer.board.flags.map((flag) => <FlagNote key={flag.reason} flag={flag} />)}
                    {offer.barred && <span class="unit">asked for nobody: {offer.barred}</span>}
                    {!offer.barred && !offer.board.available && <span class="unit">not asked at the moment</span>}
                  </th>
                  <td>
                    {usd(offer.price.input)}
                    {offer.price.long && <span class="unit">{usd(offer.price.long.input)} above {offer.price.long.from.toLocaleString()} tokens</span>}
                  </td>
                  <td>{usd(offer.price.cached)}</td>
                  <td>
                    {usd(offer.price.output)}
                    {offer.price.long && <span class="unit">{usd(offer.price.long.output)}</span>}
                  </td>
                  <td>{ttft_ms ? Math.round(ttft_ms.p50) : "–"}</td>
                  <td>{tokens_per_second ? Math.round(tokens_per_second.p50) : "–"}</td>
                  <td>{uptime === null ? "–" : `${(uptime * 100).toFixed(1)} %`}</td>
                  <td>{`${Math.round(offer.board.share * 100)} %`}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** What the relayer suspects, and of how many requests. */
export function FlagNote({ flag }: { flag: Flag }) {
  return (
    <span class="unit">
      <b class="fault">flagged: {flag.reason}</b> {flag.says}: {flag.against} of {plural(flag.requests, "request")} since {formatTime(flag.since_ms / 1_000)}
    </span>
  );
}

function usd(micro: number): string {
  return formatUsdc(BigInt(micro));
}
