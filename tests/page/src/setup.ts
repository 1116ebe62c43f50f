/** Starts `steam dev` once for all tests, and ends it. */

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Info {
  base_url: string;
  api_key: string;
  vault: string;
  rpc_url: string;
  relayer: string;
  mint: string;
  dir: string;
  config: string;
  models: string[];
}

const READY_MS = 180_000;

export default async function setup(): Promise<() => Promise<void>> {
  const steam = process.env["STEAM_BIN"];
  if (!steam) throw new Error("STEAM_BIN must name the binary: tests/page/run path/to/steam");
  const folder = mkdtempSync(join(tmpdir(), "steam-page-"));
  const info = join(folder, "info.json");
  const dev = spawn(steam, ["dev", "--port", "0", "--info", info, "--dir", join(folder, "state"), "--seed", "11"], { stdio: ["ignore", "ignore", "inherit"] });
  const deadline = Date.now() + READY_MS;
  while (!existsSync(info)) {
    if (dev.exitCode !== null || Date.now() > deadline) throw new Error("steam dev did not get ready");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  process.env["STEAM_INFO"] = info;
  return async () => {
    await ended(dev);
    rmSync(folder, { recursive: true });
  };
}

export async function ended(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

export function info(): Info {
  return JSON.parse(readFileSync(process.env["STEAM_INFO"]!, "utf8")) as Info;
}
