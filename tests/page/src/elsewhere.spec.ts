/** An owner without a wallet in the browser: every transaction as bytes, signed outside, and sent by the page. */

import type { Page } from "@playwright/test";
import { expect, test, to, type Steam } from "./fixture.ts";
import { base58, TestWallet } from "./wallet.ts";

async function bytesShown(page: Page): Promise<Uint8Array> {
  await expect(page.getByTestId("bytes")).toBeVisible();
  return Uint8Array.from(Buffer.from((await page.getByTestId("bytes").textContent())!, "base64"));
}

/** Signs what the page shows, and hands back the transaction, or the owner's signature alone. */
async function signElsewhere({ page, wallet }: Steam, form: "transaction" | "signature"): Promise<void> {
  const signed = wallet.sign(await bytesShown(page));
  await send(page, form === "transaction" ? Buffer.from(signed).toString("base64") : `${wallet.address}=${base58(signed.slice(1, 65))}`);
}

async function send(page: Page, text: string): Promise<void> {
  await page.getByLabel("The signed transaction, or the owner's signature").fill(text);
  await page.getByRole("button", { name: "Send it" }).click();
}

async function gone({ page }: Steam): Promise<void> {
  await expect(page.locator(".approval:visible")).toHaveCount(0);
}

async function use({ page, origin, wallet }: Steam): Promise<void> {
  await page.goto(origin);
  await page.getByText("No wallet here: a multisig").filter({ visible: true }).click();
  await page.getByLabel("The owner's address").filter({ visible: true }).fill("not an address");
  await page.getByRole("button", { name: "Use this address" }).click();
  await expect(page.getByText("An address is 32 bytes in base58.")).toBeVisible();
  await page.getByLabel("The owner's address").filter({ visible: true }).fill(wallet.address);
  await page.getByRole("button", { name: "Use this address" }).click();
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("Signs elsewhere:");
  await page.getByRole("button", { name: "Give me test money" }).first().click();
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("100.00 USDC");
}

test("a vault and a key, the key's end and a withdrawal, signed outside of the browser", async ({ steam }) => {
  const { page } = steam;
  await use(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await expect(page.getByText("It needs 2 signatures")).toBeVisible();
  await expect(page.getByText("The new key: it has signed, in these bytes")).toBeVisible();
  await expect(page.getByText("cannot add the key's signature")).toBeVisible();
  await expect(page.getByRole("button", { name: /^Ask .* to approve$/ })).toHaveCount(0);
  await signElsewhere(steam, "transaction");
  await expect(page.getByTestId("api-key")).toBeVisible();

  await to(steam, "Spending");
  await page.getByRole("button", { name: "End this key" }).click();
  await expect(page.getByText("End the key in place 0", { exact: true })).toBeVisible();
  await expect(page.getByText("It needs one signature")).toBeVisible();
  await signElsewhere(steam, "signature");
  await gone(steam);
  await expect(page.getByTestId("key")).toContainText("ended");

  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await expect(page.getByText("The relayer: it signs once it is sent from here")).toBeVisible();
  await expect(page.getByText("cannot add the relayer's signature")).toBeVisible();
  await signElsewhere(steam, "transaction");
  await gone(steam);
  await expect(page.getByTestId("balance")).toHaveText("0.00 USDC");
  await page.getByRole("button", { name: "Close the vault" }).click();
  await expect(page.getByText("Close your vault", { exact: true })).toBeVisible();
  await signElsewhere(steam, "signature");
  await gone(steam);
  await expect(page.getByText("This wallet has no vault at this relayer.")).toBeVisible();
});

test("what comes back is refused unless it is the owner's signature of these bytes", async ({ steam }) => {
  const { page, wallet } = steam;
  const sent: string[] = [];
  page.on("request", (request) => void (request.url().endsWith("/v1/chain/transactions") && sent.push(request.url())));
  await use(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  const first = wallet.sign(await bytesShown(page));
  // As on a page without https.
  await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await page.getByRole("button", { name: "Copy bytes" }).click();
  await expect(page.getByRole("button", { name: "Not copied: select the text, and copy it" })).toBeVisible();
  await send(page, "");
  await expect(page.getByText("Paste the signed transaction, or its signature.")).toBeVisible();
  await send(page, "no transaction");
  await expect(page.getByText("This is neither a transaction in base64 nor a signature in base58.")).toBeVisible();
  await send(page, (await page.getByTestId("bytes").textContent())!);
  await expect(page.getByText(`The signature of ${wallet.address} is missing or does not hold`)).toBeVisible();
  await page.getByRole("button", { name: "Make the bytes anew" }).click();
  await expect(async () => expect(Buffer.from(await bytesShown(page)).equals(Buffer.from(first))).toBe(false)).toPass();
  await page.waitForTimeout(500);
  await page.getByRole("button", { name: "Make the bytes anew" }).click();
  await bytesShown(page);
  await send(page, Buffer.from(first).toString("base64"));
  await expect(page.getByText("This is another transaction than the one shown here, so it was not sent.")).toBeVisible();
  const stranger = new TestWallet();
  await send(page, base58(stranger.signBytes((await bytesShown(page)).subarray(1 + 2 * 64))));
  await expect(page.getByText("is missing or does not hold for these bytes")).toBeVisible();
  expect(sent).toEqual([]);
});

test("a transaction that was signed and sent elsewhere: the key that it put in force is shown", async ({ steam }) => {
  const { page, origin } = steam;
  await use(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  const signed = steam.wallet.sign(await bytesShown(page));
  const response = await fetch(`${origin}/v1/chain/transactions`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ transaction: Buffer.from(signed).toString("base64") }),
  });
  expect(response.status).toBe(200);
  await expect(page.getByTestId("api-key")).toBeVisible();
});
