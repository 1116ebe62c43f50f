/** A provider's engine and its origin: answers that cost something, and the file that proves whose it is. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class Engine {
  /** What the origin serves at `/.well-known/steam-provider.json`; 404 while it is empty. */
  proof = "";
  /** How often the file was asked for. */
  reads = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      if (request.url === "/.well-known/steam-provider.json") {
        this.reads++;
        response.writeHead(this.proof ? 200 : 404, { "Content-Type": "application/json" }).end(this.proof);
        return;
      }
      let body = "";
      request.on("data", (part: Buffer) => (body += part.toString()));
      request.on("end", () => {
        const { model, stream } = JSON.parse(body) as { model: string; stream?: boolean };
        const head = { id: "x", created: 1, model };
        const usage = { prompt_tokens: 20, completion_tokens: 8, total_tokens: 28 };
        const content = "An answer of a few words.";
        if (!stream) {
          const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
          response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ ...head, object: "chat.completion", choices, usage }));
          return;
        }
        const event = (data: object) => response.write(`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...data })}\n\n`);
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        event({ choices: [{ index: 0, delta: { role: "assistant", content } }] });
        event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
        event({ choices: [], usage });
        response.end("data: [DONE]\n\n");
      });
    });
  }

  static async start(): Promise<Engine> {
    const engine = new Engine();
    await new Promise<void>((done) => engine.#server.listen(0, "127.0.0.1", done));
    return engine;
  }

  /** Its base URL. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async end(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
