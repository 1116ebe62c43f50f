/** What needs Node.js: files. */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Keypair } from "./keypair.js";
import { storeOf, type State, type Store } from "./pay/store.js";

/** Another process uses the file. */
export class StoreInUseError extends Error {
  constructor(path: string, pid: number) {
    super(`The process ${pid} uses the state file ${path}: give each process a key and a file of its own, or wait until it has ended.`);
  }
}

/** Only its owner may read it. */
const PRIVATE = 0o600;

/**
 * A store in a file, of this process alone until it ends. Each change is on disk, synced, before it counts. The file has the form of
 * `steam chat`'s; the two must not use one at the same time. Throws {@link StoreInUseError}.
 */
export function fileStore(file: string): Store {
  const path = resolve(file);
  mkdirSync(dirname(path), { recursive: true });
  lock(path);
  return storeOf({
    load: () => {
      const text = existsSync(path) ? readFileSync(path, "utf8") : "";
      // Nothing was ever written to an empty one.
      return text === "" ? null : (JSON.parse(text) as State);
    },
    save: (state) => replace(path, JSON.stringify(state, null, 2)),
  });
}

/** The keypair in a file of the Solana CLI. */
export function readKeypair(file: string): Keypair {
  return Keypair.parse(readFileSync(file, "utf8"));
}

function lock(path: string): void {
  const file = `${path}.owner`;
  const take = () => {
    const held = openSync(file, "wx", PRIVATE);
    writeSync(held, String(process.pid));
    closeSync(held);
  };
  try {
    take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const pid = Number(readFileSync(file, "utf8"));
    if (pid === process.pid || isAlive(pid)) throw new StoreInUseError(path, pid);
    // Its process ended without removing it.
    rmSync(file);
    take();
  }
  process.once("exit", () => rmSync(file, { force: true }));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Writes a new file and renames it, so that a crash leaves the old or the new one. */
function replace(path: string, text: string): void {
  const next = `${path}.next`;
  const file = openSync(next, "w", PRIVATE);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
