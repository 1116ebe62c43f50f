/** Links of the page, and answers of the relayer, read by the reference library of Solana Pay; what it gives a wallet is signed and carried out. */

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
import { fromBase64, holdingsOf, placeOf, relayerChain, RelayerApi, SessionKey, toBase58, toBase64 } from "../../relayer/page/out/app-idl/client/src/index.js";
import { grantOf } from "../../relayer/page/out/relayer/page/src/chain/grant.js";
import { signedOpening, wishOf } from "../../relayer/page/out/relayer/page/src/chain/opening.js";
import { depositLink, openingLink } from "../../relayer/page/out/relayer/page/src/chain/pay.js";

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

/** The link that `read` finds in one of the page's, at the relayer that runs here. */
function linkOf(read, url = depositLink(ORIGIN, info.vault, AMOUNT)) {
  const { link, recipient } = read(url);
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

/** The page with a new key: wishes an opening, and signs for the first wallet that asks. */
class Page {
  constructor() {
    this.api = new RelayerApi(info.base_url);
    this.key = new SessionKey(crypto.getRandomValues(new Uint8Array(32)));
    const grant = grantOf({ expires: 4_000_000_000n, total: 5_000_000n, daily: 5_000_000n, prompt: 90_000_000n, answer: 90_000_000n, request: 1_000_000n, feeBps: 1_000 });
    this.opening = { key: this.key, grant, amount: AMOUNT };
  }

  async wish() {
    const { id } = await this.api.call("solana-pay/openings", { body: wishOf(this.opening) });
    this.path = `solana-pay/openings/${id}/transaction`;
    return openingLink(ORIGIN, id);
  }

  /** Signs what a wallet has asked for. */
  async sign() {
    for (const begun = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      assert.ok(Date.now() - begun < FINAL_MS, "no wallet asks");
      const { account, transaction } = await this.api.call(this.path);
      if (account === null) continue;
      this.place = placeOf(account, await this.api.call("chain"));
      const signature = signedOpening(fromBase64(transaction), this.place, this.opening);
      return this.api.call(this.path, { body: { signature: toBase64(signature) } });
    }
  }

  /** Waits until the vault is open for the key, with what was deposited, and until the relayer takes the key. */
  async opened() {
    for (const begun = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, 200))) {
      assert.ok(Date.now() - begun < FINAL_MS, "the vault was not opened");
      const { vault, balance } = await holdingsOf(relayerChain(this.api), this.place);
      if (!vault) continue;
      assert.equal(balance, AMOUNT);
      assert.ok(vault.keys.some((one) => one.key === toBase58(this.key.address)));
      const headers = new Headers({ Authorization: `Bearer ${this.key.reveal()}` });
      if ((await this.api.send(`vaults/${this.place.vault}`, { headers })).ok) return;
    }
  }
}

/** A phone's wallet with test money and without a vault. */
async function phone() {
  const wallet = Keypair.generate();
  const api = new RelayerApi(info.base_url);
  await api.call("chain/faucet", { body: { wallet: wallet.publicKey.toBase58() } });
  const place = placeOf(wallet.publicKey.toBase58(), await api.call("chain"));
  for (const begun = Date.now(); (await holdingsOf(relayerChain(api), place)).wallet < AMOUNT; await new Promise((resolve) => setTimeout(resolve, 200))) {
    assert.ok(Date.now() - begun < FINAL_MS, "the test money did not arrive");
  }
  return wallet;
}

test("today's library gets an opening that the page has signed, and the vault is open", async () => {
  const [page, wallet] = [new Page(), await phone()];
  const link = linkOf(today.parseURL, await page.wish());
  assert.equal((await (await fetch(link)).json()).label, "Steam Router");
  const rpc = createSolanaRpc(info.rpc_url);
  const [transaction] = await Promise.all([today.fetchTransaction(rpc, address(wallet.publicKey.toBase58()), link), page.sign()]);
  const signed = await signTransaction([await createKeyPairFromBytes(wallet.secretKey)], transaction);
  await rpc.sendTransaction(getBase64EncodedWireTransaction(signed), { encoding: "base64" }).send();
  await page.opened();
});

test("that of the major before does so as well, where one signature is there already", async () => {
  const [page, wallet] = [new Page(), await phone()];
  const link = linkOf(earlier.parseURL, await page.wish());
  const [transaction] = await Promise.all([earlier.fetchTransaction(connection, wallet.publicKey, link), page.sign()]);
  assert.ok(transaction.feePayer.equals(wallet.publicKey));
  transaction.partialSign(wallet);
  await connection.sendRawTransaction(transaction.serialize());
  await page.opened();
  const again = await fetch(linkOf(earlier.parseURL, await new Page().wish()), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ account: wallet.publicKey.toBase58() }),
  });
  assert.equal(again.status, 409);
  assert.match((await again.json()).message, /has a vault at this relayer already/);
});

test("a transfer link to a vault, which is off the curve, is none that wallets take: the page has only transaction requests", async () => {
  assert.equal(PublicKey.isOnCurve(new PublicKey(info.vault).toBytes()), false);
  const recipient = new PublicKey(info.vault);
  const { default: BigNumber } = await import("bignumber.js");
  const transfer = { recipient, amount: new BigNumber(1), splToken: new PublicKey(info.mint) };
  await assert.rejects(earlier.createTransfer(connection, owner.publicKey, transfer), { name: "TokenOwnerOffCurveError" });
});
