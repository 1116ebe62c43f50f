/** Openings that the relayer pays for, as an owner makes them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as steam from "../src/index.js";

const at = (seed: number) => steam.toBase58(new Uint8Array(32).fill(seed));
const payer = new steam.Keypair(new Uint8Array(32).fill(6));
const signer = new steam.Keypair(new Uint8Array(32).fill(9));
const key = new steam.SessionKey(new Uint8Array(32).fill(8));
const deployment = { relayer: at(1), config: at(2), mint: at(3) };
const sponsor: steam.Sponsor = { address: payer.address, min_deposit: 5_000_000 };
const prices = { input: 1n, cached: 1n, cache_write: 2n, cache_write_long: 2n, output: 5n, request: 0n };
const grant = { limit_total: 10n, window_limit: 0n, max_price: prices, max_fee_bps: 50, expires: steam.NEVER, window_seconds: 0, allow_root: new Uint8Array(32) };

/** A relayer that signs what it is sent with `change`, after it was out of reach `lost` times, and a chain on which everything is final. */
function relayer(change: (transaction: Uint8Array) => Promise<Uint8Array> = (transaction) => payer.signTransaction(transaction), lost = 0) {
  const asked: { path: string; transaction: string }[] = [];
  const transport = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const { transaction } = JSON.parse(String(init?.body)) as { transaction: string };
    asked.push({ path: new URL(String(input)).pathname, transaction });
    if (asked.length <= lost) throw new TypeError("connection reset");
    return Response.json({ transaction: steam.toBase64(await change(steam.fromBase64(transaction))) });
  };
  const followed: string[] = [];
  const chain = {
    blockhash: async () => ({ blockhash: at(7), last_valid_block_height: 150 }),
    progress: async (signature: string) => {
      followed.push(signature);
      return { status: "finalized", error: null, block_height: 1 };
    },
    send: () => assert.fail("the relayer sends it"),
  } as unknown as steam.ChainSource;
  const owner = new steam.Owner({ signer, chain, deployment, api: new steam.RelayerApi("https://relayer.example", transport as typeof fetch) });
  return { owner, asked, followed };
}

test("owner and key sign first, the relayer last, and it sends", async () => {
  for (const lost of [0, 1]) {
    const { owner, asked, followed } = relayer(undefined, lost);
    const signature = await owner.open({ key, grant, deposit: 5_000_000n, sponsor });
    assert.deepEqual(asked.map(({ path }) => path), Array.from({ length: lost + 1 }, () => "/v1/sponsored"));
    assert.equal(new Set(asked.map(({ transaction }) => transaction)).size, 1, "the same transaction again");
    const handed = steam.fromBase64(asked[0]!.transaction);
    const { accounts, requiredSignatures, instructions } = steam.decodeMessage(handed);
    assert.deepEqual(accounts.slice(0, requiredSignatures), [payer.address, signer.address, steam.toBase58(key.address)]);
    assert.equal(instructions.length, 3);
    assert.ok(steam.signatureBy(handed, signer.address) && steam.signatureBy(handed, steam.toBase58(key.address)));
    assert.equal(steam.signatureBy(handed, payer.address), null);
    assert.deepEqual(followed, [signature]);
    assert.equal(signature, steam.toBase58(steam.signatureBy(await payer.signTransaction(handed), payer.address)!));
  }
});

test("an opening that the relayer would not pay for is not made", async () => {
  const { owner, asked } = relayer();
  await assert.rejects(owner.open({ key, grant, deposit: 4_999_999n, sponsor }), steam.VaultError);
  await assert.rejects(owner.open({ key, grant, sponsor }), TypeError);
  await assert.rejects(owner.open({ deposit: 5_000_000n, sponsor }), TypeError);
  const alone = new steam.Owner({ signer, chain: {} as steam.ChainSource, deployment });
  await assert.rejects(alone.open({ key, grant, deposit: 5_000_000n, sponsor }), /needs the relayer's API/);
  assert.equal(asked.length, 0);
});

test("a relayer that returns another transaction is not followed", async () => {
  const { owner, followed } = relayer(async (transaction) => {
    const other = transaction.slice();
    other[other.length - 2]! ^= 1;
    return other;
  });
  await assert.rejects(owner.open({ key, grant, deposit: 5_000_000n, sponsor }), steam.ChangedError);
  assert.deepEqual(followed, []);
});
