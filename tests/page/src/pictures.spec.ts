/** Pictures of every part, compared with those in `pictures/`. What a relayer says was recorded once: docs/TESTING.md tells how both are renewed. */

import { expect, test, type Page } from "@playwright/test";
import { info } from "./setup.ts";
import { OPERATOR, ORIGIN, Recorder, Teller, type Stage } from "./told.ts";
import { TestWallet } from "./wallet.ts";

test.use({ timezoneId: "UTC", locale: "en-US" });

const PROMPT = "Name three colours, and why the sky has one of them.";

/** The same wallet and the same key each time. */
async function prepared(page: Page): Promise<void> {
  await new TestWallet(new Uint8Array(32).fill(5)).install(page);
  await page.addInitScript(() => {
    crypto.getRandomValues = <T extends ArrayBufferView | null>(into: T): T => {
      if (into) new Uint8Array(into.buffer, into.byteOffset, into.byteLength).fill(7);
      return into;
    };
  });
}

const to = (page: Page, part: string) => page.getByRole("navigation").getByRole("link", { name: part }).click();
const connect = (page: Page) => page.getByRole("button", { name: "Connect Test Wallet" }).filter({ visible: true }).click();

async function approve(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
}

/** Asks a model, and waits until the answer is there. */
async function ask(page: Page): Promise<void> {
  await to(page, "Try");
  await page.locator("#prompt").fill(PROMPT);
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");
}

async function register(page: Page): Promise<void> {
  await to(page, "Provide");
  await page.getByLabel("Name shown to people").fill("Pictured");
  await page.getByLabel("Base URL of your API").fill("https://api.example.com/v1");
  await page.getByRole("button", { name: "Show me the registration" }).click();
}

test("what the relayer says is recorded", async ({ page }) => {
  test.skip(!process.env["STEAM_RECORD"], "only to renew the recording");
  const origin = new URL(info().base_url).origin;
  const recorder = new Recorder(page);
  await prepared(page);
  await page.goto(`${origin}/#api`);
  await expect(page.getByTestId("operation").first()).toBeVisible();
  await to(page, "Start");
  await connect(page);
  await expect(page.getByText("This relayer pays the network's fee")).toBeVisible();
  recorder.stage = "funded";
  await page.getByRole("button", { name: "Give me test money" }).first().click();
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("100.00 USDC");
  await page.waitForTimeout(6_000);
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await approve(page);
  await expect(page.getByTestId("api-key")).toBeVisible();
  await ask(page);
  await to(page, "Spending");
  await expect(page.getByTestId("receipt-row")).toContainText("settled, in its batch");
  await page.getByRole("link", { name: /^Show why the request of/ }).click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
  // The page reads what the vault has every few seconds: what was settled is in it then.
  await page.waitForTimeout(12_000);
  await to(page, "Market");
  await expect(page.getByTestId("offer").first()).toBeVisible();
  recorder.stage = "provider";
  await register(page);
  await approve(page);
  await expect(page.getByTestId("proof")).toBeVisible();
  await page.waitForTimeout(12_000);
  recorder.write();
});

interface Figures {
  ttft_ms: { p50: number };
  tokens_per_second: { p50: number };
  uptime: number;
}
interface Listed {
  address: string;
  provider_name: string;
  host: string | null;
  model: string;
  barred: string | null;
  price: { input: number; output: number; long?: object };
  board: { available: boolean; share: number; flags: object[]; "5m"?: Figures; "1h"?: Figures; "72h"?: Figures };
}

/** The market of a busy day, with everything that an offer may have said of it: a recording of a network that is a minute old has no figures. */
function busy(listed: Listed[], at: number): Listed[] {
  return listed.map((offer, place) => {
    const figures = { ttft_ms: { p50: 120 + 37 * place }, tokens_per_second: { p50: 140 - 7 * place }, uptime: 1 - place / 500 };
    const flags = place === 1 ? [{ reason: "tokens", says: "it counts more tokens than the relayer does", since_ms: at - 3_600_000, requests: 240, against: 31 }] : [];
    const long = place === 2 ? { long: { ...offer.price, input: 2 * offer.price.input, output: 2 * offer.price.output, from: 128_000 } } : {};
    const board = { ...offer.board, available: place !== 3, share: 1 / (place + 2), flags, "5m": figures, "1h": figures, "72h": figures };
    return { ...offer, barred: place === 4 ? "is not verified" : null, price: { ...offer.price, ...long }, board };
  });
}

