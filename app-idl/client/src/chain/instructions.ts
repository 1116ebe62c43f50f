/** Instructions of the program for owners of vaults, and the two of other programs that go with them. */

import { concat, U64_MAX, uint } from "../bytes.js";
import { ASSOCIATED_TOKEN_PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM, type Place } from "./address.js";
import { encodeInstruction, instruction, type Struct } from "./codec.js";

const INSTRUCTIONS_SYSVAR = "Sysvar1nstructions1111111111111111111111111";

/** Decimals of USDC. */
export const DECIMALS = 6;
/** Asks for a whole balance. */
export const EVERYTHING = U64_MAX;
/** A key without an end. */
export const NEVER = 2n ** 63n - 1n;

export const TRANSFER_CHECKED = 12;
export const CREATE_IDEMPOTENT = 1;

/** What an instruction does with an account. The numbers are those of `@solana/kit`, so that its functions take these instructions too. */
export const ROLE = { readonly: 0, writable: 1, readonlySigner: 2, writableSigner: 3 } as const;
export type Role = (typeof ROLE)[keyof typeof ROLE];

export interface Instruction {
  programAddress: string;
  accounts: readonly { address: string; role: Role }[];
  data: Uint8Array;
}

/** An instruction of the program by its name. Accounts with a fixed address need not be named; an optional one that is absent is the program's own address. */
export function programInstruction(place: Place, name: string, args: Struct = {}, others: { [name: string]: string } = {}): Instruction {
  const { owner, program, relayer, config, mint, vault, token, wallet } = place;
  const known: { [name: string]: string } = {
    owner, payer: owner, relayer, config, mint, vault, token, destination: wallet, instructions: INSTRUCTIONS_SYSVAR, ...others,
  };
  const accounts = instruction(name).accounts.map((meta) => {
    const address = known[meta.name] ?? meta.address;
    if (address === undefined && !meta.optional) throw new Error(`${name} needs the account ${meta.name}`);
    if (address === undefined) return { address: program, role: ROLE.readonly };
    return { address, role: roleOf(!!meta.signer, !!meta.writable) };
  });
  return { programAddress: program, accounts, data: encodeInstruction(name, args) };
}

function roleOf(signer: boolean, writable: boolean): Role {
  if (signer) return writable ? ROLE.writableSigner : ROLE.readonlySigner;
  return writable ? ROLE.writable : ROLE.readonly;
}

/** Highest prices in µUSDC: per million tokens, and per request. */
export interface MaxPrices extends Struct {
  input: bigint;
  cached: bigint;
  cache_write: bigint;
  cache_write_long: bigint;
  output: bigint;
  request: bigint;
}

/** What a key may do, by the names that the program gives it. `update_key` changes these. */
export interface KeyLimits extends Struct {
  /** µUSDC it may spend in all, fees included. */
  limit_total: bigint;
  /** µUSDC it may spend in a window; 0 without a window. */
  window_limit: bigint;
  max_price: MaxPrices;
  /** Highest fee of the relayer, in basis points. */
  max_fee_bps: number;
}

/** What a new key may do. */
export interface KeyGrant extends KeyLimits {
  /** Unix seconds from which it is not accepted any more; {@link NEVER} is never. */
  expires: bigint;
  /** Length of a window in seconds; 0 is no window. */
  window_seconds: number;
  /** `AllowList.root()`, or 32 zeros: any registered provider. */
  allow_root: Uint8Array;
}

/** `payer` pays the rent, and gets it back when the vault is closed. */
export function openVault(place: Place, payer: string = place.owner): Instruction {
  return programInstruction(place, "open_vault", {}, { payer });
}

/** Lets `key` spend from the vault; the key signs as well. Where the vault has no room for it yet, `payer` pays for that: the owner, or who paid the vault's rent. */
export function authorizeKey(place: Place, key: string, slot: number, grant: KeyGrant, payer: string = place.owner): Instruction {
  return programInstruction(place, "authorize_key", { slot, grant }, { session_key: key, payer });
}

/** Writes a live key's limits anew. */
export function updateKey(place: Place, slot: number, limits: KeyLimits): Instruction {
  return programInstruction(place, "update_key", { slot, limits });
}

/** Ends a key. Without the relayer's signature, what it signed before still settles during the grace. */
export function revokeKey(place: Place, slot: number): Instruction {
  return programInstruction(place, "revoke_key", { slot });
}

export function requestWithdraw(place: Place, amount: bigint): Instruction {
  return programInstruction(place, "request_withdraw", { amount });
}

export function cancelWithdraw(place: Place): Instruction {
  return programInstruction(place, "cancel_withdraw");
}

export function executeWithdraw(place: Place): Instruction {
  return programInstruction(place, "execute_withdraw");
}

export interface Agreement extends Struct {
  generation: bigint;
  settle_seq: number;
  valid_until_slot: bigint;
}

/** Withdraws at once, if the relayer's settler signs as well. */
export function withdrawNow(place: Place, settler: string, amount: bigint, agreement: Agreement): Instruction {
  return programInstruction(place, "withdraw_now", { amount, agreement }, { settler });
}

/** Closes an empty vault; its rent goes back to who paid it. */
export function closeVault(place: Place, rentPayer: string): Instruction {
  return programInstruction(place, "close_vault", {}, { rent_payer: rentPayer });
}

/** Moves USDC from the owner's token account into the vault. */
export function deposit(place: Place, amount: bigint): Instruction {
  return {
    programAddress: TOKEN_PROGRAM,
    accounts: [
      { address: place.wallet, role: ROLE.writable },
      { address: place.mint, role: ROLE.readonly },
      { address: place.token, role: ROLE.writable },
      { address: place.owner, role: ROLE.readonlySigner },
    ],
    data: concat(uint(TRANSFER_CHECKED, 1), uint(amount, 8), uint(DECIMALS, 1)),
  };
}

/** Makes the owner's token account, if there is none. */
export function createWallet(place: Place): Instruction {
  return {
    programAddress: ASSOCIATED_TOKEN_PROGRAM,
    accounts: [
      { address: place.owner, role: ROLE.writableSigner },
      { address: place.wallet, role: ROLE.writable },
      { address: place.owner, role: ROLE.readonly },
      { address: place.mint, role: ROLE.readonly },
      { address: SYSTEM_PROGRAM, role: ROLE.readonly },
      { address: TOKEN_PROGRAM, role: ROLE.readonly },
    ],
    data: Uint8Array.of(CREATE_IDEMPOTENT),
  };
}
