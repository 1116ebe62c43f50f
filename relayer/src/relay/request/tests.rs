//! What is read of a request, and that the rest keeps its bytes.

use super::*;

fn parse(body: &str) -> Result<ChatRequest, RelayError> {
    ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()))
}

/// A request with these members beside a model and a message.
fn with(members: &str) -> Result<ChatRequest, RelayError> {
    parse(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{members}}}"#))
}

fn wrong(result: Result<ChatRequest, RelayError>) -> (&'static str, String) {
    match result.unwrap_err() {
        RelayError::Invalid { code, param, .. } => (code, param.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

fn forwarded(request: &ChatRequest, model: &str) -> String {
    String::from_utf8(request.for_provider(model, 77).unwrap().to_vec()).unwrap()
}

#[test]
fn a_body_that_is_no_object_of_json_is_malformed() {
    for body in ["", "{", "[]", "null", "3", "\"x\"", "{} {}", r#"{"model":"a","model":"b"}"#, r#"{"a":{"b":1,"b":1}}"#]
    {
        assert_eq!(wrong(parse(body)).0, "malformed_body", "{body}");
    }
    assert_eq!(wrong(parse(&format!("{{\"x\":{}", "[".repeat(200_000)))).0, "malformed_body");
    assert_eq!(wrong(ChatRequest::parse(Bytes::from_static(b"{\"model\":\"\xff\"}"))).0, "malformed_body");
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
        (r#","messages":["hi"]"#, "invalid_messages"),
        (r#","messages":[{"content":7}]"#, "invalid_messages"),
        (r#","messages":[{"content":[{"text":"no type"}]}]"#, "invalid_messages"),
        (r#","messages":[{"content":[{"type":"image_url"}]}]"#, "invalid_messages"),
        (r#","messages":[{"content":[{"type":"input_audio","input_audio":{}}]}]"#, "unsupported_content"),
    ] {
        assert_eq!(wrong(parse(&format!(r#"{{"model":"m"{messages}}}"#))), (code, "messages".into()), "{messages}");
    }
    for (members, code, param) in [
        (r#""stream":"yes""#, "invalid_value", "stream"),
        (r#""stream_options":1"#, "invalid_value", "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "invalid_value", "include_usage"),
        (r#""n":0"#, "invalid_value", "n"),
        (r#""n":17"#, "invalid_value", "n"),
        (r#""n":1.5"#, "invalid_value", "n"),
        (r#""max_tokens":0"#, "invalid_value", "max_tokens"),
        (r#""max_tokens":-1"#, "invalid_value", "max_tokens"),
        (r#""max_completion_tokens":4294967296"#, "invalid_value", "max_completion_tokens"),
        (r#""max_tokens":1,"max_completion_tokens":1"#, "invalid_value", "max_completion_tokens"),
        (r#""tools":{}"#, "invalid_value", "tools"),
        (r#""response_format":"json""#, "invalid_value", "response_format"),
        (r#""response_format":{"type":"xml"}"#, "invalid_value", "response_format.type"),
        (r#""logprobs":3"#, "invalid_value", "logprobs"),
        (r#""modalities":["audio"]"#, "unsupported_parameter", "modalities"),
        (r#""models":"a""#, "invalid_value", "models"),
        (r#""models":["A b"]"#, "invalid_value", "models"),
        (r#""models":["1","2","3","4","5","6","7","8"]"#, "invalid_value", "models"),
        (r#""provider":{"quantizations":[]}"#, "unsupported_parameter", "provider.quantizations"),
    ] {
        assert_eq!(wrong(with(members)), (code, param.to_owned()), "{members}");
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
    assert!(forwarded(&request, "openai/o3").contains(r#""max_completion_tokens":77}"#));
    assert!(forwarded(&request, "gpt-5-mini").contains(r#""max_completion_tokens":77}"#));
    let null = with(r#""max_completion_tokens":null"#).unwrap();
    assert!(forwarded(&null, "m").ends_with(r#""max_completion_tokens":77}"#));
    let set = with(r#""max_completion_tokens":5"#).unwrap();
    assert_eq!(set.max_output, Some(5));
    assert!(forwarded(&set, "m").ends_with(r#""max_completion_tokens":5}"#));
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
fn the_requests_own_model_comes_first_and_none_twice() {
    let models = |json: &str| parse(&format!(r#"{{"messages":[{{"content":"hi"}}],{json}}}"#)).map(|r| r.models);
    assert_eq!(models(r#""model":"a""#).unwrap(), ["a"]);
    assert_eq!(models(r#""model":"a","models":["b","c"]"#).unwrap(), ["a", "b", "c"]);
    assert_eq!(models(r#""model":"b","models":["a","b:floor"]"#).unwrap(), ["b", "a"]);
    assert_eq!(models(r#""models":["b","c"]"#).unwrap(), ["b", "c"]);
    assert_eq!(models(r#""model":"","models":["b"]"#).unwrap(), ["b"]);
    assert!(models(r#""models":[]"#).is_err());
    let unnamed = parse(r#"{"messages":[{"content":"hi"}],"models":["b"]}"#).unwrap();
    assert_eq!(forwarded(&unnamed, "b"), r#"{"messages":[{"content":"hi"}],"model":"b","max_tokens":77}"#);
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
    for name in ["top_k", "logit_bias", "repetition_penalty"] {
        assert_eq!(wrong(required(&format!(r#""{name}":1"#))), ("unsupported_parameter", name.to_owned()));
        with(&format!(r#""{name}":1"#)).unwrap();
    }
    assert_eq!(with(r#""seed":1"#).unwrap().needs, 0, "without being asked, a parameter excludes nobody");
}

#[tokio::test]
async fn input_is_its_bytes_without_images_or_its_tokens() {
    let url = "x".repeat(50_000);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"hello world"}},{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]}}"#
    );
    let request = parse(&body).unwrap();
    assert_eq!((request.images, request.needs), (1, capability::VISION));
    let tokenizers = Tokenizers::default();
    let bytes = request.count_input(&tokenizers, Counting::Bytes).await;
    assert_eq!(bytes.bytes, (body.len() - url.len() - r#"{"url":""}"#.len()) as u64);
    let tokens = request.count_input(&tokenizers, Counting::O200k).await;
    assert_eq!(tokens.tokens, 2 + MESSAGE_OVERHEAD + ANSWER_OVERHEAD);
}
