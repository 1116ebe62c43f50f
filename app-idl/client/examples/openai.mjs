// The OpenAI SDK, paying with signed requests: the key never leaves this process.
//
//   STEAM_BASE_URL=http://127.0.0.1:8787/v1 STEAM_KEY=sk-steam-… STEAM_VAULT=… STEAM_MODEL=demo/large node openai.mjs
import OpenAI from "openai";
import { connect, costOf, formatPico } from "steam-router-client";
import { fileStore } from "steam-router-client/node";

const { STEAM_BASE_URL, STEAM_RPC, STEAM_KEY, STEAM_VAULT, STEAM_MODEL, STEAM_STATE = "steam-key.json" } = process.env;
const steam = await connect({
  baseUrl: STEAM_BASE_URL,
  key: STEAM_KEY,
  vault: STEAM_VAULT,
  ...(STEAM_RPC ? { chain: STEAM_RPC } : {}),
  store: fileStore(STEAM_STATE),
  onReceipt: (receipt) => console.error(`paid ${formatPico(costOf(receipt))} USDC`),
});
// Without retries of its own: this fetch sends a request again itself, and never pays for one twice.
const openai = new OpenAI({ baseURL: steam.baseUrl, apiKey: "unused", fetch: steam.fetch, maxRetries: 0 });

// Many at once, with one key.
const questions = ["Say hello.", "Say goodbye.", "Say nothing."];
const answers = await Promise.all(
  questions.map((content) => openai.chat.completions.create({ model: STEAM_MODEL, max_tokens: 32, messages: [{ role: "user", content }] })),
);
for (const answer of answers) console.log(answer.choices[0].message.content);
