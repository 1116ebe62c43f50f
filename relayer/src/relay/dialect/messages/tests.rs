//! What is read of a request for messages and of its answer, and what both become in chat completions.

use super::*;
use crate::relay::dialect::chat::Chat;
use crate::relay::dialect::testing::{self, billed, chunk};
use crate::relay::dialect::{Billed, Event, Fault, Piece, Stated, Usage};
use crate::relay::sse;
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use bytes::BytesMut;
use serde_json::{Value, json};
use steam_protocol::receipt::FinishReason;

fn parse(body: &Value) -> Result<Request, RelayError> {
    Messages.read(Bytes::from(body.to_string()), &HeaderMap::new())
}

/// A request with these members beside a model, a limit and a message.
fn with(members: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn wrong(body: &Value) -> (&'static str, String, String) {
    match parse(body).unwrap_err() {
        RelayError::Invalid { code, param, message } => (code, param.unwrap_or_default(), message),
        other => panic!("{other}"),
    }
}

#[test]
fn each_field_that_is_read_must_be_of_its_kind() {
    let mut without = with(json!({}));
    without.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(wrong(&without).1, "max_tokens");
    assert!(read_to_count(Bytes::from(without.to_string()), &HeaderMap::new()).is_ok());
    for (members, param) in [
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": "many"}), "max_tokens"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "king", "content": "hi"}]}), "messages.0.role"),
        (json!({"messages": [{"role": "user"}]}), "messages.0"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": []}]}), "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": [{"text": "no type"}]}]}), "messages.0.content"),
        (json!({"messages": [{"role": "user", "content": [{"type": "image"}]}]}), "messages.0.content.0"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages.0.content.0"),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}]}]}),
            "messages.0.content.0",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}]}),
            "messages.0.content.0",
        ),
        (json!({"tools": [5]}), "tools.0"),
        (json!({"tools": [{"name": 5}]}), "tools.0.name"),
        (json!({"tools": [{"input_schema": {}}]}), "tools.0.name"),
        (json!({"tools": [{"name": "f", "input_schema": "x"}]}), "tools.0.input_schema"),
        (json!({"tool_choice": "auto"}), "tool_choice"),
        (json!({"tool_choice": {"type": 7}}), "tool_choice.type"),
        (json!({"thinking": {"type": 7}}), "thinking.type"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": "9"}}), "thinking.budget_tokens"),
        (json!({"output_config": {"format": "json"}}), "output_config.format"),
        (json!({"top_k": 1.5}), "top_k"),
        (json!({"metadata": "me"}), "metadata"),
        (json!({"service_tier": 1}), "service_tier"),
        (json!({"thinking": "deep"}), "thinking"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"system": 7}), "system"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"tools": {}}), "tools"),
        (json!({"stop_sequences": "x"}), "stop_sequences"),
        (json!({"output_config": 7}), "output_config"),
    ] {
        assert_eq!(wrong(&with(members.clone())).1, param, "{members}");
    }
    let image = |source: Value| {
        let content = json!([{"type": "image", "source": source}]);
        parse(&with(json!({"messages": [{"role": "user", "content": content}]})))
    };
    assert!(image(json!({"type": "base64", "media_type": "image/tiff", "data": "AA"})).is_err());
    for data in ["", "AAAA", "aGVsbG8gd29ybGQsIGhvdyBhcmUgeW91Pw=="] {
        assert!(image(json!({"type": "base64", "media_type": "image/png", "data": data})).is_err());
    }
    for url in ["", "a.png", "https://"] {
        assert!(image(json!({"type": "url", "url": url})).is_err());
    }
    let request = image(json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"})).unwrap();
    assert_eq!((request.images.len(), request.needs), (1, capability::VISION));
}

#[test]
fn a_call_needs_its_result_in_the_next_message_and_a_result_its_call() {
    let call =
        |id: &str| json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]});
    let result =
        |id: &str| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]});
    let ask = || json!({"role": "user", "content": "hi"});
    let history = |messages: Value| parse(&with(json!({ "messages": messages })));
    assert!(history(json!([ask(), call("a"), result("a")])).is_ok());
    for (messages, path) in [
        (json!([ask(), call("a"), ask()]), "messages.2.content"),
        (json!([ask(), call("a"), result("b")]), "messages.2.content"),
        (json!([result("a")]), "messages.0.content"),
        (json!([ask(), call("a")]), "messages"),
        (json!([ask(), call("a"), {"role": "assistant", "content": "or"}, ask()]), "messages.3.content"),
        (json!([ask(), call("a"), call("b"), result("a"), call("c"), result("c")]), "messages.3.content"),
        (json!([ask(), call("a"), result("a"), result("a")]), "messages.3.content"),
    ] {
        let wrong = wrong(&with(json!({ "messages": messages })));
        assert_eq!((wrong.0, wrong.1.as_str()), ("invalid_messages", path), "{}", wrong.2);
    }
    let counted = with(json!({"messages": [ask(), call("a")]}));
    assert!(read_to_count(Bytes::from(counted.to_string()), &HeaderMap::new()).is_ok());
}

