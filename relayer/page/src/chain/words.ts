/**
 * What a transaction would do, in words, from its bytes alone. This is what a person reads before a wallet is asked, so that anything that cannot be put into
 * words is an error and never left out.
 */

import {
  ASSOCIATED_TOKEN_PROGRAM, CREATE_IDEMPOTENT, DECIMALS, decodeInstruction, decodeMessage, type Message, type Place, providerPlace, Reader, SYSTEM_PROGRAM,
  toHex, TOKEN_PROGRAM, TRANSFER_CHECKED, TransactionError,
} from "../../../../app-idl/client/src/index.js";
import { formatUsdc } from "../money.js";
import { OWNER } from "./owner-words.js";
import { PROVIDER } from "./provider-words.js";
import { type Step, UnreadableError, type Vocabulary } from "./sentence.js";

const COMPUTE_BUDGET_PROGRAM = "ComputeBudget111111111111111111111111111111";

export interface Words {
  steps: Step[];
  /** Who pays the fee. */
  payer: string;
  /** Everybody whose signature it needs, in its order. */
  signers: string[];
}

type Call = Message["instructions"][number];
type Decoded = NonNullable<ReturnType<typeof decodeInstruction>>;

/** What the words are read by. */
export interface Known {
  /** Models that the owner may have offers of. */
  models?: readonly string[] | undefined;
  /** Who may pay fee and rent in the place of the owner. */
  sponsor?: string | undefined;
}

/** Who pays, and what offers may be named. */
interface Reading {
  models: readonly string[];
  payer: string;
}

/** The words for a transaction of the owner of `place`; throws {@link UnreadableError}. */
export function inWords(transaction: Uint8Array, place: Place, { models = [], sponsor }: Known = {}): Words {
  const message = read(transaction);
  const signers = message.accounts.slice(0, message.requiredSignatures);
  const [payer] = signers;
  if (payer === undefined || (payer !== place.owner && payer !== sponsor)) throw new UnreadableError("another account pays its fee");
  const steps = message.instructions.map((one) => step(one, place, { models, payer }));
  return { steps: payer === place.owner ? steps : [paidBy(payer), ...steps], payer, signers };
}

function paidBy(payer: string): Step {
  return {
    title: "The relayer pays the network's fee and the rent",
    details: [["It pays from", payer], ["Rent", "It goes back to the relayer when the vault is closed."], ["Your wallet's SOL", "Not touched."]],
  };
}

function read(transaction: Uint8Array): Message {
  try {
    return decodeMessage(transaction);
  } catch (error) {
    if (!(error instanceof TransactionError)) throw error;
    throw new UnreadableError(error.message);
  }
}

function step(call: Call, place: Place, reading: Reading): Step {
  switch (call.program) {
    case place.program:
      return programStep(call, place, reading);
    case TOKEN_PROGRAM:
      return tokenStep(call, place);
    case ASSOCIATED_TOKEN_PROGRAM:
      return associatedStep(call, place);
    case COMPUTE_BUDGET_PROGRAM:
      return { title: "Set the fee that the network may take", details: [["Instruction", toHex(call.data)]] };
    default:
      throw new UnreadableError(`it calls the program ${call.program}`);
  }
}

/** The accounts that an instruction must name, where they are not those of this owner at this relayer. */
function expect(call: Call, names: readonly string[], known: { [name: string]: string }): void {
  if (call.accounts.length !== names.length) throw new UnreadableError("an instruction has more or fewer accounts than it needs");
  names.forEach((name, at) => {
    const expected = known[name];
    if (expected !== undefined && call.accounts[at] !== expected) throw new UnreadableError(`${call.accounts[at]} is in the place of ${name}`);
  });
}

function programStep(call: Call, place: Place, reading: Reading): Step {
  const decoded = decode(call);
  const { name } = decoded.instruction;
  if (Object.hasOwn(OWNER.words, name)) return said(call, decoded, OWNER, place, reading);
  if (Object.hasOwn(PROVIDER.words, name)) return said(call, decoded, PROVIDER, providerPlace(place), reading);
  throw new UnreadableError(`the page never asks for ${name}`);
}

function decode(call: Call): Decoded {
  let decoded: Decoded | null;
  try {
    decoded = decodeInstruction(call.data);
  } catch (error) {
    throw new UnreadableError((error as Error).message);
  }
  if (!decoded) throw new UnreadableError("the program has no such instruction");
  return decoded;
}

function said<P extends Place>(call: Call, { instruction, args }: Decoded, vocabulary: Vocabulary<P>, place: P, { models, payer }: Reading): Step {
  const known = vocabulary.accounts(place);
  if (vocabulary.sponsored.includes(instruction.name)) known.payer = payer;
  for (const meta of instruction.accounts) if (meta.address) known[meta.name] = meta.address;
  expect(call, instruction.accounts.map((meta) => meta.name), known);
  const account = (name: string) => call.accounts[instruction.accounts.findIndex((meta) => meta.name === name)]!;
  return vocabulary.words[instruction.name]!({ args, place, account, models });
}

function tokenStep({ accounts, data, ...call }: Call, place: Place): Step {
  if (data[0] !== TRANSFER_CHECKED || data.length !== 10 || data[9] !== DECIMALS) {
    throw new UnreadableError("it does something else than a transfer with USDC");
  }
  expect({ accounts, data, ...call }, ["source", "mint", "destination", "authority"], {
    source: place.wallet, mint: place.mint, destination: place.token, authority: place.owner,
  });
  const micro = new Reader(data.subarray(1)).big(8);
  return {
    title: `Deposit ${formatUsdc(micro)} USDC into your vault`,
    details: [["From your wallet's USDC account", place.wallet], ["To the vault's USDC account", place.token]],
  };
}

function associatedStep(call: Call, { owner, wallet, mint }: Place): Step {
  if (call.data.length !== 1 || call.data[0] !== CREATE_IDEMPOTENT) throw new UnreadableError("it does something else than making a token account");
  expect(call, ["payer", "account", "owner", "mint", "system", "token"], { payer: owner, account: wallet, owner, mint, system: SYSTEM_PROGRAM, token: TOKEN_PROGRAM });
  return { title: "Make a USDC account for your wallet, if there is none", details: [["Account", wallet]] };
}
