import type { ProviderAccount, ProviderPlace } from "../../../../app-idl/client/src/index.js";
import { originProof } from "../chain/terms.js";
import type { Provided } from "../offers.js";
import { Copied } from "../parts.js";

/** What the provider's origin must serve, and whether the relayer has seen it. */
export function Origin({ at, provided, account }: { at: ProviderPlace; provided: Provided; account: ProviderAccount }) {
  if (!URL.canParse(account.url)) return <p class="note bad" role="alert">The URL that is registered is none: relayers cannot ask it. Change it above.</p>;
  const proof = originProof(at.provider, account.url);
  return (
    <section class="card" aria-labelledby="origin">
      <h2 id="origin">Prove your origin</h2>
      <p>Relayers ask only offers whose origin names their provider. Serve this, without a redirect, at <code class="long">{proof.at}</code>:</p>
      <pre tabIndex={0} aria-label="The file of your origin"><code data-testid="proof">{proof.json}</code></pre>
      <Copied text={proof.json} what="file" />
      <Seen provided={provided} />
      <p class="hint">If your engine has another name for a model, add it: <code>"models": {"{"}"OFFERED": "YOUR NAME"{"}"}</code> beside the address.</p>
    </section>
  );
}

function Seen({ provided: { offers } }: { provided: Provided }) {
  const listed = offers.flatMap(({ listing }) => (listing ? [listing] : []));
  const proved = listed.find((one) => one.host !== null);
  if (proved) return <p class="note good" role="status" data-testid="origin-seen">This relayer has read it: {proved.host} names you.</p>;
  const barred = listed.find((one) => one.barred !== null);
  if (barred) {
    return (
      <p class="note bad" role="status" data-testid="origin-seen">
        This relayer asks you for nothing: your offer {barred.barred}. It reads the origin again after 15 seconds at first, then ever more rarely, at least every hour.
      </p>
    );
  }
  if (listed.length > 0) return <p class="note" role="status" data-testid="origin-seen">This relayer asks you without it: its operator trusts you, or asks for no proof.</p>;
  return <p class="note" role="status" data-testid="origin-seen">This relayer reads it when your first offer appears, and again every hour. It lists no offer of yours yet.</p>;
}
