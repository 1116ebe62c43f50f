//! JSON as the request path needs it: one strict pass over what a stranger sent, and objects whose values keep the
//! bytes they came with.

mod halves;
mod spelling;

pub use halves::Halves;
pub use spelling::letters;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use spelling::Names;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

/// Names an object may have before duplicates are looked up in a set instead of a list.
const FEW_NAMES: usize = 16;

/// Most values in a body, each array and object being one too: memory for them must not exceed a body's own many times. OpenAI's
/// embeddings take 300,000 tokens in a request, each a number.
pub const MAX_VALUES: u32 = 500_000;

/// Checks that `text` is JSON of bounded depth (serde_json's 128 levels) with at most [`MAX_VALUES`] values, in which no object
/// names a member twice: two parsers that pick different ones of the two would price one request and serve another.
///
/// # Errors
/// What is wrong and where.
pub fn check(text: &str) -> Result<(), serde_json::Error> {
    strict(text, Names::Free)
}

fn strict(text: &str, names: Names) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { seen: &Cell::new(0), names }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Counts the values that it has seen.
#[derive(Clone, Copy)]
struct Strict<'a> {
    seen: &'a Cell<u32>,
    names: Names,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.seen.set(self.seen.get() + 1);
        if self.seen.get() > MAX_VALUES {
            return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let element = Self { names: self.names.in_list(), ..self };
        while seq.next_element_seed(element)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut few: Vec<Cow<'de, str>> = Vec::new();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Name(name)) = map.next_key()? {
            if few.contains(&name) || many.contains(&name) {
                return Err(A::Error::custom(format_args!("the name `{}` appears twice", shorten(&name))));
            }
            if let Some(known) = self.names.misspelled(&name) {
                return Err(A::Error::custom(format_args!("write `{known}` in place of `{}`", shorten(&name))));
            }
            let names = self.names.within(&name);
            if few.len() < FEW_NAMES {
                few.push(name);
            } else {
                many.insert(name);
            }
            map.next_value_seed(Self { names, ..self })?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string that borrows from its JSON where it has no escapes.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text of a JSON string; `None` if `json` is another value.
pub fn text_of(json: &str) -> Option<Cow<'_, str>> {
    // Without escapes it is what stands between the quotes.
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Some(Cow::Borrowed(text)),
        _ => serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0),
    }
}

/// The first characters of what a stranger wrote, for an error message.
pub fn shorten(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An object in the order and the bytes it came in: names, and values as JSON.
#[derive(Debug)]
pub struct Object<'a>(pub Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// `text` is no JSON object.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON of the member `name`, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (*value != "null").then_some(*value)
    }

    /// Writes the object with some members replaced or appended (`Some`) or removed (`None`). Every other member keeps
    /// its bytes and its place.
    pub fn edited(&self, edits: &[(&str, Option<String>)]) -> String {
        let size: usize = self.0.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        let mut out = String::with_capacity(size + 64);
        out.push('{');
        let mut member = |name: &str, value: &str| {
            if out.len() > 1 {
                out.push(',');
            }
            write_string(&mut out, name);
            out.push(':');
            out.push_str(value);
        };
        for (name, value) in &self.0 {
            match edits.iter().find(|(edited, _)| edited == name) {
                Some((_, Some(replacement))) => member(name, replacement),
                Some((_, None)) => {}
                None => member(name, value),
            }
        }
        for (name, value) in edits {
            if let Some(value) = value
                && !self.0.iter().any(|(known, _)| known == name)
            {
                member(name, value);
            }
        }
        out.push('}');
        out
    }
}

/// A body that is a JSON object, read once: its text, and where its members stand in it.
#[derive(Debug)]
pub struct Document {
    text: String,
    members: Vec<(String, Range<usize>)>,
}

