/** `migrations/deploy.ts`, as `anchor migrate` runs it: type-checked, compiled to CommonJS, with a `steam` that writes down its arguments. */

import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { beforeEach, test } from "node:test";
import ts from "typescript";

const script = resolve("../../migrations/deploy.ts");
const folder = mkdtempSync(join(tmpdir(), "steam-migration-"));
const options: ts.CompilerOptions = {
  module: ts.ModuleKind.CommonJS,
  target: ts.ScriptTarget.ES2022,
  strict: true,
  noUnusedLocals: true,
  types: ["node"],
  typeRoots: [resolve("node_modules/@types")],
};

/** All the script takes from Anchor's package, which is not installed here. */
const anchor = join(folder, "anchor.d.ts");
writeFileSync(anchor, 'declare module "@coral-xyz/anchor" { interface AnchorProvider { readonly connection: { readonly rpcEndpoint: string } } }');

/** The script's own function. */
type Migration = (provider: { connection: { rpcEndpoint: string } }) => Promise<void>;
const compiled = join(folder, "deploy.cjs");
writeFileSync(compiled, ts.transpileModule(readFileSync(script, "utf8"), { compilerOptions: options }).outputText);
const migrate = createRequire(import.meta.url)(compiled) as Migration;

const said = join(folder, "said");
const path = process.env.PATH ?? "";
const provider = { connection: { rpcEndpoint: "http://127.0.0.1:8899" } };

function installSteam(exitCode: number): void {
  const steam = join(folder, "steam");
  writeFileSync(steam, `#!/bin/sh\necho "$@" > '${said}'\nexit ${exitCode}\n`);
  chmodSync(steam, 0o755);
  process.env.PATH = `${folder}${delimiter}${path}`;
}

beforeEach(() => {
  Object.assign(process.env, { STEAM_MINT: "mint", STEAM_ADMIN: "admin", STEAM_GUARDIAN: "guardian" });
});

test("the migration is sound TypeScript", () => {
  const program = ts.createProgram([script, anchor], { ...options, noEmit: true });
  const found = ts.getPreEmitDiagnostics(program).map((one) => ts.flattenDiagnosticMessageText(one.messageText, "\n"));
  assert.deepEqual(found, []);
});

test("it sets the program up as the environment says, at the cluster that was deployed to", async () => {
  installSteam(0);
  await migrate(provider);
  assert.equal(readFileSync(said, "utf8").trim(), "admin init --url http://127.0.0.1:8899 --mint mint --admin admin --guardian guardian");
});

test("it names what is missing, and says when steam failed or is not there", async () => {
  installSteam(4);
  await assert.rejects(migrate(provider), /ended with exit code 4/);
  delete process.env.STEAM_GUARDIAN;
  await assert.rejects(migrate(provider), /set STEAM_GUARDIAN/);
  process.env.STEAM_GUARDIAN = "guardian";
  process.env.PATH = "/nowhere";
  await assert.rejects(migrate(provider), /not on the path/);
});
