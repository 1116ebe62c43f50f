/** What goes wrong: the wallet refuses, changes or disappears, there is no SOL, the relayer restarts. Nothing is lost and the page says what to do. */

import { expect, funded, opened, test, to } from "./fixture.ts";
import { Relayer } from "./relayer.ts";
import { TestWallet } from "./wallet.ts";

test("a wallet that refuses: nothing is sent, and the same transaction can be asked for again", async ({ steam }) => {
  const { page, wallet } = steam;
  await funded(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  wallet.mood = "refuses";
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("alert")).toContainText("Test Wallet did not sign. Nothing was sent. It says: User rejected the request.");
  wallet.mood = "signs";
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("heading", { name: "Your API key" })).toBeVisible();
  expect(wallet.asked).toHaveLength(2);
});

test("a wallet that signs something else: it is not sent", async ({ steam }) => {
  const { page, wallet } = steam;
  const sent: string[] = [];
  page.on("request", (request) => void (request.url().endsWith("/v1/chain/transactions") && sent.push(request.url())));
  await funded(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  wallet.mood = "changes";
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("alert")).toContainText("returned another transaction than the one shown here, so it was not sent");
  expect(sent).toEqual([]);
});

test("a transaction that was read for long is made anew for the wallet, with the same words", async ({ steam }) => {
  const { page, wallet } = steam;
  await funded(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  const shown = Buffer.from((await page.getByTestId("bytes").textContent())!, "base64");
  await page.waitForTimeout(7_000);
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("heading", { name: "Your API key" })).toBeVisible();
  const [signed] = wallet.asked;
  expect(wallet.asked).toHaveLength(1);
  expect(signed!.length).toBe(shown.length);
  expect(Buffer.from(signed!).equals(shown), "the same blockhash").toBe(false);
});

test("a wallet that disappears while a transaction is shown", async ({ steam }) => {
  const { page } = steam;
  await funded(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await expect(page.getByRole("heading", { name: "What you are about to approve" })).toBeVisible();
  await TestWallet.vanish(page);
  await expect(page.getByRole("alert")).toContainText("The wallet is no longer connected. Nothing was sent.");
  await page.getByRole("button", { name: "Close" }).click();
  await expect(page.getByRole("button", { name: "Connect Test Wallet" }).first()).toBeVisible();
});

test("not enough SOL and not enough USDC are said before anything is asked", async ({ steam }) => {
  const { page, origin, wallet } = steam;
  // A relayer that pays for nobody.
  await page.route("**/v1/chain", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as object), sponsor: null } });
  });
  await page.goto(origin);
  await page.getByRole("button", { name: "Connect Test Wallet" }).first().click();
  await expect(page.getByText("Your wallet has 0.0000 SOL, and this takes about 0.0120 SOL")).toBeVisible();
  await expect(page.getByRole("button", { name: "Show me the transaction" })).toBeDisabled();
  await page.getByRole("button", { name: "Give me test money" }).click();
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("1.0000 SOL");
  for (const [field, value, fault] of [
    ["Deposit (USDC)", "100.01", "Your wallet has 100.00 USDC."],
    ["Deposit (USDC)", "ten", "Write an amount such as 5 or 0.25."],
    ["Deposit (USDC)", "0", "Write an amount above zero."],
    ["At most in a day (USD)", "11", "The limit of a day is above the limit in all."],
    ["For how many days", "1.5", "Write a whole number of days"],
  ] as const) {
    const input = page.getByLabel(field).first();
    const before = await input.inputValue();
    await input.fill(value);
    await page.getByRole("button", { name: "Show me the transaction" }).click();
    await expect(page.getByText(fault).first()).toBeVisible();
    await expect(input).toHaveAttribute("aria-invalid", "true");
    await input.fill(before);
  }
  expect(wallet.asked).toHaveLength(0);
});

test("a transaction that the program would refuse is not sent, and the program's reason is shown", async ({ steam }) => {
  const { page } = steam;
  await funded(steam);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await page.route("**/v1/chain/transactions", (route) =>
    route.fulfill({ status: 409, json: { error: { code: "transaction_would_fail", message: "this transaction would fail, so it was not sent: Error Message: A window's limit is above the total" } } }),
  );
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("alert")).toContainText("it was not sent: Error Message: A window's limit is above the total");
});

test("a relayer that dies between approval and end: the page waits for it, and nothing is done twice", async ({ steam }) => {
  const { page, wallet } = steam;
  const relayer = await Relayer.start();
  try {
    steam.origin = relayer.origin;
    await funded(steam);
    await page.getByRole("button", { name: "Show me the transaction" }).click();
    const sent = page.waitForResponse((response) => response.url().endsWith("/v1/chain/transactions") && response.ok());
    await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
    await sent;
    await relayer.kill();
    await page.waitForTimeout(3_000);
    await relayer.again();
    await expect(page.getByRole("heading", { name: "Your API key" })).toBeVisible();
    expect(wallet.asked).toHaveLength(1);

    await to(steam, "Try");
    await relayer.kill();
    await page.getByRole("button", { name: "Send" }).click();
    await expect(page.getByRole("alert")).toContainText("The relayer does not answer. Check the connection and try again; nothing is lost.");
    await relayer.again();
    await page.getByRole("button", { name: "Send" }).click();
    await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
  } finally {
    await relayer.end();
  }
});

