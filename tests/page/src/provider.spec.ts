/** A provider's whole life in the page: register, prove the origin, post, serve and earn, change the price with notice, retire, close. */

import { readFileSync } from "node:fs";
import { Engine } from "./engine.ts";
import { approve, expect, funded, test, to, type Steam } from "./fixture.ts";
import { info } from "./setup.ts";

/** Registers the wallet as a provider whose API is at `url`. */
async function registered(steam: Steam, url: string): Promise<void> {
  const { page } = steam;
  await funded(steam);
  await to(steam, "Provide");
  await page.getByLabel("Name shown to people").fill("Page's own");
  await page.getByLabel("Base URL of your API").fill(url);
  await page.getByRole("button", { name: "Show me the registration" }).click();
  await approve(steam, "Register your wallet as a provider");
  await expect(page.getByTestId("provider")).toBeVisible();
}

/** Fills the form of an offer in. */
async function terms({ page }: Steam, model: string, input: string, output: string): Promise<void> {
  await page.getByLabel("Model", { exact: true }).filter({ visible: true }).fill(model);
  await page.getByLabel("A million prompt tokens (USD)", { exact: true }).fill(input);
  await page.getByLabel("A million answer tokens (USD)", { exact: true }).fill(output);
  await page.getByLabel("Most tokens of prompt and answer together").fill("8192");
}

/** Presses for an offer before the page has looked it up: first the look-up fails, then it takes its time. */
async function pressedEarly({ page }: Steam): Promise<void> {
  const accounts = "**/v1/chain/accounts/*";
  const form = page.getByRole("form", { name: "Post an offer, or change one" });
  const model = form.getByLabel("Model", { exact: true });
  const name = await model.inputValue();
  await page.route(accounts, (route) => route.abort());
  await model.fill(`${name}.`);
  await model.fill(name);
  await form.getByRole("button", { name: "Show me the offer" }).click();
  await expect(form.getByRole("alert")).toContainText("The relayer does not answer.");
  await page.unroute(accounts);
  let answer = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  await page.route(accounts, async (route) => {
    await answered;
    await route.continue();
  });
  await form.getByRole("button", { name: "Show me the offer" }).click();
  await expect(form.getByRole("status")).toContainText("Looking up whether you have an offer of this model");
  answer();
  await expect(page.getByText(`Offer ${name} at these prices`, { exact: true })).toBeVisible();
  await page.unroute(accounts);
}

