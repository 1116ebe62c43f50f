/** What the parts of the page are made of. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Words } from "./chain/words.js";
import { formatClock, short } from "./money.js";

/** How long a button says what became of its press. */
const SAID_MS = 4_000;

/** What went wrong; with `since`, when what is shown beside it was read. */
export function ErrorNote({ error, since, children }: { error: unknown; since?: number; children?: ComponentChildren }) {
  const text = error instanceof Error ? error.message : String(error);
  return (
    <div class="note bad" role="alert">
      <p>{text}</p>
      {!!since && <p>What is shown here was read at {formatClock(since)}. It is read again every few seconds.</p>}
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
  type?: "number" | "text" | "password";
}

/** A labelled field. What is wrong with it stands below it. */
export function TextField({ label, hint, value, onInput, error, type = "number" }: FieldProps) {
  const id = useId();
  const kind = type === "password" ? ({ type } as const) : ({ type: "text", inputMode: type === "number" ? "decimal" : "text" } as const);
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
  const [said, setSaid] = useState<string | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // A browser refuses it, or has it only on pages over https.
      setSaid("Not copied: select the text, and copy it");
    }
    setTimeout(() => setSaid(null), SAID_MS);
  };
  return <button type="button" class="quiet" onClick={() => void copy()}>{said ?? `Copy ${what}`}</button>;
}

/** Lines of a label and what belongs to it. */
export function Lines({ of }: { of: readonly (readonly [label: ComponentChildren, value: ComponentChildren])[] }) {
  return (
    <dl>
      {of.map(([label, value], place) => (
        <div key={typeof label === "string" ? label : place}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function WordsList({ words }: { words: Words }) {
  return (
    <ol class="words">
      {words.steps.map((step, at) => (
        <li key={at}>
          <p class="step">{step.title}</p>
          <Lines of={step.details} />
        </li>
      ))}
    </ol>
  );
}