#[test]
fn messages_of_one_role_in_a_row_are_one_turn_with_all_its_calls_and_results() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "x"});
    let said = |role: &str, block: Value| json!({"role": role, "content": [block]});
    let ask = || json!({"role": "user", "content": "hi"});
    for turn in [
        json!([said("assistant", call("a")), said("assistant", call("b")), {"role": "user", "content": [result("a"), result("b")]}]),
        json!([{"role": "assistant", "content": [call("a"), call("b")]}, said("user", result("a")), said("user", result("b"))]),
        json!([
            said("assistant", call("a")),
            said("assistant", call("b")),
            said("user", result("a")),
            said("user", result("b"))
        ]),
    ] {
        let mut messages = vec![ask()];
        messages.extend(turn.as_array().unwrap().clone());
        messages.push(ask());
        let chat = in_chat(&with(json!({ "messages": messages }))).unwrap();
        let roles: Vec<&Value> = chat["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"], "{turn}");
        assert_eq!(chat["messages"][1]["tool_calls"][1]["id"], "b", "{turn}");
    }
    // What is said after a call is of the same turn: a message of chat has no order of both.
    let text = said("assistant", json!({"type": "text", "text": "\n"}));
    let messages = json!([ask(), said("assistant", call("a")), text, said("user", result("a"))]);
    let chat = in_chat(&with(json!({ "messages": messages }))).unwrap();
    assert_eq!((&chat["messages"][1]["content"], &chat["messages"][2]["role"]), (&json!("\n"), &json!("tool")));
    assert_eq!(chat["messages"][1]["tool_calls"][0]["id"], "a");
}

#[test]
fn the_body_for_a_provider_of_messages_keeps_its_bytes() {
    let body = r#"{ "model":"m:floor","max_tokens": 9,"messages":[{"role":"user","content":"h\u00e9"}], "x":{"b":[1.50]},"provider":{"sort":"price"}}"#;
    let request = Messages.read(Bytes::from(body), &HeaderMap::new()).unwrap();
    let outgoing = Outgoing { document: &request.body, stream: false, model: "m", max_output: None, capabilities: 0 };
    assert_eq!(
        Messages.body(&outgoing).unwrap(),
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"h\u00e9"}],"x":{"b":[1.50]}}"#
    );
    assert_eq!(Messages.headers(&request), [(VERSION, DEFAULT_VERSION)]);
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, HeaderValue::from_static("2099-01-01"));
    headers.append(BETA, HeaderValue::from_static("a"));
    headers.insert("cookie", HeaderValue::from_static("secret"));
    let request = Messages.read(Bytes::from(body), &headers).unwrap();
    assert_eq!(
        Messages.headers(&request),
        [(VERSION, HeaderValue::from_static("2099-01-01")), (BETA, HeaderValue::from_static("a"))]
    );
}

#[test]
fn a_budget_for_thinking_stays_below_a_lower_limit() {
    let sent = |thinking: &str, max_output: u32| {
        let body = format!(
            r#"{{"model":"m","max_tokens":32000,"thinking":{thinking},"messages":[{{"role":"user","content":"a"}}]}}"#
        );
        let request = Messages.read(Bytes::from(body), &HeaderMap::new()).unwrap();
        let max_output = Some(max_output);
        let outgoing = Outgoing { document: &request.body, stream: false, model: "m", max_output, capabilities: 0 };
        let sent: Value = serde_json::from_slice(&Messages.body(&outgoing).unwrap()).unwrap();
        (sent["max_tokens"].clone(), sent["thinking"].clone())
    };
    let enabled = |budget: u32| json!({"type": "enabled", "budget_tokens": budget});
    assert_eq!(sent(&enabled(31_999).to_string(), 16_000), (json!(16_000), enabled(15_999)));
    assert_eq!(sent(&enabled(16_000).to_string(), 8_000), (json!(8_000), enabled(4_000)));
    assert_eq!(sent(&enabled(7_999).to_string(), 8_000), (json!(8_000), enabled(7_999)));
    assert_eq!(sent(r#"{"type":"adaptive"}"#, 8_000).1, json!({"type": "adaptive"}));
}

/// The request as a provider of chat completions gets it, or the field that it has no word for.
fn in_chat(body: &Value) -> Result<Value, String> {
    let request = parse(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    match request.dialect_for(capability::CHAT) {
        Ok(dialect) => {
            assert_eq!(dialect.name(), "chat");
            let document = request.said_in(dialect).unwrap();
            let outgoing = Outgoing {
                document,
                stream: request.stream,
                model: "m",
                max_output: request.max_output,
                capabilities: 0,
            };
            Ok(serde_json::from_slice(&dialect.body(&outgoing).unwrap()).unwrap())
        }
        Err(unspoken) => {
            let field = unspoken.field.unwrap();
            assert!(unspoken.reason.contains(&format!("no word for `{field}`")), "{}", unspoken.reason);
            Err(field)
        }
    }
}

#[test]
fn an_agents_request_is_said_in_chat() {
    let cached = json!({"type": "ephemeral"});
    let body = json!({
        "model": "m", "max_tokens": 64_000, "stream": true,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": cached}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "rules"}, {"type": "text", "text": "run it", "cache_control": cached}]},
            {"role": "system", "content": "Use tools."},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "I'll do it."},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "hello", "is_error": false, "cache_control": cached},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "gone"}], "is_error": true},
                {"type": "text", "text": "go on"},
            ]},
        ],
        "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object"}, "cache_control": cached}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "metadata": {"user_id": "u"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    });
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        in_chat(&body).unwrap(),
        json!({
            "model": "m", "stream": true, "max_tokens": 64_000, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": [text("Be brief."), text("Be kind.")]},
                {"role": "user", "content": [text("rules"), text("run it")]},
                {"role": "system", "content": "Use tools."},
                {"role": "assistant", "content": "I'll do it.", "tool_calls": [
                    call("toolu_1", "Bash", r#"{"command":"ls"}"#), call("toolu_2", "Read", "{}"),
                ]},
                {"role": "tool", "tool_call_id": "toolu_1", "content": "hello"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: gone"},
                {"role": "user", "content": "go on"},
            ],
            "tools": [{"type": "function", "function": {"name": "Bash", "description": "Runs.", "parameters": {"type": "object"}}}],
            "parallel_tool_calls": false,
        })
    );
}

