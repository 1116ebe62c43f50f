// Run by `anchor migrate` after `anchor deploy`: writes the program's config, once.
//
// It needs the program's upgrade authority as the provider's wallet. What it writes is read from the environment, so
// that nothing of a deployment is fixed here:
//   STEAM_MINT       mint of USDC on this cluster
//   STEAM_ADMIN      who may change the delays (a multisig)
//   STEAM_GUARDIAN   who may pause settlement for a bounded time
import { spawnSync } from "node:child_process";
import type { AnchorProvider } from "@coral-xyz/anchor";

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
};

module.exports = async (provider: AnchorProvider): Promise<void> => {
  const args = ["admin", "init", "--url", provider.connection.rpcEndpoint, "--mint", need("STEAM_MINT")];
  args.push("--admin", need("STEAM_ADMIN"), "--guardian", need("STEAM_GUARDIAN"));
  const { status, error } = spawnSync("steam", args, { stdio: "inherit" });
  if (error) throw new Error("`steam` is not on the path: cargo install --path relayer", { cause: error });
  if (status !== 0) throw new Error(`steam admin init ended with exit code ${status}`);
};
