// Opens a vault, authorises a key, deposits, and prints what an application needs.
//
//   STEAM_BASE_URL=http://127.0.0.1:8787/v1 STEAM_KEYPAIR=owner.json STEAM_DEPOSIT=5 node vault.mjs
import { randomBytes } from "node:crypto";
import { deploymentOf, NEVER, Owner, RelayerApi, relayerChain, RpcChain, SessionKey } from "steam-router-client";
import { readKeypair } from "steam-router-client/node";

const { STEAM_BASE_URL, STEAM_RPC, STEAM_KEYPAIR, STEAM_DEPOSIT = "5" } = process.env;
const api = new RelayerApi(STEAM_BASE_URL);
// Your own node, if you have one: what the relayer says of the chain is its word.
const chain = STEAM_RPC ? new RpcChain(STEAM_RPC) : relayerChain(api);
const owner = new Owner({ signer: readKeypair(STEAM_KEYPAIR), chain, api, deployment: await deploymentOf(api) });

const key = new SessionKey(randomBytes(32));
const micro = BigInt(Math.round(Number(STEAM_DEPOSIT) * 1e6));
const price = 20_000_000n; // µUSDC per million tokens: $20
const grant = {
  limit_total: micro,
  window_seconds: 86_400,
  window_limit: micro,
  max_price: { input: price, cached: price, cache_write: 2n * price, cache_write_long: 2n * price, output: 2n * price, request: 10_000n },
  max_fee_bps: 500,
  expires: NEVER,
  allow_root: new Uint8Array(32), // any registered provider
};
if ((await owner.holdings()).vault) {
  await owner.authorizeKey(key, grant);
  await owner.deposit(micro);
} else {
  await owner.open({ key, grant, deposit: micro });
}
console.log(JSON.stringify({ vault: owner.place.vault, key: key.reveal() }));
