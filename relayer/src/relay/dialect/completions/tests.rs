//! What is read of a request for text completions and of its answer.

use super::*;
use crate::relay::dialect::testing::billed;
use crate::relay::dialect::{Fault, Origin, Piece};
use crate::relay::sse;
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use bytes::BytesMut;
use steam_protocol::receipt::FinishReason;

fn parse(body: &str) -> Result<Request, RelayError> {
    Completions.read(Bytes::copy_from_slice(body.as_bytes()), &HeaderMap::new())
}

fn with(members: &str) -> Result<Request, RelayError> {
    parse(&format!(r#"{{"model":"m",{members}}}"#))
}

fn wrong(result: Result<Request, RelayError>) -> (&'static str, String) {
    match result.unwrap_err() {
        RelayError::Invalid { code, param, .. } => (code, param.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

fn forwarded(request: &Request) -> String {
    let outgoing =
        Outgoing { document: &request.body, stream: request.stream, model: "m", max_output: None, capabilities: 0 };
    String::from_utf8(Completions.body(&outgoing).unwrap().to_vec()).unwrap()
}

#[test]
fn each_field_that_is_read_must_be_of_its_kind() {
    assert_eq!(wrong(parse(r#"{"prompt":"a"}"#)), ("missing_model", "model".into()));
    assert_eq!(wrong(parse(r#"{"model":"m"}"#)), ("missing_prompt", "prompt".into()));
    for (members, code, param) in [
        (r#""prompt":7"#, "invalid_value", "prompt"),
        (r#""prompt":"""#, "invalid_value", "prompt"),
        (r#""prompt":[]"#, "invalid_value", "prompt"),
        (r#""prompt":["a",""]"#, "invalid_value", "prompt"),
        (r#""prompt":["a",1]"#, "invalid_value", "prompt"),
        (r#""prompt":[-1]"#, "invalid_value", "prompt"),
        (r#""prompt":[[1],[]]"#, "invalid_value", "prompt"),
        (r#""prompt":"a","n":0"#, "invalid_value", "n"),
        (r#""prompt":"a","n":17"#, "invalid_value", "n"),
        (r#""prompt":["1","2","3","4","5","6","7","8","9"],"n":15"#, "invalid_value", "n"),
        (r#""prompt":"a","best_of":2"#, "unsupported_parameter", "best_of"),
        (r#""prompt":"a","stream":1"#, "invalid_value", "stream"),
        (r#""prompt":"a","echo":1"#, "invalid_value", "echo"),
        (r#""prompt":"a","logprobs":true"#, "invalid_value", "logprobs"),
        (r#""prompt":"a","max_tokens":0"#, "invalid_value", "max_tokens"),
        (r#""prompt":"a","stream_options":3"#, "invalid_value", "stream_options"),
        (r#""prompt":"a","provider":{"require_parameters":true},"top_k":1"#, "unsupported_parameter", "top_k"),
    ] {
        assert_eq!(wrong(with(members)), (code, param.to_owned()), "{members}");
    }
    let many: Vec<String> = (0..129).map(|_| "\"a\"".into()).collect();
    assert_eq!(wrong(with(&format!(r#""prompt":[{}]"#, many.join(",")))), ("invalid_value", "prompt".into()));
}

#[test]
fn prompts_times_n_are_the_answers_and_sixteen_tokens_the_usual_limit() {
    let request = with(r#""prompt":["a","b","c"],"n":2"#).unwrap();
    assert_eq!((request.prompts, request.choices, request.max_output), (3, 6, Some(16)));
    assert_eq!(forwarded(&request), r#"{"model":"m","prompt":["a","b","c"],"n":2,"max_tokens":16}"#);
    let tokens = with(r#""prompt":[1,2,3],"max_tokens":5"#).unwrap();
    assert_eq!((tokens.prompts, tokens.choices, tokens.max_output), (1, 1, Some(5)));
    assert_eq!((Completions.prompt(&tokens).overhead, Completions.prompt(&tokens).texts.len()), (3, 0));
    assert_eq!(Completions.prompt(&with(r#""prompt":[[1],[2,3]]"#).unwrap()).overhead, 3);
    assert_eq!(Completions.prompt(&with(r#""prompt":"a","suffix":"b""#).unwrap()).texts, ["a", "\"b\""]);
    assert_eq!(with(r#""prompt":"a","echo":true,"max_tokens":0"#).unwrap().max_output, Some(0));
}

#[test]
fn needs_and_shaping_follow_from_the_members() {
    let request = with(r#""prompt":"a","logprobs":0,"stream":true"#).unwrap();
    assert_eq!(request.needs, capability::LOGPROBS | capability::STREAMING);
    assert!(forwarded(&request).contains(r#""stream_options":{"include_usage":true}"#));
    let seed = with(r#""prompt":"a","seed":1,"provider":{"require_parameters":true}"#).unwrap();
    assert_eq!(seed.needs, capability::SEED);
    for shaping in [r#""suffix":"x""#, r#""echo":true"#, r#""logit_bias":{}"#] {
        assert_eq!(with(&format!(r#""prompt":"a",{shaping}"#)).unwrap().origin, Origin::ClientShaped, "{shaping}");
    }
    assert_eq!(with(r#""prompt":"a""#).unwrap().origin, Origin::Open);
}

fn transcript(choices: u32) -> Transcript {
    Transcript::new(Counting::Bytes, choices, 1_000, Box::new(reader::TextReader::new(choices)))
}

fn chunk(transcript: &mut Transcript, json: &'static str) -> Result<(Piece, bool), Fault> {
    transcript.event(&sse::Event { name: sse::Name::Usual, data: Bytes::from_static(json.as_bytes()) })
}

#[test]
fn a_stream_is_passed_as_it_is_but_for_its_usage() {
    let mut read = transcript(2);
    let text = r#"{"id":"c","choices":[{"text":"h\u00e9","index":1,"logprobs":{"tokens":["h"]}}]}"#;
    assert_eq!(chunk(&mut read, text), Ok((Piece::Data(Bytes::from_static(text.as_bytes())), true)));
    assert_eq!(chunk(&mut read, r#"{"choices":[{"text":"","index":0}]}"#).map(|(_, content)| content), Ok(false));
    let end = r#"{"choices":[{"text":"","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let kept = r#"{"choices":[{"text":"","index":0,"finish_reason":"length"}]}"#;
    assert_eq!(chunk(&mut read, end).map(|(piece, _)| piece), Ok(Piece::Data(Bytes::from_static(kept.as_bytes()))));
    let usage = r#"{"choices":[],"usage":{}}"#;
    let kept = Piece::Usage(Bytes::from_static(usage.as_bytes()));
    assert_eq!(chunk(&mut read, usage).map(|(piece, _)| piece), Ok(kept));
    let ended = r#"{"id":"c","object":"text_completion","choices":[{"index":1,"text":"","logprobs":null,"finish_reason":"stop"}]}"#;
    assert_eq!(chunk(&mut read, "[DONE]"), Ok((Piece::End(vec![Bytes::from_static(ended.as_bytes())]), true)));
    assert_eq!((read.counts.finish, read.counts.delivered.total().bytes), (Some(FinishReason::Stop), 3));
    assert_eq!(chunk(&mut read, r#"{"choices":[{"text":"a","index":2}]}"#), Err(Fault::Malformed));
    let reported = |status| Err(Fault::Reported(Box::new(Stated { status, ..Stated::default() })));
    assert_eq!(chunk(&mut read, r#"{"error":{"code":503}}"#), reported(Some(503)));
    let broken = Stated { breaks_off: true, ..Stated::default() };
    let broken = Err(Fault::Reported(Box::new(broken)));
    assert_eq!(chunk(&mut read, r#"{"choices":[{"finish_reason":"error"}]}"#), broken);
    for text in ["", "[]", r#"{"choices":1}"#, r#"{"choices":[{"text":1}]}"#] {
        assert_eq!(chunk(&mut read, text), Err(Fault::Malformed), "{text}");
    }
}

#[test]
fn a_letter_that_is_cut_in_two_is_passed_as_it_came() {
    let mut read = transcript(1);
    for piece in [r#"{"choices":[{"text":"x\ud83d","index":0}]}"#, r#"{"choices":[{"text":"\ude00","index":0}]}"#] {
        let passed = Ok(Piece::Data(Bytes::from_static(piece.as_bytes())));
        assert_eq!(chunk(&mut read, piece).map(|(piece, _)| piece), passed, "{piece}");
    }
    assert_eq!(read.counts.delivered.total().bytes, 1 + 3);
}

#[test]
fn a_whole_answer_needs_a_text_and_keeps_every_byte_but_its_usage() {
    let whole = |json: &'static str| transcript(1).whole(Bytes::from_static(json.as_bytes()));
    assert_eq!(whole(r#"{"choices":[]}"#), Err(Fault::Malformed));
    assert_eq!(whole(r#"{"choices":[{}]}"#), Err(Fault::Malformed));
    let (answer, content) =
        whole(r#"{ "choices":[{"text":"\u00e9","finish_reason":"stop"}], "usage": {"prompt_tokens":1}}"#).unwrap();
    assert!(content);
    let billed = billed(2, 0, 4, "0.1");
    let shown = openai::shown_usage(Kind::Text, Some(r#"{"prompt_tokens":1}"#), &billed);
    assert_eq!(
        Completions.writer().whole(&answer, Some(r#"{"prompt_tokens":1}"#), &billed),
        format!(r#"{{ "choices":[{{"text":"\u00e9","finish_reason":"stop"}}], "usage": {shown}}}"#)
    );
}

#[test]
fn the_relayers_own_chunks_are_of_this_api() {
    let mut out = BytesMut::new();
    Completions.writer().cut(&[0], &mut out);
    let cut =
        r#"{"object":"text_completion","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"error"}]}"#;
    assert_eq!(out, format!("data: {cut}\n\n"));
}
