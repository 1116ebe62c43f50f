import { useState } from "preact/hooks";
import { formatTime } from "../money.js";
import { ErrorNote } from "../parts.js";
import { useFault } from "../read.js";
import { endSession, openSession, signIn } from "../relayer.js";
import { useSession } from "../session.js";
import { addressOf, canSignIn, type Connected, signInWith } from "../wallet.js";

/** Signs the owner in, to see `what` belongs to the wallet: a message is signed, and no transaction. */
export function SignInCard({ what }: { what: string }) {
  const { connected, signedIn, setSignedIn } = useSession();
  const [error, setError] = useFault([connected, signedIn]);
  const [busy, setBusy] = useState(false);
  if (!connected) return null;
  if (signedIn) {
    const leave = () => {
      // The session is gone from here in any case; where the relayer does not hear of it, it ends by itself.
      endSession(signedIn.token).catch(() => {});
      setSignedIn(null);
    };
    return (
      <p class="note" data-testid="signed-in">
        Signed in with your wallet until {formatTime(signedIn.expires_at)}: you see {what}. <button type="button" class="link" onClick={leave}>Sign out</button>
      </p>
    );
  }
  if (!connected.wallet || !canSignIn(connected)) {
    return <p class="hint">To see {what} you sign in with a wallet in this browser that signs messages.</p>;
  }
  const sign = async (wallet: Connected) => {
    if (busy) return;
    setError(null);
    setBusy(true);
    try {
      const asked = await signIn(addressOf(wallet));
      setSignedIn(await openSession(asked.address, asked.nonce, await signInWith(wallet, asked)));
    } catch (refused) {
      setError(refused);
    }
    setBusy(false);
  };
  return (
    <section class="card" aria-label="Sign in">
      <p>Sign in with your wallet to see {what}. You sign a message, and no transaction: nothing can be spent or changed with it, and it ends after half an hour.</p>
      <button type="button" class="quiet" aria-disabled={busy} onClick={() => void sign(connected)}>{busy ? `Waiting for ${connected.wallet.name} …` : `Sign in with ${connected.wallet.name}`}</button>
      {!!error && <ErrorNote error={error} />}
    </section>
  );
}
