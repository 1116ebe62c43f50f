/** An owner signs in with the wallet and sees what all keys of the vault used; a key sees its own alone. */

import { readFileSync } from "node:fs";
import { approve, expect, opened, test, to, type Steam } from "./fixture.ts";

/** Asks a model once with the key of this tab. */
async function asked({ page }: Steam): Promise<void> {
  await to({ page } as Steam, "Try");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
}

test("all keys of the vault, by one signature of a message, until the owner signs out", async ({ steam }) => {
  const { page, wallet, origin } = steam;
  await opened(steam, "2");
  await asked(steam);
  await to(steam, "Spending");
  await page.getByRole("button", { name: "Replace this key" }).click();
  await approve(steam, "Let a new key spend from your vault");
  await expect(page.getByTestId("api-key")).toBeVisible();
  await asked(steam);
  await to(steam, "Spending");
  await expect(page.getByTestId("receipt-row")).toHaveCount(1);
  const before = wallet.asked.length;
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).click();
  await expect(page.getByTestId("signed-in").filter({ visible: true })).toBeVisible();
  await expect(page.getByTestId("receipt-row")).toHaveCount(2);
  expect(wallet.asked.length, "no transaction").toBe(before);
  expect(wallet.messages).toHaveLength(1);
  expect(wallet.messages[0]).toContain(`${new URL(origin).host} wants you to sign in with your Solana account:\n${wallet.address}\n\n`);
  expect(wallet.messages[0]).toContain("With this nothing can be spent and nothing changed.");
  await page.getByLabel("key", { exact: true }).check();
  await expect(page.getByTestId("usage-row")).toHaveCount(2);
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the receipts of that time as CSV" }).click();
  expect(readFileSync(await (await downloading).path(), "utf8").trimEnd().split("\r\n")).toHaveLength(3);
  const stored = await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie]));
  expect(stored).not.toContain("steam-session-");
  await page.getByTestId("signed-in").filter({ visible: true }).getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByTestId("receipt-row")).toHaveCount(1);
});

test("a wallet made for signing in, and one that writes the message in another way", async ({ steam }) => {
  for (const [way, messages] of [["exactly", 1], ["otherwise", 2]] as const) {
    steam.wallet.signsIn = way;
    steam.wallet.messages.length = 0;
    const page = await steam.page.context().newPage();
    await steam.wallet.install(page);
    if (way === "exactly") await opened({ ...steam, page }, "1");
    else {
      await page.goto(`${steam.origin}/#spending`);
      await page.getByRole("button", { name: "Connect Test Wallet" }).filter({ visible: true }).click();
    }
    await page.goto(`${steam.origin}/#spending`);
    await page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true }).click();
    await expect(page.getByTestId("signed-in").filter({ visible: true })).toBeVisible();
    expect(steam.wallet.messages, way).toHaveLength(messages);
    await page.close();
  }
});

test("a wallet that refuses, and a session that the relayer no longer knows", async ({ steam }) => {
  const { page, wallet } = steam;
  await opened(steam, "1");
  await to(steam, "Spending");
  wallet.mood = "refuses";
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).click();
  await expect(page.getByRole("alert")).toContainText("Test Wallet did not sign. You are not signed in.");
  wallet.mood = "signs";
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).click();
  await expect(page.getByTestId("signed-in").filter({ visible: true })).toBeVisible();
  await page.route("**/v1/usage?*", (route) => route.fulfill({ status: 401, json: { error: { code: "no_session", message: "there is no such session, or it has ended" } } }));
  await page.getByLabel("7 days", { exact: true }).filter({ visible: true }).check();
  await expect(page.getByRole("button", { name: "Sign in with Test Wallet" })).toBeVisible();
});
