/** What a key's holder must not forget, and where it is kept. */

/** The state of one key, in plain JSON: the same as in the file of `steam chat`. Amounts are decimal strings, or µUSDC as numbers. */
export interface State {
  /** Whose state it is. */
  domain: string;
  vault: string;
  generation: number;
  epoch: number;
  /** The key's address in base58. */
  key: string;
  /** Pico-USDC of charges and fees: of verified receipts, and what was recovered. */
  spent: string;
  /** The highest µUSDC ever authorised: with `spent` it bounds what the relayer can still take. */
  high_water: string;
  /** Requests sent whose receipts have not been seen, with their ceilings in µUSDC. */
  unresolved: Unresolved[];
  /** Pico-USDC in `spent` of which this store has no receipt: the relayer's later receipts have it in their sum. */
  unknown?: string;
}

export interface Unresolved {
  request_hash: string;
  /** µUSDC. */
  max_cost: number;
  /** Unix seconds after which the relayer must not admit the request. */
  not_after: number;
}

/**
 * Where the state lives. `update` reads it, hands it to `change` and keeps what that returns, alone among all who share the store; what it
 * keeps must be durable when it resolves: it is awaited before anything is sent. Where `change` throws, nothing is kept.
 */
export interface Store {
  update(change: (state: State | null) => State): Promise<State>;
}

/** A store made of a place to read from and a place to write to that nobody else uses. */
export function storeOf(place: { load(): State | null | Promise<State | null>; save(state: State): void | Promise<void> }): Store {
  let last: Promise<unknown> = Promise.resolve();
  return {
    update(change) {
      const next = last.then(async () => {
        const before = await place.load();
        const state = change(before);
        if (state !== before) await place.save(state);
        return state;
      });
      last = next.catch(() => {});
      return next;
    },
  };
}

/** A store that is gone with the process: the state is recovered from chain and relayer the next time. */
export function memoryStore(): Store {
  let kept: State | null = null;
  return storeOf({ load: () => kept, save: (state) => void (kept = state) });
}

/** A store in the browser's `localStorage`, shared by the origin's tabs. Throws where the browser has no Web Locks. */
export function browserStore(name: string): Store {
  const { locks } = navigator;
  if (!locks) throw new Error("This browser has no Web Locks, which keep tabs from overwriting each other's state: use HTTPS, or another store.");
  return {
    update: (change) =>
      locks.request(name, () => {
        const text = localStorage.getItem(name);
        const before = text === null ? null : (JSON.parse(text) as State);
        const state = change(before);
        if (state !== before) localStorage.setItem(name, JSON.stringify(state));
        return state;
      }) as Promise<State>,
  };
}
