/** What a call of the relayer's API becomes where the connection is no good. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { RelayerApi, RelayerError } from "../src/index.js";

/** A response whose body gives `text`, and then breaks as a connection does. */
function broken(text: string, status = 200): Response {
  let sent = false;
  const body = new ReadableStream<Uint8Array>({
    pull(stream) {
      if (sent) return stream.error(new TypeError("terminated"));
      sent = true;
      stream.enqueue(new TextEncoder().encode(text));
    },
  });
  return new Response(body, { status, headers: { "Content-Type": "application/json" } });
}

const api = (answer: () => Response | Promise<Response>) => new RelayerApi("https://relayer.example", async () => answer());

test("an answer that breaks off, or is none, is an error that may pass, and no answer", async () => {
  for (const answer of [
    () => broken('{"slot": 1'), () => broken('{"slot": 1}'), () => new Response('{"slot": 1'), () => new Response(""), () => new Response("<html>Log in</html>"),
  ]) {
    await assert.rejects(api(answer).call("chain"), (error) => {
      assert.ok(error instanceof RelayerError);
      assert.deepEqual([error.status, error.code, error.passes], [0, "no_answer", true]);
      assert.equal(error.message, "The relayer's answer broke off or cannot be read. Check the connection and try again.");
      return true;
    });
  }
  assert.deepEqual(await api(() => Response.json({ slot: 1 })).call("chain"), { slot: 1 });
});

test("a refusal keeps its status when its words break off", async () => {
  for (const answer of [() => broken('{"error": {', 503), () => new Response("<html>bad gateway</html>", { status: 503 })]) {
    await assert.rejects(api(answer).call("chain"), (error) => error instanceof RelayerError && error.status === 503 && /status 503/.test(error.message));
  }
});

test("a caller that leaves while the answer comes is told so, and a time that ran out is no answer", async () => {
  const ended = (reason: DOMException) => {
    const over = new AbortController();
    const body = new ReadableStream({ start: (stream) => over.signal.addEventListener("abort", () => stream.error(reason)) });
    setTimeout(() => over.abort(reason), 10);
    return api(() => new Response(body)).call("chain", { signal: over.signal });
  };
  await assert.rejects(ended(new DOMException("left", "AbortError")), { name: "AbortError" });
  await assert.rejects(ended(new DOMException("late", "TimeoutError")), (error) => error instanceof RelayerError && error.status === 0);
});