#[test]
fn images_schemas_and_choices_are_said_in_chat() {
    let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"});
    let content = json!([{"type": "image", "source": source}, {"type": "image", "source": {"type": "url", "url": "https://x/y"}}]);
    let chat = in_chat(&with(json!({"messages": [{"role": "user", "content": content}]}))).unwrap();
    let urls = ["data:image/png;base64,iVBORw0KGgoAAAAN", "https://x/y"];
    let images: Vec<Value> = urls.iter().map(|url| json!({"type": "image_url", "image_url": {"url": url}})).collect();
    assert_eq!(chat["messages"][0]["content"], json!(images));
    let format = json!({"type": "json_schema", "schema": {"type": "object"}});
    let chat = in_chat(&with(json!({"output_config": {"format": format, "effort": "low"}}))).unwrap();
    let schema = json!({"name": "answer", "schema": {"type": "object"}, "strict": true});
    assert_eq!(chat["response_format"], json!({"type": "json_schema", "json_schema": schema}));
    assert_eq!(chat["reasoning_effort"], "low");
    for (choice, said) in [
        (json!({"type": "any"}), json!("required")),
        (json!({"type": "none"}), json!("none")),
        (json!({"type": "tool", "name": "f"}), json!({"type": "function", "function": {"name": "f"}})),
    ] {
        let tools = json!([{"name": "f", "input_schema": {}}]);
        assert_eq!(in_chat(&with(json!({"tools": tools, "tool_choice": choice}))).unwrap()["tool_choice"], said);
    }
}

#[test]
fn what_chat_has_no_word_for_is_named() {
    let ask = json!({"role": "user", "content": "hi"});
    let sealed = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]});
    for (members, field) in [
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking.budget_tokens"),
        (json!({"top_k": 5}), "top_k"),
        (json!({"stop_sequences": ["END"]}), "stop_sequences"),
        (json!({"output_config": {"effort": "max"}}), "output_config.effort"),
        (json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}), "context_management"),
        (json!({"container": "c"}), "container"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools.0"),
        (json!({"tools": [{"name": "f", "input_schema": {}, "defer_loading": true}]}), "tools.0"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}),
            "messages.0.content.0",
        ),
        (json!({"messages": [ask, {"role": "assistant", "content": "It is"}]}), "messages.1"),
        (
            json!({"messages": [ask, {"role": "assistant", "content": [sealed, call]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]}),
            "messages.1.content.0",
        ),
        (
            json!({"messages": [ask, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]}),
            "messages.2",
        ),
        // Rules of the system beside the messages are none of them.
        (
            json!({"system": "s", "messages": [ask, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]}),
            "messages.2",
        ),
        (json!({"system": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}), "system"),
    ] {
        assert_eq!(in_chat(&with(members.clone())), Err(field.to_owned()), "{members}");
    }
    // Reasoning of a turn that is over is shown to no model.
    let over = json!([ask, {"role": "assistant", "content": [sealed, {"type": "text", "text": "a"}]}, ask]);
    assert_eq!(
        in_chat(&with(json!({ "messages": over }))).unwrap()["messages"][1],
        json!({"role": "assistant", "content": "a"})
    );
}

fn event(json: &Value) -> sse::Event {
    let name = if json["type"] == "error" { sse::Name::Error } else { sse::Name::Other };
    sse::Event { name, data: Bytes::from(json.to_string()) }
}

fn read(transcript: &mut Transcript, json: &Value) -> Result<Piece, Fault> {
    transcript.event(&event(json)).map(|(piece, _)| piece)
}

fn transcript() -> Transcript {
    Transcript::new(Counting::Bytes, 1, 1_000, Box::<reader::MessageReader>::default())
}

