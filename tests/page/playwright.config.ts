import { fileURLToPath } from "node:url";
import { defineConfig } from "@playwright/test";

const executablePath = process.env["STEAM_CHROMIUM"] ?? "/usr/bin/chromium";

/** What the machine says of colours and of letters does not matter. */
const DRAWN_ALIKE = ["--disable-lcd-text", "--disable-font-subpixel-positioning", "--force-color-profile=srgb"];
const FONTCONFIG_FILE = fileURLToPath(new URL("fonts.conf", import.meta.url));

export default defineConfig({
  testDir: "src",
  outputDir: "out/results",
  globalSetup: "./src/setup.ts",
  // Each worker has a network of its own. The tests of one come one after the other there, in any order: a vault of one test is never another's.
  workers: 2,
  fullyParallel: true,
  // A transaction is final 31 blocks later, which takes three seconds on a free machine and many on a busy one.
  timeout: 300_000,
  expect: {
    timeout: 60_000,
    // The same browser draws the same picture to the last pixel. What is allowed is for the edges of a few shapes in another version of it.
    toHaveScreenshot: { threshold: 0.02, maxDiffPixelRatio: 0.0002 },
  },
  snapshotPathTemplate: "{testDir}/pictures/{arg}-{projectName}{ext}",
  forbidOnly: true,
  retries: 0,
  reporter: [["list"]],
  use: {
    launchOptions: { executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", ...DRAWN_ALIKE], env: { ...process.env, FONTCONFIG_FILE } },
    trace: "off",
  },
  projects: [
    { name: "desktop", use: { viewport: { width: 1280, height: 800 }, colorScheme: "light" } },
    { name: "phone", testMatch: /flow|look|pictures|provider|elsewhere/, use: { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true } },
  ],
});
