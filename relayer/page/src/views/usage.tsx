import { useState } from "preact/hooks";
import { fromBase64 } from "../../../../app-idl/client/src/index.js";
import { receiptsCsv, type Names } from "../csv.js";
import { formatPico, plural, short } from "../money.js";
import { ErrorNote } from "../parts.js";
import { useFault, useReading } from "../read.js";
import { check, type Checked } from "../receipts.js";
import { type Market, receiptPages, usage } from "../relayer.js";
import { type Reader, useSession } from "../session.js";
import { type Group, type Line, linesOf } from "../sums.js";

const SPANS = { 7: "7 days", 30: "30 days", 90: "90 days" } as const;
const GROUPS: { [group in Group]: string } = { day: "day", model: "model", provider: "provider", key: "key" };
const DAY = 86_400;

/** What a key used, or all keys of a vault, by day, model or provider, and all receipts as a file. */
export function Usage({ shown, reader }: { shown: boolean; reader: Reader }) {
  const { receipts } = useSession();
  const [days, setDays] = useState(30);
  const [group, setGroup] = useState<Group>("day");
  const ask = async () => ({ by: group, ...(await usage(reader.token, group, Math.floor(Date.now() / 1000) - days * DAY)) });
  const { value: sums, error, again } = useReading(ask, [reader, days, group, receipts.length], { when: shown });
  const lines = sums ? linesOf(sums.data, sums.by, sums.since, sums.until) : [];
  return (
    <section class="card" aria-labelledby="usage">
      <h2 id="usage">{reader.whole ? "What all keys used" : "What this key used"}</h2>
      <fieldset class="choice">
        <legend>In the last</legend>
        {Object.entries(SPANS).map(([span, title]) => (
          <label key={span}><input type="radio" name="span" checked={days === Number(span)} onChange={() => setDays(Number(span))} /> {title}</label>
        ))}
      </fieldset>
      <fieldset class="choice">
        <legend>By</legend>
        {Object.entries(GROUPS).filter(([name]) => reader.whole || name !== "key").map(([name, title]) => (
          <label key={name}><input type="radio" name="group" checked={group === name} onChange={() => setGroup(name as Group)} /> {title}</label>
        ))}
      </fieldset>
      {!!error && <ErrorNote error={error}><button type="button" class="quiet" onClick={again}>Read it again</button></ErrorNote>}
      {sums && lines.length === 0 && <p>Nothing was asked with {reader.whole ? "a key of this vault" : "this key"} in that time.</p>}
      {sums && lines.length > 0 && (
        <>
          <p data-testid="usage-total">{plural(sums.total.requests, "request")}, {formatPico(BigInt(sums.total.cost_pico))} USDC, fees included: the relayer's sums of its receipts.</p>
          {sums.by === "day" && lines.length > 1 && <Days lines={lines} />}
          <Table lines={sums.by === "day" ? [...lines].reverse() : lines} title={GROUPS[sums.by]} />
        </>
      )}
      <Download reader={reader} days={days} />
    </section>
  );
}

/** A column for each day. The table below has the same in numbers. */
export function Days({ lines }: { lines: Line[] }) {
  return (
    <svg class="days" viewBox={`0 0 ${lines.length * 10} 60`} preserveAspectRatio="none" aria-hidden="true">
      {lines.map(({ label, part }, at) => <rect key={label} x={at * 10 + 1} width={8} y={60 - 60 * part} height={60 * part} />)}
    </svg>
  );
}

export function Table({ lines, title, amount = "Cost" }: { lines: Line[]; title: string; amount?: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Usage by ${title}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">{title.charAt(0).toUpperCase() + title.slice(1)}</th>
            <th scope="col">Requests</th>
            <th scope="col">Prompt<span class="unit">tokens</span></th>
            <th scope="col">Cached<span class="unit">tokens</span></th>
            <th scope="col">Answer<span class="unit">tokens</span></th>
            <th scope="col">{amount}<span class="unit">USDC</span></th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.label} data-testid="usage-row">
              <th scope="row">
                {line.label.length > 40 ? <span title={line.label}>{short(line.label)}</span> : line.label}
                <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width={100 * line.part} height={4} /></svg>
              </th>
              <td>{line.requests.toLocaleString()}</td>
              <td>{(line.input_tokens + line.cached_tokens + line.cache_write_tokens).toLocaleString()}</td>
              <td>{line.cached_tokens.toLocaleString()}</td>
              <td>{line.output_tokens.toLocaleString()}</td>
              <td>{formatPico(line.cost)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Download({ reader, days }: { reader: Reader; days: number }) {
  const { relayer, place } = useSession();
  const [read, setRead] = useState<number | null>(null);
  const [error, setError] = useFault([reader, days]);
  const download = async () => {
    if (read !== null) return;
    setError(null);
    setRead(0);
    try {
      const expected = { relayer: relayer.account, relayerAddress: relayer.chain.relayer, config: relayer.config, vault: place?.vault ?? null };
      const all: Checked[] = [];
      for await (const page of receiptPages(reader.token, Math.floor(Date.now() / 1000) - days * DAY)) {
        all.push(...page.map(({ id, receipt, status, transaction }) => ({ ...check(id, fromBase64(receipt), expected), status, transaction: transaction ?? null })));
        setRead(all.length);
      }
      save(receiptsCsv(all, namesOf(relayer.market)), `receipts-${new Date().toISOString().slice(0, 10)}.csv`);
    } catch (failed) {
      setError(failed);
    }
    setRead(null);
  };
  return (
    <>
      <button type="button" class="quiet" aria-disabled={read !== null} onClick={() => void download()}>
        {read === null ? "Download the receipts of that time as CSV" : `Reading and checking receipts … ${read.toLocaleString()}`}
      </button>
      {!!error && <ErrorNote error={error} />}
    </>
  );
}

/** By today's market: what is gone from it has its address. */
export function namesOf({ data }: Market): Names {
  return {
    model: (offer) => data.find((one) => one.address === offer)?.model ?? offer,
    provider: (provider) => {
      const known = data.find((one) => one.provider === provider);
      return known?.host ?? known?.provider_name ?? provider;
    },
  };
}

export function save(text: string, name: string, type = "text/csv"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  [link.href, link.download] = [url, name];
  link.click();
  URL.revokeObjectURL(url);
}
