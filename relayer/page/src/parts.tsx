/** What the parts of the page are made of. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Instruction, type SessionKey, UnknownOutcomeError } from "../../../app-idl/client/src/index.js";
import type { Words } from "./chain/words.js";
import { carryOut, prepare, type Prepared } from "./flows.js";
import { short } from "./money.js";
import { useSession } from "./session.js";

export function ErrorNote({ error, children }: { error: unknown; children?: ComponentChildren }) {
  const text = error instanceof Error ? error.message : String(error);
  return (
    <div class="note bad" role="alert">
      <p>{text}</p>
      {children}
    </div>
  );
}

export function Address({ of }: { of: string }) {
  return <code title={of}>{short(of)}</code>;
}

interface FieldProps {
  label: string;
  hint?: string | undefined;
  value: string;
  onInput(value: string): void;
  error?: string | null | undefined;
  type?: "text" | "password";
}

/** A labelled field. What is wrong with it stands below it. */
export function TextField({ label, hint, value, onInput, error, type = "text" }: FieldProps) {
  const id = useId();
  const kind = type === "password" ? ({ type } as const) : ({ type, inputMode: "decimal" } as const);
  const described = error ? `${id}-error` : hint ? `${id}-hint` : undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id} {...kind} value={value} autocomplete="off" spellcheck={false}
        aria-invalid={!!error} aria-describedby={described} onInput={(event) => onInput(event.currentTarget.value)}
      />
      {error ? <p class="fault" id={`${id}-error`}>{error}</p> : hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

export function Copied({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 2_000);
  };
  return <button type="button" class="quiet" onClick={() => void copy().catch(() => {})}>{done ? "Copied" : `Copy ${what}`}</button>;
}

export function WordsList({ words }: { words: Words }) {
  return (
    <ol class="words">
      {words.steps.map((step, at) => (
        <li key={at}>
          <p class="step">{step.title}</p>
          <dl>
            {step.details.map(([label, text]) => (
              <div key={label}>
                <dt>{label}</dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </li>
      ))}
    </ol>
  );
}

/** What is to be approved. */
export interface Wish {
  instructions: Instruction[];
  key?: SessionKey;
  cosign?(transaction: Uint8Array): Promise<Uint8Array>;
  /** Called once the transaction is final; the panel shows its progress. */
  done(tell: (stage: string) => void): Promise<void> | void;
}

type Stage = { at: "shown"; prepared: Prepared } | { at: "running"; prepared: Prepared; text: string } | { at: "failed"; error: unknown } | { at: "over"; error: unknown };

/** Shows a transaction in words, asks the wallet for it if the person says so, and follows it to its end. */
export function Approval({ wish, close }: { wish: Wish; close(): void }) {
  const { connected, place, relayer, reload } = useSession();
  const [stage, setStage] = useState<Stage | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const show = () => {
    setStage(null);
    if (place) prepare(place, wish.instructions, wish.key).then((prepared) => setStage({ at: "shown", prepared }), (error) => setStage({ at: "failed", error }));
  };
  useEffect(show, [wish, place]);
  useEffect(() => heading.current?.focus(), []);
  if (!connected || !place) {
    return (
      <section class="card approval" aria-label="Approval">
        <ErrorNote error={new Error("The wallet is no longer connected. Nothing was sent. Connect it and begin again.")} />
        <button type="button" class="quiet" onClick={close}>Close</button>
      </section>
    );
  }
  const approve = async (prepared: Prepared) => {
    const tell = (text: string) => setStage({ at: "running", prepared, text });
    try {
      await carryOut(prepared, connected, relayer.cluster, tell, wish.cosign);
    } catch (error) {
      // What may have been carried out is not offered again.
      return setStage({ at: error instanceof UnknownOutcomeError ? "over" : "failed", error });
    }
    try {
      await reload().catch(() => {});
      await wish.done(tell);
      close();
    } catch (error) {
      setStage({ at: "over", error });
    }
  };
  return (
    <section class="card approval" aria-labelledby="approval">
      <h2 id="approval" tabIndex={-1} ref={heading}>What you are about to approve</h2>
      {!stage && <p role="status">Reading the transaction …</p>}
      {(stage?.at === "failed" || stage?.at === "over") && <ErrorNote error={stage.error} />}
      {(stage?.at === "shown" || stage?.at === "running") && (
        <>
          <p class="hint">Read from the bytes of the transaction that your wallet will be shown.</p>
          <WordsList words={stage.prepared.words} />
        </>
      )}
      {stage?.at === "running" && <p role="status" class="progress">{stage.text}</p>}
      <div class="row">
        {stage?.at === "shown" && <button type="button" onClick={() => void approve(stage.prepared)}>Ask {connected.wallet.name} to approve</button>}
        {stage?.at === "failed" && <button type="button" onClick={show}>Try again</button>}
        {stage?.at !== "running" && <button type="button" class="quiet" onClick={close}>{stage?.at === "over" ? "Close" : "Cancel"}</button>}
      </div>
    </section>
  );
}
