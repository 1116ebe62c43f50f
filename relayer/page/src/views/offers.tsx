import { useEffect, useState } from "preact/hooks";
import {
  changeOf, closeOffer, hasPassed, isModelName, type OfferAccount, type OfferTerms, type PricePoint, putOffer, retireOffer, standingOf,
} from "../../../../app-idl/client/src/index.js";
import type { Wish } from "../approval.js";
import { consequence } from "../chain/consequence.js";
import { EMPTY_OFFER, type Faults, formOf, type OfferForm, readTerms } from "../chain/terms.js";
import { formatTime, formatUsdc } from "../money.js";
import { type OwnOffer, type ProviderPart, readOwn } from "../offers.js";
import { ErrorNote } from "../parts.js";
import { useSession } from "../session.js";
import { useReading } from "../read.js";
import { FlagNote } from "./market.js";
import { OfferFields } from "./offer-fields.js";
import { FromPriceFile } from "./price-file.js";

/** Pause after the last letter of a model's name, before its offer is looked up. */
const TYPED_MS = 400;

interface OffersProps extends ProviderPart {
  /** Notes a model that the provider may have an offer of. */
  known(model: string): void;
}

/** The offers, and the form that posts them. */
export function Offers({ at, provided, ask, known }: OffersProps) {
  const [form, setForm] = useState<OfferForm>(EMPTY_OFFER);
  const models = [...new Set([...provided.offers.map((one) => one.model), form.model])];
  return (
    <>
      <section class="card" aria-labelledby="offers">
        <h2 id="offers">Your offers</h2>
        {provided.offers.length === 0 && <p>The relayer lists none. One that you retired is found by its model, below.</p>}
        <ul class="keys">
          {provided.offers.map((offer) => (
            <OfferItem
              key={offer.model} offer={offer} now={provided.now}
              change={() => setForm(formOf(offer.model, termsOf(offer.account)))}
              retire={() => { known(offer.model); ask({ instructions: [retireOffer(at, offer.model)], models }); }}
              close={() => ask({ instructions: [closeOffer(at, offer.model, offer.account.rent_payer)], models })}
            />
          ))}
        </ul>
      </section>
      <Post at={at} provided={provided} ask={ask} known={known} form={form} setForm={setForm} />
    </>
  );
}

/** The terms that were posted last. */
function termsOf(offer: OfferAccount): OfferTerms {
  const { price, long_price, long_from } = offer.next.version === 0 ? offer.current : offer.next;
  const { context_limit, output_limit, capabilities } = offer;
  return { price, long_price, long_from, context_limit, output_limit, capabilities };
}

interface OfferItemProps {
  offer: OwnOffer;
  now: ProviderPart["provided"]["now"];
  change(): void;
  retire(): void;
  close(): void;
}

function OfferItem({ offer: { model, account, listing }, now, change, retire, close }: OfferItemProps) {
  const { holds, announced, graceUntil } = standingOf(account, now);
  const closes = !account.listed && hasPassed(account.settle_until, now);
  const figures = listing?.board["1h"];
  return (
    <li data-testid="own-offer">
      <p><b>{model}</b> {account.listed ? "listed" : "retired"}: {priceText(holds)}</p>
      {announced && <p class="hint">Announced: {priceText(announced)}, from {formatTime(Number(announced.from.time))}.</p>}
      {graceUntil && <p class="hint">What was served at the prices before settles until {formatTime(Number(graceUntil.time))}. Other prices can be posted then.</p>}
      {!account.listed && !closes && <p class="hint">What was served settles until {formatTime(Number(account.settle_until.time))}. The offer can be closed then, and its rent comes back.</p>}
      {account.listed && (
        <p class="hint">
          {!listing && "This relayer does not list it yet."}
          {listing?.barred && `This relayer asks it for nobody: it ${listing.barred}.`}
          {listing && !listing.barred && `In the last hour: ${figures?.uptime == null ? "no requests" : `uptime ${(figures.uptime * 100).toFixed(1)} %`}, ${Math.round(listing.board.share * 100)} % of the model's recent requests.`}
          {listing?.board.flags.map((flag) => <FlagNote key={flag.reason} flag={flag} />)}
        </p>
      )}
      <p class="row">
        <button type="button" class="quiet" onClick={change}>{account.listed ? `Change ${model}` : `List ${model} again`}</button>
        {account.listed && <button type="button" class="quiet" onClick={retire}>Retire {model}</button>}
        {closes && <button type="button" class="quiet" onClick={close}>Close {model}</button>}
      </p>
    </li>
  );
}

