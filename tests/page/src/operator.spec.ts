/** The operator's page, on a listener of its own: who is let in, what is shown, both themes and sizes. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "./fixture.ts";
import { freePort, Relayer } from "./relayer.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";

test("the operator sees what the relayer does, with the token and without a word of its clients", async ({ steam }) => {
  const { page } = steam;
  const port = await freePort();
  const relayer = await Relayer.start((folder) => {
    const file = join(folder, "operator.token");
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    return `[operator]\nlisten = "127.0.0.1:${port}"\ntoken_file = ${JSON.stringify(file)}\n`;
  });
  try {
    steam.origin = `http://127.0.0.1:${port}`;
    const asked: string[] = [];
    page.on("request", (request) => void asked.push(request.url()));
    expect((await fetch(`${relayer.origin}/v1/operator`, { headers: { Authorization: `Bearer ${TOKEN}` } })).status).toBe(404);
    const response = (await page.goto(steam.origin))!;
    expect(response.headers()["content-security-policy"]).not.toContain("unsafe");
    expect(response.headers()["x-frame-options"]).toBe("DENY");
    await page.getByRole("textbox", { name: "The operator's token" }).fill("not the token, and long enough to be one");
    await page.getByRole("button", { name: "Show me the relayer" }).click();
    await expect(page.getByRole("alert")).toContainText("This is not the token in operator.token_file.");
    await fetch(`${relayer.origin}/v1/models`);
    await page.getByRole("textbox", { name: "The operator's token" }).fill(TOKEN);
    await page.getByRole("button", { name: "Show me the relayer" }).click();
    await expect(page.getByTestId("ready")).toHaveText("It takes requests.");
    await expect(page.locator("main"), "the form is gone, and what came of it is here").toBeFocused();
    await expect(page.getByTestId("request").filter({ hasText: "GET /v1/models" }).first()).toContainText("200");
    await expect(page.getByTestId("vault").first()).toBeVisible();
    await expect(page.getByTestId("configuration")).toContainText('"localnet": true');
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [1280, 390]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
        expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`), `${colorScheme} ${width}`).toEqual([]);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        expect(wide, `wider than ${width}`).toBeLessThanOrEqual(0);
      }
    }
    await relayer.kill();
    await expect(page.getByRole("alert")).toContainText("The relayer does not answer here.");
    await expect(page.getByRole("alert")).toContainText("What is shown here was read at");
    await relayer.again();
    await expect(page.getByRole("alert")).toHaveCount(0);
    const stored = await page.evaluate(() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie, location.href]));
    expect(stored + asked.join()).not.toContain(TOKEN);
    await page.getByRole("button", { name: "Forget the token" }).click();
    await expect(page.getByRole("textbox", { name: "The operator's token" })).toBeVisible();
    await expect(page.getByTestId("request")).toHaveCount(0);
  } finally {
    await relayer.end();
  }
});
