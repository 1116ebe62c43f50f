import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import {
  closeProvider, createWallet, EVERYTHING, type Instruction, type ProviderAccount, providerPlace, type ProviderPlace, registerProvider, updateProvider, withdrawEarnings,
} from "../../../../app-idl/client/src/index.js";
import { Approval, type Wish } from "../approval.js";
import { faultOfName, readEndpoint } from "../chain/terms.js";
import { formatSol, formatUsdc } from "../money.js";
import { type Provided, type ProviderPart, readProvided } from "../offers.js";
import { Address, ErrorNote, Lines, TextField } from "../parts.js";
import { useFault } from "../read.js";
import { useSession } from "../session.js";
import { Offers } from "./offers.js";
import { Origin } from "./origin.js";
import { Statement } from "./statement.js";
import { Connect, FaucetButton } from "./wallet.js";

/** Lamports that registering takes: rent of two accounts, and the fee. */
const SOL_NEEDED = 7_000_000n;
/** Pause between two readings, and between two offers within one: a relayer answers one peer about ten times a second. */
const READ_MS = 10_000;
const READ_OFFER_MS = 1_000;

export function Provider({ shown }: { shown: boolean }) {
  const { connected, holdings, place } = useSession();
  const at = useMemo(() => (place ? providerPlace(place) : null), [place]);
  const [models, setModels] = useState<readonly string[]>([]);
  const { provided, readAt, error, read } = useProvided(at, models, shown);
  const [wish, setWish] = useState<Wish | null>(null);
  const known = useCallback((model: string) => setModels((all) => (all.includes(model) ? all : [...all, model])), []);
  const ask = (one: Wish) => setWish({ ...one, done: async (tell) => { await one.done?.(tell); await read(); } });
  return (
    <>
      <h1>Provide models and earn</h1>
      <p class="lead">Register an API that speaks one of the dialects, post prices on chain, and be paid in USDC for every answer that a client's receipt names. Registering needs nobody's permission; a relayer's operator may still leave an offer out.</p>
      {!connected && <Connect />}
      {connected && !(provided && holdings) && !error && <p role="status">Reading your accounts …</p>}
      {!!error && <ErrorNote error={error} since={readAt} />}
      {wish && <Approval wish={wish} close={() => setWish(null)} />}
      {at && provided && holdings && (
        <div hidden={!!wish}>
          {!provided.account && <Register at={at} lamports={holdings.lamports} ask={ask} />}
          {provided.account && <Registered at={at} provided={provided} account={provided.account} ask={ask} />}
          {provided.account && <Origin at={at} provided={provided} account={provided.account} />}
          {provided.account && <Statement shown={shown} at={at} />}
          {provided.account && <Offers at={at} provided={provided} ask={ask} known={known} />}
        </div>
      )}
    </>
  );
}

function useProvided(at: ProviderPlace | null, models: readonly string[], shown: boolean) {
  const [provided, setProvided] = useState<Provided | null>(null);
  const [readAt, setReadAt] = useState(0);
  const [error, setError] = useFault([at]);
  useEffect(() => {
    setProvided(null);
    setReadAt(0);
  }, [at]);
  // Whoever asks for a reading gets one of the models that are known by then, and an older reading never replaces a later one.
  const wanted = useRef(models);
  wanted.current = models;
  const last = useRef(0);
  const read = useCallback(async () => {
    if (!at) return;
    const number = ++last.current;
    try {
      const found = await readProvided(at, wanted.current);
      if (number !== last.current) return;
      setProvided(found);
      setReadAt(Date.now());
      setError(null);
    } catch (failed) {
      if (number === last.current) setError(failed);
    }
  }, [at, models]);
  const pause = READ_MS + READ_OFFER_MS * (provided?.offers.length ?? 0);
  useEffect(() => {
    if (!shown) return;
    void read();
    const timer = setInterval(() => document.visibilityState === "visible" && void read(), pause);
    return () => clearInterval(timer);
  }, [read, shown, pause]);
  return { provided, readAt, error, read };
}

interface SelfForm {
  name: string;
  url: string;
}

/** The fields of what a provider says of itself. */
function SelfFields({ form, faults, change }: { form: SelfForm; faults: { [name in keyof SelfForm]: string | null } | null; change(form: SelfForm): void }) {
  return (
    <div class="grid">
      <TextField label="Name shown to people" type="text" value={form.name} error={faults?.name} onInput={(name) => change({ ...form, name })} />
      <TextField
        label="Base URL of your API" type="text" hint="With its /v1: https://api.example.com/v1" value={form.url} error={faults?.url} onInput={(url) => change({ ...form, url })}
      />
    </div>
  );
}

