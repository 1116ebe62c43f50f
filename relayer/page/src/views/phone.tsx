/** Opens a vault from a phone's wallet, with a key that is made here. */

import { useEffect, useState } from "preact/hooks";
import { SessionKey, toBase58 } from "../../../../app-idl/client/src/index.js";
import { type Opening, wishOf } from "../chain/opening.js";
import { isFollowed, openingLink } from "../chain/pay.js";
import { until } from "../flows.js";
import { Address, ErrorNote } from "../parts.js";
import { openedByPhone } from "../phone.js";
import { vaultView, wishOpening } from "../relayer.js";
import { useSession } from "../session.js";
import { first, type Form, granted, LimitFields, read } from "./limits.js";
import { PayCode } from "./pay.js";

export function StartWithPhone() {
  const [opening, setOpening] = useState<Opening | null>(null);
  if (!isFollowed(location.origin)) return <p class="hint">Served over https, this page also shows a code by which a phone's wallet opens a vault.</p>;
  return (
    <details class="elsewhere">
      <summary>With a phone</summary>
      {opening ? <Scanned opening={opening} close={() => setOpening(null)} /> : <PhoneLimits ask={setOpening} />}
    </details>
  );
}

function PhoneLimits({ ask }: { ask(opening: Opening): void }) {
  const { market } = useSession().relayer;
  const [form, setForm] = useState<Form>(() => first(market));
  const [tried, setTried] = useState(false);
  const { faults, values } = read(form, { opens: true, wallet: null, sponsor: null });
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(faults).length > 0) return;
    ask({ key: new SessionKey(crypto.getRandomValues(new Uint8Array(32))), grant: granted(values, market), amount: values.amount });
  };
  return (
    <form class="card" onSubmit={submit} noValidate aria-label="Limits for a phone">
      <h2>Open your vault from a phone</h2>
      <LimitFields form={form} change={setForm} faults={tried ? faults : {}} deposit="From the phone's wallet, which also pays about 0.012 SOL for rent and the network's fee." />
      <button type="submit">Show the code</button>
      {tried && Object.keys(faults).length > 0 && <p class="fault" role="alert">Correct the fields that are marked.</p>}
    </form>
  );
}

/** The code of an opening, until its vault is there. */
function Scanned({ opening, close }: { opening: Opening; close(): void }) {
  const { relayer: { chain }, setKey, use } = useSession();
  const [link, setLink] = useState<string | null>(null);
  const [account, setAccount] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const left = new AbortController();
    const follow = async () => {
      const { id } = await wishOpening(wishOf(opening));
      setLink(openingLink(location.origin, id));
      const place = await openedByPhone(id, opening, chain, setAccount, left.signal);
      await until(() => vaultView(place.vault, opening.key.reveal()), "The relayer's view of the new key");
      setKey(opening.key);
      use({ wallet: null, address: place.owner });
    };
    follow().catch((failed: unknown) => {
      if (!left.signal.aborted) setError(failed);
    });
    return () => left.abort();
  }, [opening]);
  return (
    <section class="card" aria-label="Code for a phone">
      {!!error && <ErrorNote error={error} />}
      {!error && !link && <p role="status">Asking the relayer for a code …</p>}
      {!error && link && (
        <>
          {account ? (
            <p role="status">
              The wallet <Address of={account} /> was given the opening. If that is yours, approve it there; this page waits until it is final. If you turned it down, scan again.
            </p>
          ) : (
            <p class="hint">
              Scan it with a wallet that knows Solana Pay, within ten minutes, and leave this page open: its key signs what the wallet is given, once it has read that it is this
              opening and nothing else. If it is closed before that is final, the key is lost.
            </p>
          )}
          <p class="hint">The wallet's message names this page's key, <Address of={toBase58(opening.key.address)} />. Approve none that names another.</p>
          <PayCode link={link} />
        </>
      )}
      <button type="button" class="quiet" onClick={close}>{error ? "Begin again" : "Cancel"}</button>
    </section>
  );
}
