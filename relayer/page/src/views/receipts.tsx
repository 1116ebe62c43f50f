import { useEffect } from "preact/hooks";
import { costOf, fromBase64 } from "../../../../app-idl/client/src/index.js";
import { formatPico, formatTime, plural } from "../money.js";
import { ErrorNote } from "../parts.js";
import { useReading } from "../read.js";
import { check, refreshed, type Checked } from "../receipts.js";
import { type ListedReceipt, receipt, receiptPages } from "../relayer.js";
import { type Reader, useSession } from "../session.js";
import { compared } from "../settled.js";
import { linkToAnswer } from "./why.js";

/** Pause between two looks at receipts that are not settled. */
const LOOK_MS = 3_000;
/** Most receipts that are looked at each time: the latest. */
const LOOK_AT = 20;

/** Days that are looked back, and most receipts and pages of a thousand. */
const DAYS = 30;
const MOST = 1_000;
const PAGES = 10;

/** The last receipts. */
async function latest(token: string): Promise<ListedReceipt[]> {
  let found: ListedReceipt[] = [];
  let pages = 0;
  for await (const page of receiptPages(token, Math.floor(Date.now() / 1000) - DAYS * 86_400)) {
    found = [...found, ...page].slice(-MOST);
    if (++pages === PAGES) break;
  }
  return found;
}

/** The requests of a key or of all keys of a vault, from this tab and from elsewhere, each with its receipt as it was checked here. */
export function Receipts({ shown, reader }: { shown: boolean; reader: Reader }) {
  const { relayer, place, receipts, keep } = useSession();
  const expected = { relayer: relayer.account, relayerAddress: relayer.chain.relayer, config: relayer.config, vault: place?.vault ?? null };
  const list = useReading(() => latest(reader.token), [reader], { when: shown });
  useEffect(() => {
    const unknown = (list.value ?? []).filter((one) => !receipts.some((known) => known.id === one.id));
    keep(...unknown.map((one) => check(one.id, fromBase64(one.receipt), expected)));
  }, [list.value]);
  const open = receipts.filter((one) => one.included === null).slice(0, LOOK_AT);
  const look = () => Promise.all(open.map(async (one) => refreshed(one, await receipt(one.id, reader.token))));
  const settling = useReading(look, [receipts, reader], { when: shown && open.length > 0, every: LOOK_MS });
  useEffect(() => {
    keep(...(settling.value ?? []).filter((one) => one.status !== receipts.find((known) => known.id === one.id)?.status));
  }, [settling.value]);
  const error = list.error ?? (open.length > 0 ? settling.error : null);
  const total = receipts.reduce((sum, one) => sum + costOf(one.receipt), 0n);
  return (
    <section class="card" aria-labelledby="receipts">
      <h2 id="receipts">Requests and receipts</h2>
      {receipts.length === 0 ? (
        <p>Nothing was asked with {reader.whole ? "a key of this vault" : "this key"} in the last 30 days. <a href="#try">Ask a model.</a></p>
      ) : (
        <p>{plural(receipts.length, "request")} of {reader.whole ? "all keys" : "this key"}, {formatPico(total)} USDC by their receipts. The last {MOST.toLocaleString()} are listed at most; the file above has all.</p>
      )}
      <Taken reader={reader} receipts={receipts} />
      {receipts.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Receipts">
          <table>
            <thead>
              <tr><th scope="col">When</th><th scope="col">Cost (USDC)</th><th scope="col">Receipt</th><th scope="col">Settlement</th><th scope="col">Why there</th></tr>
            </thead>
            <tbody>
              {receipts.map((one) => (
                <tr key={one.id} data-testid="receipt-row">
                  <td>{formatTime(Number(one.receipt.startedAtMs) / 1000)}</td>
                  <td>{formatPico(costOf(one.receipt))}</td>
                  <td>{one.fault ? <b class="fault">{one.fault}</b> : "holds"}</td>
                  <td>{settlement(one)}</td>
                  <td><a href={linkToAnswer(one.id)} aria-label={`Show why the request of ${formatTime(Number(one.receipt.startedAtMs) / 1000)} went where it went`}>Show</a></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {!!error && <ErrorNote error={error}><button type="button" class="quiet" onClick={list.again}>Read them again</button></ErrorNote>}
      <p class="hint">
        Checked in this browser against the relayer's key on chain. Of a settled one, the proof is followed to the batch's root; that the root is in the
        transaction is checked by <code>steam receipt verify --on-chain</code>.
      </p>
    </section>
  );
}

function settlement({ status, included, transaction }: Checked) {
  if (included === null) return status;
  if (!included) return <b class="fault">The proof does not lead to the batch's root.</b>;
  return <>settled, in its batch <code class="long" title={transaction ?? ""}>{transaction?.slice(0, 8)}…</code></>;
}

/** What the chain took of the vault, or of this key, beside what receipts say: both are read in this browser. */
function Taken({ reader, receipts }: { reader: Reader; receipts: Checked[] }) {
  const { holdings } = useSession();
  const vault = holdings?.vault;
  const key = vault?.keys.find((one) => one.key === reader.name);
  if (!vault || (!reader.whole && !key)) return null;
  const { taken, receipted, proven, beyond } = compared(key ? key.settled_pico : vault.settled_pico + vault.fee_pico, receipts);
  return (
    <>
      <p data-testid="taken">
        The chain has taken {formatPico(taken)} USDC from {key ? "this key" : "this vault"}. The receipts here say {formatPico(receipted)} USDC, of which {formatPico(proven)} USDC are proven to be settled.
        {beyond === 0n && " So no more was taken than receipts say."}
      </p>
      {beyond > 0n && (
        <p class="note bad" data-testid="beyond">
          {formatPico(beyond)} USDC were taken for which no receipt is listed here. If requests are older than 30 days, or more than {MOST.toLocaleString()}, that may be theirs; otherwise ask the
          relayer's operator for the receipts, and end the key.
        </p>
      )}
    </>
  );
}