#[test]
fn a_stream_is_passed_as_it_is_and_its_usage_is_gathered() {
    let mut transcript = transcript();
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1});
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": usage}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "hello"}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":1}"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 30}}),
    ];
    for one in &events {
        assert_eq!(read(&mut transcript, one), Ok(Piece::Data(Bytes::from(one.to_string()))), "{one}");
    }
    assert_eq!(read(&mut transcript, &json!({"type": "message_stop"})), Ok(Piece::End(Vec::new())));
    let counts = &transcript.counts;
    assert_eq!(
        counts.usage,
        Some(Usage { prompt: 160, cached: 50, cache_write: 100, cache_write_long: 0, completion: 30, reasoning: 30 })
    );
    assert_eq!(counts.finish, Some(FinishReason::ToolCalls));
    assert_eq!((counts.delivered.total().bytes, counts.reasoning.total().bytes), (2 + 5 + 1 + 7, 2));

    let (mut writer, mut out) = (Messages.writer(), BytesMut::new());
    for one in &events {
        writer.event(one.to_string().as_bytes(), &mut out);
    }
    let passed = String::from_utf8(out.split().to_vec()).unwrap();
    assert!(passed.starts_with("event: message_start\ndata: {"), "{passed}");
    assert!(!passed.contains("message_delta"), "its usage is not billed yet");
    let billed = Billed { cache_write: 40, cache_write_long: 60, ..billed(10, 50, 25, "0.5") };
    writer.usage(counts.stated_usage.as_deref(), &billed, &mut out);
    writer.end(&mut out);
    let shown = r#"{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":50,"output_tokens":25,"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":60},"cost":0.5}"#;
    let delta = r#"{"stop_reason":"tool_use","stop_sequence":null}"#;
    assert_eq!(
        out,
        format!(
            "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{delta},\"usage\":{shown}}}\n\n\
             event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
        )
    );
}

/// The arguments of each call as a client of chat gets them, from a provider's events after the beginning.
fn arguments_in_chat(events: &[Value]) -> Vec<String> {
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let request = Chat.read(Bytes::from(body), &HeaderMap::new()).unwrap();
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Messages, 0, 7));
    let mut calls: Vec<String> = Vec::new();
    let start =
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}});
    for one in std::iter::once(&start).chain(events) {
        let (Piece::Composed(data) | Piece::End(data)) = read(&mut transcript, one).unwrap() else { panic!("{one}") };
        for data in data {
            let chunk: Value = serde_json::from_slice(&data).unwrap();
            for call in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                calls.resize(calls.len().max(index + 1), String::new());
                calls[index].push_str(call["function"]["arguments"].as_str().unwrap());
            }
        }
    }
    calls
}

#[test]
fn arguments_that_come_with_a_block_are_kept_until_its_end_whatever_comes_between() {
    let start = |index: u32, input: Value| {
        let block = json!({"type": "tool_use", "id": format!("c{index}"), "name": "f", "input": input});
        json!({"type": "content_block_start", "index": index, "content_block": block})
    };
    let piece = |index: u32, json: &str| json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": json}});
    let stop = |index: u32| json!({"type": "content_block_stop", "index": index});
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}});
    let end = json!({"type": "message_stop"});
    for (events, arguments) in [
        (vec![start(0, json!({})), start(1, json!({})), piece(1, "{\"y\":2}"), stop(0), stop(1)], ["{}", "{\"y\":2}"]),
        (vec![start(0, json!({"x": 1})), start(1, json!({}))], ["{\"x\":1}", "{}"]),
        (vec![start(0, json!({})), piece(0, ""), start(1, json!({"y": 2})), stop(1)], ["{}", "{\"y\":2}"]),
    ] {
        let ended: Vec<Value> = events.iter().chain([&delta, &end]).cloned().collect();
        assert_eq!(arguments_in_chat(&ended), arguments, "{events:?}");
        let without_a_delta: Vec<Value> = events.iter().chain([&end]).cloned().collect();
        assert_eq!(arguments_in_chat(&without_a_delta), arguments, "{events:?}");
    }
}

#[test]
fn a_mark_of_another_apis_end_is_no_part_of_an_answer() {
    let done = sse::Event { name: sse::Name::Usual, data: Bytes::from_static(b"[DONE]") };
    let mut transcript = transcript();
    assert_eq!(transcript.event(&done).map(|(piece, _)| piece), Ok(Piece::Own));
    assert_eq!(transcript.counts.finish, None, "it does not end an answer either");
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}});
    read(&mut transcript, &delta).unwrap();
    assert_eq!(transcript.event(&done).map(|(piece, _)| piece), Ok(Piece::Own));
    assert_eq!(transcript.counts.finish, Some(FinishReason::Stop));
}