/** A model's day, with an hour in which nothing was measured and a price that fell. */
function day(listed: Listed[], at: number): object {
  const until = Math.floor(at / 300_000) * 300;
  const since = until - 86_400;
  const { model } = listed[0]!;
  const data = listed.filter((offer) => offer.model === model).map((offer, place) => ({
    offer: offer.address, provider_name: offer.provider_name, host: offer.host,
    points: Array.from({ length: 96 }, (_, step) => step).filter((step) => step < 40 || step >= 44).map((step) => {
      const wave = Math.sin(step / 9 + place);
      return { at: since + 900 * step, requests: 20 + place, uptime: 1 - (step % 24 === place ? 0.2 : 0), ttft_ms: 200 + 90 * place + 60 * wave, tokens_per_second: 110 - 15 * place - 20 * wave };
    }),
    prices: [{ at: since, input: offer.price.input, output: offer.price.output }, ...(place === 0 ? [{ at: since + 50_000, input: offer.price.input, output: Math.round(0.7 * offer.price.output) }] : [])],
  }));
  return { model, step_seconds: 900, since, until, data, left_out: 0 };
}

test("every part looks as it did", async ({ page }) => {
  test.skip(!!process.env["STEAM_RECORD"], "what is recorded is compared in a run of its own");
  const teller = new Teller();
  await prepared(page);
  await teller.install(page);
  const { colorScheme } = test.info().project.use;
  const other = colorScheme === "dark" ? ("light" as const) : ("dark" as const);
  /** Compares what is shown, in the theme of the project; with `both`, in the other one as well. */
  const looks = async (name: string, both: "one theme" | "both themes" = "one theme") => {
    // The keyboard's place is another matter, and a pointer may lie on anything.
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await page.mouse.move(0, 0);
    await expect.soft(page, `${name}: see docs/TESTING.md if this was meant`).toHaveScreenshot(`${name}.png`, { fullPage: true });
    if (both === "one theme") return;
    await page.emulateMedia({ colorScheme: other });
    await expect.soft(page, `${name}, ${other}: see docs/TESTING.md if this was meant`).toHaveScreenshot(`${name}-${other}.png`, { fullPage: true });
    await page.emulateMedia({ colorScheme: colorScheme ?? null });
  };
  const stage = (next: Stage) => (teller.stage = next);

  await page.goto(`${ORIGIN}/`);
  await expect(page.getByRole("button", { name: "Connect Test Wallet" }).filter({ visible: true })).toBeVisible();
  await looks("start", "both themes");
  await connect(page);
  await expect(page.getByText("This relayer pays the network's fee")).toBeVisible();
  await looks("limits");
  stage("funded");
  await expect(page.getByRole("region", { name: "Wallet" })).toContainText("100.00 USDC");
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await expect(page.locator(".approval:visible .words")).toBeVisible();
  await page.getByText("Sign it elsewhere, as bytes").click();
  await looks("approval");
  await approve(page);
  await expect(page.getByTestId("api-key")).toBeVisible();
  await looks("key");
  await ask(page);
  await looks("answer");
  await to(page, "Spending");
  await expect(page.getByTestId("receipt-row")).toContainText("settled, in its batch");
  await expect(page.getByTestId("usage-row")).toBeVisible();
  await page.getByText("From an exchange, or from any other wallet").click();
  await looks("spending", "both themes");
  await page.getByRole("link", { name: /^Show why the request of/ }).click();
  await expect(page.getByTestId("candidate").first()).toBeVisible();
  await looks("why");

  const { data, ...market } = teller.told<{ data: Listed[] }>("GET /v1/providers?window=5m");
  const listed = busy(data, teller.at);
  teller.instead["/v1/providers"] = () => ({ json: { ...market, data: listed } });
  teller.instead["/v1/market/history"] = () => ({ json: day(listed, teller.at) });
  await to(page, "Market");
  await expect(page.getByText("not asked at the moment")).toBeVisible();
  await looks("market", "both themes");
  await page.getByRole("link", { name: "Over time" }).first().click();
  await expect(page.getByTestId("plot")).toHaveCount(5);
  await looks("history");
  delete teller.instead["/v1/providers"];
  await to(page, "API");
  await page.getByText("POST /v1/chat/completions", { exact: true }).click();
  await page.getByText("Body: application/json").click();
  await looks("api");

  stage("provider");
  await to(page, "Provide");
  await expect(page.getByTestId("proof")).toBeVisible();
  await looks("provider");

  // What is wrong: no node answers, the wallet is empty, a field has a fault.
  stage("open");
  const account = `/v1/chain/accounts/${new TestWallet(new Uint8Array(32).fill(5)).address}`;
  teller.instead[account] = () => ({ json: { ...teller.told<object>(`GET ${account}`), lamports: 0 } });
  await page.goto(`${ORIGIN}/?wrong#spending`);
  await connect(page);
  await expect(page.getByTestId("needs-sol")).toBeVisible();
  await page.getByLabel("Amount (USDC)").fill("x");
  await page.getByRole("button", { name: "Withdraw at once" }).click();
  teller.instead["/v1/chain/accounts"] = () => ({ status: 503, json: { error: { code: "chain_unavailable", message: "no RPC node answers at the moment; try again shortly" } } });
  teller.instead[account] = teller.instead["/v1/chain/accounts"];
  await expect(page.getByTestId("old")).toBeVisible();
  await looks("wrong");

  teller.instead["/v1/operator"] = () => ({ json: operated(teller.at) });
  await page.goto(`${OPERATOR}/`);
  await page.getByRole("textbox", { name: "The operator's token" }).fill("0123456789abcdef0123456789abcdef");
  await page.getByRole("button", { name: "Show me the relayer" }).click();
  await expect(page.getByTestId("configuration")).toBeVisible();
  await looks("operator");
  expect(teller.missing, "calls that were not recorded").toEqual([]);
});

