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

/// Parameters that every model takes.
const USUAL: [&str; 6] = ["max_tokens", "temperature", "top_p", "stop", "frequency_penalty", "presence_penalty"];
/// Parameters that a capability stands for.
const OF_CAPABILITIES: [(u64, &[&str]); 6] = [
    (capability::TOOLS, &["tools", "tool_choice", "parallel_tool_calls"]),
    (capability::JSON_MODE, &["response_format"]),
    (capability::JSON_SCHEMA, &["structured_outputs", "response_format"]),
    (capability::LOGPROBS, &["logprobs", "top_logprobs"]),
    (capability::SEED, &["seed"]),
    (capability::REASONING, &["reasoning", "reasoning_effort"]),
];

/// Parameters of requests that an offer with these capabilities takes.
pub fn supported_parameters(capabilities: u64) -> Vec<String> {
    let of = OF_CAPABILITIES.into_iter().filter(|(bit, _)| capabilities & bit != 0).flat_map(|(_, names)| names);
    let mut all: Vec<String> = Vec::new();
    for name in USUAL.iter().chain(of) {
        if !all.iter().any(|known| known == name) {
            all.push((*name).to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_stands_for_its_parameters_once() {
        let both = supported_parameters(capability::JSON_MODE | capability::JSON_SCHEMA | capability::TOOLS);
        assert_eq!(both[6..], ["tools", "tool_choice", "parallel_tool_calls", "response_format", "structured_outputs"]);
    }
}
