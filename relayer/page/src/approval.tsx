/** Shows a transaction in words, has it signed if the person says so, and follows it to its end. */

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Holdings, isUsed, toBase58, UnknownOutcomeError } from "../../../app-idl/client/src/index.js";
import { carryOut, type Parts, prepare, type Prepared, renewed } from "./flows.js";
import { ErrorNote, WordsList } from "./parts.js";
import { useSession } from "./session.js";
import { sign } from "./wallet.js";
import { SignElsewhere } from "./views/elsewhere.js";
import { lacksFee, NeedsSol } from "./views/fee.js";

/** What is to be approved. */
export interface Wish extends Parts {
  /** What follows from it by the state of the chain, which is not in its bytes. */
  note?: string;
  cosign?(transaction: Uint8Array): Promise<Uint8Array>;
  /** Called once the transaction is final; the panel shows its progress. */
  done?(tell: (stage: string) => void): Promise<void> | void;
}

type Stage =
  | { at: "shown"; prepared: Prepared; notice?: string | undefined }
  | { at: "running"; prepared: Prepared; text: string }
  | { at: "failed"; error: unknown }
  | { at: "over"; error: unknown };

export function Approval({ wish, close }: { wish: Wish; close(): void }) {
  const { connected, place, holdings, relayer, reload } = useSession();
  const [stage, setStage] = useState<Stage | null>(null);
  const id = useId();
  const heading = useRef<HTMLHeadingElement>(null);
  const show = (notice?: string) => {
    setStage(null);
    if (place) prepare(place, wish).then((prepared) => setStage({ at: "shown", prepared, notice }), (error) => setStage({ at: "failed", error }));
  };
  useEffect(() => show(), [wish, place]);
  useEffect(() => heading.current?.focus(), []);
  const finish = async (tell: (text: string) => void) => {
    try {
      await wish.done?.(tell);
      close();
    } catch (error) {
      setStage({ at: "over", error });
    }
  };
  // The wallet would be asked for what the network refuses. Who signs elsewhere may have another one pay.
  const signatures = stage?.at === "shown" ? stage.prepared.words.signers.length : 0;
  const unpaid = !!holdings && !!connected?.wallet && !wish.sponsor && signatures > 0 && lacksFee(holdings, signatures);
  const authorised = hasKey(holdings, wish);
  useEffect(() => {
    // Whoever signed elsewhere may have sent it as well: the key that is in force now must be shown.
    if (authorised && stage?.at === "shown") void finish((text) => setStage({ at: "running", prepared: stage.prepared, text }));
  }, [authorised]);
  if (!connected || !place) {
    return (
      <section class="card approval" aria-label="Approval">
        <ErrorNote error={new Error("The wallet is no longer connected. Nothing was sent. Connect it and begin again.")} />
        <button type="button" class="quiet" onClick={close}>Close</button>
      </section>
    );
  }
  const approve = async (shown: Prepared, signed: (prepared: Prepared, tell: (text: string) => void) => Promise<Uint8Array>, anew: typeof renewed) => {
    let prepared = shown;
    const tell = (text: string) => setStage({ at: "running", prepared, text });
    try {
      const fresh = await anew(shown, wish);
      if (!fresh) return show("The wallet was not asked: what the transaction does has changed since it was shown. Read it again.");
      prepared = fresh;
      await carryOut(prepared, await signed(prepared, tell), tell, wish);
    } catch (error) {
      // What may have been carried out is not offered again.
      return setStage({ at: error instanceof UnknownOutcomeError ? "over" : "failed", error });
    }
    await reload().catch(() => {});
    await finish(tell);
  };
  const byWallet = (prepared: Prepared) => {
    if (!connected.wallet) return;
    void approve(prepared, async (prepared, tell) => {
      tell(`Waiting for ${connected.wallet.name} …`);
      return sign(connected, prepared.transaction, relayer.cluster);
    }, renewed);
  };
  const elsewhere = (prepared: Prepared, signed: Uint8Array) => void approve(prepared, async () => signed, async (same) => same);
  return (
    <section class="card approval" aria-labelledby={id}>
      <h2 id={id} tabIndex={-1} ref={heading}>What you are about to approve</h2>
      {!stage && <p role="status">Reading the transaction …</p>}
      {(stage?.at === "failed" || stage?.at === "over") && <ErrorNote error={stage.error} />}
      {(stage?.at === "shown" || stage?.at === "running") && (
        <>
          <p class="hint">Read from the bytes of the transaction that your {connected.wallet ? "wallet" : "signer"} will be shown.</p>
          <WordsList words={stage.prepared.words} />
          {wish.note && <p class="note">{wish.note}</p>}
        </>
      )}
      {stage?.at === "shown" && stage.notice && <p class="note bad" role="alert">{stage.notice}</p>}
      {unpaid && <NeedsSol holdings={holdings} signatures={signatures} />}
      {stage?.at === "running" && <p role="status" class="progress">{stage.text}</p>}
      {stage?.at === "shown" && (
        <SignElsewhere prepared={stage.prepared} wish={wish} open={!connected.wallet} anew={() => show()} signed={(bytes) => elsewhere(stage.prepared, bytes)} />
      )}
      <div class="row">
        {stage?.at === "shown" && connected.wallet && !unpaid && <button type="button" onClick={() => byWallet(stage.prepared)}>Ask {connected.wallet.name} to approve</button>}
        {stage?.at === "failed" && <button type="button" onClick={() => show()}>Try again</button>}
        {stage?.at !== "running" && <button type="button" class="quiet" onClick={close}>{stage?.at === "over" ? "Close" : "Cancel"}</button>}
      </div>
    </section>
  );
}

/** Whether the key of a wish is in the vault. */
function hasKey(holdings: Holdings | null, { key }: Wish): boolean {
  const address = key && toBase58(key.address);
  return !!holdings?.vault?.keys.some((one) => isUsed(one) && one.key === address);
}
