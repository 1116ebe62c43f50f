/** A streamed answer with its receipt. */

import { fromBase64, ReceiptScanner, refusal } from "../../../app-idl/client/src/index.js";
import { relayer } from "./relayer.js";

export interface Answer {
  id: string;
  /** The signed receipt, and the hash of the answer before it. */
  receipt: { bytes: Uint8Array; responseHash: Uint8Array } | null;
  /** What the stream says went wrong after it began. */
  error: string | null;
}

/** Asks `model`, and hands over each piece of text as it comes. */
export async function ask(model: string, prompt: string, key: string, onText: (text: string) => void, signal: AbortSignal): Promise<Answer> {
  const headers = new Headers({ Authorization: `Bearer ${key}` });
  const body = { model, stream: true, messages: [{ role: "user", content: prompt }] };
  const response = await relayer.send("chat/completions", { headers, body, signal });
  if (!response.ok || !response.body) throw refusal(response.status, await response.json().catch(() => null));
  const answer: Answer = { id: response.headers.get("Steam-Generation-Id") ?? "", receipt: null, error: null };
  const [scanner, decoder, reader] = [new ReceiptScanner(), new TextDecoder(), response.body.getReader()];
  let line = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      if (signal.aborted) throw error;
      throw new Error("The answer broke off. What was delivered until then is charged; its receipt is under Spending.");
    });
    if (done) return answer;
    const { bytes, found } = scanner.push(value);
    if (found) answer.receipt = { bytes: fromBase64(found.receipt), responseHash: found.responseHash };
    const lines = (line + decoder.decode(bytes, { stream: true })).split("\n");
    line = lines.pop()!;
    for (const one of lines) read(one, answer, onText);
  }
}

interface Chunk {
  choices?: { delta?: { content?: string | null; reasoning_content?: string | null } }[];
  error?: { message?: string };
}

function read(line: string, answer: Answer, onText: (text: string) => void): void {
  if (!line.startsWith("data:") || line.slice(5).trim() === "[DONE]") return;
  let chunk: Chunk;
  try {
    chunk = JSON.parse(line.slice(5)) as Chunk;
  } catch {
    answer.error = "A part of the answer could not be read.";
    return;
  }
  const text = chunk.choices?.[0]?.delta?.content;
  if (typeof text === "string") onText(text);
  if (chunk.error) answer.error = chunk.error.message ?? "The provider failed during the answer.";
}
