//! What is read of a request, and that the rest keeps its bytes.

use super::*;
use crate::relay::dialect::prompts::{ANSWER_OVERHEAD, MESSAGE_OVERHEAD};
use crate::relay::dialect::testing::billed;
use crate::relay::dialect::{Billed, Event, Fault, Piece, Usage};
use crate::relay::sse;
use crate::relay::transcript::{Counts, Transcript};
use crate::tokens::{Counting, Tokenizers};
use bytes::BytesMut;
use steam_protocol::receipt::FinishReason;
use steam_router::state::capability;

fn parse(body: &str) -> Result<Request, RelayError> {
    Chat.read(Bytes::copy_from_slice(body.as_bytes()), &HeaderMap::new())
}

/// A request with these members beside a model and a message.
fn with(members: &str) -> Result<Request, RelayError> {
    parse(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#))
}

fn wrong(result: Result<Request, RelayError>) -> (&'static str, String) {
    match result.unwrap_err() {
        RelayError::Invalid { code, param, .. } => (code, param.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

fn forwarded(request: &Request, model: &str) -> String {
    forwarded_to(request, model, 0, request.max_output.is_none().then_some(77))
}

fn forwarded_to(request: &Request, model: &str, capabilities: u64, max_output: Option<u32>) -> String {
    let outgoing = Outgoing { document: &request.body, stream: request.stream, model, max_output, capabilities };
    String::from_utf8(Chat.body(&outgoing).unwrap().to_vec()).unwrap()
}

#[test]
fn a_body_that_is_no_object_of_json_is_malformed() {
    for body in ["", "{", "[]", "null", "3", "\"x\"", "{} {}", r#"{"model":"a","model":"b"}"#, r#"{"a":{"b":1,"b":1}}"#]
    {
        assert_eq!(wrong(parse(body)).0, "malformed_body", "{body}");
    }
    assert_eq!(wrong(parse(&format!("{{\"x\":{}", "[".repeat(200_000)))).0, "malformed_body");
    assert_eq!(wrong(Chat.read(Bytes::from_static(b"{\"model\":\"\xff\"}"), &HeaderMap::new())).0, "malformed_body");
}

#[test]
fn each_field_that_is_read_must_be_of_its_kind() {
    let message = r#""messages":[{"role":"user","content":"hi"}]"#;
    assert_eq!(wrong(parse(&format!("{{{message}}}"))), ("missing_model", "model".into()));
    assert_eq!(wrong(parse(&format!(r#"{{"model":"",{message}}}"#))), ("missing_model", "model".into()));
    assert_eq!(wrong(parse(&format!(r#"{{"model":7,{message}}}"#))), ("invalid_value", "model".into()));
    for (messages, code) in [
        ("", "missing_messages"),
        (r#","messages":null"#, "missing_messages"),
        (r#","messages":[]"#, "missing_messages"),
        (r#","messages":"hi""#, "invalid_messages"),
    ] {
        assert_eq!(wrong(parse(&format!(r#"{{"model":"m"{messages}}}"#))), (code, "messages".into()), "{messages}");
    }
    for (message, path) in [
        (r#""hi""#, ""),
        (r#"{"role":"robot","content":"hi"}"#, ".role"),
        (r#"{"content":"hi"}"#, ".role"),
        (r#"{"role":7,"content":"hi"}"#, ""),
        (r#"{"role":"user"}"#, ".content"),
        (r#"{"role":"system","content":null}"#, ".content"),
        (r#"{"role":"user","content":7}"#, ".content"),
        (r#"{"role":"user","content":[]}"#, ".content"),
        (r#"{"role":"user","content":[5]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"text":"no type"}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"text"}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":7}]}"#, ".content.1"),
        (r#"{"role":"user","content":[{"type":"image_url"}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"input_audio"}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"file","file":"x"}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":7}}]}"#, ".content.0"),
        (r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"a.png"}}]}"#, ".content.0"),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,aGVsbG8="}]}"#,
            ".content.0",
        ),
        (r#"{"role":"assistant","tool_calls":{}}"#, ".tool_calls"),
        (r#"{"role":"assistant","tool_calls":[5]}"#, ".tool_calls.0"),
        (r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#, ".tool_calls.0.id"),
        (r#"{"role":"assistant","tool_calls":[{"id":"a","function":7}]}"#, ".tool_calls.0.function"),
        (r#"{"role":"assistant","tool_calls":[{"id":"a","function":{}}]}"#, ".tool_calls.0.function.name"),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":{}}}]}"#,
            ".tool_calls.0.function.arguments",
        ),
        (r#"{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}"#, ".tool_calls"),
        (r#"{"role":"tool","content":"x"}"#, ".tool_call_id"),
        (r#"{"role":"tool","tool_call_id":"a","content":"x"}"#, ".tool_call_id"),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}},{message}]}}"#);
        assert_eq!(wrong(parse(&body)), ("invalid_messages", format!("messages.1{path}")), "{message}");
    }
    for (members, code, param) in [
        (r#""stream":"yes""#, "invalid_value", "stream"),
        (r#""stream_options":1"#, "invalid_value", "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "invalid_value", "stream_options.include_usage"),
        (r#""n":0"#, "invalid_value", "n"),
        (r#""n":17"#, "invalid_value", "n"),
        (r#""n":1.5"#, "invalid_value", "n"),
        (r#""max_tokens":0"#, "invalid_value", "max_tokens"),
        (r#""max_tokens":-1"#, "invalid_value", "max_tokens"),
        (r#""max_completion_tokens":1.5"#, "invalid_value", "max_completion_tokens"),
        (r#""max_tokens":1,"max_completion_tokens":2"#, "invalid_value", "max_completion_tokens"),
        (r#""tools":{}"#, "invalid_value", "tools"),
        (r#""tools":[{},5]"#, "invalid_value", "tools.1"),
        (r#""stop":5"#, "invalid_value", "stop"),
        (r#""stop":["a",5]"#, "invalid_value", "stop"),
        (r#""tools":[{"type":7}]"#, "invalid_value", "tools.0"),
        (r#""tools":[{"type":"function","function":"f"}]"#, "invalid_value", "tools.0.function"),
        (r#""tools":[{"type":"function","function":{}}]"#, "invalid_value", "tools.0.function.name"),
        (r#""tools":[{"type":"function","function":{"name":7}}]"#, "invalid_value", "tools.0.function.name"),
        (r#""tool_choice":7"#, "invalid_value", "tool_choice"),
        (r#""parallel_tool_calls":"no""#, "invalid_value", "parallel_tool_calls"),
        (r#""presence_penalty":"1""#, "invalid_value", "presence_penalty"),
        (r#""frequency_penalty":[]"#, "invalid_value", "frequency_penalty"),
        (r#""seed":1.5"#, "invalid_value", "seed"),
        (r#""top_logprobs":true"#, "invalid_value", "top_logprobs"),
        (r#""logit_bias":[1]"#, "invalid_value", "logit_bias"),
        (r#""user":7"#, "invalid_value", "user"),
        (r#""metadata":"x""#, "invalid_value", "metadata"),
        (r#""temperature":"hot""#, "invalid_value", "temperature"),
        (r#""top_p":[]"#, "invalid_value", "top_p"),
        (r#""reasoning":"x""#, "invalid_value", "reasoning"),
        (r#""reasoning_effort":5"#, "invalid_value", "reasoning_effort"),
        (r#""response_format":"json""#, "invalid_value", "response_format"),
        (r#""response_format":{"type":5}"#, "invalid_value", "response_format.type"),
        (
            r#""response_format":{"type":"json_schema","json_schema":"x"}"#,
            "invalid_value",
            "response_format.json_schema",
        ),
        (r#""reasoning":{"effort":5}"#, "invalid_value", "reasoning.effort"),
        (r#""reasoning":{"enabled":"no"}"#, "invalid_value", "reasoning.enabled"),
        (r#""tools":[{"type":"function"}]"#, "invalid_value", "tools.0.function"),
        (
            r#""tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]"#,
            "invalid_value",
            "tools.0.function.parameters",
        ),
        (r#""logprobs":3"#, "invalid_value", "logprobs"),
        (r#""modalities":["audio"]"#, "unsupported_parameter", "modalities"),
        (r#""models":"a""#, "invalid_value", "models"),
        (r#""models":["A b"]"#, "invalid_value", "models"),
        (r#""models":["1","2","3","4","5","6","7","8"]"#, "invalid_value", "models"),
        (r#""provider":{"quantizations":[]}"#, "invalid_value", "provider.quantizations"),
    ] {
        assert_eq!(wrong(with(members)), (code, param.to_owned()), "{members}");
    }
}

#[test]
fn each_call_is_answered_before_anybody_says_anything_else() {
    let history = |messages: &str| parse(&format!(r#"{{"model":"m","messages":[{messages}]}}"#)).map(drop);
    let call = |id: &str| format!(r#"{{"id":"{id}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}"#);
    let calls = format!(r#"{{"role":"assistant","content":null,"tool_calls":[{},{}]}}"#, call("a"), call("b"));
    let answer = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"x"}}"#);
    let (a, b, user) = (answer("a"), answer("b"), r#"{"role":"user","content":"go on"}"#);
    for whole in [
        format!("{user},{calls},{a},{b}"),
        format!("{user},{calls},{b},{a},{user}"),
        format!("{user},{calls},{a},{a},{b},{calls},{a},{b}"),
        // The form before tools, and what an assistant said without calls.
        r#"{"role":"assistant","function_call":{"name":"f","arguments":""}},{"role":"function","name":"f","content":"x"}"#.into(),
        format!(r#"{user},{{"role":"assistant","content":null,"tool_calls":null}},{{"role":"assistant","tool_calls":[]}}"#),
    ] {
        history(&whole).unwrap_or_else(|error| panic!("{error}: {whole}"));
    }
    for (broken, path) in [
        (format!("{user},{calls},{a}"), "messages.1.tool_calls"),
        (format!("{user},{calls},{a},{user},{b}"), "messages.1.tool_calls"),
        (format!("{user},{calls},{a},{b},{user},{a}"), "messages.5.tool_call_id"),
        (format!("{user},{a}"), "messages.1.tool_call_id"),
    ] {
        let RelayError::Invalid { code, param, .. } = history(&broken).unwrap_err() else { panic!("{broken}") };
        assert_eq!((code, param.as_deref()), ("invalid_messages", Some(path)), "{broken}");
    }
}

#[test]
fn nulls_are_absent() {
    let request = with(
        r#""stream":null,"n":null,"max_tokens":null,"provider":null,"models":null,"tools":null,"stream_options":null"#,
    )
    .unwrap();
    assert_eq!((request.stream, request.choices, request.max_output, request.needs), (false, 1, None, 0));
    assert_eq!(
        forwarded(&request, "m"),
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":null,"n":null,"max_tokens":77,"tools":null,"stream_options":null}"#
    );
}

#[test]
fn everything_that_is_not_read_reaches_the_provider_to_the_byte() {
    let body = r#"{ "model" : "m:floor", "messages": [ {"role":"user","content":"h\u00e9 \ud83d\ude00"} ], "temperature": 0.70, "seed":12345678901234567890,
      "x": {"b":[1, 2.50e-3], "a":null}, "provider":{"sort":"price"}, "max_tokens": 9 }"#;
    let request = parse(body).unwrap();
    assert_eq!(
        forwarded(&request, "m"),
        "{\"model\":\"m\",\"messages\":[ {\"role\":\"user\",\"content\":\"h\\u00e9 \\ud83d\\ude00\"} ],\"temperature\":0.70,\"seed\":12345678901234567890,\"x\":{\"b\":[1, 2.50e-3], \"a\":null},\"max_tokens\":9}"
    );
}

#[test]
fn an_output_limit_is_added_under_the_name_the_model_knows() {
    let request = with(r#""a":1"#).unwrap();
    assert!(forwarded(&request, "m").ends_with(r#""a":1,"max_tokens":77}"#));
    assert!(forwarded(&request, "openai/o3").ends_with(r#""max_tokens":77}"#), "names say nothing");
    assert!(
        forwarded_to(&request, "m", capability::REASONING, Some(77)).ends_with(r#""max_completion_tokens":77}"#),
        "models that reason take the newer name"
    );
    let null = with(r#""max_completion_tokens":null"#).unwrap();
    assert!(forwarded(&null, "m").ends_with(r#""max_completion_tokens":77}"#));
    let set = with(r#""max_completion_tokens":5"#).unwrap();
    assert_eq!(set.max_output, Some(5));
    assert!(forwarded(&set, "m").ends_with(r#""max_completion_tokens":5}"#));
    // A lower limit stands where the client's does.
    let lowered = |members: &str| forwarded_to(&with(members).unwrap(), "m", capability::REASONING, Some(4));
    assert!(lowered(r#""max_tokens":5"#).ends_with(r#""max_tokens":4}"#));
    assert!(lowered(r#""max_completion_tokens":4294967296"#).ends_with(r#""max_completion_tokens":4}"#));
    let both = r#""max_tokens":5,"max_completion_tokens":5"#;
    assert!(lowered(both).ends_with(r#""max_tokens":4,"max_completion_tokens":4}"#));
    assert_eq!(with(both).unwrap().max_output, Some(5));
}

#[test]
fn a_streams_usage_is_always_asked_for() {
    let plain = with(r#""stream":true"#).unwrap();
    assert!(!plain.include_usage);
    assert!(forwarded(&plain, "m").contains(r#""stream_options":{"include_usage":true}"#));
    let refused = with(r#""stream":true,"stream_options":{"x":1,"include_usage":false}"#).unwrap();
    assert!(!refused.include_usage);
    assert!(forwarded(&refused, "m").contains(r#""stream_options":{"x":1,"include_usage":true}"#));
    assert!(with(r#""stream":true,"stream_options":{"include_usage":true}"#).unwrap().include_usage);
    assert!(!forwarded(&with(r#""stream":false"#).unwrap(), "m").contains("stream_options"));
}

#[test]
fn abilities_are_needed_where_they_are_used() {
    for (members, needs) in [
        (r#""stream":true"#, capability::STREAMING),
        (r#""tools":[{}]"#, capability::TOOLS),
        (r#""functions":[{}]"#, capability::TOOLS),
        (r#""tools":[]"#, 0),
        (r#""response_format":{"type":"json_object"}"#, capability::JSON_MODE),
        (r#""response_format":{"type":"json_schema","json_schema":{}}"#, capability::JSON_SCHEMA),
        (r#""response_format":{"type":"text"}"#, 0),
        (r#""logprobs":true"#, capability::LOGPROBS),
    ] {
        assert_eq!(with(members).unwrap().needs, needs, "{members}");
    }
}

#[test]
fn a_member_that_steers_has_one_spelling() {
    for (name, known) in [
        ("MAX_TOKENS", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("max-completion-tokens", "max_completion_tokens"),
        ("Model", "model"),
        ("N", "n"),
        ("bestOf", "best_of"),
        ("streamOptions", "stream_options"),
        ("max_token\u{17f}", "max_tokens"),
        ("max_completion_to\u{212a}ens", "max_completion_tokens"),
        ("max.tokens", "max_tokens"),
        ("max_tokens ", "max_tokens"),
    ] {
        let error = with(&format!(r#""{name}":1"#)).unwrap_err();
        let RelayError::Invalid { message, param, .. } = &error else { panic!("{error:?}") };
        assert_eq!(param.as_deref(), Some(name));
        assert_eq!(message, &format!("write `{known}` in place of `{name}`"));
    }
    with(r#""Temperature_Of_The_Room":1,"topK":5"#).unwrap();
}

#[test]
fn the_requests_own_model_comes_first_and_none_twice() {
    let models =
        |json: &str| parse(&format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{json}}}"#)).map(|r| r.models);
    assert_eq!(models(r#""model":"a""#).unwrap(), ["a"]);
    assert_eq!(models(r#""model":"a","models":["b","c"]"#).unwrap(), ["a", "b", "c"]);
    assert_eq!(models(r#""model":"b","models":["a","b:floor"]"#).unwrap(), ["b", "a"]);
    assert_eq!(models(r#""models":["b","c"]"#).unwrap(), ["b", "c"]);
    assert_eq!(models(r#""model":"","models":["b"]"#).unwrap(), ["b"]);
    assert!(models(r#""models":[]"#).is_err());
    let unnamed = parse(r#"{"messages":[{"role":"user","content":"hi"}],"models":["b"]}"#).unwrap();
    assert_eq!(
        forwarded(&unnamed, "b"),
        r#"{"messages":[{"role":"user","content":"hi"}],"model":"b","max_tokens":77}"#
    );
}

#[test]
fn required_parameters_are_those_a_capability_stands_for() {
    let required = |json: &str| with(&format!(r#"{json},"provider":{{"require_parameters":true}}"#));
    for (members, needs) in [
        (r#""temperature":0.5,"top_p":1,"stop":"x","n":1,"max_tokens":5,"presence_penalty":1"#, 0),
        (r#""seed":1"#, capability::SEED),
        (r#""reasoning_effort":"low""#, capability::REASONING),
        (r#""top_logprobs":3"#, capability::LOGPROBS),
        (r#""tool_choice":"auto""#, capability::TOOLS),
        (r#""stream":true,"seed":7"#, capability::STREAMING | capability::SEED),
        (r#""top_k":null"#, 0),
    ] {
        assert_eq!(required(members).unwrap().needs, needs, "{members}");
    }
    for name in ["top_k", "min_p", "repetition_penalty"] {
        assert_eq!(wrong(required(&format!(r#""{name}":1"#))), ("unsupported_parameter", name.to_owned()));
        with(&format!(r#""{name}":1"#)).unwrap();
    }
    assert_eq!(with(r#""seed":1"#).unwrap().needs, 0, "without being asked, a parameter excludes nobody");
}

#[tokio::test]
async fn input_is_its_bytes_without_images_or_its_tokens() {
    let url = format!("https://{}", "x".repeat(50_000));
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"hello world"}},{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
    );
    let request = parse(&body).unwrap();
    assert_eq!((request.images.len(), request.needs), (1, capability::VISION));
    assert_eq!(request.text_bytes, (body.len() - url.len() - r#"{"url":""}"#.len()) as u64);
    let prompt = Chat.prompt(&request);
    let tokens =
        Tokenizers::default().count(Counting::O200k, prompt.texts, (crate::chain::Pubkey::default(), u64::MAX)).await;
    assert_eq!((tokens.tokens, prompt.overhead), (2, MESSAGE_OVERHEAD + ANSWER_OVERHEAD));
}

fn transcript(counting: Counting, choices: u32) -> Transcript {
    Transcript::new(counting, choices, 1_000, Box::new(reader::ChatReader::new(choices)))
}

fn chunk(transcript: &mut Transcript, json: &str) -> Result<(Piece, bool), Fault> {
    transcript.event(&sse::Event { name: sse::Name::Usual, data: Bytes::copy_from_slice(json.as_bytes()) })
}

fn whole(transcript: &mut Transcript, json: &str) -> Result<bool, Fault> {
    transcript.whole(Bytes::copy_from_slice(json.as_bytes())).map(|(_, content)| content)
}

/// A chunk read on its own: what became of it, and whether it has content.
fn take(json: &str) -> (Counts, Result<(Piece, bool), Fault>) {
    let mut read = transcript(Counting::Bytes, 1);
    let result = chunk(&mut read, json);
    (read.counts, result)
}

fn data(json: &'static str) -> Piece {
    Piece::Data(Bytes::from_static(json.as_bytes()))
}

#[test]
fn content_is_text_reasoning_a_refusal_a_call_or_a_limit_but_not_a_role() {
    for delta in [
        r#"{"content":"a"}"#,
        r#"{"reasoning":"a"}"#,
        r#"{"reasoning_content":"a","reasoning":"a"}"#,
        r#"{"refusal":"a"}"#,
        r#"{"function_call":{"name":"a"}}"#,
        r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"a","arguments":""}}]}"#,
        r#"{"audio":{"data":"a"}}"#,
        r#"{"content":[{"type":"text","text":"a"}]}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}"#,
        r#"{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aaaa"}}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"a"}]}"#,
    ] {
        let (transcript, passed) = take(&format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#));
        assert!(passed.unwrap().1, "{delta}");
        assert!(transcript.delivered.total().bytes > 0);
    }
    for choice in [
        r#"{"delta":{"role":"assistant","content":""}}"#,
        r#"{"delta":{"content":null,"tool_calls":[]}}"#,
        r#"{"delta":{"role":"assistant","content":""},"finish_reason":""}"#,
        r#"{"delta":{"role":"assistant"},"finish_reason":"null"}"#,
        r#"{"delta":{},"finish_reason":"unheard-of"}"#,
        r#"{"delta":{"content":[]},"finish_reason":null}"#,
        r#"{}"#,
    ] {
        assert!(!take(&format!(r#"{{"choices":[{choice}]}}"#)).1.unwrap().1, "{choice}");
    }
    for reason in ["stop", "length", "content_filter", "tool_calls"] {
        let (transcript, passed) = take(&format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#));
        assert!(passed.unwrap().1, "{reason}");
        assert!(transcript.finish.is_some());
    }
}

#[test]
fn usage_is_taken_out_and_everything_else_kept_to_the_byte() {
    let (_, passed) = take(r#"{ "choices": [] , "usage":null}"#);
    assert_eq!(passed.unwrap().0, data(r#"{ "choices": [] , "usage":null}"#));
    let (transcript, passed) = take(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#);
    assert_eq!(passed.unwrap().0, Piece::Usage(Bytes::from_static(br#"{"choices":[],"usage":{"prompt_tokens":1}}"#)));
    assert_eq!((transcript.usage, transcript.stated_usage.unwrap()), (None, r#"{"prompt_tokens":1}"#.to_owned()));
    let (_, passed) = take(r#"{"id":"x","choices":[{"delta":{ "content":"\u00e9" }}],"usage":{},"z":1.0}"#);
    assert_eq!(passed.unwrap().0, data(r#"{"id":"x","choices":[{"delta":{ "content":"\u00e9" }}],"z":1.0}"#));
}

#[test]
fn errors_are_errors_wherever_they_stand() {
    let reported = |json: &str| match take(json).1 {
        Err(Fault::Reported(stated)) => (stated.status, stated.message),
        other => panic!("{json}: {other:?}"),
    };
    assert_eq!(reported(r#"{"error":{"code":429}}"#), (Some(429), None));
    assert_eq!(reported(r#"{"error":"overloaded"}"#), (None, Some("overloaded".into())));
    assert_eq!(reported(r#"{"object":"error","message":"long","code":400}"#), (Some(400), Some("long".into())));
    assert_eq!(reported(r#"{"choices":[{"finish_reason":"error"}]}"#), (None, None));
    assert_eq!(reported(r#"{"choices":[{"finish_reason":"insufficient_system_resource"}]}"#), (None, None));
    for text in ["", "{", "[]", "null", r#"{"choices":3}"#] {
        assert_eq!(take(text).1, Err(Fault::Malformed), "{text}");
    }
    // What says nothing is passed on, as a provider's own clients take it.
    for text in ["{}", r#"{"object":"x"}"#, r#"{"choices":null}"#] {
        let (piece, content) = take(text).1.unwrap();
        assert_eq!((piece, content), (Piece::Data(Bytes::copy_from_slice(text.as_bytes())), false), "{text}");
    }
    let mut read = transcript(Counting::Bytes, 1);
    let ping = sse::Event { name: sse::Name::Other, data: Bytes::from_static(b"{\"type\":\"ping\"}") };
    assert_eq!(read.event(&ping), Ok((Piece::Own, false)));
}

#[test]
fn what_a_lenient_client_reads_is_read() {
    let (counts, passed) = take(
        r#"{"id":"a","id":"a","choices":[{"index":0,"delta":{"content":"a","content":"b"},"logprobs":{"content":[{"logprob":-Infinity}]}}]}"#,
    );
    let repaired =
        r#"{"id":"a","choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"logprob":-9999.0}]}}]}"#;
    assert_eq!(passed.unwrap(), (Piece::Data(Bytes::from_static(repaired.as_bytes())), true));
    assert_eq!(counts.delivered.total().bytes, 1);
    // A single answer may have any number; a second one was not asked for.
    let mut read = transcript(Counting::Bytes, 1);
    let said = |index: u32| format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
    assert!(chunk(&mut read, &said(1)).is_ok() && chunk(&mut read, &said(1)).is_ok());
    assert_eq!(chunk(&mut read, &said(0)), Err(Fault::Malformed));
}

#[test]
fn each_choice_ends_once_and_for_a_reason() {
    let chunks = |read: &mut Transcript, chunks: &[&str]| -> Vec<String> {
        let passed = chunks.iter().flat_map(|json| match chunk(read, json).unwrap().0 {
            Piece::Data(data) => vec![data],
            Piece::End(data) => data,
            piece => panic!("{piece:?}"),
        });
        passed.map(|data| String::from_utf8(data.to_vec()).unwrap()).collect()
    };
    let said = |reason: &str| {
        format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"a"}},"finish_reason":{reason}}}]}}"#)
    };
    let nothing = said("null");
    let mut read = transcript(Counting::Bytes, 1);
    let all = [said("\"\""), said("\"null\""), said("\"odd\""), said("\"length\""), said("\"stop\"")];
    let all: Vec<&str> = all.iter().map(String::as_str).chain(["[DONE]"]).collect();
    let last = said("\"length\"");
    assert_eq!(chunks(&mut read, &all).iter().collect::<Vec<_>>(), [&nothing, &nothing, &nothing, &last, &nothing]);
    assert_eq!(read.counts.finish, Some(FinishReason::Length));

    // Without a reason the mark at the end ends what has begun.
    let call = r#"{"id":"c","created":1,"model":"m","choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f"}}]}},{"index":0,"delta":{"content":"a"}}]}"#;
    let mut read = transcript(Counting::Bytes, 3);
    let ended = r#"{"id":"c","created":1,"model":"m","object":"chat.completion.chunk","choices":[{"index":1,"delta":{},"finish_reason":"tool_calls"},{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(chunks(&mut read, &[call, "[DONE]"]), [call, ended]);
    assert_eq!(read.counts.unfinished(), [2]);

    // A connection that ends is an end only if every answer that has begun was ended.
    let mut read = transcript(Counting::Bytes, 2);
    chunks(&mut read, &[&said("null"), r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#]);
    assert_eq!(read.close(), None);
    chunks(&mut read, &[&said("\"stop\"")]);
    assert_eq!(read.close(), Some(Vec::new()));
    assert_eq!(transcript(Counting::Bytes, 1).close(), None);
}

#[test]
fn usage_is_read_in_every_published_form() {
    let usage = |json: &str| {
        let (counts, _) = take(&format!(r#"{{"choices":[],"usage":{json}}}"#));
        counts.usage.map(|usage| (usage.prompt, usage.cached, usage.completion, usage.reasoning))
    };
    for (json, counts) in [
        (r#"{"prompt_tokens":11.0,"completion_tokens":3e0}"#, (11, 0, 3, 0)),
        (r#"{"input_tokens":11,"output_tokens":3}"#, (11, 0, 3, 0)),
        (r#"{"prompt_tokens":11,"total_tokens":14}"#, (11, 0, 3, 0)),
        (r#"{"prompt_tokens":1000,"completion_tokens":3,"cached_tokens":900}"#, (1_000, 900, 3, 0)),
        (r#"{"prompt_tokens":1000,"completion_tokens":3,"cache_read_input_tokens":900}"#, (1_000, 900, 3, 0)),
        (
            r#"{"prompt_tokens":1000,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":900}"#,
            (1_000, 900, 3, 0),
        ),
        // Reasoning beside the completion: the total has both.
        (
            r#"{"prompt_tokens":32,"completion_tokens":2,"total_tokens":351,"completion_tokens_details":{"reasoning_tokens":317}}"#,
            (32, 0, 319, 317),
        ),
        (
            r#"{"prompt_tokens":32,"completion_tokens":319,"total_tokens":351,"completion_tokens_details":{"reasoning_tokens":317}}"#,
            (32, 0, 319, 317),
        ),
    ] {
        assert_eq!(usage(json), Some(counts), "{json}");
    }
    for json in
        [r#"{"prompt_tokens":1.5,"completion_tokens":3}"#, r#"{"prompt_tokens":-1,"completion_tokens":3}"#, "{}"]
    {
        assert_eq!(usage(json), None, "{json}");
    }
}

#[test]
fn a_whole_answer_needs_a_message() {
    let mut read = transcript(Counting::Bytes, 1);
    assert_eq!(whole(&mut read, r#"{"choices":[]}"#), Err(Fault::Malformed));
    assert_eq!(whole(&mut read, r#"{"choices":[{}]}"#), Err(Fault::Malformed));
    let empty = r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#;
    assert_eq!(whole(&mut read, empty), Ok(true), "an answer that says nothing is one");
    assert!(read.counts.is_empty());
    let mut read = transcript(Counting::Bytes, 1);
    let answer = r#"{"choices":[{"message":{"content":"abc","reasoning":"de"},"finish_reason":"length"}],"usage":{}}"#;
    assert_eq!(whole(&mut read, answer), Ok(true));
    let counts = read.counts;
    assert_eq!((counts.delivered.total().bytes, counts.reasoning.total().bytes), (5, 2));
    assert_eq!(counts.finish, Some(FinishReason::Length));
}

#[test]
fn an_answer_that_was_not_asked_for_is_no_answer() {
    let said = |index: u32| format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
    let mut read = transcript(Counting::O200k, 2);
    assert!(chunk(&mut read, &said(1)).is_ok());
    for index in [2, u32::MAX] {
        assert_eq!(chunk(&mut read, &said(index)), Err(Fault::Malformed), "{index}");
    }
    let two = r#"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}"#;
    assert_eq!(whole(&mut transcript(Counting::Bytes, 1), two), Err(Fault::Malformed));
}

#[test]
fn the_relayers_own_events_carry_the_answers_name() {
    let mut writer = Chat.writer();
    let mut out = BytesMut::new();
    writer.event(br#"{"id":"c-1","created":5,"model":"m","choices":[]}"#, &mut out);
    out.clear();
    writer.cut(&[0, 1], &mut out);
    writer.end(&mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "data: {\"id\":\"c-1\",\"created\":5,\"model\":\"m\",\"object\":\"chat.completion.chunk\",\"choices\":[\
         {\"index\":0,\"delta\":{},\"finish_reason\":\"error\"},{\"index\":1,\"delta\":{},\"finish_reason\":\"error\"}]}\n\n\
         data: [DONE]\n\n"
    );
}

#[test]
fn a_whole_answer_keeps_every_byte_but_its_usage() {
    let billed = billed(2, 1, 4, "0.1");
    let usage = openai::shown_usage(Kind::Chat, None, &billed);
    for (members, expected) in [
        (r#", "usage" : null, "z":1.0 }"#, format!(r#", "usage" : {usage}, "z":1.0 }}"#)),
        (r#","usage":{"x":{}}}"#, format!(r#","usage":{usage}}}"#)),
        (r#", "z":[{}] }"#, format!(r#", "z":[{{}}] ,"usage":{usage}}}"#)),
    ] {
        let answer = r#"{ "choices":[{"message":{"content":"h\u00e9"}}]"#;
        let body = Bytes::from(format!("{answer}{members}"));
        let (whole, content) = transcript(Counting::Bytes, 1).whole(body).unwrap();
        assert!(content);
        assert_eq!(Chat.writer().whole(&whole, None, &billed), format!("{answer}{expected}"));
    }
}

#[test]
fn usage_that_is_no_usage_is_no_claim() {
    for text in [
        "null",
        "{}",
        "[]",
        r#"{"prompt_tokens":1}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":"1","completion_tokens":1}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
    ] {
        assert_eq!(openai::usage(Kind::Chat, text), None, "{text}");
    }
    let text = r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}"#;
    assert_eq!(
        openai::usage(Kind::Chat, text),
        Some(Usage { prompt: 9, cached: 3, completion: 4, reasoning: 2, ..Usage::default() })
    );
    assert_eq!(
        openai::usage(Kind::Chat, r#"{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":null}"#),
        Some(Usage { prompt: 9, completion: 4, ..Usage::default() })
    );
}

#[test]
fn usage_knows_cache_writes_of_two_lifetimes_as_gateways_state_them() {
    let read = |members: &str| {
        let text = format!(r#"{{"prompt_tokens":100,"completion_tokens":4,{members}}}"#);
        let usage = openai::usage(Kind::Chat, &text).unwrap();
        (usage.cached, usage.cache_write, usage.cache_write_long)
    };
    // OpenRouter's answer has one number; without a lifetime it is of the shorter.
    assert_eq!(read(r#""prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":50}"#), (3, 50, 0));
    // LiteLLM hands on Anthropic's own members.
    assert_eq!(read(r#""cache_creation_input_tokens":50,"cache_read_input_tokens":7"#), (7, 50, 0));
    let both = r#""cache_creation_input_tokens":50,"prompt_tokens_details":{"cached_tokens":7,"cache_creation_tokens":50,
        "cache_creation_token_details":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":30}}"#;
    assert_eq!(read(both), (7, 20, 30));
    let anthropic = r#""cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":30}"#;
    assert_eq!(read(anthropic), (0, 20, 30));
    // More of one lifetime than were written at all: nothing is left for the other.
    let absurd = r#""cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":80}"#;
    assert_eq!(read(absurd), (0, 0, 80));
    assert_eq!(read(r#""cache_creation":null,"cache_creation_input_tokens":"50""#), (0, 0, 0));
}

#[test]
fn an_answer_far_beyond_its_limit_is_none() {
    let mut read = transcript(Counting::Bytes, 2);
    let text = "x".repeat(32 << 10);
    let event = format!(r#"{{"choices":[{{"index":1,"delta":{{"content":"{text}"}}}}]}}"#);
    // 8 KiB, and 32 bytes for each of 2 times 1,000 tokens.
    for _ in 0..2 {
        assert!(chunk(&mut read, &event).is_ok());
    }
    assert!(chunk(&mut read, &event).is_err());
}

#[test]
fn no_more_reasoning_is_shown_than_output() {
    let shown = |stated| -> serde_json::Value {
        serde_json::from_str(&openai::shown_usage(Kind::Chat, Some(stated), &billed(9, 0, 4, "0.1"))).unwrap()
    };
    let stated = r#"{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7,"other":8}}"#;
    assert_eq!(shown(stated)["completion_tokens_details"], serde_json::json!({"reasoning_tokens": 4, "other": 8}));
    let fewer = shown(r#"{"completion_tokens_details":{"reasoning_tokens":3}}"#);
    assert_eq!(fewer["completion_tokens_details"]["reasoning_tokens"], 3);
}

#[test]
fn usage_is_shown_with_its_exact_cost_in_usd() {
    let billed =
        Billed { input: 2, cached: 1, cache_write: 5, cache_write_long: 7, output: 4, cost_usd: "0.00123".into() };
    let text = openai::shown_usage(Kind::Chat, Some(r#"{"prompt_tokens":9,"queue_time":0.5,"cost":7}"#), &billed);
    assert!(text.ends_with(r#","cost":0.00123}"#), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["prompt_tokens"], 15);
    assert_eq!(value["total_tokens"], 19);
    assert_eq!(value["prompt_tokens_details"]["cached_tokens"], 1);
    assert_eq!(value["prompt_tokens_details"]["cache_write_tokens"], 12);
    assert_eq!(value["cache_creation"]["ephemeral_5m_input_tokens"], 5);
    assert_eq!(value["cache_creation"]["ephemeral_1h_input_tokens"], 7);
    assert_eq!(value["queue_time"], 0.5);
}

#[test]
fn calls_are_told_apart_by_their_ids_where_indices_are_missing_or_repeated() {
    let numbers = |deltas: &[&str]| {
        let (mut reader, mut numbers) = (Chat.reader(&with("\"n\":1").unwrap()), Vec::new());
        for calls in deltas {
            let data = format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{calls}]}}}}]}}"#);
            let mut say = |event: Event<'_>| {
                if let Event::Call { call, .. } = event {
                    numbers.push(call);
                }
                Ok(())
            };
            reader.event(&sse::Event { name: sse::Name::Usual, data: data.into() }, &mut say).unwrap();
        }
        numbers
    };
    let (a, b) = (r#"{"id":"a","function":{"name":"f","arguments":"{}"}}"#, r#"{"id":"b","function":{"name":"g"}}"#);
    assert_eq!(numbers(&[a, b, r#"{"function":{"arguments":"{}"}}"#]), [0, 1, 1]);
    let (zero, again) =
        (r#"{"index":0,"id":"a","function":{"name":"f"}}"#, r#"{"index":0,"id":"b","function":{"name":"g"}}"#);
    assert_eq!(numbers(&[zero, again, r#"{"index":1,"id":"c","function":{"name":"h"}}"#]), [0, 1, 2]);
    assert_eq!(numbers(&[zero, r#"{"index":0,"id":"other","function":{"arguments":"{}"}}"#]), [0, 0]);
    assert_eq!(numbers(&[r#"{"index":4,"id":"a","function":{"name":"f"}}"#, zero]), [4, 0]);
}

#[test]
fn an_answer_of_too_many_calls_is_none() {
    let mut transcript = transcript(Counting::Bytes, 1);
    let call = |index: u32| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index}}}]}}}}]}}"#);
    for index in 0..1_024 {
        assert!(chunk(&mut transcript, &call(index)).is_ok(), "{index}");
    }
    assert!(chunk(&mut transcript, &call(7)).is_ok(), "one that was begun goes on");
    assert_eq!(chunk(&mut transcript, &call(1_024)), Err(Fault::Malformed));
}

#[test]
fn content_of_other_kinds_needs_its_capability_and_is_counted_by_its_size() {
    let of = |part: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#);
        let request = parse(&body).unwrap();
        (request.needs, request.media_tokens, Chat.prompt(&request).texts.concat())
    };
    let data = "A".repeat(400_000);
    let (needs, tokens, texts) = of(&format!(r#"{{"type":"file","file":{{"file_data":"{data}"}}}}"#));
    assert_eq!((needs, tokens, texts.as_str()), (capability::FILE_INPUT, 37_500, ""));
    let (needs, tokens, texts) = of(&format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}"}}}}"#));
    assert_eq!((needs, tokens, texts.as_str()), (capability::AUDIO_INPUT, 3_000, ""));
    assert_eq!(of(r#"{"type":"video_url","video_url":{}}"#).0, 0, "the provider says what it takes");
    let format =
        parse(r#"{"model":"m","messages":[{"role":"user","content":"a"}],"response_format":{"type":"grammar"}}"#)
            .unwrap();
    assert_eq!(format.needs, capability::JSON_SCHEMA);
}

#[test]
fn hidden_reasoning_is_expected_where_it_is_asked_for_or_usual() {
    let hides = |members: &str, capabilities: u64| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}]{members}}}"#);
        parse(&body).unwrap().hides_reasoning(&Chat, capabilities)
    };
    assert!(hides("", capability::REASONING) && !hides("", capability::CHAT));
    assert!(hides(r#","reasoning_effort":"low""#, 0) && hides(r#","reasoning":{"max_tokens":9}"#, 0));
    for off in
        [r#","reasoning_effort":"none""#, r#","reasoning":{"effort":"none"}"#, r#","reasoning":{"enabled":false}"#]
    {
        assert!(!hides(off, capability::REASONING), "{off}");
    }
}

#[test]
fn a_request_that_is_answered_gives_its_body_back() {
    let mut request = with(&format!(r#""max_tokens":5,"user":"{}""#, "u".repeat(10_000))).unwrap();
    assert!(request.body.text().len() > 10_000);
    request.forget_body();
    assert_eq!((request.body.text(), request.max_output), ("{}", Some(5)));
}
