import { useRef, useState } from "preact/hooks";
import { ask } from "../chat.js";
import { ErrorNote } from "../parts.js";
import { useFault } from "../read.js";
import { check, type Checked } from "../receipts.js";
import { useSession } from "../session.js";
import { ReceiptNote } from "./receipt.js";
import { UseKey } from "./key.js";
import { formatUsdc } from "../money.js";
import { models, prices } from "../models.js";
import { costSoFar } from "../sofar.js";
import { linkToAnswer } from "./why.js";

export function Try() {
  const { relayer, place, key, keep } = useSession();
  const offered = models(relayer.market);
  const [model, setModel] = useState(offered[0] ?? "");
  const [prompt, setPrompt] = useState("Why is the sky blue? Answer in two sentences.");
  const [text, setText] = useState("");
  const [receipt, setReceipt] = useState<Checked | null>(null);
  const [error, setError] = useFault([key, model]);
  const running = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(false);
  if (!key) {
    return (
      <>
        <h1>Ask a model</h1>
        <UseKey />
      </>
    );
  }
  const send = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setText("");
    setReceipt(null);
    setError(null);
    setBusy(true);
    running.current = new AbortController();
    try {
      const answer = await ask(model, prompt, key.reveal(), (part) => setText((before) => before + part), running.current.signal);
      if (answer.error) setError(new Error(answer.error));
      if (answer.receipt) {
        const expected = { relayer: relayer.account, relayerAddress: relayer.chain.relayer, config: relayer.config, vault: place?.vault ?? null };
        const checked = check(answer.id, answer.receipt.bytes, expected, answer.receipt.responseHash);
        setReceipt(checked);
        keep(checked);
      } else {
        setError(new Error("The answer came without a receipt. Ask the relayer for it: its id is " + answer.id));
      }
    } catch (failed) {
      setError((failed as Error).name === "AbortError" ? new Error("Stopped. What was delivered until then is charged; its receipt is under Spending.") : failed);
    }
    running.current = null;
    setBusy(false);
  };
  return (
    <>
      <h1>Ask a model</h1>
      <form class="card" onSubmit={(event) => void send(event)} aria-label="Ask a model">
        <div class="field">
          <label for="model">Model</label>
          <select id="model" value={model} onChange={(event) => setModel(event.currentTarget.value)}>
            {offered.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
          <Posted model={model} />
        </div>
        <div class="field">
          <label for="prompt">Prompt</label>
          <textarea id="prompt" rows={3} value={prompt} onInput={(event) => setPrompt(event.currentTarget.value)} />
        </div>
        <div class="row">
          <button type="submit" aria-disabled={busy} disabled={!prompt.trim()}>Send</button>
          {busy && <button type="button" class="quiet" onClick={() => running.current?.abort()}>Stop</button>}
        </div>
      </form>
      {(text || busy || receipt) && (
        <section class="card" aria-labelledby="answer">
          <h2 id="answer">Answer</h2>
          <p class="answer" aria-live="polite" aria-busy={busy} data-testid="answer">{text || (busy ? "…" : "The answer has no text.")}</p>
          {busy && <SoFar model={model} prompt={prompt} text={text} />}
          {receipt && <ReceiptNote checked={receipt} />}
          {receipt && <p><a href={linkToAnswer(receipt.id)}>Why it went there</a></p>}
        </section>
      )}
      {!!error && <ErrorNote error={error} />}
    </>
  );
}

/** What the model costs, before anything is asked. */
function Posted({ model }: { model: string }) {
  const posted = prices(useSession().relayer.market, model);
  if (!posted) return null;
  const range = ([least, most]: [number, number]) => (least === most ? `$${formatUsdc(BigInt(least))}` : `$${formatUsdc(BigInt(least))} to $${formatUsdc(BigInt(most))}`);
  const request = posted.request > 0 ? `, and up to $${formatUsdc(BigInt(posted.request))} a request` : "";
  return <p class="hint" data-testid="posted">A million tokens: {range(posted.input)} of a prompt, {range(posted.output)} of an answer{request}.</p>;
}

/** The cost of an answer under way. Its provider is told by the receipt alone, so that it lies between those of the dearest and the cheapest. */
function SoFar({ model, prompt, text }: { model: string; prompt: string; text: string }) {
  const { relayer } = useSession();
  const cost = costSoFar(relayer.market, model, prompt, text);
  if (!cost) return null;
  const range = cost.least === cost.most ? formatUsdc(cost.most) : `${formatUsdc(cost.least)} to ${formatUsdc(cost.most)}`;
  return <p class="hint" data-testid="so-far">So far about {cost.tokens} tokens for about {range} USDC, fee included, by the posted prices. The receipt has the sum.</p>;
}
