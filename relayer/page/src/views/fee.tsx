/** What the network takes for a transaction, of a wallet that may have none of it. */

import type { Holdings } from "../../../../app-idl/client/src/index.js";
import { formatSol } from "../money.js";
import { Copied } from "../parts.js";
import { useSession } from "../session.js";
import { FaucetButton } from "./wallet.js";

/** Lamports for each signature. */
const SIGNATURE_FEE = 5_000n;
/** Lamports that an account without data keeps at least, unless it keeps none. */
const KEPT = 890_880n;

/** Whether the wallet cannot pay for a transaction with so many signatures. */
export function lacksFee({ lamports }: Holdings, signatures: number): boolean {
  const fee = SIGNATURE_FEE * BigInt(signatures);
  return lamports !== fee && lamports < fee + KEPT;
}

/** Says what a wallet with too little SOL needs for what it is about to do, and what can be done. */
export function NeedsSol({ holdings, signatures }: { holdings: Holdings; signatures: number }) {
  const { connected, place } = useSession();
  // A multisig pays in its own way.
  if (!connected?.wallet || !place || !lacksFee(holdings, signatures)) return null;
  return (
    <div class="note bad" data-testid="needs-sol">
      <p>
        Your wallet has {formatSol(holdings.lamports)} SOL. It pays the network's fee itself, also where the relayer paid for the opening: 0.000005 SOL for each signature, and it must keep
        0.0009 SOL. So withdrawing, depositing, changing keys and closing the vault wait until it has a little: send 0.002 SOL to <code class="long">{place.owner}</code> from another
        wallet or an exchange. They are seen here within seconds. Nothing in the vault is lost meanwhile.
      </p>
      <p>A transfer of USDC to the vault needs none of your SOL. With the command line, another keypair can pay: <code>steam vault withdraw --fee-payer KEYPAIR</code>.</p>
      <Copied text={place.owner} what="wallet's address" />
      <FaucetButton />
    </div>
  );
}
