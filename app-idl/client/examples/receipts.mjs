// Verifies the receipts of a key: signature, arithmetic, and the place in a batch that was settled on chain.
//
//   STEAM_BASE_URL=http://127.0.0.1:8787/v1 STEAM_RPC=http://127.0.0.1:8899 STEAM_KEY=sk-steam-… STEAM_VAULT=… node receipts.mjs
import { connect, costOf, formatPico, memoryStore } from "steam-router-client";

const { STEAM_BASE_URL, STEAM_RPC, STEAM_KEY, STEAM_VAULT } = process.env;
const steam = await connect({ baseUrl: STEAM_BASE_URL, key: STEAM_KEY, vault: STEAM_VAULT, chain: STEAM_RPC, store: memoryStore() });
const { data } = await steam.get("receipts?limit=100");
for (const { id } of data) {
  const { receipt, status, included, onChain } = await steam.verify(id);
  console.log(JSON.stringify({ id, usdc: formatPico(costOf(receipt)), status, included, onChain }));
}
