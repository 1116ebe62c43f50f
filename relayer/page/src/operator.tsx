/** The operator's page: what the relayer does, on a listener of the operator's own. The token lies in this tab's memory alone. */

import { render, type ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { formatPico, formatSol, formatTime, formatUsdc, plural } from "./money.js";
import { keepFocus } from "./focus.js";
import { ErrorNote, Lines, TextField } from "./parts.js";
import "./page.css";

const READ_MS = 5_000;
const RUNBOOK = "docs/OPERATIONS.md";

interface Vault {
  address: string;
  owner: string;
  balance: number;
  unsettled_pico: string;
  held_pico: string;
  available: number;
  halted: boolean;
}
interface Told {
  version: string;
  at: number;
  readiness: { [name: string]: string | number | boolean | null };
  settlement: {
    last_signature: string | null;
    last_settled_at: number | null;
    settled_groups: number;
    open_groups: number;
    unsettled_receipts: number;
    unsettled: string;
    halted: string[];
    waiting: number;
    problem: string | null;
    alerts: { name: string; message: string }[];
    facts: { settler_lamports: number | null; fees_of_day: number; oldest_unsettled_seconds: number | null };
  };
  incidents: { id: number; vault: string; blocks: string; reason: string; opened_ms: number; receipts: number; total_pico: string; next: string[] }[];
  vaults: Vault[];
  vaults_in_all: number;
  fees: { day: string; settlements: number; lamports: number }[];
  requests: { at_ms: number; id: string; method: string; route: string; status: number; code: string | null; ms: number }[];
  configuration: unknown;
}

class Refused extends Error {}

async function told(token: string): Promise<Told> {
  let response: Response;
  try {
    response = await fetch("/v1/operator", { headers: { Authorization: `Bearer ${token}` }, credentials: "omit", redirect: "error", cache: "no-store" });
  } catch {
    throw new Error("The relayer does not answer here. Check that it runs, that operator.listen is this address, and your way to it.");
  }
  if (response.status === 401) throw new Refused("This is not the token in operator.token_file.");
  if (!response.ok) throw new Error(`The relayer answers with status ${response.status}. Its log says why.`);
  try {
    return (await response.json()) as Told;
  } catch {
    throw new Error("The relayer's answer broke off or cannot be read. It is asked again every few seconds.");
  }
}

function Operator() {
  const [token, setToken] = useState<string | null>(null);
  const [view, setView] = useState<Told | null>(null);
  const [readAt, setReadAt] = useState(0);
  const [error, setError] = useState<unknown>(null);
  useEffect(keepFocus, []);
  useEffect(() => {
    if (!token) return;
    let current = true;
    const read = () =>
      told(token).then(
        (found) => {
          if (!current) return;
          setView(found);
          setReadAt(Date.now());
          setError(null);
        },
        (failed) => {
          if (!current) return;
          setError(failed);
          if (failed instanceof Refused) setToken(null);
        },
      );
    void read();
    const timer = setInterval(() => document.visibilityState === "visible" && void read(), READ_MS);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [token]);
  const leave = () => {
    setToken(null);
    setView(null);
    setError(null);
  };
  return (
    <>
      <header>
        <p class="brand">Steam Router, for its operator</p>
        {token && <button type="button" class="quiet" onClick={leave}>Forget the token</button>}
      </header>
      <main>
        <h1>The relayer</h1>
        {!token && <Token use={(given) => { setError(null); setToken(given); }} />}
        {!!error && <ErrorNote error={error} {...(view ? { since: readAt } : {})} />}
        {token && !view && !error && <p role="status">Reading …</p>}
        {token && view && <Shown view={view} />}
      </main>
    </>
  );
}

function Token({ use }: { use(token: string): void }) {
  const [text, setText] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    if (text.trim()) use(text.trim());
  };
  return (
    <form class="card" onSubmit={submit} aria-label="The operator's token">
      <TextField label="The operator's token" type="password" hint="The content of operator.token_file. It stays in this tab's memory, and is sent in a header alone." value={text} onInput={setText} />
      <button type="submit">Show me the relayer</button>
    </form>
  );
}

function Part({ id, title, children }: { id: string; title: string; children: ComponentChildren }) {
  return (
    <section class="card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

function Shown({ view }: { view: Told }) {
  const { settlement, readiness } = view;
  return (
    <>
      <p class="lead">Version {view.version}, as of {formatTime(view.at)}. Nothing can be changed here: decisions are made with <code>steam ledger</code>.</p>
      <Part id="health" title="Health">
        <p data-testid="ready">{readiness["ready"] ? "It takes requests." : <b class="fault">It takes no requests.</b>}</p>
        <Lines of={Object.entries(readiness).map(([name, value]) => [name.replaceAll("_", " "), value === null ? "–" : String(value)] as const)} />
      </Part>
      <Part id="alerts" title="What a person should look at">
        {settlement.alerts.length === 0 && !settlement.problem ? <p>Nothing.</p> : (
          <ul>
            {settlement.problem && <li>{settlement.problem}</li>}
            {settlement.alerts.map(({ name, message }) => <li key={name + message} data-testid="alert"><code>{name}</code>: {message}. {RUNBOOK} says what helps.</li>)}
          </ul>
        )}
      </Part>
      <Part id="settlement" title="Settlement">
        <Lines
          of={[
            ["Not settled", `${plural(settlement.unsettled_receipts, "receipt")}, ${formatPico(BigInt(settlement.unsettled))} USDC`],
            ["Oldest of them", settlement.facts.oldest_unsettled_seconds === null ? "–" : plural(settlement.facts.oldest_unsettled_seconds, "second")],
            ["Groups", `${settlement.settled_groups} settled, ${settlement.open_groups} on their way, ${settlement.waiting} waiting`],
            ["Last settlement", settlement.last_settled_at === null ? "none since the start" : formatTime(settlement.last_settled_at)],
            ["Its transaction", settlement.last_signature ?? "–"],
            ["Halted vaults", settlement.halted.join(", ") || "none"],
            ["The settler has", settlement.facts.settler_lamports === null ? "no node tells" : `${formatSol(BigInt(settlement.facts.settler_lamports))} SOL`],
          ]}
        />
      </Part>
      <Part id="incidents" title="Incidents">
        {view.incidents.length === 0 && <p>No charges are set aside.</p>}
        <ul class="keys">
          {view.incidents.map((one) => (
            <li key={one.id} data-testid="incident">
              <p><b>Incident {one.id}</b>, {formatTime(one.opened_ms / 1_000)}: {plural(one.receipts, "charge")} of {formatPico(BigInt(one.total_pico))} USDC set aside: {one.reason}. Nothing new is held for the {one.blocks}.</p>
              <p>Vault <code class="long">{one.vault}</code></p>
              {one.next.map((command) => <pre key={command} tabIndex={0}>{command}</pre>)}
            </li>
          ))}
        </ul>
      </Part>
      <Part id="vaults" title="Vaults">
        <p>{plural(view.vaults_in_all, "vault")} of this relayer. {view.vaults.length < view.vaults_in_all && "Those that owe most are listed."}</p>
        <Vaults vaults={view.vaults} />
      </Part>
      <Part id="fees" title="What settlements cost">
        <p>{formatSol(BigInt(settlement.facts.fees_of_day))} SOL in the last day.</p>
        <Scrolled label="Costs by day" titles={["Day", "Settlements", "SOL"]}>
          {view.fees.map(({ day, settlements, lamports }) => <tr key={day} data-testid="fees"><td>{day}</td><td>{settlements}</td><td>{(lamports / 1e9).toFixed(6)}</td></tr>)}
        </Scrolled>
      </Part>
      <Part id="requests" title="The last requests, without their words">
        <Scrolled label="The last requests" titles={["When", "Request", "Status", "Milliseconds", "Id"]}>
          {view.requests.map((one) => (
            <tr key={one.id + one.at_ms} data-testid="request">
              <td>{formatTime(one.at_ms / 1_000)}</td><td>{one.method} {one.route}</td><td>{one.status}{one.code && ` ${one.code}`}</td><td>{one.ms}</td><td><code>{one.id}</code></td>
            </tr>
          ))}
        </Scrolled>
      </Part>
      <Part id="configuration" title="The configuration as it was loaded">
        <pre tabIndex={0} data-testid="configuration">{JSON.stringify(view.configuration, null, 2)}</pre>
      </Part>
    </>
  );
}

function Vaults({ vaults }: { vaults: Vault[] }) {
  return (
    <Scrolled label="Vaults, by what they owe" titles={["Vault", "Balance", "Not settled", "Held", "Available"]}>
      {vaults.map((vault) => (
        <tr key={vault.address} data-testid="vault">
          <th scope="row"><code title={`of ${vault.owner}`}>{vault.address}</code>{vault.halted && <b class="fault"> halted</b>}</th>
          <td>{formatUsdc(BigInt(vault.balance))}</td><td>{formatPico(BigInt(vault.unsettled_pico))}</td><td>{formatPico(BigInt(vault.held_pico))}</td><td>{formatUsdc(BigInt(vault.available))}</td>
        </tr>
      ))}
    </Scrolled>
  );
}

function Scrolled({ label, titles, children }: { label: string; titles: string[]; children: ComponentChildren }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead><tr>{titles.map((title) => <th key={title} scope="col">{title}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

render(<Operator />, document.getElementById("page")!);
