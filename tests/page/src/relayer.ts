/** A relayer in a process of its own. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ended, info } from "./setup.ts";

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** The relayer of `steam dev` once more, in a process of its own that can be killed. */
export class Relayer {
  private constructor(
    readonly origin: string,
    private readonly folder: string,
    private readonly config: string,
    private process: ReturnType<typeof spawn>,
  ) {}

  /** `more` is added to its configuration. */
  static async start(more: (folder: string) => string = () => ""): Promise<Relayer> {
    const folder = mkdtempSync(join(tmpdir(), "steam-page-relayer-"));
    const port = await freePort();
    const config = join(folder, "steam.toml");
    const text = readFileSync(info().config, "utf8")
      .replace(/^listen = .*$/m, `listen = "127.0.0.1:${port}"`)
      .replace(/^path = .*$/m, `path = ${JSON.stringify(join(folder, "steam.db"))}`);
    writeFileSync(config, `${text}\n${more(folder)}`);
    const relayer = new Relayer(`http://127.0.0.1:${port}`, folder, config, Relayer.serve(config));
    await relayer.ready();
    return relayer;
  }

  private static serve(config: string) {
    return spawn(process.env["STEAM_BIN"]!, ["serve", config], { stdio: "ignore" });
  }

  private async ready(): Promise<void> {
    for (const begun = Date.now(); Date.now() - begun < 30_000; ) {
      const ready = await fetch(`${this.origin}/ready`).then((response) => response.ok, () => false);
      if (ready) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the relayer did not get ready");
  }

  kill(): Promise<void> {
    return ended(this.process, "SIGKILL");
  }

  async again(): Promise<void> {
    this.process = Relayer.serve(this.config);
    await this.ready();
  }

  async end(): Promise<void> {
    await ended(this.process);
    rmSync(this.folder, { recursive: true });
  }
}
