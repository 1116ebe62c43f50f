/** What a relayer answered once, told again: a page that is given it shows the same figures, addresses and times on every machine. */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page, Request, Route } from "@playwright/test";

/** Before there is money, before there is a vault, with a key that has asked, and as a provider too: each is as the last call in it was answered. */
const STAGES = ["empty", "funded", "open", "provider"] as const;
export type Stage = (typeof STAGES)[number];

interface Told {
  status: number;
  headers: { [name: string]: string };
  body: string;
}
interface Recording {
  /** When it was made, in milliseconds: the page's clock stands still there. */
  at: number;
  answers: { [stage in Stage]?: { [call: string]: Told } };
}

const FILE = fileURLToPath(new URL("pictures/answers.json", import.meta.url));
const DIST = fileURLToPath(new URL("../../../relayer/page/dist/", import.meta.url));
const FONTS = fileURLToPath(new URL("../node_modules/dejavu-fonts-ttf/ttf/", import.meta.url));
const KEPT = ["content-type", "steam-generation-id"];
export const ORIGIN = "https://relayer.example";
export const OPERATOR = "https://operator.example";

/** Letters are of files that are given with the page, so that it does not matter what the machine takes for its own. */
const PINNED = `
@font-face { font-family: Pinned; src: url(/fonts/DejaVuSans.ttf); }
@font-face { font-family: Pinned; font-weight: 600 700; src: url(/fonts/DejaVuSans-Bold.ttf); }
@font-face { font-family: Pinned Mono; src: url(/fonts/DejaVuSansMono.ttf); }
body { font-family: Pinned; }
code, pre { font-family: Pinned Mono; }
`;

/** A call without what is of its time. */
function callOf(request: Request): string {
  const { pathname, search } = new URL(request.url());
  return `${request.method()} ${pathname.replace(/(chain\/transactions)\/.+/, "$1/…")}${search.replace(/since=\d+/, "since=…")}`;
}

/** Keeps what the relayer of `page` answers, under the stage that it is in by then. */
export class Recorder {
  stage: Stage = "empty";
  readonly #answers: Recording["answers"] = {};

  constructor(page: Page) {
    page.on("request", (request) => {
      if (request.method() === "POST" && request.url().endsWith("/chain/transactions") && this.stage === "funded") this.stage = "open";
    });
    page.on("requestfinished", (request) => void this.#keep(request).catch(() => {}));
  }

  async #keep(request: Request): Promise<void> {
    if (!/\/v1\/|\/openapi\.json$/.test(request.url())) return;
    const { stage } = this;
    const response = (await request.response())!;
    const headers = Object.fromEntries(Object.entries(response.headers()).filter(([name]) => KEPT.includes(name)));
    // What is too much for a moment says nothing of the page.
    if (response.status() !== 429) (this.#answers[stage] ??= {})[callOf(request)] = { status: response.status(), headers, body: await response.text() };
  }

  write(): void {
    const described = this.#answers.empty?.["GET /openapi.json"];
    if (described) described.body = JSON.stringify(pruned(JSON.parse(described.body) as Described));
    const recording: Recording = { at: Date.now(), answers: this.#answers };
    writeFileSync(FILE, `${JSON.stringify(recording, null, 1)}\n`);
  }
}

interface Described {
  tags: { name: string }[];
  paths: { [path: string]: unknown };
  components: { schemas: { [name: string]: unknown } };
}

/** Two operations and what they name: the picture is of how an operation is shown, and not of all that there are. */
function pruned(document: Described): Described {
  const paths = Object.fromEntries(["/v1/chat/completions", "/v1/credits"].map((path) => [path, document.paths[path]]));
  const schemas: { [name: string]: unknown } = {};
  const add = (within: unknown) => {
    for (const [, name] of JSON.stringify(within).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (Object.hasOwn(schemas, name!)) continue;
      schemas[name!] = document.components.schemas[name!];
      add(schemas[name!]);
    }
  };
  add(paths);
  return { ...document, paths, components: { schemas } };
}

/** A relayer that answers as it was recorded, at {@link ORIGIN}, with the built page; the operator's page at {@link OPERATOR}. */
export class Teller {
  stage: Stage = "empty";
  /** Answers calls in the place of the recording, by the beginning of their path. */
  readonly instead: { [path: string]: (body: string | null) => { status?: number; json: unknown } } = {};
  /** Calls that were not recorded. */
  readonly missing: string[] = [];
  readonly at: number;
  readonly #answers: Recording["answers"];

  constructor() {
    ({ at: this.at, answers: this.#answers } = JSON.parse(readFileSync(FILE, "utf8")) as Recording);
  }

  async install(page: Page): Promise<void> {
    await page.clock.setFixedTime(this.at);
    await page.route("**/*", (route) => this.#answer(route));
  }

  /** The recorded answer to a call, as JSON. */
  told<T>(call: string): T {
    return JSON.parse(this.#find(call)!.body) as T;
  }

  #find(call: string): Told | undefined {
    const reached = STAGES.slice(0, STAGES.indexOf(this.stage) + 1).reverse();
    return reached.map((stage) => this.#answers[stage]?.[call]).find((told) => told);
  }

  async #answer(route: Route): Promise<void> {
    const request = route.request();
    const { origin, pathname } = new URL(request.url());
    const other = Object.entries(this.instead).find(([path]) => pathname.startsWith(path));
    if (other) {
      const { status = 200, json } = other[1](request.postData());
      return route.fulfill({ status, json });
    }
    if (!/^\/v1\/|^\/openapi\.json$/.test(pathname)) return this.#file(route, pathname === "/" ? (origin === OPERATOR ? "/operator.html" : "/index.html") : pathname);
    if (request.method() === "POST" && pathname === "/v1/chain/transactions" && this.stage === "funded") this.stage = "open";
    const call = callOf(request);
    const told = this.#find(call);
    if (!told) {
      this.missing.push(call);
      return route.abort();
    }
    return route.fulfill({ status: told.status, headers: told.headers, body: told.body });
  }

  #file(route: Route, path: string): Promise<void> {
    if (path.startsWith("/fonts/")) return route.fulfill({ path: FONTS + path.slice("/fonts/".length), contentType: "font/ttf" });
    if (path === "/page.css") return route.fulfill({ body: readFileSync(`${DIST}page.css`, "utf8") + PINNED, contentType: "text/css" });
    return route.fulfill({ path: DIST + path.slice(1) });
  }
}
