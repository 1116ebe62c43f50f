/** What a provider does, in words. */

import { isModelName, offerAddress, type ProviderPlace, readCapabilities, type Struct } from "../../../../app-idl/client/src/index.js";
import { amount } from "./owner-words.js";
import { priceLines } from "./prices.js";
import { type Called, type Detail, UnreadableError, type Vocabulary } from "./sentence.js";

export const PROVIDER: Vocabulary<ProviderPlace> = {
  accounts: ({ owner, config, mint, provider, earnings, wallet }) => ({ authority: owner, payer: owner, config, mint, provider, token: earnings, destination: wallet }),
  sponsored: [],
  words: {
    register_provider: ({ args, place: { provider, earnings } }) => ({
      title: "Register your wallet as a provider",
      details: [
        ["Name", String(args.name)],
        ["Base URL of your API", String(args.url)],
        ["Provider", provider],
        ["Earnings go to the USDC account", earnings],
        ["Rent", "Your wallet pays it in SOL and gets it back when the provider is closed."],
      ],
    }),
    update_provider: ({ args, place: { provider } }) => ({ title: "Change your provider", details: [["Provider", provider], ...updateDetails(args.update as Struct)] }),
    put_offer: ({ args, place, account }) => {
      const model = args.model as string;
      if (!isModelName(model)) throw new UnreadableError("it offers a model under a name that is none");
      if (account("offer") !== offerAddress(place.provider, model, place.program)) throw new UnreadableError(`${account("offer")} is not the offer of ${model}`);
      return { title: `Offer ${model} at these prices`, details: [["Offer", account("offer")], ...termDetails(args.terms as Struct)] };
    },
    retire_offer: (called) => ({
      title: `Stop offering ${modelOf(called)}`,
      details: [["Offer", called.account("offer")], ["From now on", "Relayers ask you for it no more. What was served settles for the grace."]],
    }),
    close_offer: (called) => ({
      title: `Close the offer of ${modelOf(called)}`,
      details: [["Offer", called.account("offer")], ["Its rent goes back to who paid it", called.account("rent_payer")]],
    }),
    close_provider: ({ place: { provider }, account }) => ({
      title: "Close your provider",
      details: [["Provider", provider], ["Its rent goes back to who paid it", account("rent_payer")]],
    }),
    withdraw_earnings: ({ args, place: { earnings, wallet } }) => ({
      title: `Withdraw ${amount(args.amount)} of your earnings`,
      details: [["From the earnings", earnings], ["To your wallet's USDC account", wallet]],
    }),
  },
};

/** The model of the offer that an instruction names by its address alone. */
function modelOf({ place, account, models }: Called<ProviderPlace>): string {
  const found = models.find((model) => isModelName(model) && offerAddress(place.provider, model, place.program) === account("offer"));
  if (found === undefined) throw new UnreadableError(`${account("offer")} is no offer that this page knows`);
  return found;
}

/** What changes. What stays is not in the bytes. */
function updateDetails({ name, url, retired, ...others }: Struct): Detail[] {
  const lines: Detail[] = [];
  if (name !== null) lines.push(["New name", String(name)]);
  if (url !== null) lines.push(["New base URL of your API", String(url)]);
  if (retired !== null) lines.push(["From now on", retired ? "Relayers ask you for nothing any more. What was served settles." : "Relayers may ask you again."]);
  return [...lines, ...Object.entries(others).map(([name, value]): Detail => [name, String(value)])];
}

function termDetails({ price, long_from, long_price, context_limit, output_limit, capabilities, ...others }: Struct): Detail[] {
  const { names, quantization, others: bits } = readCapabilities(capabilities as bigint);
  const long = priceLines(long_price as Struct, (what) => `With more than ${long_from} prompt tokens: ${what}`);
  return [
    ...priceLines(price as Struct, (what) => `Price of ${what}`),
    ...(long_from === 0 ? [["Long prompts", "cost the same"] as const] : long),
    ["Most tokens of prompt and answer together", String(context_limit)],
    ["Most tokens of an answer", String(output_limit)],
    ["It can do", names.join(", ") || "nothing that has a name"],
    ["Weights", quantization],
    ...(bits === 0n ? [] : [["Other capabilities", `0x${bits.toString(16)}`] as const]),
    ...Object.entries(others).map(([name, value]): Detail => [name, String(value)]),
  ];
}
