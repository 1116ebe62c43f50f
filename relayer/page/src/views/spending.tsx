import { useEffect, useState } from "preact/hooks";
import {
  cancelWithdraw, closeVault, createWallet, deposit, EVERYTHING, executeWithdraw, type Holdings, type Place, requestWithdraw,
  type VaultAccount, withdrawNow,
} from "../../../../app-idl/client/src/index.js";
import { Approval, type Wish } from "../approval.js";
import { formatPico, formatSeconds, formatTime, formatUsdc, parseUsdc } from "../money.js";
import { Address, Copied, Lines, TextField } from "../parts.js";
import { AddressCode, PayFromPhone } from "./pay.js";
import { chain, cosign, vaultView, type VaultView } from "../relayer.js";
import { useSession } from "../session.js";
import { lacksFee, NeedsSol } from "./fee.js";
import { UseKey } from "./key.js";
import { Keys } from "./keys.js";
import { Receipts } from "./receipts.js";
import { SignInCard } from "./sign-in.js";
import { Usage } from "./usage.js";
import { Connect, FaucetButton } from "./wallet.js";
import { Answer } from "./why.js";

/** Slots for which a withdrawal at once may be carried out: well below the relayer's most, and enough for a person with a hardware wallet. */
const AGREEMENT_SLOTS = 250n;
/** The owner's and the relayer's, of a withdrawal at once. */
const MOST_SIGNATURES = 2;
/** Pause between two looks at the cluster's clock. */
const LOOK_MS = 2_000;

/** What a vault spends; with a path, one of its requests. */
export function Spending({ shown, path }: { shown: boolean; path: readonly string[] }) {
  const { reader } = useSession();
  const [id] = path;
  if (!id) return <All shown={shown} />;
  return (
    <>
      <h1>Spending</h1>
      {reader ? <Answer key={`${id} ${reader.name}`} shown={shown} id={id} token={reader.token} /> : <UseKey />}
    </>
  );
}

function All({ shown }: { shown: boolean }) {
  const { connected, holdings, place, reader } = useSession();
  const [wish, setWish] = useState<Wish | null>(null);
  return (
    <>
      <h1>Spending</h1>
      {!connected && <p>Connect the wallet that owns the vault to end keys, withdraw or deposit more.</p>}
      {!connected && <Connect />}
      {connected && (!holdings || !place) && <p role="status">Reading your accounts …</p>}
      {wish && <Approval wish={wish} close={() => setWish(null)} />}
      {holdings && place && !holdings.vault && <p class="note">This wallet has no vault at this relayer. <a href="#start">Open one.</a></p>}
      {holdings?.vault && place && (
        <div hidden={!!wish}>
          <Balance holdings={holdings} place={place} shown={shown} />
          <NeedsSol holdings={holdings} signatures={MOST_SIGNATURES} />
          <Keys holdings={holdings} vault={holdings.vault} place={place} ask={setWish} />
          <Withdraw holdings={holdings} vault={holdings.vault} place={place} ask={setWish} />
          <Deposit holdings={holdings} place={place} ask={setWish} />
        </div>
      )}
      {holdings?.vault && <SignInCard what="what all keys of your vault used" />}
      {reader && <Usage key={reader.name} shown={shown} reader={reader} />}
      {reader ? <Receipts key={`${reader.name} receipts`} shown={shown} reader={reader} /> : <UseKey />}
    </>
  );
}

interface Part {
  place: Place;
  ask(wish: Wish): void;
}

function Balance({ holdings, place, shown }: { holdings: Holdings; place: Place; shown: boolean }) {
  const { reader } = useSession();
  const [view, setView] = useState<VaultView | null>(null);
  useEffect(() => {
    if (!reader || !shown) return setView(null);
    // A key of another vault sees nothing of this one.
    vaultView(place.vault, reader.token).then(setView, () => setView(null));
  }, [reader, shown, holdings]);
  const { vault } = holdings;
  return (
    <section class="card" aria-labelledby="balance">
      <h2 id="balance">Your vault</h2>
      <dl>
        <div><dt>Address</dt><dd><Address of={place.vault} /></dd></div>
        <div><dt>Balance on chain</dt><dd data-testid="balance">{formatUsdc(holdings.balance)} USDC</dd></div>
        <div><dt>Settled so far</dt><dd>{formatPico(vault!.settled_pico)} USDC to providers and {formatPico(vault!.fee_pico)} USDC in fees</dd></div>
        {view && <div><dt>Charged, not settled yet</dt><dd>{formatPico(BigInt(view.unsettled_pico))} USDC</dd></div>}
        {view && <div><dt>Available for new requests</dt><dd>{formatUsdc(BigInt(view.available))} USDC</dd></div>}
      </dl>
    </section>
  );
}

