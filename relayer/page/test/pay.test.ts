/** Links of Solana Pay. Whether wallets read them is a matter of `tests/solana-pay`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { depositLink } from "../src/chain/pay.js";

test("a link names the relayer, the vault and the amount, and is escaped as a whole", () => {
  const vault = "11111111111111111111111111111111";
  const link = depositLink("https://relayer.example", vault, 5_000_000n)!;
  assert.ok(link.startsWith("solana:https%3A%2F%2F") && !link.includes("?"));
  assert.equal(decodeURIComponent(link.slice("solana:".length)), `https://relayer.example/v1/solana-pay/deposits/${vault}?amount=5000000`);
});

test("there is no link where wallets would follow none", () => {
  for (const origin of ["http://127.0.0.1:8787", "http://relayer.example"]) assert.equal(depositLink(origin, "x", 1n), null);
});