/// Why a body is no [`Document`].
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It is no text.
    #[error("the body is not UTF-8")]
    Encoding,
    /// It is no JSON, or names a member twice.
    #[error("the body is not valid JSON: {0}")]
    Json(serde_json::Error),
    /// It is JSON of another kind.
    #[error("the body must be a JSON object")]
    Kind,
}

impl Document {
    /// Reads a body that a stranger sent, strictly as [`check`] does, and without other spellings of a request's names.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn read(body: Bytes) -> Result<Self, Unread> {
        let text = String::from_utf8(body.into()).map_err(|_| Unread::Encoding)?;
        strict(&text, Names::OfRequest).map_err(Unread::Json)?;
        let object = Object::read(&text).map_err(|_| Unread::Kind)?;
        let members = object.0.into_iter().map(|(name, value)| (name.into_owned(), place(&text, value))).collect();
        Ok(Self { text, members })
    }

    /// The whole body.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The object, without reading it again.
    pub fn object(&self) -> Object<'_> {
        let value = |place: &Range<usize>| self.text.get(place.clone()).unwrap_or_default();
        Object(self.members.iter().map(|(name, place)| (Cow::Borrowed(name.as_str()), value(place))).collect())
    }

    /// The place of `part`, a slice of the text.
    pub fn place(&self, part: &str) -> Range<usize> {
        place(&self.text, part)
    }
}

/// Reads a piece of a stream as [`lenient`] does. One that has halves of letters is returned as it came: the other half is in
/// another piece, and clients join them.
pub fn lenient_piece<'a, T: Deserialize<'a>>(
    data: &'a Bytes,
    repaired: &'a mut Option<Bytes>,
) -> Option<(T, &'a Bytes)> {
    match Halves::default().join_bytes(data) {
        Some(whole) if is_object(data) && serde_json::from_slice::<serde_json::Value>(&whole).is_ok() => {
            let whole: &Bytes = repaired.insert(whole);
            serde_json::from_slice(whole).ok().map(|read| (read, data))
        }
        _ => lenient(data, repaired),
    }
}

fn is_object(data: &[u8]) -> bool {
    data.trim_ascii_start().first() == Some(&b'{')
}

/// Reads what a provider sent, and returns it with the bytes that were read. What only lenient readers take, names given twice,
/// numbers that are none, and halves of letters, is written to `repaired` as every reader takes it.
pub fn lenient<'a, T: Deserialize<'a>>(data: &'a Bytes, repaired: &'a mut Option<Bytes>) -> Option<(T, &'a Bytes)> {
    if !is_object(data) {
        return None;
    }
    if let Ok(read) = serde_json::from_slice(data) {
        return Some((read, data));
    }
    let whole = Halves::default().join_bytes(data);
    let data = repaired.insert(repair(whole.as_ref().unwrap_or(data))?.into());
    Some((serde_json::from_slice(data).ok()?, data))
}

