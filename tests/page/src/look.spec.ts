/** Every part of the page in both themes and both sizes: nothing that axe finds, nothing wider than the screen, nothing too small for a finger, nothing that needs a pointer. */

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { approve, expect, opened, test, to } from "./fixture.ts";

const PARTS = ["Start", "Try", "Spending", "Market", "Provide", "API"] as const;

const THEMES = ["light", "dark"] as const;

/** The least height and width of what is pressed, in pixels (WCAG 2.2, 2.5.8). */
const LEAST = 24;

/** What is pressed and too small. A link within a sentence may be, and a box that its label presses too. */
function tooSmall(least: number): string[] {
  const pressed = [...document.querySelectorAll<HTMLElement>("a[href], button, summary, select, input, textarea")];
  return pressed.flatMap((element) => {
    const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
    const siblings = [...(element.parentElement?.childNodes ?? [])];
    const inSentence = element.matches("a") && siblings.some((node) => node.nodeType === Node.TEXT_NODE && /\w/.test(node.textContent ?? ""));
    const isSmall = element.checkVisibility() && !element.matches(".skip") && !inSentence && (width < least || height < least);
    return isSmall ? [`${Math.round(width)} × ${Math.round(height)}: ${element.outerHTML.slice(0, 120)}`] : [];
  });
}

/** Looks at what the page shows now, in both themes. */
async function clean(page: Page, what: string): Promise<void> {
  expect(await page.evaluate(tooSmall, LEAST), `too small: ${what}`).toEqual([]);
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    // axe runs in the page: the policy has no exception for it, so it is put there by the debugger. The page has no frames, so that its results need no other page.
    const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`), `${what}, ${colorScheme}`).toEqual([]);
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
    await clean(page, `${part}, nobody connected`);
  }
  await to(steam, "Start");
  await page.getByRole("button", { name: "Connect Test Wallet" }).first().click();
  await expect(page.getByText("This relayer pays the network's fee")).toBeVisible();
  await clean(page, "no SOL");
  await opened(steam);
  await clean(page, "the key");
  await to(steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toBeVisible();
  await clean(page, "an answer");
  await to(steam, "Spending");
  await expect(page.getByTestId("receipt-row")).toBeVisible();
  await expect(page.getByTestId("usage-row")).toBeVisible();
  await clean(page, "spending");
  await page.getByRole("link", { name: /^Show why the request of/ }).first().click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
  await clean(page, "why a request went where it went");
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
  await clean(page, "a transaction as bytes");
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByLabel("Amount (USDC)").fill("x");
  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await clean(page, "a field with a fault");
  await to(steam, "Market");
  await expect(page.getByTestId("offer").first()).toBeVisible();
  await clean(page, "market");
  await page.getByRole("link", { name: "Over time" }).first().click();
  await expect(page.getByTestId("plot")).toHaveCount(5);
  await page.getByText("The same in numbers").click();
  await clean(page, "the market over time");
  await to(steam, "API");
  const chat = page.getByTestId("operation").filter({ has: page.getByText("POST /v1/chat/completions", { exact: true }) });
  await chat.locator("> summary").click();
  await chat.getByText("Body: application/json").click();
  await clean(page, "the API");
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
  await page.getByText("From a file of prices").click();
  await clean(page, "a provider");
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

test("the keyboard's place is never lost", async ({ steam }) => {
  const { page, origin } = steam;
  const wallet = page.getByRole("region", { name: "Wallet" });
  const press = async (name: string | RegExp, role: "button" | "link" = "button") => {
    await page.getByRole(role, { name }).filter({ visible: true }).first().focus();
    await page.keyboard.press("Enter");
  };
  const within = (selector: string) => expect.poll(() => page.evaluate((one) => !!document.activeElement?.matches(one), selector), { message: selector });
  await page.goto(origin);
  await press("Connect Test Wallet");
  await expect(wallet).toBeFocused();
  await press("Give me test money");
  await expect(page.getByRole("button", { name: "Test money is on its way …" })).toBeFocused();
  await expect(wallet).toContainText("100.00 USDC");
  await expect(page.getByRole("form", { name: "Limits" })).toBeFocused();
  await press("Show me the transaction");
  await expect(page.getByRole("heading", { name: "What you are about to approve" })).toBeFocused();
  await press("Cancel");
  await within("form, button");
  await press("Show me the transaction");
  await press("Ask Test Wallet to approve");
  await expect(page.getByRole("heading", { name: "Your API key" })).toBeFocused();
  await press("I have put the key away");
  await within("form, main, button");
  await to(steam, "Spending");
  await expect(page.locator("main")).toBeFocused();
  await press("Name this key");
  await expect(page.getByLabel("Name", { exact: true })).toBeFocused();
  await press("Keep the name");
  await within("li, button");
  await press("Sign in with Test Wallet");
  await expect(page.getByTestId("signed-in").filter({ visible: true })).toBeVisible();
  await within("main *, main");
  await press("End this key");
  await press("Ask Test Wallet to approve");
  await expect(page.getByTestId("key")).toContainText("ended");
  await within("main section, main li, main button");
  await to(steam, "Market");
  await press("Over time", "link");
  await expect(page.locator("main")).toBeFocused();
  await press("Disconnect");
  await within("main");
});
