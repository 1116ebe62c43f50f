/** Links of Solana Pay. Whether wallets read them is a matter of `tests/solana-pay`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { depositLink, openingLink } from "../src/chain/pay.js";

test("a link names the relayer, the vault and the amount, and is escaped as a whole", () => {
  const vault = "11111111111111111111111111111111";
  const link = depositLink("https://relayer.example", vault, 5_000_000n)!;
  assert.ok(link.startsWith("solana:https%3A%2F%2F") && !link.includes("?"));
  assert.equal(decodeURIComponent(link.slice("solana:".length)), `https://relayer.example/v1/solana-pay/deposits/${vault}?amount=5000000`);
});

test("a link to an opening names it alone", () => {
  const id = "0123456789abcdef".repeat(2);
  assert.equal(decodeURIComponent(openingLink("https://relayer.example", id)!), `solana:https://relayer.example/v1/solana-pay/openings/${id}`);
});

test("there is no link where wallets would follow none", () => {
  for (const origin of ["http://127.0.0.1:8787", "http://relayer.example"]) assert.deepEqual([depositLink(origin, "x", 1n), openingLink(origin, "x")], [null, null]);
});