async function asked(model: string): Promise<void> {
  const { base_url, api_key } = info();
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "Say a few words, please." }] });
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${api_key}` };
  await expect(async () => {
    const response = await fetch(`${base_url}/chat/completions`, { method: "POST", headers, body });
    expect(response.status, await response.text()).toBe(200);
  }).toPass({ timeout: 60_000, intervals: [1_000] });
}

test("from a wallet to earnings and out again", async ({ steam }) => {
  const { page, wallet } = steam;
  const engine = await Engine.start();
  const model = `page/model-${Date.now()}`;
  try {
    await registered(steam, `${engine.url}/`);
    const seen = page.getByTestId("origin-seen");
    await expect(seen).toContainText("It lists no offer of yours yet.");
    engine.proof = (await page.getByTestId("proof").textContent())!;
    expect(JSON.parse(engine.proof)).toEqual({ providers: [{ address: await page.getByTestId("provider").textContent() }] });
    await expect(page.getByText(`${new URL(engine.url).origin}/.well-known/steam-provider.json`)).toBeVisible();

    await terms(steam, model, "5", "20");
    await expect(page.getByTestId("consequence")).toHaveText("You have no offer of this model yet: these prices hold at once.");
    await page.getByRole("button", { name: "Show me the offer" }).click();
    await approve(steam, `Offer ${model} at these prices`);
    const offer = page.getByTestId("own-offer");
    await expect(offer).toContainText("$5.00 per million prompt tokens, $20.00 per million answer tokens");
    await expect(seen).toContainText("This relayer has read it: 127.0.0.1");
    expect(engine.reads).toBeGreaterThan(0);

    await asked(model);
    await expect(page.getByTestId("earnings")).not.toHaveText("0.00 USDC");
    await page.getByRole("button", { name: "Sign in with Test Wallet" }).filter({ visible: true }).click();
    await expect(page.getByTestId("earned-total")).toContainText("1 answer");
    await page.getByRole("button", { name: "Read and check every receipt of that time" }).click();
    await expect(page.getByTestId("paid-row")).toHaveCount(1);
    await expect(page.getByTestId("paid-row")).toContainText(model);
    await expect(page.getByTestId("paid-row")).toContainText("holds");
    await expect(page.getByTestId("statement-total")).toContainText("1 receipt:");
    await expect(page.getByTestId("statement-total")).toContainText("0.00 USDC not settled.");
    for (const [button, ending] of [["Download it as CSV", "csv"], ["Download it with its proofs as JSON", "json"]] as const) {
      const downloading = page.waitForEvent("download");
      await page.getByRole("button", { name: button }).click();
      const download = await downloading;
      expect(download.suggestedFilename()).toMatch(new RegExp(`^statement-\\d{4}-\\d\\d-\\d\\d\\.${ending}$`));
      const text = readFileSync(await download.path(), "utf8");
      if (ending === "json") expect((JSON.parse(text) as { proof: { root: string } }[])[0]!.proof.root).toMatch(/^[0-9a-f]{64}$/);
      else expect(text).toContain(",settled,");
    }

    await page.getByRole("button", { name: "Withdraw the earnings" }).click();
    await approve(steam, "Withdraw everything of your earnings");
    await expect(page.getByTestId("earnings")).toHaveText("0.00 USDC");
    const wealth = Number(await page.getByRole("region", { name: "Wallet" }).locator("strong").first().textContent());
    expect(wealth, "more than the faucet gave").toBeGreaterThan(100);

    await page.getByRole("button", { name: `Change ${model}` }).click();
    await page.getByLabel("A million answer tokens (USD)", { exact: true }).fill("21");
    await expect(page.getByTestId("consequence")).toContainText("Something costs more by these prices: they hold after a notice of 5 seconds.");
    await page.getByRole("button", { name: "Show me the offer" }).click();
    await expect(page.locator(".approval:visible")).toContainText("they hold after a notice of 5 seconds");
    await approve(steam, `Offer ${model} at these prices`);
    await expect(offer).toContainText("$21.00 per million answer tokens");
    await expect(offer).not.toContainText("Announced:");

    await page.getByRole("button", { name: `Retire ${model}` }).click();
    await approve(steam, `Stop offering ${model}`);
    await expect(offer).toContainText("retired");
    await page.getByRole("button", { name: `Close ${model}` }).click();
    await approve(steam, `Close the offer of ${model}`);
    await expect(offer).toHaveCount(0);
    await page.getByRole("button", { name: "Close the provider" }).click();
    await approve(steam, "Close your provider");
    await expect(page.getByRole("button", { name: "Show me the registration" })).toBeVisible();
    expect(wallet.asked).toHaveLength(7);
  } finally {
    await engine.end();
  }
});

test("an origin that names nobody, an offer found by its model, and a provider that stops", async ({ steam }) => {
  const { page, origin } = steam;
  const engine = await Engine.start();
  const model = `page/other-${Date.now()}`;
  try {
    await registered(steam, engine.url);
    await page.getByText("From a file of prices").click();
    const rows = { "page/dear": { input_cost_per_token: 1e-3, output_cost_per_token: 2e-3, max_input_tokens: 9 }, [model]: { input_cost_per_token: 1.25e-6, output_cost_per_token: 2e-6, max_input_tokens: 8_192, max_output_tokens: 512, input_cost_per_image: 0.001 } };
    await page.getByLabel("File of prices").setInputFiles({ name: "prices.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(rows)) });
    await page.getByLabel("Model of the file").selectOption(model);
    await expect(page.getByText("that you will not be paid: input_cost_per_image.")).toBeVisible();
    await expect(page.getByLabel("Model", { exact: true }).filter({ visible: true })).toHaveValue(model);
    await expect(page.getByLabel("A million prompt tokens (USD)", { exact: true })).toHaveValue("1.25");
    await expect(page.getByLabel("Most tokens of an answer")).toHaveValue("512");
    await page.getByLabel("File of prices").setInputFiles({ name: "prices.json", mimeType: "application/json", buffer: Buffer.from("no JSON") });
    await expect(page.getByRole("alert")).toContainText("The file is no JSON.");
    await page.getByLabel("File of prices").setInputFiles([]);
    await expect(page.getByRole("alert")).toHaveCount(0);
    await terms(steam, model, "1", "0.5.1");
    await page.getByRole("button", { name: "Show me the offer" }).click();
    await expect(page.getByText("Write a price in USD such as 0.25, with at most six places.")).toBeVisible();
    await page.getByLabel("A million answer tokens (USD)", { exact: true }).fill("2");
    await pressedEarly(steam);
    await approve(steam, `Offer ${model} at these prices`);
    await expect(page.getByTestId("origin-seen")).toContainText("This relayer asks you for nothing: your offer is not verified");
    await expect(page.getByTestId("own-offer")).toContainText("This relayer asks it for nobody");

    await page.getByRole("button", { name: `Retire ${model}` }).click();
    await approve(steam, `Stop offering ${model}`);
    await page.goto(`${origin}/?again#provide`);
    await page.goto(`${origin}/#provider`);
    await page.getByRole("button", { name: "Connect Test Wallet" }).filter({ visible: true }).click();
    await expect(page.getByText("The relayer lists none. One that you retired is found by its model, below.")).toBeVisible();
    await page.getByLabel("Model", { exact: true }).filter({ visible: true }).fill(model.toUpperCase());
    await page.getByRole("button", { name: "Fill in its terms" }).click();
    await expect(page.getByTestId("consequence")).toContainText("This offer was retired. It is listed again at once at the prices that it had");
    await expect(page.getByTestId("own-offer")).toContainText("retired");

    await page.getByRole("button", { name: "Stop taking part" }).click();
    await approve(steam, "Change your provider");
    await expect(page.getByText("has stopped taking part")).toBeVisible();
    await expect(page.getByRole("button", { name: "Show me the offer" })).toBeDisabled();
  } finally {
    await engine.end();
  }
});
