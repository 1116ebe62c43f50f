/** What was spent, allowed and left open, and the rules by which a receipt counts. */

import { equal, fromBase64, toBase58, toHex, type Address, type Bytes, type Hash } from "../bytes.js";
import { decodeSigned, ReceiptError, verifyReceipt, type Receipt, type SignedReceipt } from "../receipt.js";
import { ceilMicro, formatMicro, formatPico, PICO_PER_MICRO } from "../units.js";
import type { Identity } from "./identity.js";
import type { State, Store } from "./store.js";

/** Seconds after a request's deadline in which it may still be under way. */
const UNDER_WAY_SECONDS = 3_600n;

/** Too much was allowed to requests whose receipts have not been seen. */
export class UnresolvedError extends Error {
  override readonly name = "UnresolvedError";

  constructor(readonly unresolved: bigint, readonly maxUnresolved: bigint) {
    super(
      `Requests without a receipt, this one included, could cost ${formatMicro(unresolved)} USDC, and maxUnresolved allows ${formatMicro(maxUnresolved)}. ` +
        "Wait until answers under way have ended, ask for less at once (maxCost), or raise maxUnresolved.",
    );
  }
}

/** The relayer charged this key for more than this store knows of. */
export class UnknownSpendingError extends Error {
  override readonly name = "UnknownSpendingError";

  constructor(readonly unknown: bigint, readonly maxUnknown: bigint) {
    super(
      `The relayer's receipts charge this key ${formatPico(unknown)} USDC that this store does not know of, and maxUnknown allows ${formatMicro(maxUnknown)}. ` +
        "If the store was lost or the key is used elsewhere too, raise maxUnknown. If neither is so, revoke the key and make a new one.",
    );
  }
}

/** The store holds the state of another key. */
export class ForeignStateError extends Error {
  override readonly name = "ForeignStateError";

  constructor(theirs: string, ours: string) {
    super(`The store holds the state of ${theirs}, not of ${ours}: give every key a store of its own.`);
  }
}

export interface AccountOptions {
  identity: Identity;
  /** The key's address. */
  address: Address;
  /** The relayer's receipt keys by id, from its account on chain. */
  receiptKey: (id: number) => Address | undefined;
  store: Store;
  /** Most µUSDC of ceilings without a receipt, the next request's included. Default: 1 USDC. */
  maxUnresolved?: bigint | undefined;
  /**
   * Most µUSDC that the relayer's receipts may add to what this store knows, beyond what is settled on chain: what is not settled yet
   * when a store is lost, or what another holder of the key spends. Default: 1 USDC. A dishonest relayer can invent that much and no more.
   */
  maxUnknown?: bigint | undefined;
  /** Called with every verified receipt, after it was saved. */
  onReceipt?: ((receipt: Receipt, signed: Bytes) => void) | undefined;
}

/** What a receipt must be for, besides being this key's. */
export interface Expected {
  requestHash?: Hash;
  /** Of the answer; absent where the answer is not here. */
  responseHash?: Hash;
}

export class Account {
  readonly #options: AccountOptions;
  readonly #fresh: State;
  readonly #maxUnresolved: bigint;
  readonly #maxUnknown: bigint;

  constructor(options: AccountOptions) {
    const { identity, address, maxUnresolved = 1_000_000n, maxUnknown = 1_000_000n } = options;
    this.#options = options;
    [this.#maxUnresolved, this.#maxUnknown] = [maxUnresolved, maxUnknown];
    this.#fresh = {
      domain: toHex(identity.domain), vault: toBase58(identity.vault), generation: Number(identity.generation), epoch: identity.epoch,
      key: toBase58(address), spent: "0", high_water: "0", unresolved: [],
    };
  }

  /** The state as last saved; throws {@link ForeignStateError}. */
  state(): Promise<State> {
    return this.#update((state) => state);
  }

