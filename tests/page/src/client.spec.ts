/** The TypeScript client in a browser, without a build, on a page of another origin than the relayer's: its example as it is. */

import { createServer, type Server } from "node:http";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { extname, join, resolve } from "node:path";
import { expect, test } from "@playwright/test";
import { info } from "./setup.ts";

const CLIENT = resolve("../../app-idl/client");
const KINDS: { [extension: string]: string } = { ".html": "text/html", ".js": "text/javascript" };

/** Serves the example, and beside it the packages as an installation has them. */
async function serve(): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url!, "http://page").pathname;
    const installed = path.replace("/node_modules/steam-router-client/", "/");
    const file = join(CLIENT, path === "/" ? "examples/browser.html" : installed);
    try {
      response.setHeader("Content-Type", KINDS[extname(file)] ?? "text/plain").end(readFileSync(file));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

test("a page of another origin pays with signed requests, and goes on after a reload", async ({ page }) => {
  const server = await serve();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  const { base_url, api_key, vault, models } = info();
  let carried = "";
  page.on("request", (request) => {
    if (request.url().startsWith(base_url)) carried += JSON.stringify(request.headers()) + (request.postData() ?? "");
  });
  const ask = async (question: string) => {
    for (const [name, value] of Object.entries({ baseUrl: base_url, key: api_key, vault, model: models[0]!, question })) await page.locator(`[name=${name}]`).fill(value);
    await page.getByRole("button", { name: "Ask" }).click();
    await expect(page.locator("output[data-paid]")).toHaveText(/simulated/);
  };
  try {
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await ask("Hello");
    const spent = () => page.evaluate(() => BigInt((JSON.parse(Object.values(localStorage)[0] as string) as { spent: string }).spent).toString());
    const first = BigInt(await spent());
    expect(first).toBeGreaterThan(0n);
    await page.reload();
    await ask("And again");
    expect(BigInt(await spent())).toBeGreaterThan(first);
    expect(faults).toEqual([]);
    expect(carried).toContain("steam-signature");
    expect(carried).not.toContain(api_key.slice("sk-steam-".length));
  } finally {
    server.close();
  }
});
