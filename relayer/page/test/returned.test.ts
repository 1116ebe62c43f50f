/** What is pasted from a signer elsewhere: only the signature of what was shown is taken from it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { authorizeKey, compile, deposit, Keypair, messageOf, NEVER, placeOf, SessionKey, signatureBy, toBase58, toBase64, withSignature } from "../../../app-idl/client/src/index.js";
import { grantOf } from "../src/chain/grant.js";
import { returned, ReturnedError } from "../src/chain/returned.js";

const of = (byte: number) => new Uint8Array(32).fill(byte);
const owner = new Keypair(of(9));
const key = new SessionKey(of(8));
const KEY = toBase58(key.address);
const place = placeOf(owner.address, { relayer: toBase58(of(1)), config: toBase58(of(2)), mint: toBase58(of(3)) });
const lifetime = { blockhash: toBase58(of(7)), last_valid_block_height: 150 };
const grant = grantOf({ expires: NEVER, total: 1n, daily: 1n, prompt: 1n, answer: 1n, request: 1n, feeBps: 50 });
const unsigned = compile(owner.address, lifetime, [authorizeKey(place, KEY, 0, grant)]);
const shown = withSignature(unsigned, KEY, key.sign(messageOf(unsigned)));
const refused = (text: string, part: RegExp) => assert.throws(() => returned(shown, text, owner.address), (error) => error instanceof ReturnedError && part.test(error.message));

test("a signed transaction, a signature, and one with its address before it are the same", async () => {
  const signed = await owner.signTransaction(shown);
  const signature = toBase58(signatureBy(signed, owner.address)!);
  const base64 = toBase64(signed);
  for (const text of [base64, `${base64.slice(0, 76)}\n ${base64.slice(76)}\n`, signature, `  ${owner.address}=${signature}\n`]) {
    assert.deepEqual(returned(shown, text, owner.address), signed);
  }
});

test("the new key's own signature is kept where the signer leaves it out", async () => {
  const bare = await owner.signTransaction(unsigned);
  const whole = returned(shown, toBase64(bare), owner.address);
  assert.deepEqual(signatureBy(whole, KEY), signatureBy(shown, KEY));
  assert.ok(signatureBy(whole, owner.address));
});

test("what is not the signature of what was shown is refused with its reason", async () => {
  refused("", /^Paste/);
  refused(" \n", /^Paste/);
  refused("hello world", /neither a transaction/);
  refused("!!", /neither a transaction/);
  refused(toBase64(shown.slice(0, 40)), /neither a transaction/);
  refused(toBase64(shown), /missing or does not hold/);
  const other = await owner.signTransaction(compile(owner.address, lifetime, [deposit(place, 5n)]));
  refused(toBase64(other), /another transaction than the one shown/);
  refused(toBase58(signatureBy(other, owner.address)!), /missing or does not hold/);
  const stranger = new Keypair(of(6));
  refused(toBase58(signatureBy(await stranger.signTransaction(compile(stranger.address, lifetime, [deposit({ ...place, owner: stranger.address }, 5n)])), stranger.address)!), /does not hold/);
});
