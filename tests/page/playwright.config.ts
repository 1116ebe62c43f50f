import { defineConfig } from "@playwright/test";

const executablePath = process.env["STEAM_CHROMIUM"] ?? "/usr/bin/chromium";

export default defineConfig({
  testDir: "src",
  outputDir: "out/results",
  globalSetup: "./src/setup.ts",
  // A vault of one test is never another's, but the faucet and the machine are everybody's.
  workers: 1,
  timeout: 90_000,
  expect: { timeout: 30_000 },
  forbidOnly: true,
  retries: 0,
  reporter: [["list"]],
  use: {
    launchOptions: { executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] },
    trace: "off",
  },
  projects: [
    { name: "desktop", use: { viewport: { width: 1280, height: 800 }, colorScheme: "light" } },
    { name: "phone", testMatch: /flow|look/, use: { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true } },
  ],
});
