/**
 * The Merkle tree of RFC 6962 §2.1, over signed receipts and over the providers of an allow-list. A root commits to its leaves and their order, not to their
 * number: take the count from the transaction (the sum of its groups' `receipts`), never from whoever hands you the proof.
 */

import { sha256, type Bytes, type Hash } from "./bytes.js";

/** Hash of a leaf. */
export function leaf(data: Bytes): Hash {
  return sha256(Uint8Array.of(0), data);
}

function node(left: Hash, right: Hash): Hash {
  return sha256(Uint8Array.of(1), left, right);
}

/** The largest power of two below `count`. */
function split(count: number): number {
  let half = 1;
  while (half * 2 < count) half *= 2;
  return half;
}

/** Root over leaf hashes. */
export function root(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return leaves[0]!;
  const at = split(leaves.length);
  return node(root(leaves.slice(0, at)), root(leaves.slice(at)));
}

/** The siblings on the way from leaf `index` to the root, nearest first; `null` if there is no such leaf. */
export function proof(leaves: readonly Hash[], index: number): Hash[] | null {
  return steps(leaves, index)?.map((step) => step.sibling) ?? null;
}

/** The same, each with the side on which it stands. */
export function steps(leaves: readonly Hash[], index: number): { left: boolean; sibling: Hash }[] | null {
  if (!(index >= 0 && index < leaves.length)) return null;
  if (leaves.length === 1) return [];
  const at = split(leaves.length);
  const [left, right] = [leaves.slice(0, at), leaves.slice(at)];
  return index < at
    ? [...steps(left, index)!, { left: false, sibling: root(right) }]
    : [...steps(right, index - at)!, { left: true, sibling: root(left) }];
}

/** The root that `way` leads to from a leaf's hash. Which leaf of how many it is it does not say. */
export function climb(leafHash: Hash, way: readonly { left: boolean; sibling: Hash }[]): Hash {
  return way.reduce((hash, { left, sibling }) => (left ? node(sibling, hash) : node(hash, sibling)), leafHash);
}

/** The root that `leafHash` at `index` of `count` leads to by `path`; `null` if the path does not fit (RFC 9162 §2.1.3.2). */
export function rootFromProof(leafHash: Hash, index: bigint, count: bigint, path: readonly Hash[]): Hash | null {
  if (index < 0n || index >= count) return null;
  let [position, last, hash] = [index, count - 1n, leafHash];
  for (const sibling of path) {
    if (last === 0n) return null;
    if (position & 1n || position === last) {
      hash = node(sibling, hash);
      while (!(position & 1n) && position !== 0n) [position, last] = [position >> 1n, last >> 1n];
    } else {
      hash = node(hash, sibling);
    }
    [position, last] = [position >> 1n, last >> 1n];
  }
  return last === 0n ? hash : null;
}
