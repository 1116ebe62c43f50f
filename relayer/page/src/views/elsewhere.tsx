/** Signers that are not in this browser: multisigs, and keys that lie offline. */

import { useState } from "preact/hooks";
import { fromBase58, toBase58, toBase64 } from "../../../../app-idl/client/src/index.js";
import { returned, ReturnedError } from "../chain/returned.js";
import type { Parts, Prepared } from "../flows.js";
import { Copied, Lines, TextField } from "../parts.js";
import { useSession } from "../session.js";

interface SignElsewhereProps {
  prepared: Prepared;
  wish: Parts & { cosign?: unknown };
  open: boolean;
  /** Makes the bytes with a new blockhash. */
  anew(): void;
  signed(transaction: Uint8Array): void;
}

/** A transaction as bytes, who must sign it, and where its signature comes back. */
export function SignElsewhere({ prepared, wish, open, anew, signed }: SignElsewhereProps) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const bytes = toBase64(prepared.transaction);
  const send = () => {
    try {
      signed(returned(prepared.transaction, text, prepared.place.owner));
    } catch (error) {
      if (!(error instanceof ReturnedError)) throw error;
      setFault(error.message);
    }
  };
  return (
    <details class="elsewhere" open={open}>
      <summary>Sign it elsewhere, as bytes</summary>
      <p class="hint">For a multisig or a signer that is offline. Base64 of a transaction of version 0, whose blockhash lives for about half a minute: if signing takes longer, make the bytes anew.</p>
      <p class="row">
        <Copied text={bytes} what="bytes" />
        <button type="button" class="quiet" onClick={anew}>Make the bytes anew</button>
      </p>
      <pre tabIndex={0} aria-label="The transaction in base64" class="bytes"><code data-testid="bytes">{bytes}</code></pre>
      <p><b>It needs {prepared.words.signers.length === 1 ? "one signature" : `${prepared.words.signers.length} signatures`}</b></p>
      <Lines of={prepared.words.signers.map((signer) => [roleOf(signer, prepared, wish), <code class="long">{signer}</code>])} />
      {prepared.words.signers.length > 1 && (
        <p class="note">
          A multisig that carries instructions out by itself (Squads) cannot add {wish.key ? "the key's" : "the relayer's"} signature.{" "}
          {wish.key ? "Make the key with a wallet or a keypair as the vault's owner." : "Ask for the withdrawal without the relayer instead: that needs the owner's signature alone."}
        </p>
      )}
      <TextField label="The signed transaction, or the owner's signature" type="text" value={text} error={fault} onInput={(value) => { setText(value); setFault(null); }} />
      <button type="button" class="quiet" onClick={send}>Send it</button>
    </details>
  );
}

function roleOf(signer: string, { place, words }: Prepared, { key }: SignElsewhereProps["wish"]): string {
  if (signer === place.owner) return words.payer === signer ? "The owner, who also pays the fee" : "The owner";
  if (key && signer === toBase58(key.address)) return "The new key: it has signed, in these bytes";
  return "The relayer: it signs once it is sent from here";
}

/** Takes the address of an owner who signs elsewhere. */
export function UseAddress() {
  const { use } = useSession();
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const address = text.trim();
    if (!fromBase58(address, 32)) return setFault("An address is 32 bytes in base58.");
    use({ wallet: null, address });
  };
  return (
    <details class="elsewhere">
      <summary>No wallet here: a multisig, or a key that is offline</summary>
      <form onSubmit={submit} noValidate aria-label="An owner who signs elsewhere">
        <p class="hint">The page shows what this address has, and makes each transaction as bytes that are signed elsewhere.</p>
        <TextField label="The owner's address" type="text" value={text} error={fault} onInput={(value) => { setText(value); setFault(null); }} />
        <button type="submit" class="quiet">Use this address</button>
      </form>
    </details>
  );
}
