import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Wallet } from "@wallet-standard/base";
import { finalized } from "../../../../app-idl/client/src/index.js";
import { focus } from "../focus.js";
import { formatClock, formatSol, formatUsdc } from "../money.js";
import { Address, ErrorNote } from "../parts.js";
import { useFault } from "../read.js";
import { source, testMoney } from "../relayer.js";
import { useSession } from "../session.js";
import { UseAddress } from "./elsewhere.js";
import { addressOf, connect, disconnect, onWallets, usableWallets } from "../wallet.js";

/** Who is connected, and what they have. */
export function WalletBar() {
  const { connected, holdings, readAt, trouble, use } = useSession();
  const bar = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // The button that connected is gone, and with it the place of the keyboard: what came of it is here.
    if (connected && document.activeElement === document.body) focus(bar.current);
  }, [connected]);
  if (!connected) return null;
  return (
    <section class="wallet" aria-label="Wallet" ref={bar}>
      <p>
        {connected.wallet ? connected.wallet.name : "Signs elsewhere:"} <Address of={addressOf(connected)} />
      </p>
      {holdings ? (
        <p role="status">
          <strong>{formatUsdc(holdings.wallet)}</strong> USDC and <strong>{formatSol(holdings.lamports)}</strong> SOL in the wallet,{" "}
          <strong>{formatUsdc(holdings.balance)}</strong> USDC in the vault
        </p>
      ) : (
        <p role="status">Reading balances …{trouble instanceof Error && ` They cannot be read at the moment, and are asked for again every few seconds. ${trouble.message}`}</p>
      )}
      {holdings && !!trouble && (
        <p class="old" role="status" data-testid="old">
          These figures, and all of the vault's on this page, are from {formatClock(readAt)}, and are asked for again every few seconds. They cannot be read at the moment:{" "}
          {trouble instanceof Error ? trouble.message : String(trouble)}
        </p>
      )}
      <button
        class="quiet"
        onClick={() => {
          if (connected.wallet) void disconnect(connected);
          use(null);
        }}
      >
        Disconnect
      </button>
    </section>
  );
}

/** The wallets that this browser has. */
export function Connect() {
  const { use } = useSession();
  const [wallets, setWallets] = useState<Wallet[]>(usableWallets);
  const [error, setError] = useFault([wallets]);
  useEffect(() => onWallets(() => setWallets(usableWallets())), []);
  const choose = async (wallet: Wallet) => {
    setError(null);
    try {
      use(await connect(wallet));
    } catch (refused) {
      setError(refused);
    }
  };
  return (
    <div class="connect">
      {wallets.length > 0 ? (
        <ul class="wallets">
          {wallets.map((wallet) => (
            <li key={wallet.name}>
              <button onClick={() => void choose(wallet)}>
                <img src={wallet.icon} alt="" width="24" height="24" />
                Connect {wallet.name}
              </button>
            </li>
          ))}
        </ul>
      ) : (
        <div class="note">
          <p>No Solana wallet was found in this browser. Open this page where Phantom, Solflare, Backpack or another wallet is installed. It appears here at once.</p>
          <p>With a keypair file and no wallet, the command line does the same: <code>steam vault open</code>, <code>steam key create</code>.</p>
        </div>
      )}
      {!!error && <ErrorNote error={error} />}
      <UseAddress />
    </div>
  );
}

/** Test money, where there is a faucet. */
export function FaucetButton() {
  const { relayer, connected, reload } = useSession();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useFault([connected]);
  if (!relayer.chain.faucet || !connected) return null;
  const give = async () => {
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      const gift = await testMoney(addressOf(connected));
      await finalized(source, gift.signature, gift);
      await reload();
    } catch (failed) {
      setError(failed);
    }
    setBusy(false);
  };
  return (
    <div class="note">
      <p>This is a test network: its faucet gives you 100 USDC and 1 SOL that are worth nothing.</p>
      <button type="button" class="quiet" aria-disabled={busy} onClick={() => void give()}>{busy ? "Test money is on its way …" : "Give me test money"}</button>
      {!!error && <ErrorNote error={error} />}
    </div>
  );
}
