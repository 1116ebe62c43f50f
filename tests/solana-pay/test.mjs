/** Links of the page and answers of the relayer, read by the reference library of Solana Pay; what it gives a wallet is signed and carried out. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { address, createKeyPairFromBytes, createSolanaRpc, getBase64EncodedWireTransaction, signTransaction } from "@solana/kit";
import * as earlier from "@solana/pay-before";
import * as today from "@solana/pay-today";
import { Connection, Keypair, PublicKey } from "@solana/web3.js";
import { depositLink } from "./out/pay.js";

const READY_MS = 180_000;
const FINAL_MS = 120_000;
const ORIGIN = "https://relayer.example";
const AMOUNT = 1_250_000n;
const folder = mkdtempSync(join(tmpdir(), "steam-solana-pay-"));
let dev, info, connection, owner;

before(async () => {
  const file = join(folder, "info.json");
  dev = spawn(process.env.STEAM_BIN, ["dev", "--port", "0", "--info", file, "--dir", join(folder, "state")], { stdio: ["ignore", "ignore", "inherit"] });
  for (const begun = Date.now(); !existsSync(file); await new Promise((resolve) => setTimeout(resolve, 200))) {
    assert.ok(dev.exitCode === null && Date.now() - begun < READY_MS, "steam dev did not get ready");
  }
  info = JSON.parse(readFileSync(file, "utf8"));
  connection = new Connection(info.rpc_url, "confirmed");
  owner = Keypair.fromSecretKey(Uint8Array.from(JSON.parse(readFileSync(join(info.dir, "owner.json"), "utf8"))));
});

after(async () => {
  const gone = new Promise((resolve) => dev.once("exit", resolve));
  dev.kill("SIGTERM");
  await gone;
  rmSync(folder, { recursive: true });
});

/** The link that `read` finds in the page's, at the relayer that runs here. */
function linkOf(read) {
  const { link, recipient } = read(depositLink(ORIGIN, info.vault, AMOUNT));
  assert.equal(recipient, undefined, "it is a transaction request");
  assert.equal(link.origin, ORIGIN);
  return new URL(link.pathname + link.search, info.base_url);
}

async function balance() {
  const [vault] = (await connection.getTokenAccountsByOwner(new PublicKey(info.vault), { mint: new PublicKey(info.mint) })).value;
  return BigInt((await connection.getTokenAccountBalance(vault.pubkey)).value.amount);
}

async function grown(from) {
  for (const begun = Date.now(); (await balance()) !== from + AMOUNT; await new Promise((resolve) => setTimeout(resolve, 200))) {
    assert.ok(Date.now() - begun < FINAL_MS, "the deposit did not arrive");
  }
}

test("who asks is told as the specification has it", async () => {
  const response = await fetch(linkOf(today.parseURL));
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  assert.match(response.headers.get("content-type"), /^application\/json/);
  const { label, icon } = await response.json();
  assert.equal(label, "Steam Router");
  const image = await fetch(icon);
  assert.equal(image.headers.get("content-type"), "image/svg+xml");
});

test("a link of the page is the one that the library writes", () => {
  const ours = depositLink(ORIGIN, info.vault, AMOUNT);
  const link = new URL(decodeURIComponent(ours.slice("solana:".length)));
  for (const library of [earlier, today]) assert.equal(String(library.encodeURL({ link })), ours);
});

test("today's library gets a transaction that the wallet signs, and the deposit arrives", async () => {
  const from = await balance();
  const rpc = createSolanaRpc(info.rpc_url);
  const transaction = await today.fetchTransaction(rpc, address(owner.publicKey.toBase58()), linkOf(today.parseURL));
  const signed = await signTransaction([await createKeyPairFromBytes(owner.secretKey)], transaction);
  await rpc.sendTransaction(getBase64EncodedWireTransaction(signed), { encoding: "base64" }).send();
  await grown(from);
});

test("that of the major before does the same", async () => {
  const from = await balance();
  const transaction = await earlier.fetchTransaction(connection, owner.publicKey, linkOf(earlier.parseURL));
  assert.ok(transaction.feePayer.equals(owner.publicKey));
  transaction.sign(owner);
  await connection.sendRawTransaction(transaction.serialize());
  await grown(from);
});

test("a transfer link to a vault, which is off the curve, is none that wallets take: the page has only transaction requests", async () => {
  assert.equal(PublicKey.isOnCurve(new PublicKey(info.vault).toBytes()), false);
  const recipient = new PublicKey(info.vault);
  const { default: BigNumber } = await import("bignumber.js");
  const transfer = { recipient, amount: new BigNumber(1), splToken: new PublicKey(info.mint) };
  await assert.rejects(earlier.createTransfer(connection, owner.publicKey, transfer), { name: "TokenOwnerOffCurveError" });
});
