//! Letters that JSON writes as two escapes, one for each half. Providers that count in halves cut between them, so that one piece
//! of a text ends with the first half and the next one begins with the second.

use bytes::Bytes;

/// Joins what was cut between two pieces of a stream.
#[derive(Debug, Default)]
pub struct Halves {
    /// The escape of a first half whose second one has not come.
    first: Option<String>,
}

/// What stands in place of a half that stays alone.
const LOST: &str = "\\ufffd";
/// Bytes of an escape.
const ESCAPE: usize = 6;

impl Halves {
    /// The same of bytes. What is no text has none.
    pub fn join_bytes(&mut self, piece: &[u8]) -> Option<Bytes> {
        std::str::from_utf8(piece).ok().and_then(|piece| self.join(piece)).map(Bytes::from)
    }

    /// The JSON `piece` with whole letters, if it has halves. A first half at the end of a text waits for the piece that begins a
    /// text with the second.
    pub fn join(&mut self, piece: &str) -> Option<String> {
        if !["\\ud", "\\uD"].iter().any(|begin| piece.contains(begin)) {
            return None;
        }
        let first = self.first.take();
        let (mut out, mut rest, mut joined, mut has_halves) =
            (String::with_capacity(piece.len() + ESCAPE), piece, false, false);
        while let Some((before, escape)) = rest.find('\\').map(|place| rest.split_at(place)) {
            out.push_str(before);
            let (taken, written) = match (code(escape), escape.get(ESCAPE..).unwrap_or_default()) {
                (Some(0xd800..=0xdbff), after) if matches!(code(after), Some(0xdc00..=0xdfff)) => (2 * ESCAPE, None),
                (Some(0xd800..=0xdbff), after) if after.starts_with('"') => {
                    self.first = escape.get(..ESCAPE).map(str::to_owned);
                    (ESCAPE, Some(""))
                }
                (Some(0xdc00..=0xdfff), _) if out.ends_with('"') && first.is_some() => {
                    joined = true;
                    out.push_str(first.as_deref().unwrap_or_default());
                    (ESCAPE, None)
                }
                (Some(0xd800..=0xdfff), _) => (ESCAPE, Some(LOST)),
                _ => (1 + escape.chars().nth(1).map_or(0, char::len_utf8), None),
            };
            let (escape, after) = escape.split_at(taken);
            has_halves |= joined || written.is_some();
            out.push_str(written.unwrap_or(escape));
            rest = after;
        }
        out.push_str(rest);
        if !joined && self.first.is_none() {
            self.first = first;
        }
        has_halves.then_some(out)
    }
}

/// The code of the escape with which `text` begins: `\u` and four digits of base 16.
fn code(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn halves_of_a_letter_are_joined_over_pieces_and_what_stays_alone_is_replaced() {
        for (pieces, whole) in [
            (&[r#"{"a":"x\ud83d"}"#, r#"{"a":"\ude00y"}"#][..], "x😀y"),
            (&[r#"{"a":"\uD83D"}"#, r#"{"b":1,"a":"plain\\u"}"#, r#"{"a":"\uDE00"}"#], "plain\\u😀"),
            (&[r#"{"a":"\ud83d\ude00\ud83d"}"#, r#"{"a":"\ude00\ud83d"}"#, r#"{"a":"\ude00"}"#], "😀😀😀"),
            (&[r#"{"a":"\ud83dx\ude00"}"#], "\u{fffd}x\u{fffd}"),
            (&[r#"{"a":"\ude00"}"#], "\u{fffd}"),
            (&[r#"{"a":"\\ud83d\u0041\n"}"#], "\\ud83dA\n"),
        ] {
            let mut halves = Halves::default();
            let read = |piece: &&str| {
                let joined = halves.join(piece);
                let value: Value = serde_json::from_str(joined.as_deref().unwrap_or(piece)).unwrap();
                value["a"].as_str().unwrap().to_owned()
            };
            assert_eq!(pieces.iter().map(read).collect::<String>(), whole, "{pieces:?}");
        }
        assert_eq!(Halves::default().join(r#"{"a":"\ud83d\ude00 é \\ud83d"}"#), None, "what is whole keeps its bytes");
        for odd in ["\\", "\\u", "\\ud8", "\\ud83d", "\\ud83é", "\"\\ud83d\"\\"] {
            Halves::default().join(odd);
        }
    }
}