function faultsOf({ name, url }: SelfForm) {
  return { name: faultOfName(name), url: readEndpoint(url).fault };
}

function Register({ at, lamports, ask }: { at: ProviderPlace; lamports: bigint; ask(wish: Wish): void }) {
  const [form, setForm] = useState<SelfForm>({ name: "", url: "" });
  const [tried, setTried] = useState(false);
  const faults = faultsOf(form);
  const poor = lamports < SOL_NEEDED;
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (faults.name || faults.url || poor) return;
    ask({ instructions: [registerProvider(at, form.name, readEndpoint(form.url).url)] });
  };
  return (
    <form class="card" onSubmit={submit} noValidate aria-labelledby="register">
      <h2 id="register">Register</h2>
      <SelfFields form={form} faults={tried ? faults : null} change={setForm} />
      {poor && (
        <>
          <p class="note bad">Your wallet has {formatSol(lamports)} SOL, and this takes about {formatSol(SOL_NEEDED)} SOL for rent and the network's fee. Rent comes back when you close the provider.</p>
          <FaucetButton />
        </>
      )}
      <button type="submit" disabled={poor}>Show me the registration</button>
    </form>
  );
}

function Registered({ at, provided, account, ask }: ProviderPart & { account: ProviderAccount }) {
  const { holdings } = useSession();
  const make: Instruction[] = holdings?.hasWallet ? [] : [createWallet(at)];
  const { earnings } = provided;
  const retired = account.status === "Retired";
  return (
    <section class="card" aria-labelledby="provider">
      <h2 id="provider">Your provider</h2>
      <Lines of={[
        ["Name", account.name],
        ["Base URL", account.url],
        ["Address", <code class="long" data-testid="provider">{at.provider}</code>],
        ["Status", STATUS[account.status]],
        ["Earned and not withdrawn", <span data-testid="earnings">{formatUsdc(earnings)} USDC</span>],
        ["Paid into", <Address of={at.earnings} />],
      ]} />
      <p class="hint">What you served is paid within minutes, when a relayer settles its receipts. What is served and not settled yet is not told by the relayer's API.</p>
      <div class="row">
        <button type="button" disabled={earnings === 0n} onClick={() => ask({ instructions: [...make, withdrawEarnings(at, EVERYTHING)] })}>Withdraw the earnings</button>
        {account.status !== "Suspended" && (
          <button type="button" class="quiet" onClick={() => ask({ instructions: [updateProvider(at, { name: null, url: null, retired: !retired })] })}>
            {retired ? "Take part again" : "Stop taking part"}
          </button>
        )}
        {account.offers === 0 && earnings === 0n && account.status !== "Suspended" && (
          <button type="button" class="quiet" onClick={() => ask({ instructions: [closeProvider(at, account.rent_payer)] })}>Close the provider</button>
        )}
      </div>
      {account.offers > 0 && <p class="hint">It can be closed once its offers are closed and its earnings withdrawn. It has {account.offers} that are not closed.</p>}
      <Change at={at} account={account} ask={ask} />
    </section>
  );
}

const STATUS: { [status in ProviderAccount["status"]]: string } = {
  Active: "takes part",
  Retired: "has stopped taking part",
  Suspended: "suspended by the guardian of the program, who alone ends that",
};

function Change({ at, account, ask }: { at: ProviderPlace; account: ProviderAccount; ask(wish: Wish): void }) {
  const [form, setForm] = useState<SelfForm>({ name: account.name, url: account.url });
  const [tried, setTried] = useState(false);
  const faults = faultsOf(form);
  const { url } = readEndpoint(form.url);
  const same = form.name === account.name && url === account.url;
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (faults.name || faults.url || same) return;
    const update = { name: form.name === account.name ? null : form.name, url: url === account.url ? null : url, retired: null };
    const note = update.url === null ? {} : { note: "Your offers are asked at the new URL, once its origin names you. Charges do not depend on it." };
    ask({ instructions: [updateProvider(at, update)], ...note });
  };
  return (
    <details class="elsewhere">
      <summary>Change name or URL</summary>
      <form onSubmit={submit} noValidate aria-label="Change name or URL">
        <SelfFields form={form} faults={tried ? faults : null} change={setForm} />
        <button type="submit" class="quiet" disabled={same}>Show me the change</button>
      </form>
    </details>
  );
}
