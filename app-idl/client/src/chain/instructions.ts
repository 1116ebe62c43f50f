/** Addresses and instructions of the program, and the two of other programs that go with them. */

import { AccountRole, getAddressEncoder, getProgramDerivedAddress, type Address, type Instruction } from "@solana/kit";
import { encodeInstruction, instruction, PROGRAM, type Struct } from "./idl.js";

export const TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
export const ASSOCIATED_TOKEN_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";
export const SYSTEM_PROGRAM = "11111111111111111111111111111111";
export const COMPUTE_BUDGET_PROGRAM = "ComputeBudget111111111111111111111111111111";
const INSTRUCTIONS = "Sysvar1nstructions1111111111111111111111111";

/** Decimals of USDC. */
export const DECIMALS = 6;
/** Asks for a whole balance. */
export const EVERYTHING = 2n ** 64n - 1n;
/** A key without an end. */
export const NEVER = 2n ** 63n - 1n;

export const TRANSFER_CHECKED = 12;
export const CREATE_IDEMPOTENT = 1;

/** Where everything of one owner at one relayer is. */
export interface Place {
  owner: string;
  relayer: string;
  config: string;
  mint: string;
  vault: string;
  /** The vault's token account. */
  token: string;
  /** The owner's own token account. */
  wallet: string;
}

export async function placeOf(owner: string, at: { relayer: string; config: string; mint: string }): Promise<Place> {
  const vault = await derived(PROGRAM, ["vault", owner, at.relayer]);
  const [token, wallet] = await Promise.all([tokenAccount(vault, at.mint), tokenAccount(owner, at.mint)]);
  return { owner, vault, token, wallet, relayer: at.relayer, config: at.config, mint: at.mint };
}

/** The associated token account of `owner`. */
export function tokenAccount(owner: string, mint: string): Promise<string> {
  return derived(ASSOCIATED_TOKEN_PROGRAM, [owner, TOKEN_PROGRAM, mint]);
}

async function derived(program: string, seeds: readonly string[]): Promise<string> {
  const encoder = getAddressEncoder();
  const bytes = seeds.map((seed) => (seed === "vault" ? new TextEncoder().encode(seed) : encoder.encode(seed as Address)));
  const [address] = await getProgramDerivedAddress({ programAddress: program as Address, seeds: bytes });
  return address;
}

/** An instruction of the program. Accounts with a fixed address need not be named; an optional one that is absent is the program's own address. */
function build(name: string, accounts: { [name: string]: string }, args: Struct = {}): Instruction {
  const metas = instruction(name).accounts.map((meta) => {
    const address = accounts[meta.name] ?? meta.address;
    if (address === undefined && !meta.optional) throw new Error(`${name} needs the account ${meta.name}`);
    const absent = address === undefined;
    return { address: (address ?? PROGRAM) as Address, role: roleOf(!absent && !!meta.signer, !absent && !!meta.writable) };
  });
  return { programAddress: PROGRAM as Address, accounts: metas, data: encodeInstruction(name, args) };
}

function roleOf(signer: boolean, writable: boolean): AccountRole {
  if (signer) return writable ? AccountRole.WRITABLE_SIGNER : AccountRole.READONLY_SIGNER;
  return writable ? AccountRole.WRITABLE : AccountRole.READONLY;
}

/** The place's accounts by the names that the program gives them. */
function named({ owner, relayer, config, mint, vault, token }: Place): { [name: string]: string } {
  return { owner, payer: owner, relayer, config, mint, vault, token, instructions: INSTRUCTIONS };
}

export function openVault(place: Place): Instruction {
  return build("open_vault", named(place));
}

export function authorizeKey(place: Place, key: string, slot: number, grant: Struct): Instruction {
  return build("authorize_key", { ...named(place), session_key: key }, { slot, grant });
}

/** Ends a key. Without the relayer's signature, what it signed before still settles during the grace. */
export function revokeKey(place: Place, slot: number): Instruction {
  return build("revoke_key", named(place), { slot });
}

export function requestWithdraw(place: Place, amount: bigint): Instruction {
  return build("request_withdraw", named(place), { amount });
}

export function cancelWithdraw(place: Place): Instruction {
  return build("cancel_withdraw", named(place));
}

export function executeWithdraw(place: Place): Instruction {
  return build("execute_withdraw", { ...named(place), destination: place.wallet });
}

export interface Agreement extends Struct {
  generation: bigint;
  settle_seq: number;
  valid_until_slot: bigint;
}

/** Withdraws at once, if the relayer's settler signs as well. */
export function withdrawNow(place: Place, settler: string, amount: bigint, agreement: Agreement): Instruction {
  return build("withdraw_now", { ...named(place), settler, destination: place.wallet }, { amount, agreement });
}

/** Moves USDC from the owner's token account into the vault. */
export function deposit(place: Place, amount: bigint): Instruction {
  const data = new Uint8Array(10);
  data[0] = TRANSFER_CHECKED;
  new DataView(data.buffer).setBigUint64(1, amount, true);
  data[9] = DECIMALS;
  return {
    programAddress: TOKEN_PROGRAM as Address,
    accounts: [
      { address: place.wallet as Address, role: AccountRole.WRITABLE },
      { address: place.mint as Address, role: AccountRole.READONLY },
      { address: place.token as Address, role: AccountRole.WRITABLE },
      { address: place.owner as Address, role: AccountRole.READONLY_SIGNER },
    ],
    data,
  };
}

/** Makes the owner's token account, if there is none. */
export function createWallet(place: Place): Instruction {
  return {
    programAddress: ASSOCIATED_TOKEN_PROGRAM as Address,
    accounts: [
      { address: place.owner as Address, role: AccountRole.WRITABLE_SIGNER },
      { address: place.wallet as Address, role: AccountRole.WRITABLE },
      { address: place.owner as Address, role: AccountRole.READONLY },
      { address: place.mint as Address, role: AccountRole.READONLY },
      { address: SYSTEM_PROGRAM as Address, role: AccountRole.READONLY },
      { address: TOKEN_PROGRAM as Address, role: AccountRole.READONLY },
    ],
    data: Uint8Array.of(CREATE_IDEMPOTENT),
  };
}
