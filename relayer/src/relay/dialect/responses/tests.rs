//! What a request for a response becomes in chat completions, and an answer of chat completions in a response.

use super::*;
use crate::relay::dialect::chat::Chat;
use crate::relay::dialect::testing::{self, billed, chunk};
use crate::relay::dialect::{Billed, Fault, Piece, Stated, Usage};
use crate::relay::sse;
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use serde_json::{Value, json};
use steam_protocol::receipt::FinishReason;

fn parse(body: &Value) -> Request {
    Responses.read(Bytes::from(body.to_string()), &HeaderMap::new()).unwrap()
}

fn in_chat(body: &Value) -> Result<Value, String> {
    let request = parse(body);
    match request.dialect_for(capability::CHAT) {
        Ok(dialect) => Ok(serde_json::from_str(request.said_in(dialect).unwrap().text()).unwrap()),
        Err(unspoken) => Err(unspoken.field.unwrap()),
    }
}

#[test]
fn items_become_messages() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": [{"type": "input_text", "text": "18C"}]});
    let sealed = json!({"type": "reasoning", "summary": [], "encrypted_content": "x"});
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgoAAAAN", "detail": "high"});
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "look"}, image]},
        sealed,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I do.", "annotations": []}]},
        {"role": "user", "content": "and the weather?"},
        call("a"), call("b"), output("a"), output("b"),
    ]);
    let format = json!({"type": "json_schema", "name": "N", "strict": true, "schema": {"type": "object"}});
    let body = json!({
        "model": "m", "instructions": "Be brief.", "input": input, "text": {"format": format, "verbosity": "low"},
        "reasoning": {"effort": "low"}, "temperature": 0.2, "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f", "parameters": null, "strict": null}],
    });
    let chat_call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let chat_image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAAN", "detail": "high"}});
    assert_eq!(
        in_chat(&body).unwrap(),
        json!({
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "look"}, chat_image]},
                {"role": "assistant", "content": "I do."},
                {"role": "user", "content": "and the weather?"},
                {"role": "assistant", "content": null, "tool_calls": [chat_call("a"), chat_call("b")]},
                {"role": "tool", "tool_call_id": "a", "content": "18C"},
                {"role": "tool", "tool_call_id": "b", "content": "18C"},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "temperature": 0.2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "N", "schema": {"type": "object"}, "strict": true}},
            "reasoning_effort": "low", "verbosity": "low", "stream": false,
        })
    );
}

#[test]
fn sealed_reasoning_that_the_model_goes_on_with_is_named() {
    let input = json!([
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]);
    assert_eq!(in_chat(&json!({"model": "m", "input": input})), Err("input.1".into()));
    let image = json!([{"type": "input_image", "image_url": "https://x/y"}]);
    let input = json!([
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": image},
    ]);
    assert_eq!(in_chat(&json!({"model": "m", "input": input})), Err("input.2".into()));
    assert_eq!(in_chat(&json!({"model": "m", "input": [{"type": "computer_call"}]})), Err("input.0".into()));
}

#[test]
fn what_cannot_be_said_is_named_by_its_place_in_the_clients_own_history() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let image = json!([{"type": "input_image", "image_url": "https://x/y"}]);
    let history = json!([
        {"role": "user", "content": "hi"}, call("a"), call("b"),
        {"type": "function_call_output", "call_id": "b", "output": image},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]);
    let body = json!({"model": "m", "instructions": "Be brief.", "input": history});
    assert_eq!(in_chat(&body), Err("input.3".into()), "instructions are no item, and two calls are two");
}

