/** The page shows the API as the relayer describes it. */

import { expect, test } from "./fixture.ts";

interface Described {
  paths: Record<string, Record<string, { summary?: string }>>;
}

test("every operation of the document is shown, with what it takes and answers", async ({ steam }) => {
  const { page, origin } = steam;
  const { paths } = (await (await fetch(`${origin}/openapi.json`)).json()) as Described;
  const operations = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  await page.goto(`${origin}/#api`);
  const shown = page.getByTestId("operation");
  await expect(shown).toHaveCount(operations.length);
  expect((await shown.locator("> summary").allTextContents()).sort()).toEqual(operations.sort());
  const chat = shown.filter({ has: page.getByText("POST /v1/chat/completions", { exact: true }) });
  await chat.locator("> summary").click();
  await expect(chat).toContainText("With a key.");
  await chat.getByText("Body: application/json, ChatCompletionRequest").click();
  await expect(chat).toContainText("messages");
  await expect(chat).toContainText("402");
  // A schema within a schema is read once it is opened.
  await chat.locator("summary", { hasText: /^ChatMessage$/ }).first().click();
  await expect(chat).toContainText("role");
  const receipts = shown.filter({ has: page.getByText("GET /v1/receipts", { exact: true }) });
  await receipts.locator("> summary").click();
  await expect(receipts).toContainText("since");
});

test("a description that cannot be read says so, and can be asked for again", async ({ steam }) => {
  const { page, origin } = steam;
  await page.route("**/openapi.json", (route) => route.fulfill({ status: 503, body: "" }));
  await page.goto(`${origin}/#api`);
  await expect(page.getByRole("alert")).toContainText("The relayer answered with status 503.");
  await page.unroute("**/openapi.json");
  await page.route("**/openapi.json", (route) => route.abort());
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("alert")).toContainText("The relayer does not answer. Check the connection and try again; nothing is lost.");
  await page.unroute("**/openapi.json");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByTestId("operation").first()).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
});
