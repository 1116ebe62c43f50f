/** The market is public, and what is in it cannot become a part of the page. */

import { expect, test } from "./fixture.ts";
import { info } from "./setup.ts";

test("models, prices and measurements without a wallet, by a link", async ({ steam }) => {
  const { page, origin } = steam;
  await page.goto(`${origin}/#market`);
  await expect(page.getByRole("heading", { name: "Market" })).toBeVisible();
  const listed = (await (await fetch(`${origin}/v1/providers`)).json()) as { data: { model: string; provider_name: string; price: { output: number } }[] };
  await expect(page.getByTestId("offer")).toHaveCount(listed.data.length);
  const one = listed.data[0]!;
  const row = page.getByRole("region", { name: one.model, exact: true }).getByTestId("offer").filter({ hasText: one.provider_name });
  await expect(row).toContainText((one.price.output / 1e6).toFixed(2).replace(/0$/, ""));
});

test("names and answers with markup in them stay text", async ({ steam }) => {
  const { page, origin } = steam;
  const attack = `<img src=x onerror="document.title='attacked'"><script>document.title='attacked'</script>`;
  await page.route("**/v1/providers?*", async (route) => {
    const response = await route.fetch();
    const listing = (await response.json()) as { data: { provider_name: string; model: string }[] };
    for (const offer of listing.data) [offer.provider_name, offer.model] = [attack, `${attack}${offer.model}`];
    await route.fulfill({ response, json: listing });
  });
  await page.route("**/v1/chat/completions", (route) =>
    route.fulfill({ contentType: "text/event-stream", body: `data: ${JSON.stringify({ choices: [{ delta: { content: attack } }] })}\n\ndata: [DONE]\n\n` }),
  );
  await page.goto(`${origin}/#market`);
  await expect(page.getByTestId("offer").first()).toContainText("<img src=x");
  await page.goto(`${origin}/#try`);
  await page.getByLabel("API key").filter({ visible: true }).fill("sk-steam-4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi");
  await page.getByRole("button", { name: "Use this key" }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("answer")).toHaveText(attack);
  await expect(page.getByRole("alert")).toContainText("The answer came without a receipt.");
  expect(await page.title()).not.toContain("attacked");
  expect(await page.locator("main img[src=x], main script").count()).toBe(0);
});

test("a model over time: drawn, in numbers, and by a link", async ({ steam }) => {
  const { page, origin } = steam;
  const model = info().models[0]!;
  const asked = await fetch(`${info().base_url}/chat/completions`, {
    method: "POST", headers: { Authorization: `Bearer ${info().api_key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }], stream: true, max_tokens: 20 }),
  });
  expect(asked.status).toBe(200);
  await asked.text();
  await page.goto(`${origin}/#market`);
  await page.getByRole("region", { name: model, exact: true }).getByRole("link", { name: "Over time" }).click();
  await expect(page.getByRole("heading", { name: `${model}, over the last day` })).toBeVisible();
  // What was told of it is given again for half a minute.
  await expect(async () => {
    await page.reload();
    await expect(page.getByTestId("plot").first().locator("path.line").first()).toHaveAttribute("d", /M/, { timeout: 2_000 });
  }).toPass({ timeout: 60_000, intervals: [3_000] });
  await expect(page.getByTestId("plot")).toHaveCount(5);
  await expect(page.getByTestId("plot").filter({ hasText: "Price of a million answer tokens" }).locator("path.line").first()).toHaveAttribute("d", /L1000/);
  await page.getByText("The same in numbers").click();
  await expect(page.getByTestId("history-row").first()).toContainText("%");
  await page.getByRole("link", { name: "The last week" }).click();
  await expect(page.getByRole("heading", { name: `${model}, over the last week` })).toBeVisible();
  expect(page.url()).toBe(`${origin}/#market/${encodeURIComponent(model)}/7d`);
  await page.getByRole("link", { name: "All models" }).click();
  await expect(page.getByTestId("offer").first()).toBeVisible();
});

test("a model that nobody offers, and an address that somebody made up", async ({ steam }) => {
  const { page, origin } = steam;
  await page.goto(`${origin}/#market/no-such-model`);
  await expect(page.getByRole("alert")).toContainText("no-such-model");
  for (const place of ["market/%E0%A4%A", "no-such-part/x"]) {
    await page.goto(`${origin}/?${place.length}#${place}`);
    await expect(page.locator("main h1:visible")).toHaveCount(1);
  }
});

test("the page is served under a strict policy and cannot be framed", async ({ steam }) => {
  const { page, origin } = steam;
  const response = (await page.goto(origin))!;
  const policy = response.headers()["content-security-policy"]!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).not.toContain("unsafe");
  expect(policy).toContain("frame-ancestors 'none'");
  // How soon is a figure, not a test: the machine may be busy.
  const painted = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  test.info().annotations.push({ type: "first paint", description: `${await painted.jsonValue()} ms` });
});
