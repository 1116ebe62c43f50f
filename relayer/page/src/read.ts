/** Reading from the relayer, again and again: what was read last stays, and what went wrong is gone once it is mended. */

import { type Inputs, useCallback, useEffect, useRef, useState } from "preact/hooks";
import { RelayerError } from "../../../app-idl/client/src/index.js";

/** Pause after a reading that failed and may succeed later. */
const AGAIN_MS = 5_000;

const NOTHING = { value: null, at: 0, error: null };

export interface Reading<T> {
  value: T | null;
  /** When that was read, in milliseconds. */
  at: number;
  /** Why the last reading failed; `null` if it did not. */
  error: unknown;
  /** Reads once more, now. */
  again(): void;
}

interface Options {
  /** Nothing is read while this is false. */
  when: boolean;
  /** Milliseconds between two readings; without them one that succeeded is the last. */
  every?: number;
  /** Forgets what was read as soon as something in `inputs`, or `when`, changes. */
  forgets?: boolean;
}

/** Why something that a person wanted did not come about; forgotten once what it was about changes. */
export function useFault(about: Inputs): [error: unknown, setError: (error: unknown) => void] {
  const [error, setError] = useState<unknown>(null);
  useEffect(() => setError(null), about);
  return [error, setError];
}

/** What `ask` reads, for as long as nothing in `inputs` changes. A reading that failed is made again by itself, unless a person must do something first. */
export function useReading<T>(ask: () => Promise<T>, inputs: Inputs, { when, every, forgets = false }: Options): Reading<T> {
  const [state, setState] = useState<Omit<Reading<T>, "again">>(NOTHING);
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  // What went wrong with other inputs says nothing of these.
  useEffect(() => setState((before) => (forgets ? NOTHING : before.error ? { ...before, error: null } : before)), [...inputs, when]);
  useEffect(() => {
    if (!when) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let current = true;
    const next = (ms: number | undefined) => {
      if (ms !== undefined) timer = setTimeout(read, ms);
    };
    const read = () => {
      if (document.visibilityState !== "visible") return next(every ?? AGAIN_MS);
      latest.current().then(
        (value) => {
          if (!current) return;
          setState({ value, at: Date.now(), error: null });
          next(every);
        },
        (error: unknown) => {
          if (!current) return;
          setState((before) => ({ ...before, error }));
          next(error instanceof RelayerError && error.passes ? Math.min(every ?? AGAIN_MS, AGAIN_MS) : every);
        },
      );
    };
    read();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [...inputs, when, every, attempt]);
  const again = useCallback(() => {
    setState((before) => ({ ...before, error: null }));
    setAttempt((before) => before + 1);
  }, []);
  return { ...state, again };
}
