import { defineConfig, mergeConfig } from "vite";
import page from "./vite.config.js";

// The operator's page: one script as well, beside the public one. The style sheet is the same.
export default mergeConfig(page, defineConfig({ publicDir: false, build: { emptyOutDir: false, rolldownOptions: { input: "operator.html", output: { entryFileNames: "operator.js" } } } }));
