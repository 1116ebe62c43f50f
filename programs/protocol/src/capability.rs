//! What an offer says that it can do and promises: the bits of its capabilities. They are the provider's word. The program
//! keeps bits without a meaning and judges none, so that a new one needs no upgrade.

/// Answers can be streamed.
pub const STREAMING: u64 = 1 << 0;
/// Takes images.
pub const VISION: u64 = 1 << 1;
/// Calls tools.
pub const TOOLS: u64 = 1 << 2;
/// Answers in any JSON.
pub const JSON_MODE: u64 = 1 << 3;
/// Answers in the JSON schema asked for.
pub const JSON_SCHEMA: u64 = 1 << 4;
/// Returns log probabilities.
pub const LOGPROBS: u64 = 1 << 5;
/// Spends hidden tokens on reasoning.
pub const REASONING: u64 = 1 << 6;
/// Speaks embeddings: `/v1/embeddings`.
pub const EMBEDDINGS: u64 = 1 << 7;
/// Takes audio.
pub const AUDIO_INPUT: u64 = 1 << 8;
/// Takes documents.
pub const FILE_INPUT: u64 = 1 << 9;
/// Charges cached prompt tokens less.
pub const PROMPT_CACHE: u64 = 1 << 10;
/// Honours `seed`.
pub const SEED: u64 = 1 << 11;
/// Speaks chat completions: `/v1/chat/completions`.
pub const CHAT: u64 = 1 << 12;
/// Speaks text completions: `/v1/completions`.
pub const COMPLETIONS: u64 = 1 << 13;
/// Speaks responses: `/v1/responses`.
pub const RESPONSES: u64 = 1 << 14;
/// Speaks messages: `/v1/messages`.
pub const MESSAGES: u64 = 1 << 15;
/// Keeps neither prompts nor answers.
pub const NO_RETENTION: u64 = 1 << 16;
/// Trains on neither prompts nor answers.
pub const NO_TRAINING: u64 = 1 << 17;

/// The lowest bit of the field that names the quantization of the weights.
const QUANTIZATION_AT: u32 = 24;
/// The field's mask, once it is shifted down: four bits.
const QUANTIZATION_MASK: u64 = 0xf;

/// Names of the bits, as commands and interfaces show them.
pub const NAMES: [(&str, u64); 18] = [
    ("streaming", STREAMING),
    ("vision", VISION),
    ("tools", TOOLS),
    ("json-mode", JSON_MODE),
    ("json-schema", JSON_SCHEMA),
    ("logprobs", LOGPROBS),
    ("reasoning", REASONING),
    ("embeddings", EMBEDDINGS),
    ("audio-input", AUDIO_INPUT),
    ("file-input", FILE_INPUT),
    ("prompt-cache", PROMPT_CACHE),
    ("seed", SEED),
    ("chat", CHAT),
    ("completions", COMPLETIONS),
    ("responses", RESPONSES),
    ("messages", MESSAGES),
    ("no-retention", NO_RETENTION),
    ("no-training", NO_TRAINING),
];

/// How the weights are quantized, by the field's value. The value 0 is unknown, as are those without a name.
pub const QUANTIZATIONS: [&str; 9] = ["unknown", "int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32"];

/// The name of the quantization that `capabilities` state.
pub fn quantization(capabilities: u64) -> &'static str {
    let value = capabilities >> QUANTIZATION_AT & QUANTIZATION_MASK;
    QUANTIZATIONS.get(value as usize).copied().unwrap_or(QUANTIZATIONS[0])
}

/// `capabilities` with the quantization of this name, or `None` if there is no such name.
pub fn with_quantization(capabilities: u64, name: &str) -> Option<u64> {
    let value = QUANTIZATIONS.iter().position(|known| *known == name)? as u64;
    Some(capabilities & !(QUANTIZATION_MASK << QUANTIZATION_AT) | value << QUANTIZATION_AT)
}

/// The names of the bits that `capabilities` have. Bits without a name are left out.
pub fn names(capabilities: u64) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(move |(_, bit)| capabilities & bit != 0).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_bits_are_the_same_and_none_is_of_the_quantization() {
        let all = NAMES.iter().fold(0, |all, (_, bit)| all | bit);
        assert_eq!(all.count_ones() as usize, NAMES.len());
        assert_eq!(all & QUANTIZATION_MASK << QUANTIZATION_AT, 0);
        assert_eq!(names(STREAMING | NO_TRAINING | 1 << 63).collect::<Vec<_>>(), ["streaming", "no-training"]);
    }

    #[test]
    fn a_quantization_is_a_field_of_its_own() {
        for name in QUANTIZATIONS {
            let with = with_quantization(u64::MAX, name).unwrap();
            assert_eq!(quantization(with), name);
            assert_eq!(with_quantization(with, "fp32").unwrap() | QUANTIZATION_MASK << QUANTIZATION_AT, u64::MAX);
        }
        assert_eq!(
            (with_quantization(0, "fp7"), quantization(u64::MAX), quantization(0)),
            (None, "unknown", "unknown")
        );
    }
}
