/**
 * What a transaction would do, in words, from its bytes alone. This is what a person reads before a wallet is asked, so that anything that cannot be put into
 * words is an error and never left out.
 */

import {
  ASSOCIATED_TOKEN_PROGRAM, CREATE_IDEMPOTENT, DECIMALS, decodeInstruction, decodeMessage, equal, EVERYTHING, type Message, type Place, Reader, type Struct,
  SYSTEM_PROGRAM, toHex, TOKEN_PROGRAM, TRANSFER_CHECKED, TransactionError,
} from "../../../../app-idl/client/src/index.js";
import { formatSeconds, formatUsdc } from "../money.js";

const COMPUTE_BUDGET_PROGRAM = "ComputeBudget111111111111111111111111111111";
/** The last second that a `Date` can be. */
const LAST_DATE = 8_640_000_000_000n;

/** One thing that the transaction does. */
export interface Step {
  title: string;
  details: readonly (readonly [label: string, text: string])[];
}

export interface Words {
  steps: Step[];
  /** Who pays the fee. */
  payer: string;
  /** Everybody whose signature it needs, in its order. */
  signers: string[];
}

/** The transaction does something that the page does not know. */
export class UnreadableError extends Error {
  constructor(what: string) {
    super(`This transaction is not one of this page: ${what}. It was not shown to the wallet.`);
  }
}

type Call = Message["instructions"][number];

/** The words for a transaction of the owner of `place`; throws {@link UnreadableError}. */
export function inWords(transaction: Uint8Array, place: Place): Words {
  const message = read(transaction);
  const signers = message.accounts.slice(0, message.requiredSignatures);
  if (signers[0] !== place.owner) throw new UnreadableError("another account pays its fee");
  return { steps: message.instructions.map((one) => step(one, place)), payer: signers[0], signers };
}

function read(transaction: Uint8Array): Message {
  try {
    return decodeMessage(transaction);
  } catch (error) {
    if (!(error instanceof TransactionError)) throw error;
    throw new UnreadableError(error.message);
  }
}

function step(call: Call, place: Place): Step {
  switch (call.program) {
    case place.program:
      return programStep(call, place);
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

function programStep(call: Call, place: Place): Step {
  let decoded: ReturnType<typeof decodeInstruction>;
  try {
    decoded = decodeInstruction(call.data);
  } catch (error) {
    throw new UnreadableError((error as Error).message);
  }
  if (!decoded) throw new UnreadableError("the program has no such instruction");
  const { instruction, args } = decoded;
  const { owner, relayer, config, mint, vault, token, wallet } = place;
  const known: { [name: string]: string } = { owner, payer: owner, relayer, config, mint, vault, token, destination: wallet };
  for (const meta of instruction.accounts) if (meta.address) known[meta.name] = meta.address;
  expect(call, instruction.accounts.map((meta) => meta.name), known);
  const account = (name: string) => call.accounts[instruction.accounts.findIndex((meta) => meta.name === name)]!;
  const words = WORDS[instruction.name];
  if (!words) throw new UnreadableError(`the page never asks for ${instruction.name}`);
  return words(args, place, account);
}

type Sentence = (args: Struct, place: Place, account: (name: string) => string) => Step;

const WORDS: { [instruction: string]: Sentence } = {
  open_vault: (_, { vault, relayer }) => ({
    title: "Open your vault at this relayer",
    details: [
      ["Vault", vault],
      ["Relayer", relayer],
      ["Rent", "Your wallet pays it in SOL and gets it back when the vault is closed."],
    ],
  }),
  authorize_key: (args, _, account) => ({
    title: "Let a new key spend from your vault",
    details: [["Key", account("session_key")], ["Place in the vault", String(args.slot)], ...grantDetails(args.grant as Struct)],
  }),
  revoke_key: (args, { program }, account) => {
    if (account("settler") !== program) throw new UnreadableError("it names a settler");
    return {
      title: `End the key in place ${args.slot}`,
      details: [["From now on", "The relayer takes no new request of it. Requests served before may still settle during the grace."]],
    };
  },
  request_withdraw: (args, { vault }) => ({
    title: `Ask for ${amount(args.amount)} back`,
    details: [["From your vault", vault], ["Then", "After the delay you can carry it out alone. Nobody can stop it."]],
  }),
  cancel_withdraw: (_, { vault }) => ({ title: "Take the request for a withdrawal back", details: [["Vault", vault]] }),
  execute_withdraw: (_, { vault, wallet }) => ({
    title: "Withdraw what was asked for",
    details: [["From your vault", vault], ["To your wallet's USDC account", wallet]],
  }),
  withdraw_now: (args, { vault, wallet }, account) => {
    const agreement = args.agreement as Struct;
    return {
      title: `Withdraw ${amount(args.amount)} at once`,
      details: [
        ["From your vault", vault],
        ["To your wallet's USDC account", wallet],
        ["With the relayer's signature", account("settler")],
        ["Only until slot", String(agreement.valid_until_slot)],
      ],
    };
  },
};

function amount(value: unknown): string {
  return value === EVERYTHING ? "everything" : `${formatUsdc(value as bigint)} USDC`;
}

/** Each limit of a grant. A limit that this page does not know is shown by its name, and never left out. */
function grantDetails(grant: Struct): [string, string][] {
  const { expires, limit_total, window_seconds, window_limit, max_price, max_fee_bps, allow_root, ...others } = grant;
  const usd = (micro: unknown) => `$${formatUsdc(micro as bigint)}`;
  const prices = Object.entries(max_price as { [component: string]: bigint });
  return [
    ["At most in all", `${formatUsdc(limit_total as bigint)} USDC, fees included`],
    window_seconds === 0
      ? ["At most in a window", "no such limit"]
      : [`At most in ${formatSeconds(window_seconds as number)}`, `${formatUsdc(window_limit as bigint)} USDC, fees included`],
    ...prices.map(([component, price]): [string, string] => [PRICES[component] ?? `Highest price: ${component}`, usd(price)]),
    ["Highest fee of the relayer", `${(max_fee_bps as number) / 100} % of each charge`],
    ["Until", (expires as bigint) > LAST_DATE ? "you end it" : new Date(Number(expires) * 1000).toISOString()],
    ["Providers", equal(allow_root as Uint8Array, new Uint8Array(32)) ? "any registered provider" : `only those of the list ${toHex(allow_root as Uint8Array)}`],
    ...Object.entries(others).map(([name, value]): [string, string] => [name, String(value)]),
  ];
}

const PRICES: { [component: string]: string } = {
  input: "Highest price of a million prompt tokens",
  cached: "Highest price of a million cached prompt tokens",
  cache_write: "Highest price of a million prompt tokens written to a cache",
  cache_write_long: "Highest price of a million prompt tokens written to a cache for longer",
  output: "Highest price of a million answer tokens",
  request: "Highest price of a request",
};

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
