/** What a key used, as lines and as a file; its limits changed, its name, and another key in its place. */

import { readFileSync } from "node:fs";
import { approve, expect, opened, test, to } from "./fixture.ts";

test("usage by day, model and provider, and the receipts as CSV", async ({ steam }) => {
  const { page, origin } = steam;
  const key = await opened(steam, "2");
  await to(steam, "Try");
  for (const sent of [1, 2]) {
    await page.getByRole("button", { name: "Send" }).click();
    await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
    await to(steam, "Spending");
    await expect(page.getByTestId("usage-total")).toContainText(`${sent} request`);
    await to(steam, "Try");
  }
  await to(steam, "Spending");
  await page.getByRole("link", { name: /^Show why the request of/ }).first().click();
  await expect(page.getByTestId("chosen")).toContainText(/\d+ candidates, \d+ excluded; tried .+ \(opened\)/);
  await expect(page.getByTestId("candidate").filter({ hasText: "served" })).toHaveCount(1);
  await expect(page.getByTestId("answer-shown")).toContainText("Receipt checked.");
  const link = page.url();
  expect(link).toMatch(/#spending\/gen-/);
  await page.getByRole("link", { name: "All requests" }).click();
  const row = page.getByTestId("usage-row");
  await expect(row).toHaveCount(1);
  await expect(row).toContainText(new Date().toISOString().slice(0, 10));
  await page.getByLabel("model", { exact: true }).check();
  await expect(row.first()).not.toContainText(new Date().toISOString().slice(0, 10));
  await page.getByLabel("provider", { exact: true }).check();
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the receipts of that time as CSV" }).click();
  const download = await downloading;
  expect(download.suggestedFilename()).toMatch(/^receipts-\d{4}-\d\d-\d\d\.csv$/);
  const [titles, ...lines] = readFileSync(await download.path(), "utf8").trimEnd().split("\r\n");
  expect(lines).toHaveLength(2);
  const [cost, holds] = ["cost_usdc", "receipt_holds"].map((title) => titles!.split(",").indexOf(title));
  const cells = lines.map((line) => line.split(","));
  expect(cells.map((cell) => cell[holds!])).toEqual(["yes", "yes"]);
  const pico = cells.reduce((sum, cell) => sum + BigInt(cell[cost!]!.replace(".", "").padEnd(cell[cost!]!.indexOf(".") + 12, "0")), 0n);
  const total = (await page.getByTestId("usage-total").textContent())!.match(/([\d.]+) USDC/)![1]!;
  expect(pico).toBe(BigInt(total.replace(".", "").padEnd(total.indexOf(".") + 12, "0")));

  // A relayer that hides receipts of what the chain took is seen.
  await expect(page.getByTestId("taken")).not.toContainText("has taken 0.00 USDC");
  await page.route(/\/v1\/receipts\?/, (route) => route.fulfill({ json: { data: [], has_more: false } }));
  await page.goto(`${origin}/?hidden#spending`);
  await page.getByRole("button", { name: "Connect Test Wallet" }).filter({ visible: true }).click();
  await page.getByLabel("API key").filter({ visible: true }).fill(key);
  await page.getByRole("button", { name: "Use this key" }).filter({ visible: true }).click();
  await expect(page.getByTestId("beyond")).toContainText("for which no receipt is listed here");
});

test("why a request went where it went: by a link, with its key alone, and only as the receipt commits to it", async ({ steam }) => {
  const { page, origin } = steam;
  const key = await opened(steam, "2");
  await to(steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByRole("link", { name: "Why it went there" }).click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
  const link = page.url();
  await page.goto(`${origin}/?other`);
  await page.goto(link);
  await page.getByLabel("API key").filter({ visible: true }).fill("sk-steam-4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi");
  await page.getByRole("button", { name: "Use this key" }).filter({ visible: true }).click();
  await expect(page.getByRole("alert")).toContainText("there is no generation of this id for this key");
  await page.reload();
  await page.route("**/v1/generation/*", async (route) => {
    const response = await route.fetch();
    const told = (await response.json()) as { decision_base64: string };
    const record = Buffer.from(told.decision_base64, "base64").toString().replace('"opened"', '"refused"');
    await route.fulfill({ response, json: { ...told, decision_base64: Buffer.from(record).toString("base64") } });
  });
  await page.getByLabel("API key").filter({ visible: true }).fill(key);
  await page.getByRole("button", { name: "Use this key" }).filter({ visible: true }).click();
  await expect(page.getByRole("alert")).toContainText("The relayer shows another decision than the one that the receipt was signed with.");
  await page.unroute("**/v1/generation/*");
  await page.getByRole("button", { name: "Read it again" }).click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
});

test("limits changed, a name, and another key in the place of one", async ({ steam }) => {
  const { page, wallet } = steam;
  const first = await opened(steam, "2");
  await to(steam, "Spending");
  await page.getByRole("button", { name: "Change its limits" }).click();
  await page.getByLabel("At most in all (USD)").filter({ visible: true }).fill("0");
  await page.getByRole("button", { name: "Show me the new limits" }).click();
  await expect(page.getByText("Write an amount above zero.")).toBeVisible();
  await page.getByLabel("At most in all (USD)").filter({ visible: true }).fill("7.5");
  await page.getByRole("button", { name: "Show me the new limits" }).click();
  await expect(page.getByText("7.50 USDC, fees included")).toBeVisible();
  await approve(steam, "Change the limits of the key in place 0");
  await expect(page.getByTestId("key")).toContainText("of 7.50 USDC settled");

  await page.getByRole("button", { name: "Name this key" }).click();
  await page.getByLabel("Name", { exact: true }).fill("<b>Laptop</b>");
  await page.getByRole("button", { name: "Keep the name" }).click();
  await expect(page.getByTestId("key-name")).toHaveText("<b>Laptop</b>");

  await page.getByRole("button", { name: "Replace this key" }).click();
  await expect(page.locator(".approval:visible")).toContainText("End the key in place 0");
  await approve(steam, "Let a new key spend from your vault");
  await expect(page.getByTestId("api-key")).toBeVisible();
  expect(await page.getByTestId("api-key").textContent()).not.toBe(first);
  await to(steam, "Spending");
  await expect(page.getByTestId("key")).toHaveCount(2);
  await expect(page.getByTestId("key").filter({ hasText: "live" })).toContainText("<b>Laptop</b>");
  await expect(page.getByTestId("key").filter({ hasText: "live" })).toContainText("of 7.50 USDC settled");
  await expect(page.getByTestId("key").filter({ hasText: "ended" })).toHaveCount(1);
  expect(wallet.asked).toHaveLength(3);
  await to(steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
});