#[test]
fn what_only_the_provider_reads_is_of_its_kind_too() {
    let of = |members: &str| {
        let read = Responses.read(Bytes::from(format!(r#"{{"model":"m",{members}}}"#)), &HeaderMap::new());
        read.map(drop).map_err(|error| match error {
            RelayError::Invalid { param, .. } => param.unwrap_or_default(),
            other => panic!("{other}"),
        })
    };
    for (members, param) in [
        (r#""x":1"#, "input"),
        (r#""input":7"#, "input"),
        (r#""input":[]"#, "input"),
        (r#""input":["hi"]"#, "input.0"),
        (r#""input":[{"role":"king","content":"a"}]"#, "input.0"),
        (r#""input":[{"role":"user","content":7}]"#, "input.0"),
        (r#""input":[{"role":"user","content":[{"type":"input_image"}]}]"#, "input.0"),
        (r#""input":[{"role":"user","content":[{"type":"input_image","image_url":"a.png"}]}]"#, "input.0"),
        (
            r#""input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,aGVsbG8="}]}]"#,
            "input.0",
        ),
        (r#""input":[{"type":"function_call","call_id":"a","name":"f","arguments":{}}]"#, "input.0"),
        (r#""input":"a","instructions":7"#, "instructions"),
        (r#""input":"a","max_output_tokens":"many""#, "max_output_tokens"),
        (r#""input":"a","tools":[{"type":"function","name":7}]"#, "tools.0.name"),
        (r#""input":"a","tool_choice":7"#, "tool_choice"),
        (r#""input":"a","parallel_tool_calls":1"#, "parallel_tool_calls"),
        (r#""input":"a","include":[7]"#, "include"),
        (r#""input":"a","metadata":[]"#, "metadata"),
        (r#""input":"a","truncation":true"#, "truncation"),
        (r#""input":"a","reasoning":{"effort":7}"#, "reasoning.effort"),
        (r#""input":"a","text":{"format":7}"#, "text.format"),
        (r#""input":"a","store":true"#, "store"),
        (r#""input":"a","previous_response_id":"r""#, "previous_response_id"),
    ] {
        assert_eq!(of(members), Err(param.to_owned()), "{members}");
    }
    let kept = r#""input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1"}]}]"#;
    assert_eq!(of(kept), Ok(()), "what the provider keeps is its own to know");
}

#[test]
fn a_call_has_its_output_after_it_and_an_output_its_call_before_it() {
    let of = |items: &Value| {
        let body = json!({"model": "m", "input": items}).to_string();
        Responses.read(Bytes::from(body), &HeaderMap::new()).map(drop).map_err(|error| match error {
            RelayError::Invalid { code, param, .. } => (code, param.unwrap_or_default()),
            other => panic!("{other}"),
        })
    };
    let call = |kind: &str, id: &str| json!({"type": kind, "call_id": id, "name": "f", "arguments": "{}"});
    let output = |kind: &str, id: &str| json!({"type": kind, "call_id": id, "output": "x"});
    let (made, answered) = (call("function_call", "a"), output("function_call_output", "a"));
    assert_eq!(
        of(&json!([made, call("custom_tool_call", "b"), output("custom_tool_call_output", "b"), answered])),
        Ok(())
    );
    assert_eq!(of(&json!([{"type": "local_shell_call", "call_id": "a"}])), Ok(()), "the provider's own tool");
    for (items, path) in [
        (json!([answered]), "input.0"),
        (json!([answered, made]), "input.0"),
        (json!([{"role": "user", "content": "a"}, made]), "input.1"),
        (json!([made, output("function_call_output", "b")]), "input.1"),
        (json!([output("local_shell_call_output", "b")]), "input.0"),
    ] {
        assert_eq!(of(&items), Err(("invalid_input", path.to_owned())), "{items}");
    }
}

#[test]
fn a_history_that_other_dialects_cannot_say_is_named() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "x"});
    let said = json!({"role": "user", "content": "hi"});
    let sealed = json!({"type": "reasoning", "summary": [], "encrypted_content": "x"});
    let input = json!([said, call("a"), said, output("a")]);
    assert_eq!(in_chat(&json!({"model": "m", "input": input})), Err("input.1".into()));
    let chat = in_chat(&json!({"model": "m", "input": [call("a"), sealed, call("b"), output("b"), output("a"), said]}));
    let roles = |chat: Result<Value, String>| -> Vec<Value> {
        chat.unwrap()["messages"].as_array().unwrap().iter().map(|one| one["role"].clone()).collect()
    };
    assert_eq!(roles(chat), ["assistant", "tool", "tool", "user"]);
    // Some models go on speaking after a call.
    let after = json!({"role": "assistant", "content": "\n"});
    let body = json!({"model": "m", "input": [said, call("a"), after, output("a")]});
    assert_eq!(roles(in_chat(&body)), ["user", "assistant", "tool"]);
    let request = parse(&body);
    let messages = request.dialect_for(capability::MESSAGES).unwrap();
    let blocks: Value = serde_json::from_str(request.said_in(messages).unwrap().text()).unwrap();
    assert_eq!(
        blocks["messages"][1]["content"].as_array().unwrap().len(),
        1,
        "a text without words says nothing there"
    );
}

fn from_chat(chunks: &[Value]) -> Vec<Value> {
    let request = parse(&json!({"model": "m", "input": "hi", "stream": true, "metadata": {"a": "b"}}));
    testing::from_chat(&request, 5, chunks)
}

#[test]
fn a_stream_of_chat_becomes_items() {
    let call = |index: u32, id: Option<&str>, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if let Some(id) = id {
            call["id"] = id.into();
            call["function"]["name"] = "f".into();
        }
        chunk(json!({"tool_calls": [call]}), None)
    };
    let written = from_chat(&[
        chunk(json!({"reasoning": "hm"}), None),
        chunk(json!({"content": "I "}), None),
        chunk(json!({"content": "will."}), None),
        call(0, Some("a"), "{"),
        call(1, Some("b"), "[]"),
        call(0, None, "}"),
        chunk(json!({}), Some("tool_calls")),
        json!("[DONE]"),
    ]);
    let response = &written.last().unwrap()["response"];
    assert_eq!(
        (&response["id"], &response["created_at"], &response["metadata"]),
        (&json!("resp_c"), &json!(5), &json!({"a": "b"}))
    );
    let kinds: Vec<&Value> = response["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(response["output"][0]["summary"][0]["text"], "hm");
    assert_eq!(response["output"][1]["content"][0]["text"], "I will.");
    assert_eq!(
        (&response["output"][2]["arguments"], &response["output"][3]["arguments"]),
        (&json!("{}"), &json!("[]"))
    );
    let done: Vec<&Value> = written
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["output_index"])
        .collect();
    assert_eq!(done, [0, 1, 2, 3]);
    let cut = from_chat(&[chunk(json!({"content": "a"}), Some("length")), json!("[DONE]")]);
    let last = cut.last().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["incomplete_details"]["reason"]),
        (&json!("response.incomplete"), &json!("max_output_tokens"))
    );
}

#[test]
fn a_native_stream_ends_with_its_whole_response_and_counts_what_it_said() {
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, Box::<reader::ResponseReader>::default());
    let mut read = |json: Value| {
        let event = sse::Event { name: sse::Name::Usual, data: Bytes::from(json.to_string()) };
        transcript.event(&event).map(|(piece, content)| (matches!(piece, Piece::End(data) if data.len() == 1), content))
    };
    assert_eq!(read(json!({"type": "response.created", "response": {"id": "r"}})), Ok((false, false)));
    let item = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": ""});
    assert_eq!(read(json!({"type": "response.output_item.added", "output_index": 0, "item": item})), Ok((false, true)));
    assert_eq!(
        read(json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"})),
        Ok((false, true))
    );
    assert_eq!(read(json!({"type": "response.output_text.delta", "delta": 7})), Err(Fault::Malformed));
    let failed = json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}});
    let stated = Stated { status: Some(429), code: Some("rate_limit_exceeded".into()), ..Stated::default() };
    assert_eq!(read(failed), Err(Fault::Reported(Box::new(stated))));
    let usage = json!({
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
        "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3},
    });
    let response = json!({"status": "completed", "output": [item], "usage": usage});
    assert_eq!(read(json!({"type": "response.completed", "response": response})), Ok((true, true)));
    let counts = &transcript.counts;
    assert_eq!((counts.finish, counts.delivered.total().bytes), (Some(FinishReason::ToolCalls), 3));
    assert_eq!(
        counts.usage,
        Some(Usage { prompt: 5, cached: 1, cache_write: 2, cache_write_long: 0, completion: 7, reasoning: 3 })
    );
}

#[test]
fn what_was_written_to_a_cache_is_input_and_shown_apart() {
    let billed = Billed { cache_write: 3, cache_write_long: 4, ..billed(8, 2, 9, "0.5") };
    let shown: Value = serde_json::from_str(&writer::usage(None, &billed)).unwrap();
    assert_eq!(shown["input_tokens"], 17);
    assert_eq!(shown["total_tokens"], 26);
    assert_eq!(shown["input_tokens_details"], json!({"cached_tokens": 2, "cache_write_tokens": 7}));
}

#[test]
fn what_only_the_end_says_is_counted_once() {
    let arguments = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{1}"});
    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "abc"}]});
    let reasoning = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "de"}]});
    let done = |kind: &str, member: &str, text: &str| json!({"type": kind, "output_index": 0, member: text});
    let item =
        |place: u32, item: &Value| json!({"type": "response.output_item.done", "output_index": place, "item": item});
    for (name, events, output, bytes) in [
        ("a text in its end", vec![done("response.output_text.done", "text", "abc")], vec![&message], 3),
        (
            "a text in pieces and its end",
            vec![
                done("response.output_text.delta", "delta", "ab"),
                done("response.output_text.delta", "delta", "c"),
                done("response.output_text.done", "text", "abc"),
                item(0, &message),
            ],
            vec![&message],
            3,
        ),
        (
            "arguments in their end",
            vec![
                json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""}}),
                done("response.function_call_arguments.done", "arguments", "{1}"),
            ],
            vec![&arguments],
            4,
        ),
        ("an item in its end", vec![item(0, &reasoning), item(1, &arguments)], vec![&reasoning, &arguments], 6),
        ("all of it in the response", vec![], vec![&reasoning, &message, &arguments], 9),
        (
            "numbered otherwise at the end",
            vec![json!({"type": "response.output_text.delta", "output_index": 1, "delta": "abc"}), item(2, &arguments)],
            vec![&message, &arguments],
            7,
        ),
        (
            "places that are none",
            vec![
                json!({"type": "response.output_text.delta", "output_index": null, "content_index": -1, "delta": "abc"}),
                json!({"type": "response.output_text.done", "output_index": 0.0, "content_index": "0", "text": "abc"}),
            ],
            vec![&message],
            3,
        ),
    ] {
        let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, Box::<reader::ResponseReader>::default());
        let end = json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
        for json in events.iter().chain([&end]) {
            let event = sse::Event { name: sse::Name::Other, data: Bytes::from(json.to_string()) };
            transcript.event(&event).unwrap();
        }
        assert_eq!(transcript.counts.delivered.total().bytes, bytes, "{name}");
    }
}

/// What becomes of a stream that says `hi` and ends like this.
fn ended(last: &Value) -> Result<FinishReason, Fault> {
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, Box::<reader::ResponseReader>::default());
    let said = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hi"});
    for json in [&said, last] {
        let event = sse::Event { name: sse::Name::Other, data: Bytes::from(json.to_string()) };
        transcript.event(&event)?;
    }
    Ok(transcript.counts.finish.unwrap())
}

#[test]
fn an_answer_that_is_not_finished_does_not_end_as_one_that_is() {
    let end = |kind: &str, response: Value| json!({"type": format!("response.{kind}"), "response": response});
    let output = json!([]);
    for (last, wanted) in [
        (end("completed", json!({"status": "completed"})), Some(FinishReason::Stop)),
        (end("completed", json!({"status": "completed", "output": null})), Some(FinishReason::Stop)),
        (end("incomplete", json!({"status": "incomplete", "output": output})), Some(FinishReason::Length)),
        (end("completed", json!({"status": "incomplete", "output": output})), Some(FinishReason::Length)),
        (end("completed", json!({"status": "cancelled", "output": output})), None),
        (end("created", json!({"status": "failed", "error": {"code": "server_error"}})), None),
    ] {
        match (ended(&last), wanted) {
            (Ok(finish), Some(wanted)) => assert_eq!(finish, wanted, "{last}"),
            (Err(Fault::Reported(_)), None) => {}
            (came, _) => panic!("{last}: {came:?}"),
        }
    }
}

#[test]
fn members_that_say_nothing_to_a_model_shut_nobody_out() {
    let text = json!([{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}]);
    let body = json!({
        "model": "m", "input": [
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "summary": [], "encrypted_content": ""},
            {"type": "message", "role": "assistant", "id": "m", "status": "completed", "phase": "commentary", "content": text},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "created_by": "x", "caller": {"type": "direct"}},
            {"type": "function_call_output", "call_id": "c", "output": "y"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "defer_loading": false}],
    });
    assert_eq!(in_chat(&body).unwrap()["messages"][1]["content"], "x");
    let mut by_program = body;
    by_program["input"][3]["caller"] = json!({"type": "program"});
    assert_eq!(in_chat(&by_program), Err("input.3".into()));
}

