/** Files of prices become the terms that the command line reads from them: the rows, and what is wrong, are those of its own tests. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilitiesOf, type OfferTerms, type Prices } from "../../../app-idl/client/src/index.js";
import { type Listed, PriceFileError, readPriceFile } from "../src/chain/price-file.js";
import { readTerms } from "../src/chain/terms.js";

const price = (input: number, cached: number, cache_write: number, cache_write_long: number, output: number, request = 0): Prices => ({
  input: BigInt(input), cached: BigInt(cached), cache_write: BigInt(cache_write), cache_write_long: BigInt(cache_write_long), output: BigInt(output), request: BigInt(request),
});

/** The terms of a model, which the form finds nothing wrong with. */
function terms({ form }: Listed): OfferTerms {
  const read = readTerms(form);
  assert.deepEqual(read.faults, {});
  return read.terms;
}

const all = (text: string): Listed[] => [...readPriceFile(text).values()].map((read) => read());

const LITELLM = `{
  "sample_spec": {"input_cost_per_token": 0.0, "max_tokens": "LEGACY parameter", "mode": "one of: chat, embedding"},
  "claude-sonnet-4-5": {
    "litellm_provider": "anthropic", "mode": "chat", "max_input_tokens": 200000, "max_output_tokens": 64000, "max_tokens": 64000,
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
    "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
    "cache_read_input_token_cost_above_200k_tokens": 6e-07, "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
    "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05, "input_cost_per_token_batches": 1.5e-06,
    "search_context_cost_per_query": {"search_context_size_low": 0.01}, "input_cost_per_image": 0.0, "input_cost_per_audio_token": null,
    "supports_function_calling": true, "supports_vision": true, "supports_prompt_caching": true, "supports_pdf_input": false
  },
  "text-embedding-3-small": {
    "mode": "embedding", "max_input_tokens": 8191, "max_tokens": 8191, "input_cost_per_token": 2e-08, "output_cost_per_token": 0.0
  }
}`;

test("LiteLLM's list is read to the pico-dollar", () => {
  const [sonnet, vectors] = all(LITELLM);
  assert.deepEqual(terms(sonnet!), {
    price: price(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000), long_from: 200_000, long_price: price(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000),
    context_limit: 200_000, output_limit: 64_000, capabilities: capabilitiesOf(["chat", "streaming", "tools", "vision", "prompt-cache"], "unknown"),
  });
  assert.deepEqual(sonnet!.without, ["search_context_cost_per_query"]);
  assert.equal(vectors!.form.model, "text-embedding-3-small");
  const { price: posted, output_limit, capabilities } = terms(vectors!);
  assert.deepEqual([posted, output_limit, capabilities], [price(20_000, 20_000, 20_000, 20_000, 0), 8_191, capabilitiesOf(["embeddings"], "unknown")]);
});

const OPENROUTER = `{"data": [
  {"id": "google/gemini-2.5-pro", "context_length": 1048576,
   "architecture": {"input_modalities": ["text", "image", "audio", "file"]},
   "pricing": {"prompt": "0.00000125", "completion": "0.00001", "request": "0", "image": "0.00516", "web_search": "0",
     "input_cache_read": "0.000000125", "input_cache_write": "0.000001625", "internal_reasoning": "0.00001",
     "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.0000025", "completion": "0.000015", "input_cache_read": "0.00000025",
       "input_cache_write": "0.000002875", "input_cache_write_1h": "0.000002875"}]},
   "top_provider": {"context_length": 1000000, "max_completion_tokens": 65536},
   "supported_parameters": ["tools", "response_format", "seed", "top_p"], "quantization": "bf16"},
  {"id": "m", "context_length": 10, "pricing": {"prompt": "0", "completion": "0"}, "top_provider": {"max_completion_tokens": null}}
]}`;

test("OpenRouter's list is read to the pico-dollar", () => {
  const [gemini, small] = all(OPENROUTER);
  assert.deepEqual(terms(gemini!), {
    price: price(1_250_000, 125_000, 1_625_000, 1_625_000, 10_000_000), long_from: 200_000, long_price: price(2_500_000, 250_000, 2_875_000, 2_875_000, 15_000_000),
    context_limit: 1_000_000, output_limit: 65_536, capabilities: capabilitiesOf(["chat", "streaming", "vision", "audio-input", "file-input", "tools", "json-mode", "seed"], "bf16"),
  });
  assert.deepEqual(gemini!.without, ["image"]);
  assert.deepEqual([terms(small!).context_limit, terms(small!).output_limit], [10, 10]);
});

test("a relayer's own list is read with its prices of long prompts", () => {
  const pricing = {
    prompt: "0.000003", completion: "0.000015", request: "0", input_cache_read: "0.0000003", input_cache_write: "0.00000375", input_cache_write_long: "0.000006",
    long: { from: 200_000, prompt: "0.000006", completion: "0.0000225", request: "0", input_cache_read: "0.0000006", input_cache_write: "0.0000075", input_cache_write_long: "0.000012" },
  };
  const [listed] = all(JSON.stringify({ object: "list", data: [{ id: "m", context_length: 1_000_000, pricing, top_provider: { max_completion_tokens: 64_000 } }] }));
  const { price: posted, long_from, long_price } = terms(listed!);
  assert.deepEqual([posted, long_from, long_price], [price(3_000_000, 300_000, 3_750_000, 6_000_000, 15_000_000), 200_000, price(6_000_000, 600_000, 7_500_000, 12_000_000, 22_500_000)]);
  assert.deepEqual(listed!.without, []);
});