#[test]
fn usage_tells_the_lifetimes_of_what_was_written_to_a_cache() {
    let read = |members: &str| {
        let mut transcript = transcript();
        let usage: Value =
            serde_json::from_str(&format!(r#"{{"input_tokens":10,"output_tokens":4,{members}}}"#)).unwrap();
        read(&mut transcript, &json!({"type": "message_delta", "delta": {}, "usage": usage})).unwrap();
        transcript.counts.usage.map(|usage| (usage.prompt, usage.cached, usage.cache_write, usage.cache_write_long))
    };
    let both = r#""cache_creation_input_tokens":50,"cache_read_input_tokens":7,
        "cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":30}"#;
    assert_eq!(read(both), Some((67, 7, 20, 30)));
    assert_eq!(read(r#""cache_creation_input_tokens":50"#), Some((60, 0, 50, 0)));
    assert_eq!(
        read(r#""cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":30}"#),
        Some((60, 0, 20, 30))
    );
    assert_eq!(
        read(r#""cache_creation_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":80}"#),
        Some((90, 0, 0, 80))
    );
    assert_eq!(read(r#""cache_creation":{"ephemeral_1h_input_tokens":"80"}"#), None);
    assert_eq!(read(r#""cache_creation_input_tokens":-1"#), None);
}

#[test]
fn errors_are_errors_and_nonsense_is_none() {
    let mut transcript = transcript();
    for (kind, status) in [("overloaded_error", Some(529)), ("rate_limit_error", Some(429)), ("odd", None)] {
        let error = json!({"type": "error", "error": {"type": kind, "message": "x"}});
        let stated = Stated { status, message: Some("x".into()), code: Some(kind.into()), ..Stated::default() };
        assert_eq!(read(&mut transcript, &error), Err(Fault::Reported(Box::new(stated))), "{kind}");
    }
    for wrong in [json!([]), json!({"type": "message_start"}), json!({"type": "content_block_delta"})] {
        assert_eq!(read(&mut transcript, &wrong), Err(Fault::Malformed), "{wrong}");
    }
    assert_eq!(transcript.whole(Bytes::from("{}")).map(|_| ()), Err(Fault::Malformed));
}

#[test]
fn a_whole_answer_keeps_every_byte_but_its_usage() {
    let body = r#"{ "id":"msg_1","type":"message","content":[{"type":"text","text":"h\u00e9"}],"stop_reason":"stop_sequence","stop_sequence":"X","usage":{"input_tokens":3,"output_tokens":4}}"#;
    let mut transcript = transcript();
    let (whole, content) = transcript.whole(Bytes::from(body)).unwrap();
    assert!(content);
    let billed = billed(3, 0, 4, "0.5");
    let stated = transcript.counts.stated_usage;
    let shown = writer::usage(stated.as_deref(), &billed);
    assert_eq!(
        Messages.writer().whole(&whole, stated.as_deref(), &billed),
        body.replace(r#"{"input_tokens":3,"output_tokens":4}"#, &shown)
    );
}

fn from_chat(chunks: &[Value]) -> Vec<Value> {
    testing::from_chat(&parse(&with(json!({"stream": true}))).unwrap(), 0, chunks)
}

#[test]
fn parallel_calls_in_pieces_become_blocks_one_after_the_other() {
    let call = |index: u32, id: Option<&str>, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if let Some(id) = id {
            call["id"] = id.into();
            call["function"]["name"] = format!("f{index}").into();
        }
        chunk(json!({"tool_calls": [call]}), None)
    };
    let written = from_chat(&[
        chunk(json!({"role": "assistant", "content": ""}), None),
        chunk(json!({"reasoning_content": "hm"}), None),
        chunk(json!({"content": "I "}), None),
        chunk(json!({"content": "will."}), None),
        call(0, Some("a"), ""),
        call(1, Some("b"), "{\"y\":"),
        call(0, None, "{\"x\":1}"),
        call(1, None, "2}"),
        chunk(json!({}), Some("tool_calls")),
        json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6}}),
        json!("[DONE]"),
    ]);
    let kinds: Vec<String> = written
        .iter()
        .map(|one| {
            let delta = one["delta"]["type"].as_str().or(one["content_block"]["type"].as_str()).unwrap_or_default();
            format!("{} {} {delta}", one["type"].as_str().unwrap(), one["index"]).replace("null ", "").trim().to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "ping",
            "content_block_start 0 thinking",
            "content_block_delta 0 thinking_delta",
            "content_block_stop 0",
            "content_block_start 1 text",
            "content_block_delta 1 text_delta",
            "content_block_delta 1 text_delta",
            "content_block_stop 1",
            "content_block_start 2 tool_use",
            "content_block_delta 2 input_json_delta",
            "content_block_stop 2",
            "content_block_start 3 tool_use",
            "content_block_delta 3 input_json_delta",
            "content_block_stop 3",
            "message_delta",
        ]
    );
    assert_eq!(written[0]["message"]["id"], "msg_c");
    assert_eq!(written[12]["content_block"], json!({"type": "tool_use", "id": "b", "name": "f1", "input": {}}));
    assert_eq!(written[13]["delta"]["partial_json"], "{\"y\":2}");
    assert_eq!(written[15]["delta"]["stop_reason"], "tool_use");
}

/// The input of the one call that a stream of messages has, as clients put it together.
fn input_of(written: &[Value]) -> Value {
    let pieces = written.iter().filter_map(|one| one["delta"]["partial_json"].as_str());
    match pieces.collect::<String>().as_str() {
        "" => json!({}),
        json => serde_json::from_str(json).unwrap(),
    }
}

#[test]
fn arguments_are_an_object_for_this_api_whatever_the_model_wrote() {
    for (arguments, input) in [
        ("{\"x\":1}", json!({"x": 1})),
        (" \n{\"x\":1}", json!({"x": 1})),
        ("", json!({})),
        (" ", json!({})),
        ("null", json!({})),
        ("[1]", json!({"arguments": "[1]"})),
        ("\"hi\"", json!({"arguments": "\"hi\""})),
        ("oops", json!({"arguments": "oops"})),
    ] {
        let call = |piece: &str| json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": piece}});
        for size in [1, 100] {
            let letters: Vec<char> = arguments.chars().collect();
            let pieces = letters.chunks(size).map(|piece| call(&piece.iter().collect::<String>()));
            let mut chunks: Vec<Value> = std::iter::once(call(""))
                .chain(pieces)
                .map(|call| chunk(json!({"tool_calls": [call]}), None))
                .collect();
            chunks.extend([chunk(json!({}), Some("tool_calls")), json!("[DONE]")]);
            assert_eq!(input_of(&from_chat(&chunks)), input, "{arguments} in pieces of {size}");
        }
        let request = parse(&with(json!({}))).unwrap();
        let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
        let message = json!({"tool_calls": [call(arguments)]});
        let answer = json!({"id": "c", "choices": [{"message": message, "finish_reason": "tool_calls"}]});
        let (whole, _) = transcript.whole(Bytes::from(answer.to_string())).unwrap();
        let said: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!(said["content"][0]["input"], input, "{arguments}");
        // The client repeats it in its next request.
        let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]});
        let history =
            json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": said["content"]}, result]);
        assert!(parse(&with(json!({ "messages": history }))).is_ok(), "{arguments}");
    }
}

#[test]
fn a_letter_that_a_provider_cuts_in_two_is_whole_in_another_api_and_passed_as_it_came_in_its_own() {
    let pieces = [r"x\ud83d", r"\ude00y"];
    let of_chat = |text: &str| format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    let request = parse(&with(json!({"stream": true}))).unwrap();
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
    let mut text = String::new();
    for piece in pieces {
        let event = sse::Event { name: sse::Name::Usual, data: Bytes::from(of_chat(piece)) };
        let Piece::Composed(data) = transcript.event(&event).unwrap().0 else { panic!("{piece}") };
        let written = data.iter().map(|data| serde_json::from_slice::<Value>(data).unwrap());
        text.extend(written.filter_map(|one| one["delta"]["text"].as_str().map(ToOwned::to_owned)));
    }
    assert_eq!(text, "x😀y");
    let mut native = self::transcript();
    for piece in pieces {
        let data = Bytes::from(format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{piece}"}}}}"#
        ));
        let event = sse::Event { name: sse::Name::Other, data: data.clone() };
        assert_eq!(native.event(&event).map(|(piece, _)| piece), Ok(Piece::Data(data)));
    }
    assert_eq!(native.counts.delivered.total().bytes, 2 + 3, "a half alone is counted as a letter at most");
}

#[test]
fn each_reason_to_stop_has_its_word_and_an_end_without_one_is_still_an_end() {
    for (reason, said) in
        [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("tool_calls", "tool_use")]
    {
        let written = from_chat(&[chunk(json!({"content": "a"}), Some(reason)), json!("[DONE]")]);
        let last = written.last().unwrap();
        assert_eq!((&last["type"], &last["delta"]["stop_reason"]), (&json!("message_delta"), &json!(said)));
    }
    let written = from_chat(&[chunk(json!({"content": "a"}), None), json!("[DONE]")]);
    assert_eq!(written.last().unwrap()["delta"]["stop_reason"], "end_turn");
    assert_eq!(written[written.len() - 2]["type"], "content_block_stop");
}

#[test]
fn a_whole_answer_of_chat_becomes_a_message() {
    let request = parse(&with(json!({}))).unwrap();
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
    let call = |id: &str, arguments: &str| json!({"id": id, "function": {"name": "f", "arguments": arguments}});
    let message =
        json!({"content": "hi", "reasoning_content": "hm", "tool_calls": [call("a", "{\"x\":1}"), call("b", "{")]});
    let answer = json!({
        "id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 3}},
    });
    let (whole, _) = transcript.whole(Bytes::from(answer.to_string())).unwrap();
    let billed = billed(5, 3, 9, "0.5");
    let body = Messages.writer().whole(&whole, transcript.counts.stated_usage.as_deref(), &billed);
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({
            "id": "msg_c", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "stop_sequence": null,
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {"arguments": "{"}},
            ],
            "usage": {
                "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 9, "cost": 0.5,
            },
        })
    );
}