#[test]
fn a_whole_answer_of_chat_becomes_a_response() {
    let request = parse(&json!({"model": "m", "input": "hi"}));
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(&Chat, 5, 7));
    let answer = json!({
        "id": "c", "model": "m", "choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}},
    });
    let (whole, content) = transcript.whole(Bytes::from(answer.to_string())).unwrap();
    assert!(content);
    let billed = billed(8, 0, 9, "0.5");
    let body = Responses.writer().whole(&whole, transcript.counts.stated_usage.as_deref(), &billed);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
    assert_eq!(
        body["usage"],
        json!({
            "output_tokens_details": {"reasoning_tokens": 4}, "input_tokens": 8, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 9, "total_tokens": 17, "cost": 0.5,
        })
    );
}

#[test]
fn each_field_that_is_read_must_be_of_its_kind() {
    let item = |item: Value| json!({"input": [{"role": "user", "content": "hi"}, item]});
    for (members, path) in [
        (json!({"tools": [5]}), "tools.0"),
        (json!({"text": []}), "text"),
        (json!({"text": {"format": 5}}), "text.format"),
        (json!({"reasoning": "x"}), "reasoning"),
        (json!({"reasoning": {"effort": 5}}), "reasoning.effort"),
        (json!({"reasoning": {"summary": 5}}), "reasoning.summary"),
        (json!({"text": {"verbosity": 5}}), "text.verbosity"),
        (json!({"text": {"format": {"type": 5}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "schema": "x"}}}), "text.format.schema"),
        (json!({"tools": [{"type": "function", "parameters": {}}]}), "tools.0.name"),
        (json!({"tools": [{"type": "function", "name": "f", "parameters": "x"}]}), "tools.0.parameters"),
        (item(json!({"type": "custom_tool_call", "name": "f", "input": "x"})), "input.1"),
        (json!({"temperature": "hot"}), "temperature"),
        (item(json!(5)), "input.1"),
        (item(json!({"role": "king", "content": "hi"})), "input.1"),
        (item(json!({"role": "user", "content": []})), "input.1"),
        (item(json!({"role": "user", "content": [{"type": "input_text"}]})), "input.1"),
    ] {
        let mut body = json!({"model": "m", "input": "hi"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let error = Responses.read(Bytes::from(body.to_string()), &HeaderMap::new()).unwrap_err();
        assert_eq!(error.param(), Some(path), "{members}");
    }
}

#[test]
fn groups_keep_their_descriptions_and_no_two_functions_share_a_name() {
    let function = |name: &str| json!({"type": "function", "name": name, "description": "Does.", "parameters": {}});
    let group = |name: &str, of: &str| json!({"type": "namespace", "name": name, "description": "All.", "tools": [function(of)]});
    let body = |tools: Value| json!({"model": "m", "input": "hi", "tools": tools});
    let said = in_chat(&body(json!([group("a", "b")]))).unwrap();
    let described = (&said["tools"][0]["function"]["name"], &said["tools"][0]["function"]["description"]);
    assert_eq!(described, (&json!("a__b"), &json!("All.\n\nDoes.")));
    for tools in [
        json!([function("a__b"), group("a", "b")]),
        json!([group("a", "b__c"), group("a__b", "c")]),
        json!([function("f"), group("a", &"x".repeat(62))]),
    ] {
        assert_eq!(in_chat(&body(tools)), Err("tools.1".into()));
    }
}

#[test]
fn a_search_that_is_left_out_is_told_unless_parameters_are_required() {
    let function = json!({"type": "function", "name": "f"});
    let with = |tools: Value, more: Value| {
        let mut body = json!({"model": "m", "input": "hi", "tools": tools});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse(&body)
    };
    let tools = || json!([function, {"type": "web_search"}]);
    let request = with(tools(), json!({}));
    let dialect = request.dialect_for(capability::CHAT).unwrap();
    assert_eq!(request.left_out(dialect), ["tools.1"]);
    assert!(request.left_out(&Responses).is_empty(), "its own dialect has a word for it");
    for request in [
        with(tools(), json!({"provider": {"require_parameters": true}})),
        with(tools(), json!({"tool_choice": "required"})),
    ] {
        assert_eq!(request.dialect_for(capability::CHAT).unwrap_err().field.as_deref(), Some("tools.1"));
    }
}
