/** What every part of the page shares. The session key lies in memory alone and is gone with the page. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { ChainView, ConfigAccount, Holdings, Place, RelayerAccount, SessionKey } from "../../../app-idl/client/src/index.js";
import type { Checked } from "./receipts.js";
import type { Market, OwnerSession } from "./relayer.js";
import type { Actor } from "./wallet.js";

/** With what is read that was charged: a key, which sees its own, or a session of the owner, who sees that of all keys of the vault. */
export interface Reader {
  token: string;
  /** Tells it apart from others. */
  name: string;
  whole: boolean;
}

export interface Relayer {
  chain: ChainView;
  account: RelayerAccount;
  config: ConfigAccount;
  market: Market;
  cluster: string;
}

export interface Session {
  relayer: Relayer;
  connected: Actor | null;
  place: Place | null;
  holdings: Holdings | null;
  /** When they were read, in milliseconds. */
  readAt: number;
  /** Why they could not be read since; `null` if they are of now. */
  trouble: unknown;
  /** Reads the holdings again. */
  reload(): Promise<void>;
  use(actor: Actor | null): void;
  /** The owner's session, while it holds. It lies in memory alone. */
  signedIn: OwnerSession | null;
  setSignedIn(session: OwnerSession | null): void;
  reader: Reader | null;
  key: SessionKey | null;
  setKey(key: SessionKey | null): void;
  receipts: Checked[];
  keep(...receipts: Checked[]): void;
}

const Context = createContext<Session | null>(null);
export const SessionProvider = Context.Provider;

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("there is no session here");
  return session;
}
