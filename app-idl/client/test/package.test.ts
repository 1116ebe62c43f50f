/** Stores, and the package as it is published. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import type { State } from "../src/index.js";
import { fileStore, readKeypair, StoreInUseError } from "../src/node.js";

const folder = mkdtempSync(join(tmpdir(), "steam-client-"));
after(() => rmSync(folder, { recursive: true }));

const state: State = { domain: "d", vault: "v", generation: 1, epoch: 2, key: "k", spent: "3", high_water: "4", unresolved: [] };

test("a file store keeps its state, changes one after the other, and writes nothing where a change throws", async () => {
  const file = join(folder, "deep/state.json");
  const store = fileStore(file);
  await store.update((before) => (assert.equal(before, null), state));
  await Promise.all(Array.from({ length: 20 }, () => store.update((before) => ({ ...before!, spent: String(BigInt(before!.spent) + 1n) }))));
  await assert.rejects(store.update(() => { throw new Error("no"); }), /no/);
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { ...state, spent: "23" });
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.throws(() => fileStore(file), StoreInUseError);
});

test("an empty file is a store that knows of nothing", async () => {
  const file = join(folder, "empty.json");
  writeFileSync(file, "");
  await fileStore(file).update((before) => (assert.equal(before, null), state));
});

test("a file store is of one process, and outlives a process that was killed", async (t) => {
  const file = join(folder, "shared.json");
  const script = `const { fileStore } = await import(${JSON.stringify(new URL("../src/node.js", import.meta.url).href)}); fileStore(${JSON.stringify(file)}); console.log("held"); setInterval(() => {}, 1000);`;
  const other = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => other.kill("SIGKILL"));
  await new Promise((resolve) => other.stdout.once("data", resolve));
  assert.throws(() => fileStore(file), (error) => error instanceof StoreInUseError && error.message.includes(String(other.pid)));
  const gone = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGKILL");
  await gone;
  assert.ok(existsSync(`${file}.owner`), "the killed process left its mark");
  await fileStore(file).update(() => state);
});

test("a keypair file is read, and what is none is told without its text", () => {
  const file = join(folder, "id.json");
  writeFileSync(file, "[1,2,3]");
  assert.throws(() => readKeypair(file), (error: Error) => /64 numbers/.test(error.message) && !error.message.includes("1,2"));
});

/** Every module that `entry` reaches, and what it imports from packages. */
function reached(entry: string, files = new Set<string>(), packages = new Set<string>()): { files: Set<string>; packages: Set<string> } {
  if (files.has(entry)) return { files, packages };
  files.add(entry);
  for (const [, name] of readFileSync(entry, "utf8").matchAll(/^(?:import|export) (?:[^"]* from )?"([^"]+)"/gm)) {
    if (name!.startsWith(".")) reached(join(dirname(entry), name!), files, packages);
    else packages.add(name!);
  }
  return { files, packages };
}

test("the package holds built modules with their types, no sources and no tests; its entry runs in browsers", () => {
  execFileSync("npm", ["run", "--silent", "build"]);
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts", "--silent"], { encoding: "utf8" })) as { files: { path: string }[] }[];
  const paths = packed!.files.map(({ path }) => path);
  assert.ok(paths.includes("README.md") && paths.some((path) => path.startsWith("examples/")));
  assert.deepEqual(paths.filter((path) => !/^(dist\/.*\.(js|d\.ts)|examples\/[^/]+|README\.md|package\.json)$/.test(path)), []);
  for (const path of paths.filter((path) => path.endsWith(".js"))) assert.ok(paths.includes(path.replace(/js$/, "d.ts")), path);
  const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as { exports: { [name: string]: string | { [kind: string]: string } } };
  for (const target of Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [entry] : Object.values(entry)))) assert.ok(paths.includes(target.slice(2)), target);
  const browser = reached(resolve("dist/index.js"));
  assert.deepEqual([...browser.packages].sort(), ["@noble/ed25519", "@noble/hashes/sha2.js", "@noble/hashes/utils.js"]);
  assert.ok(browser.files.size > 20 && ![...browser.files].some((file) => file.endsWith("node.js")));
});
