import { useEffect, useRef, useState } from "preact/hooks";
import { authorizeKey, deposit, freePlace, type Holdings, type Instruction, MAX_KEYS, openVault, type Place, SessionKey, type KeyGrant, toBase58 } from "../../../../app-idl/client/src/index.js";
import { Approval, type Wish } from "../approval.js";
import { until } from "../flows.js";
import { formatSol, formatUsdc } from "../money.js";
import { models } from "../models.js";
import { Copied } from "../parts.js";
import { vaultView } from "../relayer.js";
import { useSession } from "../session.js";
import { first, type Form, granted, LimitFields, read } from "./limits.js";
import { StartWithPhone } from "./phone.js";
import { Connect, FaucetButton } from "./wallet.js";

/** Lamports that opening a vault takes: rent of two accounts and room for one key, and the fee. Rent comes back at the end. */
const SOL_NEEDED = 12_000_000n;
/** What another key or a deposit takes: room for a key, and the fee. */
const SOL_FEE = 3_000_000n;

export function Start() {
  const { connected, holdings, key, place } = useSession();
  const [wish, setWish] = useState<Wish | null>(null);
  return (
    <>
      <h1>Deposit, set limits, get an API key</h1>
      <p class="lead">
        One approval in your wallet opens a vault that only you can empty, lets a key made in this browser spend from it within your limits, and deposits
        USDC. Every model of every provider is then behind one OpenAI-compatible address.
      </p>
      {key && <KeyCard key={toBase58(key.address)} sessionKey={key} />}
      {!connected && <Connect />}
      {!connected && <StartWithPhone />}
      {connected && (!holdings || !place) && <p role="status">Reading your accounts …</p>}
      {connected && holdings && place && <div hidden={!!wish}><Limits holdings={holdings} place={place} ask={setWish} /></div>}
      {wish && <Approval wish={wish} close={() => setWish(null)} />}
    </>
  );
}

function Limits({ holdings, place, ask }: { holdings: Holdings; place: Place; ask(wish: Wish): void }) {
  const { relayer, setKey } = useSession();
  const [form, setForm] = useState<Form>(() => first(relayer.market));
  const [tried, setTried] = useState(false);
  const needed = holdings.vault ? SOL_FEE : SOL_NEEDED;
  const lacks = holdings.lamports < needed;
  // The relayer pays where the wallet cannot.
  const sponsor = lacks && !holdings.vault ? relayer.chain.sponsor : null;
  const poor = lacks && !sponsor;
  const { faults, values } = read(form, { opens: !holdings.vault, wallet: holdings.wallet, sponsor });
  const slot = holdings.vault ? freePlace(holdings.vault, { slot: holdings.slot, unix: BigInt(relayer.chain.unix_time) }) : 0;
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(faults).length > 0 || slot === null || poor) return;
    const key = new SessionKey(crypto.getRandomValues(new Uint8Array(32)));
    ask({
      instructions: instructions(holdings, place, toBase58(key.address), slot, granted(values, relayer.market), values.amount, sponsor?.address),
      key,
      sponsor: sponsor ?? undefined,
      done: async (tell) => {
        setKey(key);
        setForm(first(relayer.market));
        setTried(false);
        tell("Final. Waiting until the relayer has seen it …");
        await until(() => vaultView(place.vault, key.reveal()), "The relayer's view of the new key");
      },
    });
  };
  return (
    <form class="card" onSubmit={submit} noValidate aria-label="Limits">
      <h2>{holdings.vault ? "Add a key to your vault" : "Open your vault"}</h2>
      <LimitFields form={form} change={setForm} faults={tried ? faults : {}} deposit={`Your wallet has ${formatUsdc(holdings.wallet)} USDC.`} />
      {slot === null && <p class="note bad">All {MAX_KEYS} places for keys in this vault are taken. End one under Spending; its place is free after the grace.</p>}
      {poor && (
        <p class="note bad">
          Your wallet has {formatSol(holdings.lamports)} SOL, and this takes about {formatSol(needed)} SOL for rent and the network's fee. Rent comes back when
          you close the vault. Send SOL to the wallet first.
        </p>
      )}
      {sponsor && (
        <p class="note">
          Your wallet has {formatSol(holdings.lamports)} SOL, which is too little. This relayer pays the network's fee and the vault's rent for you, from a deposit of{" "}
          {formatUsdc(BigInt(sponsor.min_deposit))} USDC on. The rent goes back to the relayer when the vault is closed. To withdraw later your wallet needs a little SOL of its own for the
          network's fee: 0.002 SOL are enough.
        </p>
      )}
      {(lacks || holdings.wallet === 0n) && <FaucetButton />}
      <button type="submit" disabled={poor || slot === null}>Show me the transaction</button>
      {tried && Object.keys(faults).length > 0 && <p class="fault" role="alert">Correct the fields that are marked.</p>}
    </form>
  );
}

function instructions(holdings: Holdings, place: Place, key: string, slot: number, grant: KeyGrant, amount: bigint, payer: string = place.owner): Instruction[] {
  const list = holdings.vault ? [] : [openVault(place, payer)];
  list.push(authorizeKey(place, key, slot, grant, payer));
  if (amount > 0n) list.push(deposit(place, amount));
  return list;
}

/** The new key, until it was put away; then only how it is used. */
function KeyCard({ sessionKey }: { sessionKey: SessionKey }) {
  const [shown, setShown] = useState(true);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const { relayer } = useSession();
  const model = models(relayer.market)[0] ?? "model";
  const base = `${location.origin}/v1`;
  const secret = sessionKey.reveal();
  if (!shown) return <p class="note good">Your key is in use in this tab until you close it. <a href="#try">Ask a model</a>.</p>;
  const lines = [
    ["curl", `curl ${base}/chat/completions -H 'Authorization: Bearer ${secret}' -H 'Content-Type: application/json' -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`],
    ["Python", `from openai import OpenAI\nclient = OpenAI(base_url="${base}", api_key="${secret}")\nprint(client.chat.completions.create(model="${model}", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)`],
    ["Node.js", `import OpenAI from "openai";\nconst client = new OpenAI({ baseURL: "${base}", apiKey: "${secret}" });\nconsole.log((await client.chat.completions.create({ model: "${model}", messages: [{ role: "user", content: "Hello" }] })).choices[0].message.content);`],
  ] as const;
  return (
    <section class="card good" aria-labelledby="key">
      <h2 id="key" tabIndex={-1} ref={heading}>Your API key</h2>
      <p>It is shown this once and kept nowhere. Put it into your password manager now. Whoever has it can spend within its limits, and nothing more.</p>
      <p class="secret"><code data-testid="api-key">{secret}</code> <Copied text={secret} what="key" /></p>
      {lines.map(([name, text]) => (
        <div class="snippet" key={name}>
          <p><b>{name}</b> <Copied text={text} what={name} /></p>
          <pre tabIndex={0} aria-label={name}><code>{text}</code></pre>
        </div>
      ))}
      <div class="row">
        <a class="button" href="#try">Ask a model</a>
        <button type="button" class="quiet" onClick={() => setShown(false)}>I have put the key away</button>
      </div>
    </section>
  );
}