/// JSON with each name once, the last value counting, and numbers in place of `NaN` and `Infinity`.
fn repair(data: &[u8]) -> Option<String> {
    // Numbers that are none stand in log probabilities, where -9999 is the usual word for minus infinity.
    const WORDS: [(&str, &str); 3] = [("-Infinity", "-9999.0"), ("Infinity", "9999.0"), ("NaN", "null")];
    let text = std::str::from_utf8(data).ok()?;
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(next) = rest.chars().next() {
        let word = WORDS.iter().find(|(word, _)| !quoted && rest.starts_with(word));
        if let Some((word, number)) = word {
            out.push_str(number);
            rest = &rest[word.len()..];
            continue;
        }
        let length = match next {
            '\\' if quoted => 1 + rest[1..].chars().next()?.len_utf8(),
            _ => next.len_utf8(),
        };
        quoted ^= next == '"';
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    let value: serde_json::Value = serde_json::from_str(&out).ok()?;
    Some(value.to_string())
}

/// Stands before the digits of a number that a `Value` would round, where it is kept as a string. Nobody outside of this
/// process can write it: a text of a client or of a provider never becomes a number.
static NUMBER: LazyLock<String> = LazyLock::new(|| format!("\u{1}number:{:032x}:", rand::random::<u128>()));
/// The same as it stands in JSON, with the quote before it.
static MARK: LazyLock<String> = LazyLock::new(|| format!("\"\\u0001{}", &NUMBER[1..]));
/// Digits that a `Value` keeps of every number.
const DIGITS: usize = 15;

/// Reads a value of which no number loses a digit: [`write_exact`] writes them as they came.
///
/// # Errors
/// It is no JSON.
pub fn read_exact(text: &str) -> Result<serde_json::Value, serde_json::Error> {
    let mut long = numbers(text).filter(|place| is_rounded(&text[place.clone()])).peekable();
    if long.peek().is_none() {
        return serde_json::from_str(text);
    }
    let (mut marked, mut from) = (String::with_capacity(text.len() + 64), 0);
    for place in long {
        marked.push_str(&text[from..place.start]);
        marked.push_str(&MARK);
        marked.push_str(&text[place.clone()]);
        marked.push('"');
        from = place.end;
    }
    marked.push_str(&text[from..]);
    serde_json::from_str(&marked)
}

/// Writes a value, and numbers that [`read_exact`] kept as they came.
pub fn write_exact(value: &serde_json::Value) -> String {
    let (text, marked) = (value.to_string(), MARK.as_str());
    if !text.contains(marked) {
        return text;
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some((before, after)) = rest.split_once(marked) {
        out.push_str(before);
        match after.split_once('"').filter(|(number, _)| is_number(number)) {
            Some((number, after)) => {
                out.push_str(number);
                rest = after;
            }
            None => {
                out.push_str(marked);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A number that keeps its digits, as [`read_exact`] keeps those that a `Value` would round; `None` if JSON has no such number.
pub fn kept_number(digits: &str) -> Option<serde_json::Value> {
    is_number(digits).then(|| serde_json::Value::String(format!("{}{digits}", *NUMBER)))
}

/// The digits of a number that [`read_exact`] kept, if `value` is one.
pub fn exact_number(value: &serde_json::Value) -> Option<&str> {
    value.as_str()?.strip_prefix(NUMBER.as_str()).filter(|number| is_number(number))
}

/// The places of the numbers in JSON.
fn numbers(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut quoted = false;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' if quoted => at += 1,
                b'-' | b'0'..=b'9' if !quoted => {
                    let start = at;
                    let part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    at += bytes[at..].iter().take_while(part).count();
                    return Some(start..at);
                }
                _ => {}
            }
            at += 1;
        }
        None
    })
}

/// Whether a `Value` would not keep every digit of this number.
fn is_rounded(number: &str) -> bool {
    // A `Value` writes the integer -0 as -0.0.
    if number == "-0" {
        return true;
    }
    if number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok() {
        return false;
    }
    let significant = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits.trim_start_matches('0').trim_end_matches('0').to_owned()
    };
    let Ok(value) = number.parse::<f64>() else { return true };
    let integer = number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    let digits = significant(number);
    // Of more digits than a double has for sure, those count that are written again.
    !value.is_finite() || integer || (digits.len() > DIGITS && digits != significant(&format!("{value:e}")))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

/// The place of `part` in `text`, of which it is a slice.
pub fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de str)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

/// Appends `text` as a JSON string.
fn write_string(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&serde_json::Value::from(text).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// `text` as a JSON string.
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"b":[{"c":1,"c":1}]}}]"#,
            &format!("{{{},\"k0\":1}}", (0..40).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(",")),
            &format!("{{{},\"k39\":1}}", (0..40).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(",")),
        ] {
            assert!(check(text).unwrap_err().to_string().contains("appears twice"), "{text}");
        }
        check(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).unwrap();
    }

    #[test]
    fn a_body_has_so_many_values_and_no_more() {
        // Object and array are values too.
        let body = |numbers: u32| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(numbers as usize - 1));
        check(&body(MAX_VALUES - 2)).unwrap();
        let error = check(&body(MAX_VALUES - 1)).unwrap_err().to_string();
        assert!(error.starts_with("more than 500000 values"), "{error}");
    }

    #[test]
    fn depth_trailing_text_and_lone_surrogates_are_refused() {
        for text in
            ["[".repeat(100_000), "{\"a\":".repeat(1_000), "{} {}".into(), r#"{"a":"\ud800"}"#.into(), "".into()]
        {
            assert!(check(&text).is_err());
        }
        check(&format!("{}{}", "[".repeat(127), "]".repeat(127))).unwrap();
    }

    #[test]
    fn no_number_loses_a_digit_and_no_text_becomes_one() {
        let same = |text: &str| assert_eq!(write_exact(&read_exact(text).unwrap()), text);
        same(
            r#"{"a":12345678901234567890123,"b":[-0.1234567890123456789,18446744073709551615,-9223372036854775808,1.5]}"#,
        );
        same(r#"{"a":1e999,"b":"12345678901234567890123 \"\\","c":0.30000000000000004}"#);
        same(r#"{"a":"\u0001number:x","b":"\u0001number:","c":"\u0001other:1"}"#);
        // The same double as 3e-7, and 17 digits like the sum of 0.1 and 0.2, which is written as it came.
        same(r#"{"a":0.00000030000000000000001,"b":100000000000000000000,"c":1.7976931348623157e+308}"#);
        let exact = read_exact(r#"{"a":0.12345678901234567890}"#).unwrap();
        assert_eq!(exact_number(&exact["a"]), Some("0.12345678901234567890"));
        assert_eq!(exact_number(&serde_json::json!("\u{1}number:1,2")), None);
        assert!(read_exact("{").is_err() && read_exact(r#"{"a":12345678901234567890123x}"#).is_err());
    }

    #[test]
    fn what_lenient_readers_take_is_repaired_and_the_rest_keeps_its_bytes() {
        let read = |text: &'static str| {
            let (data, mut repaired) = (Bytes::from_static(text.as_bytes()), None);
            lenient::<std::collections::BTreeMap<String, serde_json::Value>>(&data, &mut repaired)
                .map(|(_, data)| String::from_utf8(data.to_vec()).unwrap())
        };
        assert_eq!(read(r#" {"a": 1.50} "#).unwrap(), r#" {"a": 1.50} "#);
        assert_eq!(
            read(r#"{"a":-Infinity,"b":[NaN,Infinity],"c":"NaN \"-Infinity"}"#).unwrap(),
            r#"{"a":-9999.0,"b":[null,9999.0],"c":"NaN \"-Infinity"}"#
        );
        for wrong in ["", "[1]", "{", r#"{"a":"\"#, "{\"a\":NaN", "<html>"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        #[derive(Deserialize)]
        struct A {
            a: u32,
        }
        let (data, mut repaired) = (Bytes::from_static(br#"{"a":1,"b":2,"a":3}"#), None);
        let (A { a }, data) = lenient(&data, &mut repaired).unwrap();
        assert_eq!((a, &data[..]), (3, &br#"{"a":3,"b":2}"#[..]));
    }

    #[test]
    fn an_edit_leaves_every_other_byte_alone() {
        let text = r#"{ "b" : [1,  2.50e1], "a":{"z":1, "y":"\u00e9"}, "gone": 1, "c":null }"#;
        let object = Object::read(text).unwrap();
        let edited = object.edited(&[("gone", None), ("c", Some("7".into())), ("new", Some("true".into()))]);
        assert_eq!(edited, r#"{"b":[1,  2.50e1],"a":{"z":1, "y":"\u00e9"},"c":7,"new":true}"#);
        assert!(object.get("c").is_none());
        assert_eq!(Object::read("{}").unwrap().edited(&[]), "{}");
    }
}
