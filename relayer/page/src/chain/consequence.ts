/** What posted terms lead to, which is not in their bytes: it depends on what the chain has. */

import type { Change, OfferAccount } from "../../../../app-idl/client/src/index.js";
import { formatSeconds, formatTime } from "../money.js";

interface Delay {
  seconds: number;
}

/** What posting terms leads to, in sentences. */
export function consequence(change: Change, offer: OfferAccount | null, graceUntil: bigint | null, delays: { notice: Delay; grace: Delay }): string {
  const [notice, grace] = [formatSeconds(delays.notice.seconds), formatSeconds(delays.grace.seconds)];
  const after = `What was served at the prices before settles for ${grace}; no other prices can be posted within that time.`;
  switch (change) {
    case "first":
      return "You have no offer of this model yet: these prices hold at once.";
    case "unchanged":
      return "These are the prices that hold. Limits and capabilities are written anew, and prices that were announced are withdrawn.";
    case "now":
      return `No request costs more by these prices: they hold at once. ${after}`;
    case "announced":
      return offer?.listed === false
        ? `This offer was retired. It is listed again at once at the prices that it had; these hold after a notice of ${notice}. ${after}`
        : `Something costs more by these prices: they hold after a notice of ${notice}. Until then the present ones hold. ${after}`;
    case "too early":
      return `The prices before still settle${graceUntil === null ? "" : ` until ${formatTime(Number(graceUntil))}`}. Post others then.`;
  }
}
