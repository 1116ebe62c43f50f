import { useState } from "preact/hooks";
import { fromBase64, type ProviderPlace, type ReceiptDocument, toBase58 } from "../../../../app-idl/client/src/index.js";
import { type Names, receiptsCsv } from "../csv.js";
import { formatPico, formatTime, plural } from "../money.js";
import { ErrorNote } from "../parts.js";
import { useReading } from "../read.js";
import { check, type Checked, refreshed } from "../receipts.js";
import { earnings, market, paidPages } from "../relayer.js";
import { useSession } from "../session.js";
import { type Group, linesOf } from "../sums.js";
import { SignInCard } from "./sign-in.js";
import { Days, namesOf, save, Table } from "./usage.js";

const SPANS = { 7: "7 days", 30: "30 days", 90: "90 days" } as const;
const GROUPS = ["day", "model"] as const;
const DAY = 86_400;
/** Receipts in the table at most: the latest. The files have all. */
const MOST_ROWS = 200;

const since = (days: number) => Math.floor(Date.now() / 1_000) - days * DAY;

/** What a provider is paid: sums over time, and every receipt with what settled it. */
export function Statement({ shown, at }: { shown: boolean; at: ProviderPlace }) {
  const { signedIn } = useSession();
  const [days, setDays] = useState(30);
  const token = signedIn?.provider === at.provider ? signedIn.token : null;
  return (
    <section class="card" aria-labelledby="statement">
      <h2 id="statement">Statement</h2>
      <SignInCard what="what your vault and your provider did at this relayer" />
      {signedIn && !token && <p>The relayer knew of no provider of yours when you signed in. Sign out, and in again.</p>}
      {token && (
        <>
          <fieldset class="choice">
            <legend>In the last</legend>
            {Object.entries(SPANS).map(([span, title]) => (
              <label key={span}><input type="radio" name="statement-span" checked={days === Number(span)} onChange={() => setDays(Number(span))} /> {title}</label>
            ))}
          </fieldset>
          <Earnings key={days} shown={shown} provider={at.provider} token={token} days={days} />
          <Receipts key={`${days} receipts`} provider={at.provider} token={token} days={days} />
        </>
      )}
    </section>
  );
}

interface StatementPart {
  provider: string;
  token: string;
  days: number;
}

function Earnings({ shown, provider, token, days }: StatementPart & { shown: boolean }) {
  const [group, setGroup] = useState<Group>("day");
  const ask = async () => ({ by: group, ...(await earnings(provider, token, group, since(days))) });
  const { value: sums, error, again } = useReading(ask, [provider, token, group, days], { when: shown });
  const lines = sums ? linesOf(sums.data, sums.by, sums.since, sums.until) : [];
  return (
    <>
      <fieldset class="choice">
        <legend>By</legend>
        {GROUPS.map((name) => (
          <label key={name}><input type="radio" name="statement-group" checked={group === name} onChange={() => setGroup(name)} /> {name}</label>
        ))}
      </fieldset>
      {!!error && <ErrorNote error={error}><button type="button" class="quiet" onClick={again}>Read it again</button></ErrorNote>}
      {sums && lines.length === 0 && <p>Nothing was earned at this relayer in that time.</p>}
      {sums && lines.length > 0 && (
        <>
          <p data-testid="earned-total">{plural(sums.total.requests, "answer")}, {formatPico(BigInt(sums.total.cost_pico))} USDC for you, settled or not, without the relayer's fee: its sums of its receipts.</p>
          {sums.by === "day" && lines.length > 1 && <Days lines={lines} />}
          <Table lines={sums.by === "day" ? [...lines].reverse() : lines} title={sums.by} amount="For you" />
        </>
      )}
    </>
  );
}

interface Read {
  names: Names;
  documents: ReceiptDocument[];
  checked: Checked[];
}

function Receipts({ provider, token, days }: StatementPart) {
  const { relayer } = useSession();
  const [read, setRead] = useState<Read | null>(null);
  const [count, setCount] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = async () => {
    if (count !== null) return;
    setError(null);
    setCount(0);
    try {
      const expected = { relayer: relayer.account, relayerAddress: relayer.chain.relayer, config: relayer.config, vault: null };
      // Of now: an offer may be younger than this page.
      const all: Read = { names: namesOf(await market("5m")), documents: [], checked: [] };
      for await (const page of paidPages(provider, token, since(days))) {
        for (const document of page) {
          const checked = refreshed(check(document.id, fromBase64(document.receipt), expected), document);
          const fault = toBase58(checked.receipt.provider) === provider ? checked.fault : "It pays another provider.";
          all.documents.push(document);
          all.checked.push({ ...checked, fault });
        }
        setCount(all.checked.length);
      }
      setRead(all);
    } catch (failed) {
      setError(failed);
    }
    setCount(null);
  };
  const name = `statement-${new Date().toISOString().slice(0, 10)}`;
  return (
    <>
      <button type="button" class="quiet" aria-disabled={count !== null} onClick={() => void load()}>
        {count === null ? "Read and check every receipt of that time" : `Reading and checking receipts … ${count.toLocaleString()}`}
      </button>
      {!!error && <ErrorNote error={error} />}
      {read && <Checks read={read} />}
      {read && read.checked.length > 0 && (
        <div class="row">
          <button type="button" class="quiet" onClick={() => save(receiptsCsv(read.checked, read.names), `${name}.csv`)}>Download it as CSV</button>
          <button type="button" class="quiet" onClick={() => save(JSON.stringify(read.documents, null, 2), `${name}.json`, "application/json")}>Download it with its proofs as JSON</button>
        </div>
      )}
    </>
  );
}

function Checks({ read: { checked, names } }: { read: Read }) {
  const sum = (of: (one: Checked) => boolean) => checked.filter(of).reduce((total, one) => total + one.receipt.charge, 0n);
  if (checked.length === 0) return <p>There is no receipt of that time.</p>;
  return (
    <>
      <p data-testid="statement-total">
        {plural(checked.length, "receipt")}: {formatPico(sum((one) => one.included === true))} USDC settled with proof, {formatPico(sum((one) => one.included === null))} USDC not settled.
        {checked.some((one) => one.fault || one.included === false) && <b class="fault"> {plural(checked.filter((one) => one.fault || one.included === false).length, "receipt")} of them do not hold.</b>}
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Receipts that pay you">
        <table>
          <thead>
            <tr><th scope="col">When</th><th scope="col">Model</th><th scope="col">Tokens</th><th scope="col">For you<span class="unit">USDC</span></th><th scope="col">Receipt</th><th scope="col">Paid by</th></tr>
          </thead>
          <tbody>
            {checked.slice(-MOST_ROWS).reverse().map((one) => (
              <tr key={one.id} data-testid="paid-row">
                <td>{formatTime(Number(one.receipt.startedAtMs) / 1_000)}</td>
                <td>{names.model(toBase58(one.receipt.offer))}</td>
                <td>{one.receipt.usage.output.toLocaleString()}</td>
                <td>{formatPico(one.receipt.charge)}</td>
                <td>{one.fault ? <b class="fault">{one.fault}</b> : "holds"}</td>
                <td>{one.included ? <code title={one.transaction ?? ""}>{one.transaction?.slice(0, 8)}…</code> : one.included === false ? <b class="fault">The proof does not hold.</b> : one.status}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">Each receipt was checked here with the relayer's key on chain, and each proof followed to its batch's root. That the root is in the transaction is checked by <code>steam receipt verify --on-chain</code>.</p>
    </>
  );
}