function Withdraw({ holdings, vault, place, ask }: Part & { holdings: Holdings; vault: VaultAccount }) {
  const { relayer } = useSession();
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const delay = relayer.config.delays["withdraw_delay"]!;
  const make = holdings.hasWallet ? [] : [createWallet(place)];
  const wanted = (): bigint | null => {
    if (text.trim() === "") return EVERYTHING;
    const amount = parseUsdc(text);
    const problem = amount === null || amount === 0n ? "Write an amount, or leave it empty for everything." : amount > holdings.balance ? `The vault has ${formatUsdc(holdings.balance)} USDC.` : null;
    setFault(problem);
    return problem ? null : amount;
  };
  const now = () => {
    const amount = wanted();
    if (amount === null) return;
    const agreement = { generation: vault.generation, settle_seq: vault.settle_seq, valid_until_slot: holdings.slot + AGREEMENT_SLOTS };
    ask({ instructions: [...make, withdrawNow(place, relayer.account.settler, amount, agreement)], cosign });
  };
  const request = () => {
    const amount = wanted();
    if (amount !== null) ask({ instructions: [requestWithdraw(place, amount)] });
  };
  return (
    <section class="card" aria-labelledby="withdraw">
      <h2 id="withdraw">Withdraw</h2>
      {vault.pending_withdrawal > 0n ? (
        <Pending vault={vault} place={place} make={make} ask={ask} />
      ) : (
        <>
          <TextField label="Amount (USDC)" hint="Empty is everything." value={text} error={fault} onInput={(value) => { setText(value); setFault(null); }} />
          <div class="row">
            <button type="button" disabled={holdings.balance === 0n} onClick={now}>Withdraw at once</button>
            <button type="button" class="quiet" disabled={holdings.balance === 0n} onClick={request}>Ask for it without the relayer</button>
          </div>
          <p class="hint">
            At once takes the relayer's signature too, and everything only when nothing is charged and unsettled. Without the relayer it takes{" "}
            {formatSeconds(delay.seconds)} and two approvals, and nobody can stop it.
          </p>
        </>
      )}
      {holdings.balance === 0n && (
        <>
          <p>The vault is empty. Closing it gives its rent back in SOL{vault.rent_payer === place.owner ? "" : <> to <Address of={vault.rent_payer} />, who paid it</>}, and ends its keys.</p>
          <button type="button" class="quiet" onClick={() => ask({ instructions: [...make, closeVault(place, vault.rent_payer)], note: "What is charged and not settled yet is lost to the providers: close it after the last settlement." })}>
            Close the vault
          </button>
        </>
      )}
    </section>
  );
}

function Pending({ vault, place, make, ask }: Part & { vault: VaultAccount; make: ReturnType<typeof createWallet>[] }) {
  const { relayer } = useSession();
  const [at, setAt] = useState(relayer.chain);
  useEffect(() => {
    // A reading that fails leaves what was read last; the next one follows.
    const timer = setInterval(() => void chain().then(setAt, () => {}), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const unlock = Number(vault.unlock_at.time);
  // The program goes by the cluster's clock and by slots, and both must have passed.
  const due = at.unix_time > unlock && BigInt(at.slot) > vault.unlock_at.slot;
  const amount = vault.pending_withdrawal === EVERYTHING ? "Everything" : `${formatUsdc(vault.pending_withdrawal)} USDC`;
  return (
    <>
      <p>{amount} was asked for. {!due ? `It can be withdrawn from ${formatTime(unlock)}.` : "It can be withdrawn now."}</p>
      <div class="row">
        <button type="button" disabled={!due} onClick={() => ask({ instructions: [...make, executeWithdraw(place)] })}>Withdraw it</button>
        <button type="button" class="quiet" onClick={() => ask({ instructions: [cancelWithdraw(place)] })}>Leave it in the vault</button>
      </div>
    </>
  );
}

function Deposit({ holdings, place, ask }: Part & { holdings: Holdings }) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const amount = parseUsdc(text);
    const problem = !amount ? "Write an amount such as 5 or 0.25." : amount > holdings.wallet ? `Your wallet has ${formatUsdc(holdings.wallet)} USDC.` : null;
    setFault(problem);
    if (!problem) ask({ instructions: [deposit(place, amount!)], done: () => setText("") });
  };
  return (
    <form class="card" aria-labelledby="deposit" onSubmit={submit} noValidate>
      <h2 id="deposit">Deposit more</h2>
      <TextField label="Deposit (USDC)" hint={`Your wallet has ${formatUsdc(holdings.wallet)} USDC.`} value={text} error={fault} onInput={(value) => { setText(value); setFault(null); }} />
      <button type="submit">Deposit</button>
      {!!parseUsdc(text) && <PayFromPhone vault={place.vault} amount={parseUsdc(text)!} />}
      <FromExchange place={place} />
      {holdings.wallet === 0n && !lacksFee(holdings, MOST_SIGNATURES) && <FaucetButton />}
    </form>
  );
}

/** What the form of an exchange asks for, and what goes wrong there. */
function FromExchange({ place }: { place: Place }) {
  return (
    <details class="elsewhere">
      <summary>From an exchange, or from any other wallet</summary>
      <p>Make a withdrawal of USDC there. Its form asks for:</p>
      <Lines of={[
        ["Coin", "USDC"],
        ["Network", "Solana (also called SPL)"],
        ["Address", <code class="long" data-testid="deposit-address">{place.vault}</code>],
        ["Memo or tag", "none: leave it empty"],
      ]} />
      <p class="row"><Copied text={place.vault} what="address" /></p>
      <AddressCode of={place.vault} />
      <p>The exchange's own minimum and fee hold. The deposit is seen here within seconds of being final. What goes wrong:</p>
      <ul>
        <li>Another network (Ethereum, Base, …): its addresses look otherwise, and the form refuses this one. Do not look for another address of yours: the vault has none there.</li>
        <li>Another token, such as USDT, or SOL: it is not credited. <code>steam vault recover</code> gives tokens back to the owner.</li>
        <li>The vault's token account, which block explorers show beside it, in the place of the address: what is sent to it by an exchange is not credited until <code>steam vault recover --nested</code> moves it into the vault.</li>
        <li>A form that says the address is not valid, or “off curve”: withdraw to your wallet, and deposit from there.</li>
      </ul>
    </details>
  );
}
