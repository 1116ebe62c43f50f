//! The relayer's own count of tokens: by the model's tokenizer where it is known, by bytes otherwise.

mod queue;

use crate::chain::Pubkey;
use queue::Queue;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tiktoken_rs::CoreBPE;

/// Bytes from which texts are tokenized on a blocking thread.
const INLINE_BYTES: usize = 4_096;
/// Most bytes of the pieces that a text is cut into, so that the work is linear. A cut adds one token at most.
const PIECE_BYTES: usize = 4_096;
/// Estimated bytes of a token for models whose tokenizer is not known.
const BYTES_PER_TOKEN: u64 = 4;

/// A method of counting tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// OpenAI's `o200k_base`.
    O200k,
    /// Bytes alone.
    Bytes,
}

impl Counting {
    /// The method for `model`, whose name may have a vendor before a slash.
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        if name.starts_with("gpt-oss") {
            return Self::O200k;
        }
        let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        // Older ones have another vocabulary, which counts a few per cent more.
        let gpt = name.strip_prefix("gpt-").is_some_and(|rest| !rest.starts_with("3.5") && !rest.starts_with("4-"));
        if (gpt && name != "gpt-4") || o_series { Self::O200k } else { Self::Bytes }
    }

    /// Most tokens that a provider may bill for `text`.
    pub fn allowance(self, text: Counted) -> u64 {
        match self {
            // count × 1.02 + 8, rounded down
            Self::O200k => text.tokens.saturating_mul(102) / 100 + 8,
            Self::Bytes => text.bytes,
        }
    }

    /// Fewest tokens that `text` has by any count of it. An estimate from bytes says nothing of that.
    pub fn least(self, text: Counted) -> u64 {
        match self {
            // The inverse of `allowance`: 8 tokens less, then divided by 1.02.
            Self::O200k => text.tokens.saturating_sub(8).saturating_mul(100) / 102,
            Self::Bytes => 0,
        }
    }
}

/// The size of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// UTF-8 bytes.
    pub bytes: u64,
    /// Tokens, counted or estimated.
    pub tokens: u64,
}

/// The tokenizers, each loaded when it is first needed.
#[derive(Clone, Debug, Default)]
pub struct Tokenizers {
    queue: Arc<Queue>,
    /// Whether the vocabulary is in memory: reading it takes longer than a task may block.
    loaded: Arc<AtomicBool>,
}

impl Tokenizers {
    /// Counts `texts`, which may be large, for `vault`. Beyond `most` tokens the rest is taken to be like what was counted.
    pub async fn count(&self, counting: Counting, texts: Vec<String>, (vault, most): (Pubkey, u64)) -> Counted {
        let bytes: usize = texts.iter().map(String::len).sum();
        let inline = bytes <= INLINE_BYTES && self.loaded.load(Ordering::Relaxed);
        if counting == Counting::Bytes || inline {
            return count_all(counting, &texts, most);
        }
        let turn = self.queue.turn(vault, bytes).await;
        let estimate = count_all(Counting::Bytes, &texts, most);
        let counted = tokio::task::spawn_blocking(move || {
            // It is this thread's turn for as long as it counts, also when nobody waits for it any more.
            let _turn = turn;
            count_all(counting, &texts, most)
        });
        // A cancelled task means shutdown: then the estimate will do.
        let counted = counted.await.unwrap_or(estimate);
        self.loaded.store(true, Ordering::Relaxed);
        counted
    }
}

/// Counts `texts` up to `most` tokens, and takes what is left to be like what was counted.
fn count_all(counting: Counting, texts: &[String], most: u64) -> Counted {
    let bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
    let (mut seen, mut tokens) = (0, 0);
    for piece in texts.iter().flat_map(|text| pieces(text)) {
        tokens += count(counting, piece);
        seen += piece.len() as u64;
        if tokens > most && seen < bytes {
            let like = u128::from(tokens) * u128::from(bytes) / u128::from(seen.max(1));
            return Counted { bytes, tokens: u64::try_from(like).unwrap_or(u64::MAX) };
        }
    }
    Counted { bytes, tokens }
}

/// Tokens of one text.
pub fn count(counting: Counting, text: &str) -> u64 {
    match counting {
        Counting::Bytes => (text.len() as u64).div_ceil(BYTES_PER_TOKEN),
        Counting::O200k => {
            let bpe: &CoreBPE = tiktoken_rs::o200k_base_singleton();
            pieces(text).map(|piece| bpe.count_ordinary(piece) as u64).sum()
        }
    }
}

