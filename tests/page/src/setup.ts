/** Starts a `steam dev` for each worker, once for all tests, and ends them. */

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FullConfig } from "@playwright/test";

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
const FIRST_SEED = 11;

export default async function setup({ workers }: FullConfig): Promise<() => Promise<void>> {
  const steam = process.env["STEAM_BIN"];
  if (!steam) throw new Error("STEAM_BIN must name the binary: tests/page/run path/to/steam");
  const folder = mkdtempSync(join(tmpdir(), "steam-page-"));
  const networks: ChildProcess[] = [];
  const end = async () => {
    await Promise.all(networks.map((dev) => ended(dev)));
    rmSync(folder, { recursive: true });
  };
  process.env["STEAM_INFOS"] = folder;
  try {
    for (let worker = 0; worker < workers; worker++) {
      const args = ["--port", "0", "--info", infoOf(worker), "--dir", join(folder, `state-${worker}`), "--seed", String(FIRST_SEED + worker)];
      networks.push(spawn(steam, ["dev", ...args], { stdio: ["ignore", "ignore", "inherit"] }));
    }
    const deadline = Date.now() + READY_MS;
    while (!networks.every((_, worker) => existsSync(infoOf(worker)))) {
      if (networks.some(isOver) || Date.now() > deadline) throw new Error("steam dev did not get ready");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } catch (error) {
    await end();
    throw error;
  }
  return end;
}

const isOver = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null;

export async function ended(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (isOver(child)) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

function infoOf(worker: number): string {
  return join(process.env["STEAM_INFOS"]!, `${worker}.json`);
}

/** What the network of this worker says of itself. */
export function info(): Info {
  return JSON.parse(readFileSync(infoOf(Number(process.env["TEST_PARALLEL_INDEX"])), "utf8")) as Info;
}
