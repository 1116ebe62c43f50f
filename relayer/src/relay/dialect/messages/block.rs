//! Content as Anthropic's API has it: a text, or an array of blocks.

use crate::relay::json::Text;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A block of content: the members that the relayer reads.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) content: Option<&'a RawValue>,
}

/// Reads content.
///
/// # Errors
/// It is neither a text nor an array of blocks.
pub(super) fn read(content: &str) -> Result<Vec<Block<'_>>, serde_json::Error> {
    if !content.starts_with('"') {
        return serde_json::from_str(content);
    }
    let text = serde_json::from_str(content)?;
    let (source, input, content) = (None, None, None);
    let (thinking, signature, data, id, tool_use_id, name) = (None, None, None, None, None, None);
    let kind = Text(Cow::Borrowed("text"));
    Ok(vec![Block { kind, text: Some(text), thinking, signature, data, source, id, tool_use_id, name, input, content }])
}

/// The text of an optional member.
pub(super) fn text<'a>(text: &'a Option<Text<'_>>) -> &'a str {
    text.as_ref().map_or("", |Text(text)| text)
}

/// The text of a source that is one.
fn plain(source: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Plain<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow, default)]
        data: Option<Text<'a>>,
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    let plain: Plain<'_> = serde_json::from_str(source.get()).ok()?;
    match plain.kind.0.as_ref() {
        "text" => plain.data.map(|Text(data)| data.into_owned()),
        "content" => plain.content.map(|content| content.get().to_owned()),
        _ => None,
    }
}

impl Block<'_> {
    /// Its type.
    pub(super) fn kind(&self) -> &str {
        &self.kind.0
    }

    /// Adds the texts that a model reads in it.
    pub(super) fn texts(&self, texts: &mut Vec<String>) {
        let own = [&self.text, &self.thinking, &self.name].into_iter().flatten();
        texts.extend(own.map(|Text(text)| text.clone().into_owned()));
        texts.extend(self.input.map(|input| input.get().to_owned()));
        texts.extend(self.source.and_then(plain));
        if let Some(content) = self.content {
            for block in read(content.get()).unwrap_or_default() {
                block.texts(texts);
            }
        }
    }
}