test("what a list leaves out of long prompts follows one rule", () => {
  const litellm = { m: { input_cost_per_token: 2e-6, output_cost_per_token: 3e-6, max_input_tokens: 999_999, cache_read_input_token_cost: 1e-6, input_cost_per_token_above_200k_tokens: 4e-6, output_cost_per_token_above_200k_tokens: 6e-6 } };
  const openrouter = { data: [{ id: "m", context_length: 999_999, pricing: { prompt: "2e-6", completion: "3e-6", input_cache_read: "1e-6", overrides: [{ min_prompt_tokens: 200_000, prompt: "4e-6", completion: "6e-6" }] } }] };
  for (const file of [litellm, openrouter]) {
    const [listed] = all(`\ufeff${JSON.stringify(file)}`);
    const { price: posted, long_price } = terms(listed!);
    assert.deepEqual([posted, long_price], [price(2_000_000, 1_000_000, 2_000_000, 2_000_000, 3_000_000), price(4_000_000, 1_000_000, 4_000_000, 4_000_000, 6_000_000)]);
  }
});

test("each wrong member is named", () => {
  const litellm = (member: object) => JSON.stringify({ m: { input_cost_per_token: 2e-6, output_cost_per_token: 3e-6, max_input_tokens: 9, ...member } });
  const openrouter = (prices: object, beside: object = {}) => JSON.stringify({ data: [{ id: "m", context_length: 9, pricing: { prompt: "0.000002", completion: "0.000003", ...prices }, ...beside }] });
  for (const [text, says] of [
    ["{", "is no JSON"], ["[]", "neither LiteLLM's"], ["{}", "has no models"], ['{"m": 3}', "m is no object"], ['{"m": {}}', "m: `input_cost_per_token` is missing"],
    ['{"m": {"output_cost_per_token": 1e-6, "input_cost_per_token": 1e-6}}', "m: `max_input_tokens` is missing"],
    [litellm({ mode: "image_generation" }), 'm: `mode` is "image_generation"'], [litellm({ mode: "constructor" }), "m: `mode` is"], [litellm({ mode: 1 }), "m: `mode` is no text"],
    [litellm({ tiered_pricing: [] }), "m: `tiered_pricing` has more prices"], [litellm({ max_output_tokens: "8" }), "m: `max_output_tokens` is no whole number"],
    [litellm({ cache_read_input_token_cost: 3.0000000000000004e-7 }), "m: `cache_read_input_token_cost` is 3.0000000000000004e-7, with more decimal places"],
    [litellm({ cache_read_input_token_cost: -1 }), "is -1, below zero"], [litellm({ cache_read_input_token_cost: "1,5" }), 'is "1,5", no number'], [litellm({ cache_read_input_token_cost: true }), "is no number"],
    [litellm({ cache_read_input_token_cost: 1e300 }), "too high"], [litellm({ cache_read_input_token_cost: "1.000000000001" }), "too high"],
    [litellm({ output_cost_per_reasoning_token: 4e-6 }), "m: `output_cost_per_reasoning_token` is not the price"], [litellm({ supports_vision: "yes" }), "m: `supports_vision` is neither true nor false"],
    [litellm({ input_cost_per_token_above_128k_tokens: 4e-6, output_cost_per_token_above_200k_tokens: 4e-6 }), "begins at 128k, at 200k tokens"],
    ['{"data": [3]}', "Model 1 is no object"], ['{"data": [{}]}', "Model 1: `id` is missing"], ['{"data": [{"id": "m"}]}', "`pricing` is missing"],
    [JSON.stringify({ data: [{ id: "m" }, { id: "m" }] }), "m is in the file twice"], [openrouter({ prompt: "-1" }), "`prompt` is -1, below zero"], [openrouter({ discount: 0.5 }), "`discount` is not read"],
    [openrouter({ internal_reasoning: "0.000004" }), "`internal_reasoning` is not the price"], [openrouter({ overrides: {} }), "`overrides` is no list"],
    [openrouter({ overrides: [{ prompt: "0.1" }] }), "`min_prompt_tokens` is missing"], [openrouter({ overrides: [{ utc_start: 1630, prompt: "0.1" }] }), "`overrides` has `utc_start`"],
    [openrouter({ overrides: [{ min_prompt_tokens: 5 }, { min_prompt_tokens: 6 }] }), "`overrides` has more than one"], [openrouter({ overrides: [{ min_prompt_tokens: 5 }], long: { from: 5 } }), "`overrides` has more than one"],
    [openrouter({ overrides: [{ min_prompt_tokens: 5, prompt: "x" }] }), '`prompt` is "x", no number'], [openrouter({}, { architecture: { input_modalities: "text" } }), "`input_modalities` is no list of texts"],
    [openrouter({}, { quantization: "fp7" }), '`quantization` names "fp7"'], [JSON.stringify({ "m n": JSON.parse(litellm({})).m }), "m n cannot be the name"],
  ] as const) {
    assert.throws(() => all(text), (error) => error instanceof PriceFileError && error.message.includes(says), `${says}: ${text}`);
  }
});

test("what the program would refuse of a file's terms is marked in the form", () => {
  const faults = (member: object) => readTerms(all(JSON.stringify({ m: { input_cost_per_token: 2e-6, output_cost_per_token: 3e-6, max_input_tokens: 9, ...member } }))[0]!.form).faults;
  assert.deepEqual(faults({}), {});
  assert.deepEqual(Object.keys(faults({ max_output_tokens: 10 })), ["answer"]);
  assert.deepEqual(Object.keys(faults({ cache_read_input_token_cost: 3e-6 })), ["cached"]);
  assert.deepEqual(Object.keys(faults({ output_cost_per_token_above_200k_tokens: 1e-6 })), ["long.output"]);
});