/** What an operator is told of a relayer with one of everything. */
function operated(ms: number): object {
  const at = Math.floor(ms / 1_000);
  const address = (letter: string) => letter.repeat(44);
  return {
    version: "0.1.0", at, readiness: { ready: false, registry_slot: 348_112_233, ledger: true, halted_vaults: 1 },
    settlement: {
      last_signature: "5".repeat(88), last_settled_at: at - 40, settled_groups: 120, open_groups: 2, unsettled_receipts: 7, unsettled: "12345678900000", halted: [address("H")], waiting: 1,
      problem: "the settler has too little SOL to settle", alerts: [{ name: "settler_lamports", message: "the settler has 0.05 SOL" }],
      facts: { settler_lamports: 50_000_000, fees_of_day: 12_000_000, oldest_unsettled_seconds: 61 },
    },
    incidents: [{ id: 3, vault: address("V"), blocks: "key", reason: "the vault is frozen", opened_ms: ms - 7_200_000, receipts: 2, total_pico: "2500000000", next: ["steam ledger resolve 3 --retry"] }],
    vaults: [
      { address: address("V"), owner: address("Q"), balance: 12_340_000, unsettled_pico: "2500000000", held_pico: "1000000", available: 12_330_000, halted: false },
      { address: address("H"), owner: address("R"), balance: 0, unsettled_pico: "1", held_pico: "0", available: 0, halted: true },
    ],
    vaults_in_all: 40, fees: [{ day: "2026-11-29", settlements: 288, lamports: 1_440_000 }],
    requests: [
      { at_ms: ms - 900, id: "gen-1", method: "POST", route: "/v1/chat/completions", status: 200, code: null, ms: 812 },
      { at_ms: ms - 400, id: "gen-2", method: "POST", route: "/v1/chat/completions", status: 402, code: "insufficient_balance", ms: 2 },
    ],
    configuration: { chain: { rpc_urls: ["https://one.example", "https://two.example"] }, settle: { priority_fee: 1_000 } },
  };
}
