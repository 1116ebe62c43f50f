//! Words of strangers, as they may be shown: in a terminal, on a page, in a log.

use std::path::Path;

/// `text` with a blank in place of each control character, and without what shows nothing by itself: marks of direction, joiners,
/// blanks of no width, tags. A name with such a mark in it is shown as what it looks like.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() || is_break(c) { ' ' } else { c }).collect()
}

/// Letters of a stranger's sentence that are shown.
const EXCERPT: usize = 300;

/// The beginning of what a stranger says, in one line.
pub fn excerpt(text: &str) -> String {
    let mut shown: String = printable(text.get(..text.floor_char_boundary(4 * EXCERPT)).unwrap_or(text));
    if let Some((end, _)) = shown.char_indices().nth(EXCERPT) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// The same of text of several lines, whose line breaks and tabs stay.
pub fn printable_lines(text: &str) -> String {
    let shown = |c: char| if (c.is_control() && c != '\n' && c != '\t') || is_break(c) { ' ' } else { c };
    text.chars().filter(|c| !is_unseen(*c)).map(shown).collect()
}

/// The same of prose as it comes, piece by piece: joiners and variants stay, which pictures and scripts are written with; what would
/// move the cursor, colour the terminal or turn the line around does not.
pub fn printable_prose(text: &str) -> String {
    let shown = |c: char| if (c.is_control() && c != '\n' && c != '\t') || is_break(c) { ' ' } else { c };
    text.chars().filter(|c| !is_of_direction(*c)).map(shown).collect()
}

/// JSON in which every character that a terminal may obey, or that shows nothing, is escaped. Only texts in it have such characters.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && !c.is_ascii()) || c == '\u{7f}' || is_break(c) || is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A path as a shell takes it for one word, for commands that people are told to paste.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The name that a stranger chose for itself.
pub fn label(name: &str) -> String {
    printable(name).trim().to_owned()
}

/// Whether a character ends a line without being a control.
fn is_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character turns the direction of what follows (Unicode's property `Bidi_Control`).
fn is_of_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
    fn what_is_to_be_pasted_is_one_word_and_runs_nothing() {
        for (path, word) in
            [("a/b-1.json", "a/b-1.json"), ("$(touch pwn)", "'$(touch pwn)'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    fn prose_moves_no_cursor_and_keeps_what_it_is_written_with() {
        let hostile = "\u{1b}]0;PWNED\u{7}\u{1b}[2J\u{9b}31m\u{202e}\rOVER\u{8}\0\u{2028}";
        let shown = printable_prose(hostile);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}' || c == '\u{2028}'), "{shown:?}");
        assert!(shown.contains("PWNED") && shown.contains("OVER"));
        for prose in ["a\n\tb", "👩\u{200d}💻 ❤\u{fe0f}", "نص"] {
            assert_eq!(printable_prose(prose), prose);
        }
    }

    #[test]
    fn json_says_the_same_without_what_a_terminal_obeys() {
        let value = serde_json::json!({"a\u{202e}": "\u{9b}31m\u{2066}\u{7f}\u{e0041} é\n\u{1b}"});
        let escaped = escaped_json(&value.to_string());
        assert!(!escaped.chars().any(|c| c.is_control() || is_unseen(c)), "{escaped}");
        assert!(escaped.contains("\\u009b31m\\u2066\\u007f\\udb40\\udc41 é"), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

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
