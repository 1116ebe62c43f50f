import { useId } from "preact/hooks";
import { CAPABILITIES, QUANTIZATIONS } from "../../../../app-idl/client/src/index.js";
import type { Faults, OfferForm, PriceForm } from "../chain/terms.js";
import { TextField } from "../parts.js";

const PRICES: readonly (readonly [name: keyof PriceForm, label: string, hint?: string])[] = [
  ["input", "A million prompt tokens (USD)"],
  ["output", "A million answer tokens (USD)"],
  ["cached", "A million cached prompt tokens (USD)", "Empty: as other prompt tokens."],
  ["cacheWrite", "A million tokens written to a cache (USD)", "Empty: as other prompt tokens."],
  ["cacheWriteLong", "A million tokens written for longer (USD)", "Empty: as those written."],
  ["request", "A request (USD)", "Empty: nothing; for long prompts the same."],
];

/** The fields of an offer. */
export function OfferFields({ form, faults, change }: { form: OfferForm; faults: Faults; change(form: OfferForm): void }) {
  const prices = (which: "price" | "longPrice", prefix: string, names: typeof PRICES) => (
    <div class="grid">
      {names.map(([name, label, hint]) => (
        <TextField
          key={name} label={which === "price" ? label : `Long prompt: ${label.charAt(0).toLowerCase()}${label.slice(1)}`} hint={hint} value={form[which][name]} error={faults[prefix + name]}
          onInput={(value) => change({ ...form, [which]: { ...form[which], [name]: value } })}
        />
      ))}
    </div>
  );
  const field = (name: "model" | "context" | "answer" | "longFrom", label: string, hint?: string) => (
    <TextField label={label} hint={hint} type={name === "model" ? "text" : "number"} value={form[name]} error={faults[name]} onInput={(value) => change({ ...form, [name]: value })} />
  );
  return (
    <>
      <div class="grid">
        {field("model", "Model", "As clients name it: qwen/qwen3-32b")}
        {field("context", "Most tokens of prompt and answer together")}
        {field("answer", "Most tokens of an answer", "Empty: as many as together.")}
      </div>
      {prices("price", "", PRICES.slice(0, 3))}
      <details class="elsewhere">
        <summary>Prices of cache writes, of requests, and of long prompts</summary>
        {prices("price", "", PRICES.slice(3))}
        {field("longFrom", "Most prompt tokens at these prices", "Empty: long prompts cost the same.")}
        {form.longFrom.trim() !== "" && prices("longPrice", "long.", PRICES)}
      </details>
      <Abilities form={form} change={change} />
    </>
  );
}

function Abilities({ form, change }: { form: OfferForm; change(form: OfferForm): void }) {
  const id = useId();
  const toggle = (name: string) => {
    const has = form.capabilities.includes(name);
    change({ ...form, capabilities: has ? form.capabilities.filter((one) => one !== name) : [...form.capabilities, name] });
  };
  return (
    <>
      <fieldset class="choice">
        <legend>What it can do, and what you promise</legend>
        {Object.keys(CAPABILITIES).map((name) => (
          <label key={name}>
            <input type="checkbox" checked={form.capabilities.includes(name)} onChange={() => toggle(name)} /> {name}
          </label>
        ))}
      </fieldset>
      <div class="field">
        <label for={id}>Weights</label>
        <select id={id} value={form.quantization} onChange={(event) => change({ ...form, quantization: event.currentTarget.value })}>
          {QUANTIZATIONS.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </div>
    </>
  );
}
