//! What a prompt holds besides text. A model reads an image, a document or a sound as a number of tokens that follows from its
//! size, not from the letters of its base64.

/// Bytes of a document for each of its tokens: pages are compressed, and each is read as text and as an image.
const DOCUMENT_BYTES_PER_TOKEN: u64 = 8;
/// Tokens of the smallest document, about one page, and of the largest, about a hundred.
const DOCUMENT_TOKENS: (u64, u64) = (3_000, 200_000);
/// Tokens of a document whose size is not known, about ten pages.
const DOCUMENT_ELSEWHERE: u64 = 30_000;
/// Bytes of a sound for each of its tokens: compressed speech has 4,000 a second, and 32 tokens at most.
const AUDIO_BYTES_PER_TOKEN: u64 = 100;
/// Tokens of the shortest sound.
const AUDIO_LEAST: u64 = 100;

/// The media of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    /// Bytes of the body that are media.
    pub(super) bytes: u64,
    /// Tokens of documents and sounds. Images are counted one by one.
    pub(super) tokens: u64,
}

impl Media {
    /// An image of `length` bytes of JSON.
    pub(super) fn image(&mut self, length: usize) {
        self.bytes += length as u64;
    }

    /// A document of `length` bytes of base64; none if it is elsewhere.
    pub(super) fn document(&mut self, length: Option<usize>) {
        let (least, most) = DOCUMENT_TOKENS;
        let tokens = length.map(|length| (decoded(length) / DOCUMENT_BYTES_PER_TOKEN).clamp(least, most));
        self.bytes += length.unwrap_or(0) as u64;
        self.tokens = self.tokens.saturating_add(tokens.unwrap_or(DOCUMENT_ELSEWHERE));
    }

    /// A sound of `length` bytes of base64.
    pub(super) fn audio(&mut self, length: usize) {
        self.bytes += length as u64;
        self.tokens = self.tokens.saturating_add((decoded(length) / AUDIO_BYTES_PER_TOKEN).max(AUDIO_LEAST));
    }
}

/// Bytes of base64 once it is decoded.
fn decoded(length: usize) -> u64 {
    length as u64 / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_are_counted_by_what_they_are_and_not_by_their_letters() {
        let of = |add: fn(&mut Media)| {
            let mut media = Media::default();
            add(&mut media);
            (media.bytes, media.tokens)
        };
        assert_eq!(of(|media| media.image(500_000)), (500_000, 0));
        assert_eq!(of(|media| media.document(Some(4))), (4, 3_000));
        assert_eq!(of(|media| media.document(Some(400_000))), (400_000, 37_500));
        assert_eq!(of(|media| media.document(Some(40_000_000))), (40_000_000, 200_000));
        assert_eq!(of(|media| media.document(None)), (0, 30_000));
        assert_eq!(of(|media| media.audio(8)), (8, 100));
        assert_eq!(of(|media| media.audio(400_000)), (400_000, 3_000));
    }
}
