/** For every flow of the page: what it says of a transaction is what its bytes do, and bytes that do something else have no words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as program from "../../../app-idl/client/src/index.js";
import {
  capabilitiesOf, ChangedError, compile, type Instruction, messageOf, type OfferTerms, placeOf, providerPlace, SessionKey, toBase58, unchanged, withSignature,
} from "../../../app-idl/client/src/index.js";
import { UnreadableError } from "../src/chain/sentence.js";
import { inWords, type Words } from "../src/chain/words.js";
import { grantOf } from "../src/chain/grant.js";

const at = (seed: number) => toBase58(new Uint8Array(32).fill(seed));
const OWNER = toBase58(new SessionKey(new Uint8Array(32).fill(9)).address);
const key = new SessionKey(new Uint8Array(32).fill(8));
const KEY = toBase58(key.address);
const lifetime = { blockhash: at(7), last_valid_block_height: 150 };
const place = placeOf(OWNER, { relayer: at(1), config: at(2), mint: at(3) });
const grant = grantOf({ expires: 1_800_000_000n, total: 10_000_000n, daily: 5_000_000n, prompt: 3_000_000n, answer: 15_500_000n, request: 1_000n, feeBps: 50 });
const provider = providerPlace(place);
const MODEL = "qwen/Qwen3-32B";
const prices = { input: 300_000n, cached: 30_000n, cache_write: 375_000n, cache_write_long: 600_000n, output: 1_200_000n, request: 11n };
const none = { input: 0n, cached: 0n, cache_write: 0n, cache_write_long: 0n, output: 0n, request: 0n };
const terms: OfferTerms = { price: prices, long_from: 0, long_price: none, context_limit: 32_768, output_limit: 8_192, capabilities: capabilitiesOf(["chat", "streaming"], "fp8") };
const limits = { limit_total: 15_000_000n, window_limit: 4_000_000n, max_price: prices, max_fee_bps: 100 };

const say = (...instructions: Instruction[]): Words => inWords(compile(OWNER, lifetime, instructions), place, { models: ["other/model", MODEL] });
const titles = (...instructions: Instruction[]) => say(...instructions).steps.map((step) => step.title);
const details = (instruction: Instruction) => Object.fromEntries(say(instruction).steps[0]!.details);
const refused = (part: RegExp, ...instructions: Instruction[]) => assert.throws(() => say(...instructions), (error) => error instanceof UnreadableError && part.test(error.message));

test("opening, authorising and depositing is one transaction in three steps", () => {
  const words = say(program.openVault(place), program.authorizeKey(place, KEY, 0, grant), program.deposit(place, 10_000_000n));
  assert.deepEqual(words.steps.map((step) => step.title), ["Open your vault at this relayer", "Let a new key spend from your vault", "Deposit 10.00 USDC into your vault"]);
  assert.equal(words.payer, OWNER);
  assert.deepEqual(words.signers, [OWNER, KEY]);
});

test("where the relayer pays, that is said first, and the wallet's rent is not spoken of", () => {
  const sponsor = at(50);
  const steps = (payer: string) => [program.openVault(place, payer), program.authorizeKey(place, KEY, 0, grant, payer), program.deposit(place, 10_000_000n)];
  const bytes = compile(sponsor, lifetime, steps(sponsor));
  const words = inWords(bytes, place, { sponsor });
  assert.deepEqual(words.steps.map((step) => step.title), [
    "The relayer pays the network's fee and the rent", "Open your vault at this relayer", "Let a new key spend from your vault", "Deposit 10.00 USDC into your vault",
  ]);
  assert.deepEqual(Object.fromEntries(words.steps[0]!.details), {
    "It pays from": sponsor, Rent: "It goes back to the relayer when the vault is closed.", "Your wallet's SOL": "Not touched.",
  });
  assert.equal(Object.fromEntries(words.steps[1]!.details)["Rent"], "The relayer pays it in SOL and gets it back when the vault is closed. Your wallet pays nothing.");
  assert.deepEqual([words.payer, words.signers], [sponsor, [sponsor, OWNER, KEY]]);
  const unreadable = (part: RegExp, bytes: Uint8Array, by?: string) => assert.throws(() => inWords(bytes, place, { sponsor: by }), (error) => error instanceof UnreadableError && part.test(error.message));
  unreadable(/another account pays/, bytes);
  unreadable(/another account pays/, bytes, at(51));
  unreadable(/in the place of payer/, compile(sponsor, lifetime, steps(OWNER)), sponsor);
  unreadable(/in the place of payer/, compile(OWNER, lifetime, steps(sponsor)), sponsor);
});

test("every limit of a key is said", () => {
  assert.deepEqual(details(program.authorizeKey(place, KEY, 3, grant)), {
    Key: KEY,
    "Place in the vault": "3",
    "At most in all": "10.00 USDC, fees included",
    "At most in 1 day": "5.00 USDC, fees included",
    "Highest price of a million prompt tokens": "$3.00",
    "Highest price of a million cached prompt tokens": "$3.00",
    "Highest price of a million prompt tokens written to a cache": "$6.00",
    "Highest price of a million prompt tokens written to a cache for longer": "$6.00",
    "Highest price of a million answer tokens": "$15.50",
    "Highest price of a request": "$0.001",
    "Highest fee of the relayer": "0.5 % of each charge",
    Until: "2027-01-15T08:00:00.000Z",
    Providers: "any registered provider",
  });
  const said = (change: object) => details(program.authorizeKey(place, KEY, 0, { ...grant, ...change }));
  assert.equal(said({ expires: program.NEVER })["Until"], "you end it");
  assert.equal(said({ window_seconds: 0, window_limit: 0n })["At most in a window"], "no such limit");
  assert.match(said({ allow_root: new Uint8Array(32).fill(255) })["Providers"]!, /^only those of the list ffff/);
});

test("the other flows", () => {
  const agreement = { generation: 5n, settle_seq: 6, valid_until_slot: 77n };
  assert.deepEqual(titles(program.deposit(place, 1n)), ["Deposit 0.000001 USDC into your vault"]);
  assert.deepEqual(titles(program.revokeKey(place, 4)), ["End the key in place 4"]);
  assert.deepEqual(titles(program.requestWithdraw(place, 1_500_000n)), ["Ask for 1.50 USDC back"]);
  assert.deepEqual(titles(program.requestWithdraw(place, program.EVERYTHING)), ["Ask for everything back"]);
  assert.deepEqual(titles(program.cancelWithdraw(place)), ["Take the request for a withdrawal back"]);
  assert.deepEqual(titles(program.createWallet(place), program.executeWithdraw(place)), ["Make a USDC account for your wallet, if there is none", "Withdraw what was asked for"]);
  const now = program.withdrawNow(place, at(4), 2_000_000n, agreement);
  assert.deepEqual(titles(now), ["Withdraw 2.00 USDC at once"]);
  assert.equal(details(now)["With the relayer's signature"], at(4));
  assert.equal(details(now)["Only until slot"], "77");
  assert.equal(details(now)["To your wallet's USDC account"], place.wallet);
});

test("a key's new limits are all said, and that a cut waits", () => {
  const said = details(program.updateKey(place, 3, limits));
  assert.deepEqual(titles(program.updateKey(place, 3, limits)), ["Change the limits of the key in place 3"]);
  assert.deepEqual(Object.keys(said), [
    "At most in all", "At most in a window", "Highest price of a million prompt tokens", "Highest price of a million cached prompt tokens",
    "Highest price of a million prompt tokens written to a cache", "Highest price of a million prompt tokens written to a cache for longer",
    "Highest price of a million answer tokens", "Highest price of a request", "Highest fee of the relayer", "From when on",
  ]);
  assert.deepEqual([said["At most in all"], said["At most in a window"]], ["15.00 USDC, fees included", "4.00 USDC, fees included"]);
  assert.equal(details(program.updateKey(place, 3, { ...limits, window_limit: 0n }))["At most in a window"], "no such limit");
});

test("a vault's end says where its money, its rent and its keys go", () => {
  assert.deepEqual(titles(program.closeVault(place, at(44))), ["Close your vault"]);
  const said = details(program.closeVault(place, at(44)));
  assert.deepEqual([said["USDC that are in it go to your wallet's USDC account"], said["Its rent goes back to who paid it"]], [place.wallet, at(44)]);
});

test("a provider's flows", () => {
  const register = program.registerProvider(provider, "Acme", "https://api.example.com/v1");
  assert.deepEqual(titles(register), ["Register your wallet as a provider"]);
  assert.deepEqual(details(register), {
    Name: "Acme", "Base URL of your API": "https://api.example.com/v1", Provider: provider.provider, "Earnings go to the USDC account": provider.earnings,
    Rent: "Your wallet pays it in SOL and gets it back when the provider is closed.",
  });
  const update = (name: string | null, url: string | null, retired: boolean | null) => Object.entries(details(program.updateProvider(provider, { name, url, retired }))).slice(1);
  assert.deepEqual(update("Acme 2", null, null), [["New name", "Acme 2"]]);
  assert.deepEqual(update(null, "https://b.example/v1", null), [["New base URL of your API", "https://b.example/v1"]]);
  assert.match(update(null, null, true)[0]![1]!, /ask you for nothing any more/);
  assert.match(update(null, null, false)[0]![1]!, /may ask you again/);
  assert.deepEqual(titles(program.retireOffer(provider, MODEL)), [`Stop offering ${MODEL}`]);
  assert.deepEqual(titles(program.closeOffer(provider, MODEL, at(44))), [`Close the offer of ${MODEL}`]);
  assert.equal(details(program.closeOffer(provider, MODEL, at(44)))["Its rent goes back to who paid it"], at(44));
  assert.deepEqual(titles(program.closeProvider(provider, at(44))), ["Close your provider"]);
  assert.equal(details(program.closeProvider(provider, at(44)))["Its rent goes back to who paid it"], at(44));
  assert.deepEqual(titles(program.withdrawEarnings(provider, program.EVERYTHING)), ["Withdraw everything of your earnings"]);
  assert.deepEqual(titles(program.withdrawEarnings(provider, 2_500_000n)), ["Withdraw 2.50 USDC of your earnings"]);
  assert.equal(details(program.withdrawEarnings(provider, 1n))["To your wallet's USDC account"], place.wallet);
});

test("every term of an offer is said", () => {
  assert.deepEqual(titles(program.putOffer(provider, MODEL, terms)), [`Offer ${MODEL} at these prices`]);
  assert.deepEqual(details(program.putOffer(provider, MODEL, terms)), {
    Offer: program.offerAddress(provider.provider, MODEL),
    "Price of a million prompt tokens": "$0.30",
    "Price of a million cached prompt tokens": "$0.03",
    "Price of a million prompt tokens written to a cache": "$0.375",
    "Price of a million prompt tokens written to a cache for longer": "$0.60",
    "Price of a million answer tokens": "$1.20",
    "Price of a request": "$0.000011",
    "Long prompts": "cost the same",
    "Most tokens of prompt and answer together": "32768",
    "Most tokens of an answer": "8192",
    "It can do": "streaming, chat",
    Weights: "fp8",
  });
  const long = details(program.putOffer(provider, MODEL, { ...terms, long_from: 200_000, long_price: { ...prices, output: 2_400_000n }, capabilities: 1n << 63n }));
  assert.equal(long["With more than 200000 prompt tokens: a million answer tokens"], "$2.40");
  assert.deepEqual([long["Long prompts"], long["It can do"], long["Other capabilities"]], [undefined, "nothing that has a name", "0x8000000000000000"]);
});

test("an offer's address must be its model's, and an offer that the page does not know has no words", () => {
  const other = program.putOffer(provider, "other/model", terms);
  refused(/is not the offer of/, { ...program.putOffer(provider, MODEL, terms), accounts: other.accounts });
  refused(/no offer that this page knows/, program.retireOffer(provider, "third/model"));
  refused(/no offer that this page knows/, program.closeOffer(provider, "third/model", at(44)));
  const data = program.encodeInstruction("put_offer", { model: "a b", terms });
  refused(/a name that is none/, { ...other, data });
});

test("an instruction of another program, or one that the page never asks for, has no words", () => {
  const transfer = { programAddress: program.SYSTEM_PROGRAM, accounts: [], data: Uint8Array.of(2, 0, 0, 0) };
  refused(/calls the program 1111/, program.deposit(place, 1n), transfer);
  const never = { ...program.cancelWithdraw(place), data: program.encodeInstruction("recover_lamports", {}) };
  refused(/never asks for recover_lamports/, never);
  refused(/no such instruction/, { ...program.cancelWithdraw(place), data: new Uint8Array(8) });
  refused(/bytes more than its arguments/, { ...program.cancelWithdraw(place), data: Uint8Array.of(...program.cancelWithdraw(place).data, 0) });
  refused(/end inside a field/, { ...program.requestWithdraw(place, 1n), data: program.requestWithdraw(place, 1n).data.slice(0, -1) });
});

test("money that would go anywhere else has no words", () => {
  const swapped = (instruction: Instruction, index: number): Instruction => ({
    ...instruction,
    accounts: instruction.accounts.map((meta, place) => (place === index ? { ...meta, address: at(66) } : meta)),
  });
  const agreement = { generation: 5n, settle_seq: 6, valid_until_slot: 77n };
  for (const [name, instruction] of Object.entries({
    open: program.openVault(place), authorize: program.authorizeKey(place, KEY, 0, grant), deposit: program.deposit(place, 1n), revoke: program.revokeKey(place, 0),
    request: program.requestWithdraw(place, 1n), cancel: program.cancelWithdraw(place), execute: program.executeWithdraw(place),
    now: program.withdrawNow(place, at(4), 1n, agreement), create: program.createWallet(place),
    update: program.updateKey(place, 0, limits), close: program.closeVault(place, at(44)), register: program.registerProvider(provider, "a", "u"),
    change: program.updateProvider(provider, { name: null, url: null, retired: true }), put: program.putOffer(provider, MODEL, terms),
    retire: program.retireOffer(provider, MODEL), closeOffer: program.closeOffer(provider, MODEL, at(44)), closeProvider: program.closeProvider(provider, at(44)),
    earnings: program.withdrawEarnings(provider, 1n),
  })) {
    instruction.accounts.forEach((meta, index) => {
      // Who the new key is, which settler agrees, and who paid the rent is said and not known beforehand.
      if ([KEY, at(4), at(44)].includes(meta.address)) return;
      assert.throws(() => say(swapped(instruction, index)), UnreadableError, `${name}: account ${index}`);
    });
    assert.throws(() => say({ ...instruction, accounts: instruction.accounts.slice(1) }), UnreadableError, name);
  }
  const approve = { ...program.deposit(place, 1n), data: Uint8Array.of(4, 1, 0, 0, 0, 0, 0, 0, 0, 6) };
  refused(/something else than a transfer/, approve);
});

test("a transaction that another account pays, or that looks addresses up, has no words", () => {
  const other = compile(at(55), lifetime, [program.deposit(place, 1n)]);
  assert.throws(() => inWords(other, place), /another account pays/);
});

test("a wallet may add its signature and change nothing", () => {
  const transaction = compile(OWNER, lifetime, [program.openVault(place), program.authorizeKey(place, KEY, 0, grant)]);
  const signed = withSignature(transaction, KEY, key.sign(messageOf(transaction)));
  assert.equal(signed.length, transaction.length);
  assert.deepEqual(unchanged(transaction, signed), signed);
  for (const at of [signed.length - 1, signed.length - 40, 1 + 64 * 2 + 5]) {
    const changed = signed.slice();
    changed[at]! ^= 1;
    assert.throws(() => unchanged(transaction, changed), ChangedError);
  }
  assert.throws(() => unchanged(transaction, new Uint8Array()), ChangedError);
  assert.throws(() => withSignature(transaction, at(66), new Uint8Array(64)), /does not sign/);
});

test("a role that is missing is not made up", () => {
  assert.equal(program.revokeKey(place, 0).accounts.at(-1)!.role, program.ROLE.readonly);
});