#[test]
fn an_answer_that_was_not_asked_for_is_not_translated() {
    let request = parse(&with(json!({}))).unwrap();
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
    let said = |index: u32| json!({"index": index, "message": {"content": "a"}});
    let two = json!({"choices": [said(0), said(4_000_000_000)]});
    assert_eq!(transcript.whole(Bytes::from(two.to_string())).map(|_| ()), Err(Fault::Malformed));
}

#[test]
fn errors_have_the_form_of_this_api() {
    let error = |error: &RelayError| serde_json::from_str::<Value>(&Messages.error(error)).unwrap();
    let wrong = error(&RelayError::invalid("invalid_value", "top_k", "no"));
    assert_eq!((&wrong["type"], &wrong["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
    assert_eq!((&wrong["error"]["message"], &wrong["error"]["param"]), (&json!("no"), &json!("top_k")));
    assert_eq!(error(&RelayError::UnknownModel("m".into()))["error"]["type"], "not_found_error");
    assert_eq!(error(&RelayError::Internal("x"))["error"]["type"], "api_error");
    let refusal =
        Messages.refusal(StatusCode::BAD_REQUEST, &Stated { message: Some("too long".into()), ..Stated::default() });
    assert!(refusal.contains(r#""message":"too long""#), "{refusal}");
}

#[test]
fn a_seal_is_content_only_with_what_it_seals() {
    let mut transcript = transcript();
    let start = |block: Value| json!({"type": "content_block_start", "index": 0, "content_block": block});
    let sealed = start(json!({"type": "thinking", "thinking": "", "signature": "s"}));
    assert!(!transcript.event(&event(&sealed)).unwrap().1);
    let redacted = start(json!({"type": "redacted_thinking", "data": "x"}));
    assert!(transcript.event(&event(&redacted)).unwrap().1);
    let mut seen = Vec::new();
    let mut reader = reader::MessageReader::default();
    let mut say = |event: Event<'_>| {
        seen.push(format!("{event:?}"));
        Ok(())
    };
    crate::relay::dialect::Reader::event(&mut reader, &event(&redacted), &mut say).unwrap();
    assert_eq!(seen, [r#"Redacted { choice: 0, data: "x" }"#]);
}

#[test]
fn a_translated_stream_has_its_head_first_its_calls_whole_and_its_end_once() {
    let request =
        parse(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]})).unwrap();
    let call = |index: u32, members: Value| {
        let mut call = members;
        call["index"] = index.into();
        chunk(json!({"tool_calls": [call]}), None)
    };
    // A late name, a call without an id, reasoning after a call, two reasons, and text after the first of them.
    let events = testing::from_chat(
        &request,
        0,
        &[
            call(0, json!({"function": {"arguments": "{\"a\""}})),
            call(0, json!({"id": "x", "function": {"name": "f"}})),
            call(0, json!({"id": "x", "function": {"name": "f", "arguments": ":1}"}})),
            call(1, json!({"function": {"name": "g", "arguments": "{}"}})),
            chunk(json!({"reasoning_content": "late"}), None),
            chunk(json!({}), Some("tool_calls")),
            chunk(json!({"content": "more"}), None),
            chunk(json!({}), Some("stop")),
            json!("[DONE]"),
        ],
    );
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "message_start").count(), 1);
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("message_start", "message_delta"));
    assert_eq!(kinds.iter().filter(|kind| **kind == "message_delta").count(), 1);
    assert_eq!(events.last().unwrap()["delta"]["stop_reason"], "tool_use");
    let blocks: Vec<&Value> = events.iter().filter_map(|event| event.get("content_block")).collect();
    assert_eq!(
        blocks.iter().map(|block| (block["type"].as_str().unwrap(), block["id"].as_str())).collect::<Vec<_>>(),
        [("tool_use", Some("x")), ("tool_use", Some("call_c_1")), ("thinking", None), ("text", None)]
    );
    assert_eq!((&blocks[0]["name"], &blocks[1]["name"]), (&json!("f"), &json!("g")));
    let pieces = |name: &str| -> String { events.iter().filter_map(|event| event["delta"][name].as_str()).collect() };
    assert_eq!(pieces("partial_json"), "{\"a\":1}{}");
    assert_eq!((pieces("thinking"), pieces("text")), ("late".to_owned(), "more".to_owned()));
}

