/** From nothing to the first answer with one approval; then its receipt, the key's end, and the money back. */

import { approve, expect, opened, test, to } from "./fixture.ts";

test("from nothing to the first answer with one approval, and everything back again", async ({ steam }) => {
  const { page, wallet } = steam;
  const begun = Date.now();
  const key = await opened(steam);
  expect(key).toMatch(/^sk-steam-[1-9A-HJ-NP-Za-km-z]{40,44}$/);
  expect(wallet.asked, "one approval").toHaveLength(1);
  for (const client of ["curl", "Python", "Node.js"]) {
    const text = await page.getByLabel(client, { exact: true }).textContent();
    expect(text).toContain(key);
    expect(text).toContain("/v1");
  }

  await page.getByRole("link", { name: "Ask a model" }).first().click();
  const soFar = page.getByTestId("so-far").waitFor();
  await page.getByRole("button", { name: "Send" }).click();
  await soFar;
  await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
  await expect(page.getByTestId("so-far")).toHaveCount(0);
  expect(Date.now() - begun, "under a minute").toBeLessThan(60_000);
  expect((await page.getByTestId("answer").textContent())!.length).toBeGreaterThan(2);
  await expect(page.getByTestId("receipt")).toContainText("USDC, fee included");

  await to(steam, "Spending");
  const row = page.getByTestId("receipt-row");
  await expect(row).toHaveCount(1);
  await expect(row).toContainText("holds");
  await expect(row).toContainText("settled, in its batch");
  const taken = page.getByTestId("taken");
  await expect(taken).not.toContainText("has taken 0.00 USDC");
  await expect(taken).toContainText("So no more was taken than receipts say.");

  await page.getByRole("button", { name: "End this key" }).click();
  await approve(steam, "End the key in place 0");
  await expect(page.getByTestId("key")).toContainText("ended");

  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await approve(steam, "Withdraw everything at once");
  await expect(page.getByTestId("balance")).toHaveText("0.00 USDC");
  const left = Number(await page.getByRole("region", { name: "Wallet" }).locator("strong").first().textContent());
  expect(left).toBeGreaterThan(99.9);
  expect(left).toBeLessThan(100);

  await to(steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("alert")).toContainText(/revoked|ended/);
});

test("a withdrawal without the relayer: asked for, taken back, asked for and carried out", async ({ steam }) => {
  const { page, wallet } = steam;
  await opened(steam, "5");
  await to(steam, "Spending");
  await page.getByLabel("Amount (USDC)").fill("2");
  await page.getByRole("button", { name: "Ask for it without the relayer" }).click();
  await approve(steam, "Ask for 2.00 USDC back");
  await page.getByRole("button", { name: "Leave it in the vault" }).click();
  await approve(steam, "Take the request for a withdrawal back");
  await page.getByLabel("Amount (USDC)").fill("1.5");
  await page.getByRole("button", { name: "Ask for it without the relayer" }).click();
  await approve(steam, "Ask for 1.50 USDC back");
  await page.getByRole("button", { name: "Withdraw it" }).click({ timeout: 40_000 });
  await approve(steam, "Withdraw what was asked for");
  await expect(page.getByTestId("balance")).toHaveText("3.50 USDC");

  await page.getByLabel("Deposit (USDC)").last().fill("0.25");
  await page.getByRole("button", { name: "Deposit", exact: true }).click();
  await approve(steam, "Deposit 0.25 USDC into your vault");
  await expect(page.getByTestId("balance")).toHaveText("3.75 USDC");
  expect(wallet.asked).toHaveLength(6);
});
