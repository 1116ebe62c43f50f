/** What a vault's owner does: open, deposit, authorise keys, change and end them, withdraw. Each ends in a final transaction or an error. */

import { fromBase64, toBase58, toBase64, type Bytes } from "./bytes.js";
import { freePlace, readClock, readRelayer, readVault, tokenBalance, type RelayerAccount, type SessionKeyAccount, type VaultAccount } from "./chain/accounts.js";
import { CLOCK, placeOf, type Deployment, type Place } from "./chain/address.js";
import * as instructions from "./chain/instructions.js";
import type { Instruction, KeyGrant, KeyLimits } from "./chain/instructions.js";
import { finalized, handIn } from "./chain/send.js";
import type { ChainSource } from "./chain/source.js";
import { compile, messageOf, signatureOf, unchanged, withSignature, type Lifetime } from "./chain/transaction.js";
import { MAX_KEYS } from "./group.js";
import type { SessionKey } from "./key.js";
import { RelayerError, type RelayerApi } from "./relayer.js";
import { handToSponsor, type Sponsor } from "./sponsor.js";
import { pause } from "./time.js";

/** Slots for which a withdrawal at once may be carried out. */
const AGREEMENT_SLOTS = 250n;
/** Refusals of a withdrawal at once after which it may be tried anew: what was charged is about to be settled. */
const LATER = ["not_drained", "settle_seq_outdated", "withdrawal_out_of_time"];

/** Who owns a vault and pays for its transactions: a wallet, or a keypair. */
export interface OwnerSigner {
  /** Base58. */
  address: string;
  /** The transaction with the owner's signature in its place. It must not be changed otherwise. */
  signTransaction(transaction: Bytes): Promise<Bytes>;
}

/** The vault is not as the call needs it: the message says what to do. */
export class VaultError extends Error {}

/** What an owner has: in the wallet and in the vault, at one or more finalized slots. */
export interface Holdings {
  lamports: bigint;
  /** µUSDC in the owner's token account. */
  wallet: bigint;
  /** Whether the owner has a token account. */
  hasWallet: boolean;
  /** `null` if it was not opened. */
  vault: VaultAccount | null;
  /** µUSDC in the vault. */
  balance: bigint;
  /** The slot at which the vault was read. */
  slot: bigint;
}

export async function holdingsOf(chain: ChainSource, place: Place): Promise<Holdings> {
  const { owner, wallet, vault, token } = place;
  const [ofOwner, ofWallet, ofVault, ofToken] = await Promise.all([chain.account(owner), chain.account(wallet), chain.account(vault), chain.account(token)]);
  return {
    lamports: ofOwner.lamports,
    wallet: ofWallet.data ? tokenBalance(ofWallet.data) : 0n,
    hasWallet: ofWallet.data !== null,
    vault: ofVault.data ? readVault(ofVault.data) : null,
    balance: ofToken.data ? tokenBalance(ofToken.data) : 0n,
    slot: ofVault.slot,
  };
}

export interface OwnerOptions {
  signer: OwnerSigner;
  chain: ChainSource;
  deployment: Deployment;
  /** The relayer's API, for withdrawals at once and allow-lists. */
  api?: RelayerApi;
}

