/** What a vault's owner does, in words. */

import { equal, EVERYTHING, type Place, type Struct, toHex } from "../../../../app-idl/client/src/index.js";
import { formatSeconds, formatUsdc } from "../money.js";
import { priceLines } from "./prices.js";
import { type Detail, UnreadableError, type Vocabulary } from "./sentence.js";

/** The last second that a `Date` can be. */
const LAST_DATE = 8_640_000_000_000n;

export const OWNER: Vocabulary<Place> = {
  accounts: ({ owner, relayer, config, mint, vault, token, wallet }) => ({ owner, payer: owner, relayer, config, mint, vault, token, destination: wallet }),
  sponsored: ["open_vault", "authorize_key"],
  words: {
    open_vault: ({ place: { owner, vault, relayer }, account }) => ({
      title: "Open your vault at this relayer",
      details: [
        ["Vault", vault],
        ["Relayer", relayer],
        ["Rent", account("payer") === owner
          ? "Your wallet pays it in SOL and gets it back when the vault is closed."
          : "The relayer pays it in SOL and gets it back when the vault is closed. Your wallet pays nothing."],
      ],
    }),
    authorize_key: ({ args, account }) => ({
      title: "Let a new key spend from your vault",
      details: [["Key", account("session_key")], ["Place in the vault", String(args.slot)], ...grantDetails(args.grant as Struct)],
    }),
    update_key: ({ args }) => ({
      title: `Change the limits of the key in place ${args.slot}`,
      details: [...limitDetails(args.limits as Struct), ["From when on", "Higher limits hold at once. What was served before a cut may still settle within the former ones during the grace."]],
    }),
    revoke_key: ({ args, place: { program }, account }) => {
      if (account("settler") !== program) throw new UnreadableError("it names a settler");
      return {
        title: `End the key in place ${args.slot}`,
        details: [["From now on", "The relayer takes no new request of it. Requests served before may still settle during the grace."]],
      };
    },
    request_withdraw: ({ args, place: { vault } }) => ({
      title: `Ask for ${amount(args.amount)} back`,
      details: [["From your vault", vault], ["Then", "After the delay you can carry it out alone. Nobody can stop it."]],
    }),
    cancel_withdraw: ({ place: { vault } }) => ({ title: "Take the request for a withdrawal back", details: [["Vault", vault]] }),
    execute_withdraw: ({ place: { vault, wallet } }) => ({
      title: "Withdraw what was asked for",
      details: [["From your vault", vault], ["To your wallet's USDC account", wallet]],
    }),
    withdraw_now: ({ args, place: { vault, wallet }, account }) => ({
      title: `Withdraw ${amount(args.amount)} at once`,
      details: [
        ["From your vault", vault],
        ["To your wallet's USDC account", wallet],
        ["With the relayer's signature", account("settler")],
        ["Only until slot", String((args.agreement as Struct).valid_until_slot)],
      ],
    }),
    close_vault: ({ place: { vault, wallet }, account }) => ({
      title: "Close your vault",
      details: [
        ["Vault", vault],
        ["USDC that are in it go to your wallet's USDC account", wallet],
        ["Its rent goes back to who paid it", account("rent_payer")],
        ["Its keys", "All of them end."],
      ],
    }),
  },
};

export function amount(value: unknown): string {
  return value === EVERYTHING ? "everything" : `${formatUsdc(value as bigint)} USDC`;
}

/** Each limit of a new key. A limit that this page does not know is shown by its name, and never left out. */
function grantDetails({ expires, window_seconds, allow_root, ...limits }: Struct): Detail[] {
  return [
    ...limitDetails(limits, window_seconds as number),
    ["Until", (expires as bigint) > LAST_DATE ? "you end it" : new Date(Number(expires) * 1000).toISOString()],
    ["Providers", equal(allow_root as Uint8Array, new Uint8Array(32)) ? "any registered provider" : `only those of the list ${toHex(allow_root as Uint8Array)}`],
  ];
}

/** Limits that can be changed. How long a window is was said when the key was made. */
function limitDetails({ limit_total, window_limit, max_price, max_fee_bps, ...others }: Struct, window?: number): Detail[] {
  const usdc = (micro: unknown) => `${formatUsdc(micro as bigint)} USDC, fees included`;
  const spans = window === 0 || (window === undefined && window_limit === 0n);
  const label = window === undefined || window === 0 ? "At most in a window" : `At most in ${formatSeconds(window)}`;
  return [
    ["At most in all", usdc(limit_total)],
    [label, spans ? "no such limit" : usdc(window_limit)],
    ...priceLines(max_price as Struct, (what) => `Highest price of ${what}`),
    ["Highest fee of the relayer", `${(max_fee_bps as number) / 100} % of each charge`],
    ...Object.entries(others).map(([name, value]): Detail => [name, String(value)]),
  ];
}
