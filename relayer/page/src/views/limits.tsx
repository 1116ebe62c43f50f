/** The limits that a new key is to have, as a form. */

import { type KeyGrant, NEVER, type Sponsor } from "../../../../app-idl/client/src/index.js";
import { grantOf } from "../chain/grant.js";
import { formatUsdc, parseUsdc } from "../money.js";
import { TextField } from "../parts.js";
import { proposed } from "../models.js";
import type { Market } from "../relayer.js";
import { useSession } from "../session.js";

const DAY = 86_400n;

export interface Form {
  amount: string;
  total: string;
  daily: string;
  prompt: string;
  answer: string;
  days: string;
}

/** Who pays, as far as it is known. */
interface Payer {
  /** Whether the vault is opened as well, so that there must be a deposit. */
  opens: boolean;
  /** µUSDC that the wallet has; `null` where the wallet is on a phone. */
  wallet: bigint | null;
  sponsor: Sponsor | null;
}

/** What is proposed. */
export const first = (market: Market): Form => ({ amount: "10", total: "10", daily: "5", days: "30", ...proposal(market) });

/** What a form says, or what is wrong with each field. */
export function read(form: Form, { opens, wallet, sponsor }: Payer): { faults: Partial<Form>; values: { [name in keyof Form]: bigint } } {
  const faults: Partial<Form> = {};
  const money = (name: keyof Form, least: bigint): bigint => {
    const value = parseUsdc(form[name]);
    if (value === null) faults[name] = "Write an amount such as 5 or 0.25.";
    else if (value < least) faults[name] = "Write an amount above zero.";
    return value ?? 0n;
  };
  const values = {
    amount: money("amount", opens ? 1n : 0n), total: money("total", 1n), daily: money("daily", 1n),
    prompt: money("prompt", 0n), answer: money("answer", 0n), days: 0n,
  };
  if (/^\d{1,5}$/.test(form.days)) values.days = BigInt(form.days);
  else faults.days = "Write a whole number of days; 0 is without an end.";
  if (!faults.amount && wallet !== null && values.amount > wallet) faults.amount = `Your wallet has ${formatUsdc(wallet)} USDC.`;
  if (!faults.amount && sponsor && values.amount < BigInt(sponsor.min_deposit)) faults.amount = `The relayer pays fee and rent from a deposit of ${formatUsdc(BigInt(sponsor.min_deposit))} USDC on.`;
  if (!faults.daily && !faults.total && values.daily > values.total) faults.daily = "The limit of a day is above the limit in all.";
  return { faults, values };
}

interface LimitFieldsProps {
  form: Form;
  change(form: Form): void;
  faults: Partial<Form>;
  /** What is said below the deposit. */
  deposit: string;
}

export function LimitFields({ form, change, faults, deposit }: LimitFieldsProps) {
  const { market } = useSession().relayer;
  const capped = proposed(market, "input").capped || proposed(market, "output").capped;
  const field = (name: keyof Form, label: string, hint?: string) => (
    <TextField label={label} hint={hint} value={form[name]} error={faults[name]} onInput={(value) => change({ ...form, [name]: value })} />
  );
  return (
    <>
        <p class="sentence">
          The key may spend at most <b>${form.daily}</b> a day and <b>${form.total}</b> in all, none above <b>${form.prompt}</b> per million prompt tokens and{" "}
          <b>${form.answer}</b> per million answer tokens{form.days === "0" ? ", until you end it" : <>, for <b>{form.days}</b> days</>}.
        </p>
        <div class="grid">
          {field("amount", "Deposit (USDC)", deposit)}
          {field("daily", "At most in a day (USD)")}
          {field("total", "At most in all (USD)")}
          {field("days", "For how many days", "0 is until you end it.")}
          {field("prompt", "Highest price of a million prompt tokens (USD)", capped ? "Dearer offers than well-known models are posted. Proposed is without them." : "Proposed: the dearest offer of today and a quarter more.")}
          {field("answer", "Highest price of a million answer tokens (USD)")}
        </div>
    </>
  );
}

/** What is proposed of prices, in whole cents, as the form takes it. */
function proposal(market: Market): { prompt: string; answer: string } {
  const cents = (component: "input" | "output") => formatUsdc(BigInt(Math.ceil(proposed(market, component).price / 10_000)) * 10_000n).replaceAll(",", "");
  return { prompt: cents("input"), answer: cents("output") };
}

/** What the form grants. A price of requests is not asked for: what is proposed of it. */
export function granted(values: { [name in keyof Form]: bigint }, market: Market): KeyGrant {
  const expires = values.days === 0n ? NEVER : BigInt(Math.floor(Date.now() / 1000)) + values.days * DAY;
  return grantOf({ ...values, expires, request: BigInt(proposed(market, "request").price), feeBps: market.relayer.fee_bps });
}