/** An owner at one relayer. */
export class Owner {
  readonly place: Place;
  readonly #options: OwnerOptions;

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.place = placeOf(options.signer.address, options.deployment);
  }

  /** What the owner has. */
  holdings(): Promise<Holdings> {
    return holdingsOf(this.#options.chain, this.place);
  }

  /** The vault; throws {@link VaultError} if there is none. */
  async vault(): Promise<VaultAccount> {
    const { data } = await this.#options.chain.account(this.place.vault);
    if (!data) throw new VaultError(`There is no vault at ${this.place.vault}: open it with \`open\`.`);
    return readVault(data);
  }

  /** The live or ended key of this address, the latest if it was authorised more than once; throws {@link VaultError}. */
  async key(address: string): Promise<SessionKeyAccount> {
    return keyOf(await this.vault(), address);
  }

  /** Opens the vault and, in the same transaction, authorises a key and deposits, where they are given. With a sponsor, all of them must be, and the relayer pays fee and rent. */
  async open(first: { key?: SessionKey; grant?: KeyGrant; deposit?: bigint; sponsor?: Sponsor } = {}): Promise<string> {
    const { key, grant, deposit, sponsor } = first;
    const payer = sponsor?.address ?? this.place.owner;
    if (key && !grant) throw new TypeError("open needs a grant for its key");
    if (sponsor && !(key && deposit)) throw new TypeError("an opening that the relayer pays for has a key and a deposit: give `key`, `grant` and `deposit`");
    if (sponsor && deposit! < BigInt(sponsor.min_deposit)) throw new VaultError(`The relayer pays for openings with a deposit of ${sponsor.min_deposit} µUSDC or more: deposit as much, or open without \`sponsor\`.`);
    const steps = [instructions.openVault(this.place, payer)];
    if (key && grant) steps.push(instructions.authorizeKey(this.place, toBase58(key.address), 0, grant, payer));
    if (deposit) steps.push(instructions.deposit(this.place, deposit));
    return sponsor ? this.#sendBySponsor(steps, key!, payer) : this.send(steps, key);
  }

  /** Moves µUSDC from the owner's token account into the vault. */
  deposit(amount: bigint): Promise<string> {
    return this.send([instructions.deposit(this.place, amount)]);
  }

  /** Lets a key spend from the vault, in the first free place. */
  async authorizeKey(key: SessionKey, grant: KeyGrant): Promise<string> {
    const slot = await this.#freeSlot();
    return this.send([instructions.authorizeKey(this.place, toBase58(key.address), slot, grant)], key);
  }

  /** Changes a live key's limits. */
  async updateKey(key: string, limits: KeyLimits): Promise<string> {
    return this.send([instructions.updateKey(this.place, (await this.key(key)).slot, limits)]);
  }

  /** Ends a key. What it signed before still settles during the grace. */
  async revokeKey(key: string): Promise<string> {
    return this.send([instructions.revokeKey(this.place, (await this.key(key)).slot)]);
  }

  /** Asks for µUSDC back, or for {@link instructions.EVERYTHING}: after the delay {@link executeWithdraw} takes it, and nobody can stop it. */
  requestWithdraw(amount: bigint): Promise<string> {
    return this.send([instructions.requestWithdraw(this.place, amount)]);
  }

  cancelWithdraw(): Promise<string> {
    return this.send([instructions.cancelWithdraw(this.place)]);
  }

  /** Takes out what was asked for, once its delay has passed. */
  executeWithdraw(): Promise<string> {
    return this.send([instructions.createWallet(this.place), instructions.executeWithdraw(this.place)]);
  }

  /** Withdraws at once, with the relayer's signature: it waits until what is charged is settled, at most `patienceMs`. */
  async withdrawNow(amount: bigint, patienceMs = 240_000): Promise<string> {
    const { api, chain, signer } = this.#options;
    if (!api) throw new TypeError("withdrawNow needs the relayer's API: give `api` to the owner");
    const steps = (vault: VaultAccount, relayer: RelayerAccount, slot: bigint): Instruction[] => {
      const agreement = { generation: vault.generation, settle_seq: vault.settle_seq, valid_until_slot: slot + AGREEMENT_SLOTS };
      return [instructions.createWallet(this.place), instructions.withdrawNow(this.place, relayer.settler, amount, agreement)];
    };
    for (const begun = Date.now(); ; await pause(3_000)) {
      const [vault, relayer, lifetime] = await Promise.all([this.vault(), chain.account(this.place.relayer), chain.blockhash()]);
      if (!relayer.data) throw new VaultError(`There is no relayer at ${this.place.relayer}: check the address.`);
      const shown = compile(signer.address, lifetime, steps(vault, readRelayer(relayer.data), relayer.slot));
      const signed = unchanged(shown, await signer.signTransaction(shown));
      try {
        const { transaction } = await api.call<{ transaction: string }>("withdrawals", { body: { transaction: toBase64(signed) } });
        return await this.#carryOut(unchanged(shown, fromBase64(transaction)), lifetime);
      } catch (error) {
        const passes = error instanceof RelayerError && LATER.includes(error.code);
        if (!passes || Date.now() - begun > patienceMs) throw error;
      }
    }
  }

  /** Closes the vault, once it holds nothing or everything was asked for and the delay has passed. Its rent comes back. */
  async close(): Promise<string> {
    return this.send([instructions.createWallet(this.place), instructions.closeVault(this.place, (await this.vault()).rent_payer)]);
  }

  /** Hands the relayer the list behind a key's `allow_root`. A relayer sees a new key when its slot is final. */
  async shareAllowList(providers: readonly string[]): Promise<void> {
    const { api } = this.#options;
    if (!api) throw new TypeError("shareAllowList needs the relayer's API: give `api` to the owner");
    await api.call("allow-lists", { method: "PUT", body: { providers } });
  }

  /** Signs, sends, and waits until the transaction is final; its signature. A new key signs before the owner. */
  async send(steps: readonly Instruction[], key?: SessionKey): Promise<string> {
    const { lifetime, signed } = await this.#signed(steps, this.place.owner, key);
    return this.#carryOut(signed, lifetime);
  }

  async #signed(steps: readonly Instruction[], payer: string, key?: SessionKey): Promise<{ lifetime: Lifetime; signed: Bytes }> {
    const { chain, signer } = this.#options;
    const lifetime = await chain.blockhash();
    let transaction = compile(payer, lifetime, steps);
    if (key) transaction = withSignature(transaction, toBase58(key.address), key.sign(messageOf(transaction)));
    return { lifetime, signed: unchanged(transaction, await signer.signTransaction(transaction)) };
  }

  async #sendBySponsor(steps: readonly Instruction[], key: SessionKey, payer: string): Promise<string> {
    const { api, chain } = this.#options;
    if (!api) throw new TypeError("an opening that the relayer pays for needs the relayer's API: give `api` to the owner");
    const { lifetime, signed } = await this.#signed(steps, payer, key);
    const whole = unchanged(signed, await handToSponsor(api, signed));
    const signature = signatureOf(whole);
    await finalized(chain, signature, lifetime, whole);
    return signature;
  }

  async #carryOut(signed: Bytes, lifetime: Lifetime): Promise<string> {
    const { chain } = this.#options;
    const signature = await handIn(chain, signed);
    await finalized(chain, signature, lifetime, signed);
    return signature;
  }

  async #freeSlot(): Promise<number> {
    const [vault, clock] = await Promise.all([this.vault(), this.#options.chain.account(CLOCK)]);
    if (!clock.data) throw new VaultError("The cluster's clock cannot be read: ask another node.");
    const place = freePlace(vault, readClock(clock.data));
    if (place === null) throw new VaultError(`The vault has ${MAX_KEYS} keys: end one with \`revokeKey\` and wait for its grace, or use another vault.`);
    return place;
  }
}

/** The key of this address in a vault, the latest if it was authorised more than once; throws {@link VaultError}. */
export function keyOf(vault: VaultAccount, address: string): SessionKeyAccount {
  const [latest] = vault.keys.filter((key) => key.key === address).sort((a, b) => b.epoch - a.epoch);
  if (!latest) throw new VaultError(`The key ${address} is not authorised in this vault: authorise it, or name the vault that it belongs to.`);
  return latest;
}
