import { useEffect, useRef, useState } from "preact/hooks";
import {
  authorizeKey, freePlace, type Holdings, isBound, isLive, isUsed, type KeyGrant, type MaxPrices, NEVER, type Place, revokeKey, SessionKey,
  type SessionKeyAccount, toBase58, updateKey, type VaultAccount,
} from "../../../../app-idl/client/src/index.js";
import type { Wish } from "../approval.js";
import { formOfLimits, type LimitForm, limitsOf, readLimits } from "../chain/limits.js";
import { until } from "../flows.js";
import { formatPico, formatSeconds, formatTime, formatUsdc } from "../money.js";
import { nameOf, setName } from "../names.js";
import { Address, ErrorNote, TextField } from "../parts.js";
import { vaultView } from "../relayer.js";
import { useSession } from "../session.js";

interface KeysProps {
  holdings: Holdings;
  vault: VaultAccount;
  place: Place;
  ask(wish: Wish): void;
}

export function Keys({ holdings, vault, place, ask }: KeysProps) {
  const now = Date.now() / 1000;
  const keys = vault.keys.filter(isUsed);
  return (
    <section class="card" aria-labelledby="keys">
      <h2 id="keys">Keys</h2>
      {keys.length === 0 && <p>No key was authorised yet.</p>}
      <ul class="keys">
        {keys.map((key) => (
          <li key={key.epoch} data-testid="key">
            <Title account={key} state={state(key, now)} />
            <p class="hint">{limits(key)}</p>
            {isLive(key, now) && <Actions account={key} holdings={holdings} vault={vault} place={place} ask={ask} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

function state(key: SessionKeyAccount, now: number): string {
  if (key.revoked_at !== 0n) return `ended ${formatTime(Number(key.revoked_at))}`;
  return isLive(key, now) ? "live" : "expired";
}

function limits({ limits, window_seconds, settled_pico, expires, ...key }: SessionKeyAccount): string {
  const window = window_seconds > 0 ? ` and ${formatUsdc(limits.window)} in ${formatSeconds(window_seconds)}` : "";
  const end = expires === NEVER ? "" : `, until ${formatTime(Number(expires))}`;
  const bound = isBound({ ...key, limits, window_seconds, settled_pico, expires }) ? ", for a list of providers" : "";
  return `${formatPico(settled_pico)} of ${formatUsdc(limits.total)} USDC settled, at most that in all${window}${end}${bound}`;
}

/** The key with the name that it has in this browser. */
function Title({ account: { key }, state }: { account: SessionKeyAccount; state: string }) {
  // Read each time: a key that takes another one's place is listed before it has taken the name over.
  const name = nameOf(key);
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const save = (event: Event) => {
    event.preventDefault();
    const given = (text ?? "").trim().slice(0, 60);
    setError(null);
    try {
      setName(key, given);
    } catch {
      setError(new Error("This browser keeps nothing for this page, so the name is gone when the tab is closed."));
    }
    setText(null);
  };
  const form = useRef<HTMLFormElement>(null);
  const isAsked = text !== null;
  useEffect(() => form.current?.querySelector("input")?.focus(), [isAsked]);
  if (text === null) {
    return (
      <>
        <p>
          {name && <b data-testid="key-name">{name} </b>}
          <Address of={key} /> <b>{state}</b> <button type="button" class="link" onClick={() => setText(name)}>{name ? "Rename" : "Name this key"}</button>
        </p>
        {!!error && <ErrorNote error={error} />}
      </>
    );
  }
  return (
    <form onSubmit={save} noValidate aria-label="Name this key" ref={form}>
      <TextField label="Name" type="text" hint="Kept in this browser alone. Empty is no name." value={text} onInput={setText} />
      <p class="row">
        <button type="submit" class="quiet">Keep the name</button>
        <button type="button" class="quiet" onClick={() => setText(null)}>Cancel</button>
      </p>
    </form>
  );
}

type ActionsProps = KeysProps & { account: SessionKeyAccount };

function Actions({ account, holdings, vault, place, ask }: ActionsProps) {
  const { relayer, setKey } = useSession();
  const [form, setForm] = useState<LimitForm | null>(null);
  const slot = freePlace(vault, { slot: holdings.slot, unix: BigInt(relayer.chain.unix_time) });
  const replace = () => {
    if (slot === null) return;
    const key = new SessionKey(crypto.getRandomValues(new Uint8Array(32)));
    ask({
      instructions: [authorizeKey(place, toBase58(key.address), slot, grantOf(account)), revokeKey(place, account.slot)],
      key,
      note: "The new key has the same limits, counted from the beginning, and is shown under Start. The one that it replaces takes no new request from then on.",
      done: async (tell) => {
        inherit(account.key, toBase58(key.address));
        setKey(key);
        tell("Final. Waiting until the relayer has seen it …");
        await until(() => vaultView(place.vault, key.reveal()), "The relayer's view of the new key");
        // There it is shown, once.
        location.hash = "start";
      },
    });
  };
  return (
    <>
      <p class="row">
        <button type="button" class="quiet" onClick={() => setForm(form ? null : formOfLimits(limitsOf(account)))}>Change its limits</button>
        <button type="button" class="quiet" disabled={slot === null} onClick={replace}>Replace this key</button>
        <button type="button" class="quiet" onClick={() => ask({ instructions: [revokeKey(place, account.slot)] })}>End this key</button>
      </p>
      {slot === null && <p class="hint">No place is free for a key that replaces it: end another one first, and wait for its grace.</p>}
      {form && <Change account={account} form={form} setForm={setForm} ask={(wish) => { ask(wish); setForm(null); }} place={place} />}
    </>
  );
}

/** The new key takes the name over. */
function inherit(from: string, to: string): void {
  const name = nameOf(from);
  try {
    if (name) setName(to, name);
  } catch {
    // The store is full: the new key has no name, which is seen, and is in force nevertheless.
  }
}

/** What a key was granted, to be granted again. */
function grantOf(account: SessionKeyAccount): KeyGrant {
  const { expires, window_seconds, allow_root } = account;
  return { ...limitsOf(account), expires, window_seconds, allow_root };
}

interface ChangeProps {
  account: SessionKeyAccount;
  form: LimitForm;
  setForm(form: LimitForm): void;
  ask(wish: Wish): void;
  place: Place;
}

function Change({ account, form, setForm, ask, place }: ChangeProps) {
  const [tried, setTried] = useState(false);
  const windowed = account.window_seconds > 0;
  const { limits, faults } = readLimits(form, windowed);
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(faults).length === 0) ask({ instructions: [updateKey(place, account.slot, limits)] });
  };
  const field = (name: keyof LimitForm, label: string) => (
    <TextField label={label} value={form[name]} error={tried ? faults[name] : null} onInput={(value) => setForm({ ...form, [name]: value })} />
  );
  return (
    <form onSubmit={submit} noValidate aria-label="New limits">
      <div class="grid">
        {field("total", "At most in all (USD)")}
        {windowed && field("window", `At most in ${formatSeconds(account.window_seconds)} (USD)`)}
        {PRICES.map(([name, label]) => field(name, label))}
        {field("fee", "Highest fee of the relayer (%)")}
      </div>
      <button type="submit" class="quiet">Show me the new limits</button>
    </form>
  );
}

const PRICES: readonly (readonly [name: keyof MaxPrices & keyof LimitForm, label: string])[] = [
  ["input", "Highest price of a million prompt tokens (USD)"],
  ["output", "Highest price of a million answer tokens (USD)"],
  ["cached", "Of cached prompt tokens (USD)"],
  ["cache_write", "Of tokens written to a cache (USD)"],
  ["cache_write_long", "Of tokens written for longer (USD)"],
  ["request", "Of a request (USD)"],
];
