//! The parameters of a chat request that providers know.

use steam_router::state::capability;

/// Parameters and the capability that covers each; none where every provider of chat completions knows it. `tools`,
/// `response_format`, `logprobs` and `stream` are needed by what they ask for, whether or not parameters are required.
pub(super) const PARAMETERS: [(&str, u64); 30] = [
    ("model", 0),
    ("models", 0),
    ("provider", 0),
    ("messages", 0),
    ("max_tokens", 0),
    ("max_completion_tokens", 0),
    ("temperature", 0),
    ("top_p", 0),
    ("stop", 0),
    ("n", 0),
    ("presence_penalty", 0),
    ("frequency_penalty", 0),
    ("user", 0),
    ("stream", 0),
    ("stream_options", 0),
    ("modalities", 0),
    ("response_format", 0),
    ("logprobs", 0),
    ("tools", 0),
    ("functions", 0),
    ("top_logprobs", capability::LOGPROBS),
    ("tool_choice", capability::TOOLS),
    ("function_call", capability::TOOLS),
    ("parallel_tool_calls", capability::TOOLS),
    ("seed", capability::SEED),
    ("reasoning_effort", capability::REASONING),
    ("reasoning", capability::REASONING),
    ("logit_bias", 0),
    ("store", 0),
    ("metadata", 0),
];
