/** Links of Solana Pay with their pictures, and a deposit from a phone. */

import { encode } from "uqr";
import { depositLink } from "../chain/pay.js";
import { formatUsdc } from "../money.js";
import { Copied } from "../parts.js";

/** Where there is a link, what a phone scans to deposit µUSDC into `vault`. */
export function PayFromPhone({ vault, amount }: { vault: string; amount: bigint }) {
  const link = depositLink(location.origin, vault, amount);
  if (!link) return <p class="hint">Served over https, this page also shows a code by which a phone's wallet deposits.</p>;
  return (
    <details class="elsewhere">
      <summary>Deposit {formatUsdc(amount)} USDC from a phone</summary>
      <p class="hint">Scan it with a wallet that knows Solana Pay. The wallet shows a transfer of USDC to the vault's token account.</p>
      <PayCode link={link} />
    </details>
  );
}

/** An address, to be scanned by the application of an exchange. */
export function AddressCode({ of }: { of: string }) {
  return <Code of={of} label="The address as a code" />;
}

function Code({ of, label }: { of: string; label: string }) {
  const { data, size } = encode(of);
  const dark = data.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : []))).join("");
  return (
    <svg class="code" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={dark} fill="#000" />
    </svg>
  );
}

/** What a phone scans, and the link behind it. */
export function PayCode({ link }: { link: string }) {
  return (
    <>
      <Code of={link} label="Code of Solana Pay" />
      <p class="row"><a href={link}>Open in a wallet on this device</a> <Copied text={link} what="link" /></p>
    </>
  );
}
