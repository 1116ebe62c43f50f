/** Every part of the page in both themes and both sizes: nothing that axe finds, nothing wider than the screen, nothing that needs a pointer. */

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { approve, expect, opened, test, to } from "./fixture.ts";

const PARTS = ["Start", "Try", "Spending", "Market", "Provide", "API"] as const;

const THEMES = ["light", "dark"] as const;

/** Looks at what the page shows now, in both themes; with a `picture`, for people, of each. */
async function clean(page: Page, what: string, picture?: string): Promise<void> {
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    // axe runs in the page: the policy has no exception for it, so it is put there by the debugger. The page has no frames, so that its results need no other page.
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`), `${what}, ${colorScheme}`).toEqual([]);
    if (picture) await page.screenshot({ path: test.info().outputPath(`${picture}-${colorScheme}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide, `${what} is wider than the screen`).toBeLessThanOrEqual(0);
  }
  expect(page.frames()).toHaveLength(1);
}

test("axe finds nothing", async ({ steam }) => {
  // Every part in both themes: longer than any other test.
  test.setTimeout(600_000);
  const { page, origin } = steam;
  await page.goto(origin);
  for (const part of PARTS) {
    await to(steam, part);
    await clean(page, `${part}, nobody connected`, `${part}-nobody`);
  }
  await to(steam, "Start");
  await page.getByRole("button", { name: "Connect Test Wallet" }).first().click();
  await expect(page.getByText("This relayer pays the network's fee")).toBeVisible();
  await clean(page, "no SOL");
  await opened(steam);
  await clean(page, "the key", "key");
  await to(steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toBeVisible();
  await clean(page, "an answer", "answer");
  await to(steam, "Spending");
  await expect(page.getByTestId("receipt-row")).toBeVisible();
  await expect(page.getByTestId("usage-row")).toBeVisible();
  await clean(page, "spending", "spending");
  await page.getByRole("link", { name: /^Show why the request of/ }).first().click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
  await clean(page, "why a request went where it went", "why");
  await page.getByRole("link", { name: "All requests" }).click();
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true }).click();
  await expect(page.getByTestId("signed-in").filter({ visible: true })).toBeVisible();
  await clean(page, "an owner who signed in");
  await page.getByRole("button", { name: "Change its limits" }).click();
  await clean(page, "new limits");
  await page.getByRole("button", { name: "Name this key" }).click();
  await clean(page, "a key's name");
  await page.getByRole("button", { name: "End this key" }).click();
  await expect(page.getByText("End the key in place 0")).toBeVisible();
  await clean(page, "a transaction in words");
  await page.getByText("Sign it elsewhere, as bytes").click();
  await expect(page.getByTestId("bytes")).toBeVisible();
  await clean(page, "a transaction as bytes", "words");
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByLabel("Amount (USDC)").fill("x");
  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await clean(page, "a field with a fault");
  await to(steam, "Market");
  await expect(page.getByTestId("offer").first()).toBeVisible();
  await clean(page, "market", "market");
  await page.getByRole("link", { name: "Over time" }).first().click();
  await expect(page.getByTestId("plot")).toHaveCount(5);
  await page.getByText("The same in numbers").click();
  await clean(page, "the market over time", "history");
  await to(steam, "API");
  const chat = page.getByTestId("operation").filter({ has: page.getByText("POST /v1/chat/completions", { exact: true }) });
  await chat.locator("> summary").click();
  await chat.getByText("Body: application/json").click();
  await clean(page, "the API", "api");
  await to(steam, "Provide");
  await page.getByLabel("Name shown to people").fill("Looked at");
  await page.getByRole("button", { name: "Show me the registration" }).click();
  await clean(page, "a registration with a fault");
  await page.getByLabel("Base URL of your API").fill("https://api.example.com/v1");
  await page.getByRole("button", { name: "Show me the registration" }).click();
  await approve(steam, "Register your wallet as a provider");
  await expect(page.getByTestId("proof")).toBeVisible();
  await page.getByText("Prices of cache writes, of requests").click();
  await page.getByText("Change name or URL").click();
  await clean(page, "a provider", "provider");
});

test("the keyboard is enough", async ({ steam }) => {
  const { page, origin } = steam;
  await page.goto(origin);
  const connect = page.getByRole("button", { name: "Connect Test Wallet" }).first();
  // A wallet is listed once it has announced itself: before, Tab would go past its place.
  await expect(connect).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(connect).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("region", { name: "Wallet" })).toBeVisible();
});
