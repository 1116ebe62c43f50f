//! Words of strangers, as they may be shown: in a terminal, on a page, in a log.

/// `text` with a blank in place of each control character, and without what shows nothing by itself: marks of direction, joiners,
/// blanks of no width, tags. A name with such a mark in it is shown as what it looks like.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() || is_break(c) { ' ' } else { c }).collect()
}

/// The same of text of several lines, whose line breaks and tabs stay.
pub fn printable_lines(text: &str) -> String {
    let shown = |c: char| if (c.is_control() && c != '\n' && c != '\t') || is_break(c) { ' ' } else { c };
    text.chars().filter(|c| !is_unseen(*c)).map(shown).collect()
}

/// The name that a stranger chose for itself.
pub fn label(name: &str) -> String {
    printable(name).trim().to_owned()
}

/// Whether a character ends a line without being a control.
fn is_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character shows nothing by itself (Unicode's properties `Default_Ignorable_Code_Point` and `Bidi_Control`).
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_or_turns_the_line_around_is_left_out() {
        for (text, shown) in [
            ("Acme", "Acme"),
            ("Ac\u{200b}me", "Acme"),
            ("Acme\u{fe0f}", "Acme"),
            ("\u{202e}emcA", "emcA"),
            ("A\u{2066}c\u{2069}me\u{200d}", "Acme"),
            ("a\u{1b}[31mb", "a [31mb"),
            ("a\nb\u{2028}c\u{85}d", "a b c d"),
            ("é 模型 🙂", "é 模型 🙂"),
        ] {
            assert_eq!(printable(text), shown, "{text:?}");
        }
        assert_eq!(printable_lines("a\n\tb\u{1b}[2J\u{200b}\r"), "a\n\tb [2J ");
        assert_eq!(label(" \u{200b}Acme\n"), "Acme");
    }
}