  #update(change: (state: State) => State): Promise<State> {
    return this.#options.store.update((kept) => {
      const state = kept ?? this.#fresh;
      const who = (of: State) => `key ${of.key} of vault ${of.vault}, generation ${of.generation}, epoch ${of.epoch}`;
      if (who(state) !== who(this.#fresh) || state.domain !== this.#fresh.domain) throw new ForeignStateError(who(state), who(this.#fresh));
      return change(state);
    });
  }

  /** Notes a request before it is sent; the µUSDC to authorise in total. Throws {@link UnresolvedError}. */
  async begin(requestHash: Hash, maxCost: bigint, notAfter: bigint): Promise<bigint> {
    let authorized = 0n;
    await this.#update((state) => {
      const unresolved = openOf(state) + maxCost;
      if (unresolved > this.#maxUnresolved) throw new UnresolvedError(unresolved, this.#maxUnresolved);
      authorized = ceilMicro(BigInt(state.spent)) + unresolved;
      const highest = authorized > BigInt(state.high_water) ? authorized : BigInt(state.high_water);
      const open = { request_hash: toHex(requestHash), max_cost: Number(maxCost), not_after: Number(notAfter) };
      return { ...state, high_water: String(highest), unresolved: [...state.unresolved, open] };
    });
    return authorized;
  }

  /**
   * Forgets a request that was refused. Should that be untrue, nothing is lost beyond what was signed: authorisations are cumulative.
   */
  async release(requestHash: Hash): Promise<void> {
    await this.#update((state) => without(state, toHex(requestHash)));
  }

  /** Verifies a receipt in base64 and counts it, if it was not counted before; throws {@link ReceiptError} and changes nothing. */
  async accept(text: string, expected: Expected = {}): Promise<Receipt> {
    const bytes = bytesOf(text);
    const { receipt } = this.verify(bytes, expected);
    let counted = false;
    await this.#update((state) => {
      const open = state.unresolved.find(({ request_hash }) => request_hash === toHex(receipt.requestHash));
      // Counted already: whoever recovers may be faster than the answer itself.
      if (!open) return state;
      if (costOf(receipt) > BigInt(open.max_cost) * PICO_PER_MICRO) throw new ReceiptError("Ceiling");
      counted = true;
      const rest = without(state, open.request_hash);
      const spent = BigInt(state.spent) + costOf(receipt);
      // What others charged to this key meanwhile may be of requests that are open here.
      const beyond = receipt.keyCumulative - spent - openOf(rest) * PICO_PER_MICRO;
      return this.#adopted({ ...rest, spent: String(spent) }, beyond) ?? { ...rest, spent: String(spent) };
    });
    if (counted) this.#options.onReceipt?.(receipt, bytes);
    return receipt;
  }

  /** Checks that a receipt is the relayer's and this key's, and for what is expected; throws {@link ReceiptError}. */
  verify(bytes: Bytes, { requestHash, responseHash }: Expected = {}): SignedReceipt {
    const signed = decodeSigned(bytes);
    const { receipt } = signed;
    const { identity, receiptKey } = this.#options;
    const key = receiptKey(receipt.keyId);
    if (!key) throw new ReceiptError("Signature");
    verifyReceipt(signed, key);
    const ours = equal(receipt.domain, identity.domain) && equal(receipt.relayer, identity.relayer) && equal(receipt.vault, identity.vault);
    const ourKey = receipt.generation === identity.generation && receipt.keyEpoch === identity.epoch && receipt.keySlot === identity.slot;
    if (!ours || !ourKey) throw new ReceiptError("Foreign");
    if (requestHash && !equal(receipt.requestHash, requestHash)) throw new ReceiptError("Request");
    if (responseHash && !equal(receipt.responseHash, responseHash)) throw new ReceiptError("Response");
    return signed;
  }

  /**
   * Compares with what is settled on chain for this key. A store that knows of nothing takes the chain's word, if it is not the relayer's:
   * what is settled is gone, and was signed for before the store was lost. Throws {@link UnknownSpendingError}.
   */
  async settled(pico: bigint, independent: boolean): Promise<void> {
    await this.#update((state) => {
      const isFresh = state.spent === "0" && state.high_water === "0";
      if (isFresh && independent) return pico > 0n ? { ...state, spent: String(pico) } : state;
      return this.#adopted(state, pico - BigInt(state.spent) - openOf(state) * PICO_PER_MICRO) ?? this.#refuse(state, pico - BigInt(state.spent));
    });
  }

  /**
   * Brings the state in line with all the key's receipts, in the order in which they were charged: resolves requests whose answers were
   * lost, and adds what this store does not know. Throws {@link UnknownSpendingError} if that is more than `maxUnknown`.
   */
  async reconcile(receipts: readonly string[], now: bigint): Promise<void> {
    const open = new Set((await this.state()).unresolved.map(({ request_hash }) => request_hash));
    const own = receipts.filter((text) => this.#isOwn(decodeSigned(bytesOf(text)).receipt));
    for (const text of own) {
      if (open.has(toHex(decodeSigned(bytesOf(text)).receipt.requestHash))) await this.accept(text);
    }
    // The last has the sum of all.
    const last = own.length > 0 ? this.verify(bytesOf(own[own.length - 1] as string)).receipt : undefined;
    await this.#update((state) => {
      // A request that was open before its receipts were asked for, and is long past its deadline, can have none any more.
      const isOver = ({ request_hash, not_after }: State["unresolved"][number]) => open.has(request_hash) && BigInt(not_after) + UNDER_WAY_SECONDS < now;
      return { ...state, unresolved: state.unresolved.filter((request) => !isOver(request)) };
    });
    await this.#update((state) => {
      const beyond = (last?.keyCumulative ?? 0n) - BigInt(state.spent);
      return this.#adopted(state, beyond) ?? this.#refuse(state, beyond);
    });
  }

  /** Whether a receipt is of this authorisation: the relayer lists those of earlier ones, and of other vaults, as the same key's. */
  #isOwn(receipt: Receipt): boolean {
    const { vault, generation, epoch } = this.#options.identity;
    return equal(receipt.vault, vault) && receipt.generation === generation && receipt.keyEpoch === epoch;
  }

  /** The state after `beyond` pico-USDC that it does not know were added, or `null` if that is more than is allowed. */
  #adopted(state: State, beyond: bigint): State | null {
    if (beyond <= 0n) return state;
    const unknown = BigInt(state.unknown ?? "0") + beyond;
    if (unknown > this.#maxUnknown * PICO_PER_MICRO) return null;
    return { ...state, spent: String(BigInt(state.spent) + beyond), unknown: String(unknown) };
  }

  #refuse(state: State, beyond: bigint): never {
    throw new UnknownSpendingError(BigInt(state.unknown ?? "0") + beyond, this.#maxUnknown);
  }
}

/** Charge and fee in pico-USDC. */
export function costOf(receipt: Receipt): bigint {
  return receipt.charge + receipt.fee;
}

/** µUSDC of the ceilings of requests without a receipt. */
export function openOf(state: State): bigint {
  return state.unresolved.reduce((sum, open) => sum + BigInt(open.max_cost), 0n);
}

function without(state: State, requestHash: string): State {
  return { ...state, unresolved: state.unresolved.filter((open) => open.request_hash !== requestHash) };
}

function bytesOf(text: string): Bytes {
  try {
    return fromBase64(text);
  } catch {
    throw new ReceiptError("Malformed");
  }
}