test("balances that cannot be read again: from when they are, and why, until they can", async ({ steam }) => {
  const { page } = steam;
  await opened(steam, "4");
  const wallet = page.getByRole("region", { name: "Wallet" });
  await expect(wallet).toContainText("4.00 USDC in the vault");
  const read = await page.evaluate(() => Date.now());
  const clock = (ms: number) => page.evaluate((ms) => new Date(ms).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }), ms);
  // Within these seconds another minute may begin.
  const [before, after] = [await clock(read - 10_000), await clock(read + 10_000)];
  await page.route("**/v1/chain/accounts/*", (route) => route.fulfill({ status: 503, json: { error: { code: "chain_unavailable", message: "no RPC node answers" } } }));
  await expect(page.getByTestId("old")).toContainText("no RPC node answers");
  const old = await page.getByTestId("old").textContent();
  expect(old!.includes(`are from ${before}`) || old!.includes(`are from ${after}`), `${old} (${before}, ${after})`).toBe(true);
  await expect(wallet, "what was read last").toContainText("4.00 USDC in the vault");
  await to(steam, "Spending");
  await expect(page.getByTestId("old"), "where the figures are").toBeVisible();
  await page.unroute("**/v1/chain/accounts/*");
  await expect(page.getByTestId("old")).toHaveCount(0);
});

test("an alert is gone once what it speaks of is mended, without a press", async ({ steam }) => {
  const { page } = steam;
  const alert = page.getByRole("alert").filter({ visible: true });
  const silent = "The relayer does not answer.";
  await opened(steam, "2");
  for (const [part, path] of [["Spending", "usage"], ["Spending", "receipts"], ["Market", "providers"], ["API", "openapi.json"], ["Provide", "chain/accounts"]] as const) {
    const calls = new RegExp(`/${path}`);
    await page.route(calls, (route) => route.abort());
    await to(steam, part);
    await expect(alert, path).toContainText(silent);
    await page.unroute(calls);
    await expect(alert, path).toHaveCount(0);
    await to(steam, "Start");
  }
  // What was wrong with a field is not said of what is written next.
  await to(steam, "Spending");
  await page.getByLabel("Deposit (USDC)").filter({ visible: true }).fill("0");
  await page.getByRole("button", { name: "Deposit", exact: true }).click();
  const fault = page.getByText("Write an amount such as 5 or 0.25.").filter({ visible: true });
  await expect(fault).toBeVisible();
  await page.getByLabel("Deposit (USDC)").filter({ visible: true }).fill("1");
  await expect(fault).toHaveCount(0);
  // What one wallet did not sign says nothing once it has.
  steam.wallet.mood = "refuses";
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true }).click();
  await expect(alert).toContainText("You are not signed in.");
  steam.wallet.mood = "signs";
  await page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true }).click();
  await page.getByTestId("signed-in").filter({ visible: true }).getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true })).toBeVisible();
  await expect(alert).toHaveCount(0);
});

test("a page whose relayer was away when it was opened begins by itself", async ({ steam }) => {
  const { page, origin } = steam;
  await page.route("**/v1/chain", (route) => route.abort());
  await page.goto(origin);
  await expect(page.getByRole("alert")).toContainText("The relayer does not answer.");
  await page.unroute("**/v1/chain");
  await expect(page.getByRole("button", { name: "Connect Test Wallet" }).first()).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("a key that is none, and a key that is unknown", async ({ steam }) => {
  const { page, origin } = steam;
  await page.goto(`${origin}/#try`);
  await page.getByLabel("API key").filter({ visible: true }).fill("sk-other-123");
  await page.getByRole("button", { name: "Use this key" }).click();
  await expect(page.getByText("An API key starts with sk-steam-.")).toBeVisible();
  await page.getByLabel("API key").filter({ visible: true }).fill("sk-steam-4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi");
  await page.getByRole("button", { name: "Use this key" }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("alert")).toContainText(/key/);
});

test("a second key, in the next place of the same vault", async ({ steam }) => {
  const { page, wallet } = steam;
  const first = await opened(steam, "2");
  await page.getByRole("button", { name: "I have put the key away" }).click();
  await expect(page.getByTestId("api-key")).toBeHidden();
  await page.getByLabel("Deposit (USDC)").first().fill("0");
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await expect(page.getByText("Place in the vault")).toBeVisible();
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByTestId("api-key")).toBeVisible();
  expect(await page.getByTestId("api-key").textContent()).not.toBe(first);
  expect(wallet.asked).toHaveLength(2);
});