#[test]
fn what_a_provider_of_chat_sealed_is_left_out_so_that_the_conversation_can_go_on() {
    let request = parse(&with(json!({"stream": true}))).unwrap();
    let function = json!({"name": "f", "arguments": "{}"});
    let details = json!([
        {"type": "reasoning.text", "text": "hm", "signature": "s"}, {"type": "reasoning.encrypted", "data": "x"},
    ]);
    let said = json!({
        "reasoning": "hm", "reasoning_details": details, "tool_calls": [{"index": 0, "id": "a", "function": function}],
    });
    let chunks = [chunk(said.clone(), None), chunk(json!({}), Some("tool_calls")), json!("[DONE]")];
    let events = testing::from_chat(&request, 0, &chunks);
    let blocks: Vec<&Value> = events.iter().filter_map(|event| event.get("content_block")).collect();
    assert_eq!(blocks.iter().map(|block| &block["type"]).collect::<Vec<_>>(), ["thinking", "tool_use"]);
    assert!(events.iter().all(|event| event["delta"]["signature"].is_null()));

    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
    let answer = json!({"id": "c", "choices": [{"message": said, "finish_reason": "tool_calls"}]});
    let (whole, _) = transcript.whole(Bytes::from(answer.to_string())).unwrap();
    let message: Value = serde_json::from_slice(&whole.body).unwrap();
    let call = json!({"type": "tool_use", "id": "a", "name": "f", "input": {}});
    assert_eq!(message["content"], json!([{"type": "thinking", "thinking": "hm", "signature": ""}, call]));
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]});
    let history =
        json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": message["content"]}, result]);
    assert!(in_chat(&with(json!({ "messages": history }))).is_ok());
}

