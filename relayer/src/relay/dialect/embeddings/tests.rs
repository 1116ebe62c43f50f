//! What is read of a request for embeddings and of its answer.

use super::*;
use crate::relay::dialect::testing::billed;
use crate::relay::dialect::{Fault, Stated, Usage, Whole};
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;

fn with(members: &str) -> Result<Request, RelayError> {
    Embeddings.read(Bytes::from(format!(r#"{{"model":"m"{members}}}"#)), &HeaderMap::new())
}

fn wrong(members: &str) -> (&'static str, String) {
    match with(members).unwrap_err() {
        RelayError::Invalid { code, param, .. } => (code, param.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

#[test]
fn each_field_that_is_read_must_be_of_its_kind() {
    assert_eq!(wrong(""), ("missing_input", "input".into()));
    for (members, param) in [
        (r#","input":3"#, "input"),
        (r#","input":[]"#, "input"),
        (r#","input":["",1]"#, "input"),
        (r#","input":"a","encoding_format":"hex""#, "encoding_format"),
        (r#","input":"a","dimensions":0"#, "dimensions"),
        (r#","input":"a","dimensions":"many""#, "dimensions"),
        (r#","input":"a","stream":true"#, "stream"),
    ] {
        assert_eq!(wrong(members), ("invalid_value", param.to_owned()), "{members}");
    }
    let many = vec!["[1]"; 2_049].join(",");
    assert_eq!(wrong(&format!(r#","input":[{many}]"#)), ("invalid_value", "input".into()));
}

#[test]
fn inputs_are_texts_or_tokens_and_have_no_output() {
    for (input, count, tokens) in [(r#""ab""#, 1, 0), (r#"["a","b"]"#, 2, 0), ("[1,2,3]", 1, 3), ("[[1],[2,3]]", 2, 3)]
    {
        let request = with(&format!(r#","input":{input},"encoding_format":"base64""#)).unwrap();
        assert_eq!((request.prompts, request.choices, request.max_output), (count, count, Some(0)), "{input}");
        assert_eq!(Embeddings.prompt(&request).overhead, tokens, "{input}");
    }
    let request = with(r#","input":"a","user":"u","provider":{"sort":"price"}"#).unwrap();
    let outgoing = Outgoing { document: &request.body, stream: false, model: "n", max_output: None, capabilities: 0 };
    assert_eq!(Embeddings.body(&outgoing).unwrap(), r#"{"model":"n","input":"a","user":"u"}"#);
}

fn whole(inputs: u32, json: &'static str) -> Result<(Whole, Transcript), Fault> {
    let mut transcript = Transcript::new(Counting::Bytes, inputs, 1_000, Box::new(reader::VectorReader { inputs }));
    let (whole, content) = transcript.whole(Bytes::from_static(json.as_bytes()))?;
    assert!(content);
    Ok((whole, transcript))
}

#[test]
fn there_is_one_vector_for_each_input() {
    let one = r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":9,"total_tokens":9}}"#;
    let (answer, transcript) = whole(1, one).unwrap();
    assert_eq!(transcript.counts.usage, Some(Usage { prompt: 9, ..Usage::default() }));
    assert_eq!(transcript.counts.delivered.total().bytes, 0);
    let billed = billed(9, 0, 0, "0.2");
    let shown = Embeddings.writer().whole(&answer, transcript.counts.stated_usage.as_deref(), &billed);
    assert_eq!(shown, r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":9,"total_tokens":9,"cost":0.2}}"#);
    assert!(whole(1, r#"{"data":[{"embedding":"AAAA"}]}"#).is_ok());
    for (inputs, json) in [
        (2, one),
        (1, "{}"),
        (1, r#"{"data":[{}]}"#),
        (1, r#"{"data":[{"embedding":[]}]}"#),
        (1, r#"{"data":[{"embedding":7}]}"#),
        (1, r#"{"data":[{"embedding":[0.5,null]}]}"#),
        (1, r#"{"data":[{"embedding":[0.5,NaN]}]}"#),
        (1, r#"{"data":[{"index":1,"embedding":[1]}]}"#),
        (2, r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#),
    ] {
        assert_eq!(whole(inputs, json).map(|(whole, _)| whole), Err(Fault::Malformed), "{json}");
    }
    assert_eq!(
        whole(1, r#"{"error":{"code":429}}"#).map(|(whole, _)| whole),
        Err(Fault::Reported(Box::new(Stated { status: Some(429), ..Stated::default() })))
    );
}
