/** The terms of an offer from a file of prices, which is read in this browser and sent nowhere. */

import { useId, useState } from "preact/hooks";
import { type Listed, type PriceFile, PriceFileError, readPriceFile } from "../chain/price-file.js";
import type { OfferForm } from "../chain/terms.js";
import { ErrorNote } from "../parts.js";

/** Bytes of a file at most: the largest lists have two million. */
const MOST_BYTES = 20_000_000;

export function FromPriceFile({ fill }: { fill(form: OfferForm): void }) {
  const [file, setFile] = useState<PriceFile | null>(null);
  const [model, setModel] = useState("");
  const [without, setWithout] = useState<Listed["without"]>([]);
  const [error, setError] = useState<unknown>(null);
  const id = useId();
  const attempt = async (what: () => Promise<void> | void) => {
    setError(null);
    setWithout([]);
    try {
      await what();
    } catch (failed) {
      setError(failed instanceof PriceFileError ? failed : new Error("The file cannot be read here. Choose it again."));
    }
  };
  const open = (chosen: File | undefined) => attempt(async () => {
    setFile(null);
    setModel("");
    if (!chosen) return;
    if (chosen.size > MOST_BYTES) throw new PriceFileError("The file is larger than 20 million bytes.");
    setFile(readPriceFile(await chosen.text()));
  });
  const choose = (name: string) => attempt(() => {
    setModel(name);
    const listed = file?.get(name)?.();
    if (!listed) return;
    setWithout(listed.without);
    fill(listed.form);
  });
  return (
    <details class="elsewhere">
      <summary>From a file of prices</summary>
      <p class="hint">LiteLLM's model_prices_and_context_window.json, or what OpenRouter or a relayer answers at /v1/models. It is read here and sent nowhere. One model at a time: <code>steam provider offer --from FILE</code> posts many.</p>
      <div class="field">
        <label for={`${id}-file`}>File of prices</label>
        <input id={`${id}-file`} type="file" accept=".json,application/json" onChange={(event) => void open(event.currentTarget.files?.[0])} />
      </div>
      {file && (
        <div class="field">
          <label for={`${id}-model`}>Model of the file</label>
          <select id={`${id}-model`} value={model} onChange={(event) => void choose(event.currentTarget.value)}>
            <option value="">Choose one of {file.size}</option>
            {[...file.keys()].map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </div>
      )}
      {model && !error && <p class="note" role="status" data-testid="filled">The fields below are filled with the terms of {model}. Check them: they are what the file says.</p>}
      {without.length > 0 && <p class="note bad">The file also has prices that an offer has none for, and that you will not be paid: {without.join(", ")}.</p>}
      {!!error && <ErrorNote error={error} />}
    </details>
  );
}
