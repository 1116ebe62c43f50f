/** A page with a wallet, and the rules that no test may break: no violation of the policy, no error, nothing asked of another origin. */

import { test as base, expect, type Page } from "@playwright/test";
import { info } from "./setup.ts";
import { TestWallet } from "./wallet.ts";

export { expect };

export interface Steam {
  page: Page;
  wallet: TestWallet;
  origin: string;
}

export const test = base.extend<{ steam: Steam }>({
  steam: async ({ page }, use) => {
    const origin = process.env["STEAM_PAGE"] ?? new URL(info().base_url).origin;
    const wallet = new TestWallet();
    const steam = { page, wallet, origin };
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      // A refusal of the relayer is logged by the browser and told by the page.
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) faults.push(`console: ${text}`);
    });
    page.on("request", (request) => {
      const { protocol, origin: asked } = new URL(request.url());
      if (protocol !== "data:" && protocol !== "blob:" && asked !== steam.origin) faults.push(`asked ${request.url()}`);
    });
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    await wallet.install(page);
    await use(steam);
    expect(faults).toEqual([]);
  },
});

/** Connects the wallet and takes test money. */
export async function funded({ page, origin }: Steam): Promise<void> {
  await page.goto(origin);
  await page.getByRole("button", { name: "Connect Test Wallet" }).first().click();
  await page.getByRole("button", { name: "Give me test money" }).first().click();
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("100.00 USDC");
}

/** Opens the vault with one approval. Returns the key. */
export async function opened(steam: Steam, amount = "10"): Promise<string> {
  const { page } = steam;
  await funded(steam);
  await page.getByLabel("Deposit (USDC)").first().fill(amount);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("heading", { name: "Your API key" })).toBeVisible();
  return (await page.getByTestId("api-key").textContent())!;
}

export type Part = "Start" | "Try" | "Spending" | "Market" | "Provide" | "API";

/** Goes to another part of the page. */
export async function to({ page }: Steam, part: Part): Promise<void> {
  const link = page.getByRole("navigation").getByRole("link", { name: part });
  await link.click();
  // What is found before the part is shown may lie in the one that is shown no longer.
  await expect(link).toHaveAttribute("aria-current", "page");
}

/** Checks the words of a transaction, approves it, and waits for its end. */
export async function approve({ page }: Steam, words: string): Promise<void> {
  await expect(page.getByText(words, { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  const panel = page.locator(".approval:visible");
  await expect(async () => {
    expect(await panel.getByRole("alert").allTextContents()).toEqual([]);
    await expect(panel).toHaveCount(0, { timeout: 1 });
  }).toPass({ timeout: 60_000, intervals: [200] });
}