function priceText({ price, long_price, long_from }: PricePoint): string {
  const long = long_from === 0 ? "" : `; above ${long_from.toLocaleString()} prompt tokens $${formatUsdc(long_price.input)} and $${formatUsdc(long_price.output)}`;
  return `$${formatUsdc(price.input)} per million prompt tokens, $${formatUsdc(price.output)} per million answer tokens${long}`;
}

type PostProps = OffersProps & { form: OfferForm; setForm(form: OfferForm): void };

function Post({ at, provided, ask, known, form, setForm }: PostProps) {
  const { relayer } = useSession();
  const [tried, setTried] = useState(false);
  const [posted, setPosted] = useState(0);
  // The form for which the button was pressed before its offer was known. An edit makes another form, and takes the press back.
  const [pressed, setPressed] = useState<OfferForm | null>(null);
  const { account, error, again } = useOffer(at, form.model, provided);
  const { terms, faults } = readTerms(form);
  const wrong = Object.keys(faults).length > 0;
  const change = wrong || account === undefined ? null : changeOf(account, terms, provided.now);
  const until = account ? standingOf(account, provided.now).graceUntil : null;
  const delays = { notice: relayer.config.delays["price_notice"]!, grace: relayer.config.delays["price_grace"]! };
  const note = change && consequence(change, account ?? null, until?.time ?? null, delays);
  const inactive = provided.account?.status !== "Active";
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    // What is wrong is marked, and a note says that nothing can be posted.
    if (wrong || inactive) return;
    if (error) again();
    setPressed(form);
  };
  const waits = pressed === form;
  useEffect(() => {
    if (!waits || (account === undefined && !error)) return;
    setPressed(null);
    // Otherwise the notes say why not.
    if (note && change !== "too early") ask(post(at, form.model, terms, note, () => { known(form.model); setForm(EMPTY_OFFER); setTried(false); setPosted(posted + 1); }));
  }, [waits, account, error]);
  const there = account && form.price.input === "";
  return (
    <form class="card" onSubmit={submit} noValidate aria-labelledby="post">
      <h2 id="post">Post an offer, or change one</h2>
      <FromPriceFile key={posted} fill={setForm} />
      <OfferFields form={form} faults={tried ? faults : ({} as Faults)} change={setForm} />
      {there && (
        <p class="note">
          You have an offer of {account.model}.{" "}
          <button type="button" class="quiet" onClick={() => { known(account.model); setForm(formOf(account.model, termsOf(account))); }}>Fill in its terms</button>
        </p>
      )}
      {note && <p class={change === "too early" ? "note bad" : "note"} role="status" data-testid="consequence">{note}</p>}
      {waits && account === undefined && !error && <p class="progress" role="status">Looking up whether you have an offer of this model …</p>}
      {!!error && <ErrorNote error={error}><button type="button" class="quiet" onClick={again}>Look it up again</button></ErrorNote>}
      {inactive && <p class="note bad">Your provider does not take part, so that it can post nothing.</p>}
      <button type="submit" disabled={inactive || change === "too early"}>Show me the offer</button>
      {tried && wrong && <p class="fault" role="alert">Correct the fields that are marked.</p>}
    </form>
  );
}

function post(at: ProviderPart["at"], model: string, terms: OfferTerms, note: string, done: () => void): Wish {
  return { instructions: [putOffer(at, model, terms)], note, done };
}

/** The offer of this model on chain: `null` if there is none, `undefined` while that is not known. After an `error` it is looked up `again`. */
function useOffer(at: ProviderPart["at"], model: string, provided: ProviderPart["provided"]) {
  // What was looked up is the model as it was written a moment ago.
  const [written, setWritten] = useState(model);
  useEffect(() => {
    const timer = setTimeout(() => setWritten(model), TYPED_MS);
    return () => clearTimeout(timer);
  }, [model]);
  const own = provided.offers.find((one) => one.model.toLowerCase() === model.toLowerCase())?.account;
  const wanted = !own && isModelName(model) && written === model;
  const { value, error, again } = useReading(async () => ({ at, model, account: await readOwn(at, model) }), [at, model], { when: wanted, forgets: true });
  // What was found of another model is no word of this one.
  const found = wanted && value?.model === model && value.at === at ? value.account : undefined;
  return { account: own ?? found, error: wanted && found === undefined ? error : null, again };
}
