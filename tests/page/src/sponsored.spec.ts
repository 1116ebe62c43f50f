/** A wallet with USDC and without SOL: the relayer pays fee and rent, and gets the rent back when the vault is closed. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  compile, finalized, handIn, Keypair, ROLE, RpcChain, SYSTEM_PROGRAM, tokenAccount, TOKEN_PROGRAM, ASSOCIATED_TOKEN_PROGRAM, uint, type Instruction,
} from "../../../app-idl/client/dist/index.js";
import { approve, expect, test, to } from "./fixture.ts";
import { info } from "./setup.ts";

const MINT_TO = 7;
const SYSTEM_TRANSFER = 2;

function keypair(name: string): Keypair {
  return Keypair.parse(readFileSync(join(info().dir, name), "utf8"));
}

async function carryOut(chain: RpcChain, payer: Keypair, instructions: Instruction[]): Promise<void> {
  const lifetime = await chain.blockhash();
  const signed = await payer.signTransaction(compile(payer.address, lifetime, instructions));
  await finalized(chain, await handIn(chain, signed), lifetime, signed);
}

/** Mints the network's dollar to `wallet`, as its mint's keeper. */
function usdc(payer: string, wallet: string, amount: bigint): Instruction[] {
  const { mint } = info();
  const token = tokenAccount(wallet, mint);
  const readonly = [wallet, mint, SYSTEM_PROGRAM, TOKEN_PROGRAM].map((address) => ({ address, role: ROLE.readonly }));
  return [
    { programAddress: ASSOCIATED_TOKEN_PROGRAM, accounts: [{ address: payer, role: ROLE.writableSigner }, { address: token, role: ROLE.writable }, ...readonly], data: Uint8Array.of(1) },
    {
      programAddress: TOKEN_PROGRAM,
      accounts: [{ address: mint, role: ROLE.writable }, { address: token, role: ROLE.writable }, { address: payer, role: ROLE.readonlySigner }],
      data: Uint8Array.of(MINT_TO, ...uint(amount, 8)),
    },
  ];
}

function lamports(payer: string, wallet: string, amount: bigint): Instruction {
  return {
    programAddress: SYSTEM_PROGRAM,
    accounts: [{ address: payer, role: ROLE.writableSigner }, { address: wallet, role: ROLE.writable }],
    data: Uint8Array.of(...uint(SYSTEM_TRANSFER, 4), ...uint(amount, 8)),
  };
}

test("a wallet without SOL, from nothing to the first answer; and the rent goes back to who paid it", async ({ steam }) => {
  const { page, wallet, origin } = steam;
  const [chain, payer, sponsor] = [new RpcChain(info().rpc_url), keypair("payer.json"), keypair("sponsor.json")];
  const has = async () => (await chain.account(sponsor.address)).lamports;
  await carryOut(chain, payer, usdc(payer.address, wallet.address, 20_000_000n));
  const before = await has();

  await page.goto(origin);
  await page.getByRole("button", { name: "Connect Test Wallet" }).first().click();
  await expect(page.getByText("Your wallet has 0.0000 SOL, which is too little. This relayer pays the network's fee and the vault's rent for you")).toBeVisible();
  await page.getByLabel("Deposit (USDC)").first().fill("4.99");
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  await expect(page.getByText("The relayer pays fee and rent from a deposit of 5.00 USDC on.")).toBeVisible();
  await page.getByLabel("Deposit (USDC)").first().fill("10");
  await page.getByRole("button", { name: "Show me the transaction" }).click();
  const words = page.locator(".approval .words");
  await expect(words).toContainText("The relayer pays the network's fee and the rent");
  await expect(words).toContainText("It goes back to the relayer when the vault is closed.");
  await expect(words).toContainText(sponsor.address);
  await page.getByRole("button", { name: "Ask Test Wallet to approve" }).click();
  await expect(page.getByRole("heading", { name: "Your API key" })).toBeVisible();
  expect(wallet.asked, "one approval").toHaveLength(1);
  const paid = before - (await has());
  expect(paid > 15_000n && paid < 12_000_000n, String(paid)).toBe(true);
  expect((await chain.account(wallet.address)).lamports).toBe(0n);

  await page.getByRole("link", { name: "Ask a model" }).first().click();
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByTestId("receipt")).toContainText("Receipt checked.");

  // Out again, with a little SOL of its own: without it the wallet is not asked, and it is said before what is needed.
  await to(steam, "Spending");
  const needs = page.getByTestId("needs-sol").filter({ visible: true });
  await expect(needs).toContainText("Your wallet has 0.0000 SOL.");
  await expect(needs).toContainText(`send 0.002 SOL to ${wallet.address}`);
  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await expect(page.getByText("Withdraw everything at once", { exact: true })).toBeVisible();
  await expect(needs).toBeVisible();
  await expect(page.getByRole("button", { name: "Ask Test Wallet to approve" })).toHaveCount(0);
  await expect(page.getByRole("alert")).toHaveCount(0);
  await carryOut(chain, payer, [lamports(payer.address, wallet.address, 2_000_000n)]);
  await expect(page.getByRole("button", { name: "Ask Test Wallet to approve" })).toBeVisible();
  await expect(needs).toHaveCount(0);
  expect(wallet.asked, "nothing was asked meanwhile").toHaveLength(1);
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByTestId("receipt-row")).toContainText("settled, in its batch");
  // The page reads what the vault has every few seconds; a withdrawal names its last group.
  await page.waitForTimeout(10_000);
  await page.getByRole("button", { name: "Withdraw at once" }).click();
  await approve(steam, "Withdraw everything at once");
  await page.getByRole("button", { name: "Close the vault" }).click();
  await expect(page.locator(".approval .words")).toContainText(sponsor.address);
  await approve(steam, "Close your vault");
  expect(before - (await has()), "the fee of three signatures").toBe(15_000n);
});
