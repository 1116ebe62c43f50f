/**
 * Provider allow-lists: the set of `Provider` accounts a session key may pay. `authorize_key` takes its root; who settles
 * proves with every charge that the provider is in it.
 */

import { concat, exactly, utf8, type Address, type Hash } from "./bytes.js";
import * as merkle from "./merkle.js";

/** Most providers in a list. */
export const MAX_PROVIDERS = 64;
/** Most steps of a proof. */
export const MAX_STEPS = 6;

/** A step from a node of the tree to the one above it. */
export interface Step {
  /** Whether the sibling stands on the left. */
  left: boolean;
  sibling: Hash;
}

/** `Empty`: no provider. `TooLong`: more than {@link MAX_PROVIDERS}. */
export class AllowListError extends Error {
  constructor(readonly code: "Empty" | "TooLong") {
    super(code === "Empty" ? "an allow-list names at least one provider" : `an allow-list names at most ${MAX_PROVIDERS} providers`);
  }
}

function compare(a: Address, b: Address): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}

function leaf(provider: Address): Hash {
  return merkle.leaf(concat(utf8("steam-allow-list:v1"), exactly(provider, 32)));
}

/** A set of providers, which has one root whatever the order in which it is named. */
export class AllowList {
  /** Ascending, none twice. */
  readonly providers: readonly Address[];

  /** Throws {@link AllowListError}. */
  constructor(named: readonly Address[]) {
    const ascending = named.map((provider) => exactly(provider, 32).slice()).sort(compare);
    this.providers = ascending.filter((provider, at) => at === 0 || compare(provider, ascending[at - 1]!) !== 0);
    if (this.providers.length === 0) throw new AllowListError("Empty");
    if (this.providers.length > MAX_PROVIDERS) throw new AllowListError("TooLong");
  }

  /** What `authorize_key` takes as `allow_root`. */
  root(): Hash {
    return merkle.root(this.providers.map(leaf));
  }

  /** The proof that `provider` is in the list, or `null`. */
  prove(provider: Address): Step[] | null {
    return merkle.steps(this.providers.map(leaf), this.providers.findIndex((member) => compare(member, provider) === 0));
  }
}

/** Whether `steps` lead from `provider` to `root`, as the program checks it. */
export function proves(steps: readonly Step[], provider: Address, root: Hash): boolean {
  if (steps.length > MAX_STEPS) return false;
  return compare(merkle.climb(leaf(provider), steps), exactly(root, 32)) === 0;
}
