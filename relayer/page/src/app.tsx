import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Holdings, type Place, placeOf, type SessionKey, toBase58 } from "../../../app-idl/client/src/index.js";
import { keepFocus } from "./focus.js";
import { ErrorNote } from "./parts.js";
import { useReading } from "./read.js";
import type { Checked } from "./receipts.js";
import * as api from "./relayer.js";
import { type Reader, type Relayer, type Session, SessionProvider } from "./session.js";
import { type Actor, addressOf, clusterOf, onGone } from "./wallet.js";
import { WalletBar } from "./views/wallet.js";
import { Api } from "./views/api.js";
import { Market } from "./views/market.js";
import { Provider } from "./views/provider.js";
import { Spending } from "./views/spending.js";
import { Start } from "./views/start.js";
import { Try } from "./views/try.js";

const VIEWS = { start: ["Start", Start], try: ["Try", Try], spending: ["Spending", Spending], market: ["Market", Market], provider: ["Provide", Provider], api: ["API", Api] } as const;
type Name = keyof typeof VIEWS;
const NOWHERE: readonly string[] = [];
const NO_RECEIPTS: Checked[] = [];
/** Most receipts that are kept: the latest. */
const MOST_KEPT = 1_000;
/** Pause between two readings of the owner's accounts. */
const READ_MS = 5_000;

async function load(): Promise<Relayer> {
  const chain = await api.chain();
  const [{ relayer, config }, market] = await Promise.all([api.settings(chain), api.market("5m")]);
  return { chain, account: relayer, config, market, cluster: clusterOf(chain.genesis_hash) };
}

export function App() {
  const { view, path } = useHash();
  const { value: relayer, error, again } = useReading(load, [], { when: true });
  useEffect(keepFocus, []);
  return (
    <>
      <header>
        <a class="skip" href="#content" onClick={skip}>Skip to the content</a>
        <p class="brand">Steam Router</p>
        <nav aria-label="Parts of the page">
          {Object.entries(VIEWS).map(([name, [title]]) => (
            <a key={name} href={`#${name}`} aria-current={name === view ? "page" : undefined}>{title}</a>
          ))}
        </nav>
      </header>
      {relayer ? (
        <Ready relayer={relayer} view={view} path={path} />
      ) : (
        <main id="content" tabIndex={-1}>
          {error ? <ErrorNote error={error}><button onClick={again}>Try again</button></ErrorNote> : <p role="status">Reading the chain …</p>}
        </main>
      )}
    </>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function Ready({ relayer, view, path }: { relayer: Relayer; view: Name; path: readonly string[] }) {
  const session = useNewSession(relayer);
  const [title] = VIEWS[view];
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const what = path.join("/");
  useEffect(() => {
    document.title = `${title} · Steam Router`;
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [title, what]);
  // Each part stays as it is while another one is shown: a key or an answer is not lost by looking elsewhere.
  return (
    <SessionProvider value={session}>
      {relayer.chain.faucet && (
        <section class="banner" aria-label="Test network">This relayer is on a local test network. Its money is worth nothing, and its providers are simulated.</section>
      )}
      <WalletBar />
      <main id="content" tabIndex={-1} ref={main}>
        {Object.entries(VIEWS).map(([name, [, View]]) => (
          <div key={name} hidden={name !== view}><View shown={name === view} path={name === view ? path : NOWHERE} /></div>
        ))}
      </main>
    </SessionProvider>
  );
}

/** The part that the address names, and what of it: `#market/MODEL/7d`. */
function useHash(): { view: Name; path: readonly string[] } {
  const read = () => {
    const [name = "", ...path] = location.hash.slice(1).split("/");
    return { view: Object.hasOwn(VIEWS, name) ? (name as Name) : ("start" as const), path: path.map(decoded) };
  };
  const [place, setPlace] = useState<{ view: Name; path: readonly string[] }>(read);
  useEffect(() => {
    const changed = () => setPlace(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return place;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Somebody else wrote this address: it names nothing.
    return "";
  }
}

function useNewSession(relayer: Relayer): Session {
  const [connected, use] = useState<Actor | null>(null);
  const [place, setPlace] = useState<Place | null>(null);
  const [holdings, setHoldings] = useState<Holdings | null>(null);
  const [readAt, setReadAt] = useState(0);
  const [trouble, setTrouble] = useState<unknown>(null);
  const [key, setOneKey] = useState<SessionKey | null>(null);
  const [signedIn, setSignedIn] = useOwnerSession(connected);
  const [kept, setKept] = useState<{ of: string | undefined; receipts: Checked[] }>({ of: undefined, receipts: [] });
  useEffect(() => {
    setPlace(null);
    setHoldings(null);
    setTrouble(null);
    if (!connected) return;
    setPlace(placeOf(addressOf(connected), relayer.chain));
    return connected.wallet ? onGone(connected, () => use(null)) : undefined;
  }, [connected, relayer]);
  const current = useRef(place);
  current.current = place;
  const reload = useCallback(async () => {
    if (!place) return;
    try {
      const read = await api.holdings(place);
      // Who was connected before has other holdings.
      if (place !== current.current) return;
      setHoldings(read);
      setReadAt(Date.now());
      setTrouble(null);
    } catch (error) {
      if (place === current.current) setTrouble(error);
      throw error;
    }
  }, [place]);
  useEffect(() => {
    if (!place) return;
    // A reading that fails leaves what was read last, which is said; the next one follows.
    const read = () => void reload().catch(() => {});
    read();
    const timer = setInterval(() => document.visibilityState === "visible" && read(), READ_MS);
    return () => clearInterval(timer);
  }, [place, reload]);
  const setKey = useCallback((next: SessionKey | null) => setOneKey(next), []);
  const reader = useMemo(() => readerOf(signedIn, key), [signedIn, key]);
  // The receipts are those of one reader: another one begins with none.
  const name = reader?.name;
  const receipts = kept.of === name ? kept.receipts : NO_RECEIPTS;
  const keep = useCallback((...news: Checked[]) => {
    // Whoever waits for a change must not be woken by none.
    if (news.length === 0) return;
    const ids = new Set(news.map(({ id }) => id));
    setKept((before) => {
      const known = before.of === name ? before.receipts.filter(({ id }) => !ids.has(id)) : [];
      return { of: name, receipts: [...news, ...known].sort((a, b) => Number(b.receipt.number - a.receipt.number)).slice(0, MOST_KEPT) };
    });
  }, [name]);
  return { relayer, connected, place, holdings, readAt, trouble, reload, use, signedIn, setSignedIn, reader, key, setKey, receipts, keep };
}

function readerOf(signedIn: api.OwnerSession | null, key: SessionKey | null): Reader | null {
  if (signedIn?.vault) return { token: signedIn.token, name: signedIn.vault, whole: true };
  return key && { token: key.reveal(), name: toBase58(key.address), whole: false };
}

/** The owner's session: it ends with its time, with the relayer's word, and with the wallet that it is of. */
function useOwnerSession(connected: Actor | null): [api.OwnerSession | null, (session: api.OwnerSession | null) => void] {
  const [session, setSession] = useState<api.OwnerSession | null>(null);
  const address = connected && addressOf(connected);
  useEffect(() => {
    if (!session) return;
    if (session.owner !== address) return setSession(null);
    const timer = setTimeout(() => setSession(null), Math.max(session.expires_at * 1_000 - Date.now(), 0));
    const off = api.onSessionEnd(() => setSession(null));
    return () => {
      clearTimeout(timer);
      off();
    };
  }, [session, address]);
  return [session, setSession];
}
