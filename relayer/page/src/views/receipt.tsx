import { costOf, promptTokens, toBase58 } from "../../../../app-idl/client/src/index.js";
import { formatPico } from "../money.js";
import { Address } from "../parts.js";
import type { Checked } from "../receipts.js";
import { useSession } from "../session.js";

/** A receipt in words, with what was checked in this browser. */
export function ReceiptNote({ checked }: { checked: Checked }) {
  const { relayer } = useSession();
  const { receipt, fault } = checked;
  const offer = relayer.market.data.find((one) => one.address === toBase58(receipt.offer));
  const { cached, output } = receipt.usage;
  return (
    <div class={fault ? "note bad" : "note good"} data-testid="receipt">
      <p>
        <b>{fault ? "The receipt does not hold." : "Receipt checked."}</b>{" "}
        {fault ?? `The relayer's key signed it, ${checked.withAnswer ? "its sum is its price times its counts, and it names this answer." : "and its sum is its price times its counts."}`}
      </p>
      <dl>
        <div><dt>Cost</dt><dd>{formatPico(costOf(receipt))} USDC, fee included</dd></div>
        <div><dt>Provider</dt><dd>{offer?.host ?? offer?.provider_name ?? <Address of={toBase58(receipt.provider)} />}</dd></div>
        <div><dt>Tokens</dt><dd>{promptTokens(receipt.usage)} in ({cached} of them cached), {output} out, counted by {receipt.countedBy}</dd></div>
        <div><dt>Time</dt><dd>{receipt.ttftMs} ms to the first token, {receipt.durationMs} ms in all</dd></div>
      </dl>
    </div>
  );
}
