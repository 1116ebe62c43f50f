import { fromBase64, type ReceiptDocument } from "../../../../app-idl/client/src/index.js";
import { chosenWords, type DecisionRecord, type Drawn, drawnOf, type Generation, readDecision, UNPROVEN } from "../decision.js";
import { ErrorNote, Lines } from "../parts.js";
import { useReading } from "../read.js";
import { check, type Checked, refreshed } from "../receipts.js";
import { generation, receipt } from "../relayer.js";
import { useSession } from "../session.js";
import { ReceiptNote } from "./receipt.js";

/** Where one answer is shown: a link that can be kept, and that says nothing to who has not its key. */
export const linkToAnswer = (id: string): string => `#spending/${encodeURIComponent(id)}`;

interface Read {
  checked: Checked;
  document: ReceiptDocument;
  record: DecisionRecord;
}

/** One answer: its receipt, how far its settlement is, and why this provider served it. */
export function Answer({ shown, id, token }: { shown: boolean; id: string; token: string }) {
  const { relayer, place } = useSession();
  const expected = { relayer: relayer.account, relayerAddress: relayer.chain.relayer, config: relayer.config, vault: place?.vault ?? null };
  const look = async (): Promise<Read> => {
    const [document, told]: [ReceiptDocument, Generation] = await Promise.all([receipt(id, token), generation(id, token)]);
    const checked = refreshed(check(id, fromBase64(document.receipt), expected), document);
    return { checked, document, record: readDecision(told, checked.receipt) };
  };
  const { value: read, error, again } = useReading(look, [id, token], { when: shown });
  return (
    <section class="card" aria-labelledby="answer-shown" data-testid="answer-shown">
      <h2 id="answer-shown">One request</h2>
      <p><a href="#spending">All requests</a></p>
      {!!error && <ErrorNote error={error}><button type="button" class="quiet" onClick={again}>Read it again</button></ErrorNote>}
      {!read && !error && <p role="status">Reading …</p>}
      {read && (
        <>
          <ReceiptNote checked={read.checked} />
          <Lines of={[["Id", <code class="long">{id}</code>], ["Settlement", read.checked.status], ["Transaction", read.checked.transaction ? <code class="long">{read.checked.transaction}</code> : "none yet"]]} />
          <Why record={read.record} />
        </>
      )}
    </section>
  );
}

function Why({ record }: { record: DecisionRecord }) {
  return (
    <>
      <h3>Why it went there</h3>
      <p data-testid="chosen">{chosenWords(record)}</p>
      {record.routes.map((route) => (
        <div key={route.model}>
          {record.routes.length > 1 && <h4>{route.model}</h4>}
          <Candidates drawn={drawnOf(route, record.attempts)} model={route.model} />
          {route.excluded.length > 0 && (
            <details>
              <summary>{route.excluded.length} excluded, each with the reason</summary>
              <ul>{route.excluded.map(({ offer, name, reason }) => <li key={offer} data-testid="excluded">{name}: {reason}</li>)}</ul>
            </details>
          )}
        </div>
      ))}
      <h4>What was tried</h4>
      <ol>
        {record.attempts.map((one, at) => (
          <li key={at}>{one.name}: {one.outcome}, after {one.started_ms} ms, for {one.ms} ms{one.error && `. ${one.error}`}</li>
        ))}
      </ol>
      <p class="hint">The receipt commits to this decision: its hash was compared here. That the choice follows from it is checked by <code>steam receipt verify --routing</code>. Not proven:</p>
      <ul class="hint">{UNPROVEN.map((words) => <li key={words}>{words}</li>)}</ul>
    </>
  );
}

const PARTS = [["money", "its price"], ["time", "the time at what a second is worth"], ["rest", "failures and doubts"]] as const;

function Candidates({ drawn, model }: { drawn: Drawn[]; model: string }) {
  if (drawn.length === 0) return <p>Nobody could serve it.</p>;
  return (
    <>
      <p class="hint">The one with the lowest objective is tried first: what the request is expected to lose there, in money. Its bar has three parts:</p>
      <ul class="legend">
        {PARTS.map(([part, words]) => (
          <li key={part}><svg viewBox="0 0 40 10" aria-hidden="true"><rect class={`part-${part}`} width="40" height="10" /></svg> {words}</li>
        ))}
      </ul>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Candidates for ${model}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Provider</th>
              <th scope="col">Objective<span class="unit">µUSDC</span></th>
              <th scope="col">Price<span class="unit">µUSDC</span></th>
              <th scope="col">First token<span class="unit">s</span></th>
              <th scope="col">Speed<span class="unit">tokens/s</span></th>
              <th scope="col">Failures</th>
              <th scope="col">Load<span class="unit">requests</span></th>
              <th scope="col">Share</th>
            </tr>
          </thead>
          <tbody>{drawn.map((one) => <Candidate key={one.offer} one={one} />)}</tbody>
        </table>
      </div>
    </>
  );
}

function Candidate({ one }: { one: Drawn }) {
  const { money, time, rest } = one.parts;
  return (
    <tr data-testid="candidate">
      <th scope="row">
        {one.name} {one.served && <b>served</b>}
        {one.notes.length > 0 && <span class="unit">{one.notes.join(", ")}</span>}
        <svg class="bar parts" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="part-money" width={1_000 * money} height="8" />
          <rect class="part-time" x={1_000 * money} width={1_000 * time} height="8" />
          <rect class="part-rest" x={1_000 * (money + time)} width={1_000 * rest} height="8" />
        </svg>
      </th>
      <td>{figure(one.score)}</td>
      <td>{figure(one.cost)}</td>
      <td>{one.ttft.toFixed(2)}</td>
      <td>{Math.round(one.speed)}</td>
      <td>{`${(100 * one.failure).toFixed(1)} %`}</td>
      <td>{one.requests}</td>
      <td>{`${Math.round(100 * one.share)} %`}</td>
    </tr>
  );
}

function figure(micro: number): string {
  return micro >= 100 ? Math.round(micro).toLocaleString() : micro.toPrecision(3);
}