/// Cuts at the last space within [`PIECE_BYTES`], or where a character ends.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut end = text.len().min(PIECE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if end < text.len()
            && let Some(space) = text[..end].rfind(' ')
            && space > 0
        {
            end = space;
        }
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}

/// Counts text that arrives in fragments, and keeps no more than a piece of it.
#[derive(Debug)]
pub struct Tally {
    counting: Counting,
    bytes: u64,
    tokens: u64,
    /// Text not counted yet, by choice, since fragments of different choices interleave.
    open: BTreeMap<u32, String>,
    /// Hashes all the text in the order in which it came.
    hasher: DefaultHasher,
}

impl Tally {
    /// Nothing counted.
    pub fn new(counting: Counting) -> Self {
        Self { counting, bytes: 0, tokens: 0, open: BTreeMap::new(), hasher: DefaultHasher::new() }
    }

    /// Adds a fragment of the answer numbered `choice`.
    pub fn add(&mut self, choice: u32, text: &str) {
        self.bytes += text.len() as u64;
        // Fragments hash as their concatenation does.
        self.hasher.write(text.as_bytes());
        if self.counting == Counting::Bytes {
            return;
        }
        let open = self.open.entry(choice).or_default();
        open.push_str(text);
        if open.len() > PIECE_BYTES {
            let end = open.rfind(' ').filter(|&space| space > 0).unwrap_or(open.len());
            self.tokens += count(self.counting, &open[..end]);
            open.drain(..end);
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells different texts apart, until this process ends.
    pub fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    /// The count so far.
    pub fn total(&self) -> Counted {
        let open: u64 = self.open.values().map(|text| count(self.counting, text)).sum();
        let tokens = match self.counting {
            Counting::Bytes => self.bytes.div_ceil(BYTES_PER_TOKEN),
            Counting::O200k => self.tokens + open,
        };
        Counted { bytes: self.bytes, tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokenizer_follows_from_the_models_name() {
        for model in ["gpt-4o", "openai/gpt-4.1-mini", "o3", "openai/o4-mini", "gpt-5", "openai/gpt-oss-120b"] {
            assert_eq!(Counting::of(model), Counting::O200k, "{model}");
        }
        for model in
            ["sim/llama-3.3-70b", "olmo-2", "gpt-4", "gpt-4-turbo", "gpt-3.5-turbo", "openrouter/auto", "", "o"]
        {
            assert_eq!(Counting::of(model), Counting::Bytes, "{model}");
        }
    }

    #[test]
    fn an_allowance_is_two_per_cent_and_eight_tokens_or_the_bytes() {
        let text = Counted { bytes: 1_234, tokens: 100 };
        assert_eq!(Counting::O200k.allowance(text), 110);
        assert_eq!(Counting::Bytes.allowance(text), 1_234);
    }

    #[test]
    fn fragments_count_as_the_whole_does() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(300);
        let whole = count(Counting::O200k, &text);
        let mut tally = Tally::new(Counting::O200k);
        for fragment in text.as_bytes().chunks(7) {
            tally.add(0, std::str::from_utf8(fragment).unwrap());
        }
        let counted = tally.total();
        assert_eq!(counted.bytes, text.len() as u64);
        assert!(counted.tokens.abs_diff(whole) <= 8, "{} and {whole}", counted.tokens);
        assert!(tally.open.values().all(|open| open.len() <= PIECE_BYTES + 7));
        let mut at_once = Tally::new(Counting::Bytes);
        at_once.add(0, &text);
        assert_eq!(tally.fingerprint(), at_once.fingerprint());
    }

    #[test]
    fn a_piece_ends_where_a_character_does() {
        let text = "é".repeat(PIECE_BYTES);
        assert_eq!(pieces(&text).collect::<String>(), text);
        assert!(pieces(&text).all(|piece| piece.len() <= PIECE_BYTES));
    }

    #[test]
    fn counting_stops_where_nobody_pays_for_more() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(20_000);
        let whole = count_all(Counting::O200k, std::slice::from_ref(&text), u64::MAX);
        let began = std::time::Instant::now();
        let cut = count_all(Counting::O200k, std::slice::from_ref(&text), 2_000);
        assert!(cut.tokens > 2_000 && cut.tokens.abs_diff(whole.tokens) < whole.tokens / 20, "{cut:?} {whole:?}");
        assert_eq!(cut.bytes, whole.bytes);
        assert!(began.elapsed() < std::time::Duration::from_millis(500));
    }
}