#[test]
fn a_refusal_is_the_reason_why_an_answer_ended() {
    let request = parse(&with(json!({"stream": true}))).unwrap();
    for (finish, reason) in [("stop", "refusal"), ("length", "max_tokens")] {
        let chunks = [chunk(json!({"refusal": "No."}), None), chunk(json!({}), Some(finish)), json!("[DONE]")];
        let events = testing::from_chat(&request, 0, &chunks);
        assert_eq!(events.last().unwrap()["delta"]["stop_reason"], reason);
        let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 0, 7));
        let choice = json!({"message": {"content": null, "refusal": "No."}, "finish_reason": finish});
        let (whole, _) = transcript.whole(Bytes::from(json!({"id": "c", "choices": [choice]}).to_string())).unwrap();
        let said: Value = serde_json::from_slice(&whole.body).unwrap();
        assert_eq!((&said["content"][0]["text"], &said["stop_reason"]), (&json!("No."), &json!(reason)));
    }
}

#[test]
fn the_name_of_a_call_may_come_in_pieces_or_with_each_piece_of_the_arguments() {
    let request = parse(&with(json!({"stream": true}))).unwrap();
    for names in [vec!["get_", "weather", ""], vec!["get_weather", "get_weather", "get_weather"], vec!["get_weather"]] {
        let calls = names.iter().enumerate().map(|(place, name)| {
            let arguments = if place + 1 == names.len() { "{}" } else { "" };
            let function = json!({"name": name, "arguments": arguments});
            chunk(json!({"tool_calls": [{"index": 0, "id": "a", "function": function}]}), None)
        });
        let chunks: Vec<Value> = calls.chain([chunk(json!({}), Some("tool_calls")), json!("[DONE]")]).collect();
        let events = testing::from_chat(&request, 0, &chunks);
        let blocks: Vec<&Value> = events.iter().filter_map(|event| event.get("content_block")).collect();
        assert_eq!(blocks, [&json!({"type": "tool_use", "id": "a", "name": "get_weather", "input": {}})], "{names:?}");
    }
}

#[test]
fn documents_are_counted_by_their_size_and_thinking_is_asked_for() {
    let document = |source: Value| {
        let content = json!([{"type": "document", "source": source}]);
        let request = parse(&with(json!({"messages": [{"role": "user", "content": content}]}))).unwrap();
        (request.media_tokens, Messages.prompt(&request).texts.concat())
    };
    let data = "A".repeat(400_000);
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": data});
    assert_eq!(document(pdf), (37_500, String::new()));
    assert_eq!(document(json!({"type": "url", "url": "https://x"})), (30_000, String::new()));
    let text = json!({"type": "text", "media_type": "text/plain", "data": "words"});
    assert_eq!(document(text), (0, "words".to_owned()));

    let hides = |members: Value| parse(&with(members)).unwrap().hides_reasoning(&Messages, u64::MAX);
    assert!(!hides(json!({})) && !hides(json!({"thinking": {"type": "disabled"}})));
    assert!(hides(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}})));
    assert!(parse(&with(json!({}))).unwrap().hides_reasoning(&Chat, u64::MAX), "other dialects reason unasked");
}

#[test]
fn a_chat_history_with_empty_texts_is_said_without_them() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"n\":12345678901234567890123}"}});
    let schema = r#"{"type":"object","x":0.12345678901234567890}"#;
    let body = json!({
        "model": "m", "max_tokens": 9, "tools": [{"type": "function", "function": {"name": "f", "parameters": "SCHEMA"}}],
        "messages": [
            {"role": "system", "content": ""},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": ""},
            {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "go on"}]},
        ],
    });
    let body = body.to_string().replace("\"SCHEMA\"", schema);
    let request = Chat.read(Bytes::from(body), &HeaderMap::new()).unwrap();
    let dialect = request.dialect_for(capability::MESSAGES).unwrap();
    let said = request.said_in(dialect).unwrap().text();
    assert_eq!(
        said,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"n":12345678901234567890123}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[]}]},{"role":"user","content":[{"type":"text","text":"go on"}]}],"tools":[{"name":"f","input_schema":{"type":"object","x":0.12345678901234567890}}],"stream":false}"#,
        "no number loses a digit"
    );
}

#[test]
fn what_changes_nothing_of_a_chat_request_keeps_no_provider_of_messages_from_it() {
    let asked = |members: Value| {
        let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let request = Chat.read(Bytes::from(body.to_string()), &HeaderMap::new()).unwrap();
        request.dialect_for(capability::MESSAGES).map(drop).map_err(|unspoken| unspoken.field.unwrap())
    };
    for members in
        [json!({"usage": {"include": true}}), json!({"logit_bias": {}}), json!({"logprobs": false, "top_logprobs": 0})]
    {
        assert_eq!(asked(members.clone()), Ok(()), "{members}");
    }
    assert_eq!(asked(json!({"logit_bias": {"5": 1}})), Err("logit_bias".to_owned()));
    assert_eq!(asked(json!({"top_logprobs": 2})), Err("top_logprobs".to_owned()));
    // Results of calls made at once are one turn there and two messages here.
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let history = json!([
        {"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call("a"), call("b")]},
        result("a"), result("b"), {"role": "system", "content": "late"}, {"role": "user", "content": "go on"},
    ]);
    assert_eq!(asked(json!({ "messages": history })), Err("messages.4".to_owned()));
}
