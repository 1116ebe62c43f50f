//! Names of members in other spellings. Go's servers read JSON names without regard to case, protobuf's take `imageUrl` for
//! `image_url`: such a server would read what is not counted here.

/// Names below the top level of a request whose values are counted, or decide what is served.
const KNOWN: [&str; 27] = [
    "arguments",
    "cache_control",
    "content",
    "data",
    "effort",
    "encrypted_content",
    "file",
    "file_data",
    "function",
    "function_call",
    "image_url",
    "include_usage",
    "input",
    "input_audio",
    "input_schema",
    "name",
    "output",
    "parameters",
    "refusal",
    "role",
    "source",
    "text",
    "thinking",
    "tool_calls",
    "ttl",
    "type",
    "url",
];
/// Members in which a client may name things as it likes: schemas, arguments, notes.
const FREE: [&str; 15] = [
    "$defs",
    "args",
    "arguments",
    "chat_template_kwargs",
    "client_metadata",
    "default",
    "definitions",
    "examples",
    "input_examples",
    "input_schema",
    "logit_bias",
    "metadata",
    "parameters",
    "properties",
    "schema",
];

/// Whether the names of an object are those of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// They are.
    OfRequest,
    /// They are if it stands in a list: `input` is a list of a request's items, or the arguments of a call.
    InList,
    /// A client names its own things.
    Free,
}

impl Names {
    /// Those of the member `name`.
    pub(super) fn within(self, name: &str) -> Self {
        match (self, name) {
            (Self::Free, _) => Self::Free,
            (_, "input") => Self::InList,
            (_, name) if FREE.contains(&name) => Self::Free,
            _ => Self::OfRequest,
        }
    }

    /// Those of a list's elements.
    pub(super) fn in_list(self) -> Self {
        if self == Self::InList { Self::OfRequest } else { self }
    }

    /// The name that a request has in place of `name`, if this is another spelling of one.
    pub(super) fn misspelled(self, name: &str) -> Option<&'static str> {
        let odd = |byte: u8| !(byte.is_ascii_lowercase() || byte == b'_');
        if self != Self::OfRequest || !name.bytes().any(odd) {
            return None;
        }
        KNOWN.into_iter().find(|known| letters(known).eq(letters(name)))
    }
}

/// The letters and digits of a name, in lower case.
pub fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| match c {
        // Two letters outside ASCII fold to one in it (Unicode's simple case folding), by which Go compares names.
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use crate::relay::json::{Document, check};
    use bytes::Bytes;

    fn read(text: &str) -> Result<(), String> {
        Document::read(Bytes::from(text.to_owned())).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_requests_names_have_one_spelling_at_any_depth() {
        for (text, instead) in [
            (r#"{"messages":[{"role":"user","content":"a","Content":"b"}]}"#, "write `content` in place of `Content`"),
            (r#"{"messages":[{"role":"user","Content":"b"}]}"#, "`content`"),
            (r#"{"messages":[{"content":[{"type":"text","text":"a","TEXT":"b"}]}]}"#, "`text`"),
            (r#"{"messages":[{"content":[{"type":"image_url","imageUrl":{}}]}]}"#, "`image_url`"),
            (r#"{"messages":[{"content":[{"type":"image_url","image_url":{"Url":"x"}}]}]}"#, "`url`"),
            (r#"{"messages":[{"toolCalls":[]}]}"#, "`tool_calls`"),
            (r#"{"stream_options":{"includeUsage":false}}"#, "`include_usage`"),
            (r#"{"system":[{"type":"text","text":"a","cacheControl":{"type":"ephemeral"}}]}"#, "`cache_control`"),
            (r#"{"system":[{"cache_control":{"type":"ephemeral","\u0054TL":"1h"}}]}"#, "`ttl`"),
            (r#"{"input":[{"role":"user","Content":"b"}]}"#, "`content`"),
            (r#"{"input":[{"type":"function_call","arguments":"{}","Arguments":"x"}]}"#, "`arguments`"),
            (r#"{"tools":[{"function":{"name":"f","Name":"g"}}]}"#, "`name`"),
            ("{\"messages\":[{\"role\":\"user\",\"\u{17f}ource\":1}]}", "`source`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(instead), "{text}: {error}");
        }
    }

    #[test]
    fn a_client_names_its_own_things_as_it_likes() {
        for text in [
            r#"{"tools":[{"function":{"parameters":{"properties":{"Name":{},"name":{},"URL":{"type":"string"}}}}}]}"#,
            r#"{"tools":[{"input_schema":{"properties":{"Content":{"default":{"Text":1}}}}}]}"#,
            r#"{"messages":[{"content":[{"type":"tool_use","input":{"Text":"a","text":"b"}}]}]}"#,
            r#"{"response_format":{"json_schema":{"schema":{"$defs":{"Role":{}}}}}}"#,
            r#"{"metadata":{"Type":"a"},"client_metadata":{"Url":"b"},"logit_bias":{"1":2}}"#,
            r#"{"messages":[{"role":"user","content":"a","x-vendor":1,"weightA":2}]}"#,
        ] {
            read(text).unwrap();
        }
        check(r#"{"Type":1,"Content":[{"Text":2}]}"#).unwrap();
    }
}
