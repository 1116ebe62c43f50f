//! Responses over real sockets: from a provider that speaks them, and from simulated ones that speak other APIs.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, answer, stream};
use crate::relay::testing::offer;
use crate::relay::testing::world::{World, decode, error};
use serde_json::{Value, json};
use steam_protocol::receipt::{CountedBy, Receipt, SignedReceipt};
use steam_protocol::sha256;
use steam_protocol::units::Pico;
use steam_router::state::capability;

const PATH: &str = "/v1/responses";
const ABLE: u64 = capability::STREAMING | capability::TOOLS | capability::JSON_SCHEMA | capability::VISION;

async fn world(dialects: u64) -> (World, SimulatedProvider) {
    let provider = SimulatedProvider::start(Behaviour::instant(&["m"]), 1).await.unwrap();
    let offer = Offer { url: provider.url(), capabilities: dialects | ABLE, ..offer("sim", 1) };
    (World::new(vec![offer]).await, provider)
}

/// The events of a stream, each named as its type says, and its receipt.
async fn streamed(world: &World, body: Value) -> (Vec<Value>, Receipt) {
    let response = world.post_to(PATH, body.to_string()).await;
    assert_eq!(response.status(), 200, "{body}");
    let text = response.text().await.unwrap();
    let mark = ": steam-receipt ";
    let place = text.find(mark).unwrap();
    let receipt =
        SignedReceipt::from_bytes(&decode(text[place + mark.len()..].lines().next().unwrap())).unwrap().receipt;
    assert_eq!(receipt.response_hash, sha256(&[&text.as_bytes()[..place]]));
    let events = text.split("\n\n").filter(|event| event.starts_with("event: ")).map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{event}");
        data
    });
    (events.collect(), receipt)
}

#[tokio::test]
async fn a_response_is_made_of_what_other_apis_answer() {
    for dialect in [capability::CHAT, capability::MESSAGES] {
        let (world, _provider) = world(dialect).await;
        let ask = json!({"model": "m", "instructions": "Be brief.", "input": "say hello", "store": false, "max_output_tokens": 200});
        let response = world.post_to(PATH, ask.to_string()).await;
        assert_eq!(response.status(), 200);
        let whole: Value = response.json().await.unwrap();
        assert_eq!(
            (&whole["object"], &whole["status"], &whole["instructions"]),
            (&json!("response"), &json!("completed"), &json!("Be brief."))
        );
        assert!(whole["output"][0]["content"][0]["text"].as_str().unwrap().starts_with("This answer is simulated"));
        assert!(whole["usage"]["cost"].as_f64().unwrap() > 0.0);

        let (events, receipt) =
            streamed(&world, json!({"model": "m", "input": "say hello", "stream": true, "max_output_tokens": 200}))
                .await;
        let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.completed",
            ]
        );
        assert!(events.iter().zip(0..).all(|(event, number)| event["sequence_number"] == number), "numbered from 0");
        let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
        let last = &events.last().unwrap()["response"];
        assert_eq!(last["output"][0]["content"][0]["text"], text);
        assert_eq!(
            (&last["usage"]["output_tokens"], receipt.counted_by),
            (&json!(receipt.usage.output), CountedBy::Provider)
        );
    }
}

#[tokio::test]
async fn an_agent_calls_functions_of_groups_over_several_turns() {
    let (world, _provider) = world(capability::CHAT).await;
    let function = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"cmd": {"type": "string"}}});
        json!({"type": "function", "name": name, "description": "d", "strict": false, "parameters": parameters})
    };
    let group = json!({"type": "namespace", "name": "agents", "description": "d", "tools": [function("wait")]});
    let ask = |input: Value| {
        json!({
            "model": "m", "stream": true, "input": input, "tools": [group, function("run"), {"type": "web_search", "external_web_access": true}],
            "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false,
            "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": {"a": "b"},
        })
    };
    let message = |role: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]});
    let history = [message("developer", "rules"), message("user", "context"), message("user", "run it")];
    let (events, receipt) = streamed(&world, ask(json!(history))).await;
    let done = events.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    let call = &done["item"];
    assert_eq!(
        (&call["type"], &call["name"], &call["namespace"]),
        (&json!("function_call"), &json!("wait"), &json!("agents"))
    );
    assert_eq!(call["arguments"], r#"{"cmd":"simulated"}"#);
    assert_eq!(receipt.counted_by, CountedBy::Provider);
    let mut history = history.to_vec();
    history.push(json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": null, "encrypted_content": null}));
    history.push(call.clone());
    history.push(json!({"type": "function_call_output", "call_id": call["call_id"], "output": "done"}));
    let (events, _) = streamed(&world, ask(json!(history))).await;
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["status"], &last["output"][0]["type"]), (&json!("completed"), &json!("message")));
}

#[tokio::test]
async fn a_provider_of_responses_is_asked_as_the_client_asks_and_keeps_nothing() {
    let output = json!([{"type": "message", "content": [{"type": "output_text", "text": "hello"}]}]);
    let usage = json!({"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}, "total_tokens": 11});
    let whole = json!({"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": output, "usage": usage, "z": 1.50});
    let mock = Mock::new("mock", answer("200 OK", &whole.to_string())).await;
    let native = World::new(vec![Offer { capabilities: capability::RESPONSES, ..mock.offer(1) }]).await;
    let response = native.post_to(PATH, r#"{"model":"m","input":"a b c d e f","x":[1.50]}"#).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["usage"]["input_tokens"], &body["usage"]["input_tokens_details"]["cached_tokens"]),
        (&json!(9), &json!(4))
    );
    let (head, sent) = mock.requests.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/responses "), "{head}");
    assert_eq!(sent, r#"{"model":"m","input":"a b c d e f","x":[1.50],"store":false,"max_output_tokens":4096}"#);

    let created = json!({"type": "response.created", "response": {"id": "resp_1", "model": "m"}});
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hello"});
    let completed = json!({"type": "response.completed", "response": whole});
    let events = [created.to_string(), delta.to_string(), completed.to_string()];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let mock = Mock::new("mock", stream(&events)).await;
    let capabilities = capability::RESPONSES | capability::STREAMING;
    let native = World::new(vec![Offer { capabilities, ..mock.offer(1) }]).await;
    let (events, receipt) = streamed(&native, json!({"model": "m", "input": "a b c d e f", "stream": true})).await;
    assert_eq!((&events[0], &events[1]), (&created, &delta));
    assert_eq!(events[2]["response"]["usage"]["output_tokens"], 2);
    assert_eq!((receipt.usage.input, receipt.usage.cached, receipt.usage.output), (5, 4, 2));
}

/// An answer of a provider of responses: reasoning, a text and a call.
fn calling() -> Value {
    json!({
        "id": "resp_1", "object": "response", "model": "m", "status": "completed",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
            {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}"},
        ],
        "usage": {"input_tokens": 9, "output_tokens": 6, "input_tokens_details": {"cached_tokens": 4}, "total_tokens": 15},
    })
}

#[tokio::test]
async fn clients_of_other_apis_are_served_by_a_provider_of_responses() {
    let whole = calling();
    let created = json!({"type": "response.created", "response": {"id": "resp_1", "model": "m"}}).to_string();
    let completed = json!({"type": "response.completed", "response": whole}).to_string();
    let function = json!({"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}});
    let turns = json!([
        {"role": "user", "content": "do it"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]);
    let chat = json!({
        "model": "m", "max_tokens": 50, "messages": turns, "tools": [{"type": "function", "function": function}],
    });
    for streamed in [false, true] {
        let answers = if streamed { stream(&[&created, &completed]) } else { answer("200 OK", &whole.to_string()) };
        let mock = Mock::new("mock", answers).await;
        let world = World::new(vec![Offer { capabilities: capability::RESPONSES | ABLE, ..mock.offer(1) }]).await;
        let mut ask = chat.clone();
        (ask["stream"], ask["stream_options"]) =
            (streamed.into(), if streamed { json!({"include_usage": true}) } else { Value::Null });
        let response = world.post_to("/v1/chat/completions", ask.to_string()).await;
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        let (message, usage) = if streamed { joined(&text) } else { message_of(&text) };
        assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("hello"), &json!("hm")), "{text}");
        let call = &message["tool_calls"][0];
        assert_eq!((&call["id"], &call["function"]["name"]), (&json!("call_1"), &json!("f")), "{text}");
        assert_eq!(call["function"]["arguments"], json!("{\"a\":1}"), "{text}");
        assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(9), &json!(6)), "{text}");
        let (head, sent) = mock.requests.lock().unwrap()[0].clone();
        assert!(head.starts_with("POST /v1/responses "), "{head}");
        let sent: Value = serde_json::from_str(&sent).unwrap();
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let returned = json!({"type": "function_call_output", "call_id": "c", "output": "done"});
        assert_eq!((&sent["input"][1], &sent["input"][2]), (&call, &returned));
        assert_eq!((&sent["tools"][0]["name"], &sent["tools"][0]["strict"]), (&json!("f"), &json!(false)));
        assert_eq!((&sent["store"], &sent["max_output_tokens"]), (&json!(false), &json!(50)));
        assert_ne!(world.settled_down().await.1, Pico::ZERO, "it is charged");
    }
}

/// The message and the usage of a whole chat completion.
fn message_of(text: &str) -> (Value, Value) {
    let whole: Value = serde_json::from_str(text).unwrap();
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls", "{text}");
    (whole["choices"][0]["message"].clone(), whole["usage"].clone())
}

/// The message and the usage of a streamed one.
fn joined(text: &str) -> (Value, Value) {
    let (mut content, mut reasoning, mut usage, mut ends) = (String::new(), String::new(), Value::Null, 0);
    let mut call = json!({"function": {"arguments": ""}});
    let chunks = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    for chunk in chunks.map(|data| serde_json::from_str::<Value>(data).unwrap()) {
        let choice = &chunk["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        reasoning.push_str(choice["delta"]["reasoning_content"].as_str().unwrap_or_default());
        let said = &choice["delta"]["tool_calls"][0];
        if said["id"].is_string() {
            (call["id"], call["function"]["name"]) = (said["id"].clone(), said["function"]["name"].clone());
        }
        let arguments =
            format!("{}{}", text_of(&call["function"]["arguments"]), text_of(&said["function"]["arguments"]));
        call["function"]["arguments"] = arguments.into();
        ends += usize::from(choice["finish_reason"] == "tool_calls");
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
    }
    assert_eq!(ends, 1, "{text}");
    (json!({"content": content, "reasoning_content": reasoning, "tool_calls": [call]}), usage)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_a_provider_of_responses_has_no_word_for_is_named() {
    let mock = Mock::new("mock", answer("200 OK", &calling().to_string())).await;
    let world = World::new(vec![Offer { capabilities: capability::RESPONSES | ABLE, ..mock.offer(1) }]).await;
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": ["x"]});
    let (status, wrong) = error(world.post_to("/v1/chat/completions", ask.to_string()).await).await;
    assert_eq!((status, &wrong["param"]), (400, &json!("stop")), "{wrong}");
    assert!(mock.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_needs_kept_answers_or_cannot_be_said_is_a_400_that_names_the_field() {
    let (world, provider) = world(capability::CHAT).await;
    for (members, param) in [
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": "c"}), "conversation"),
        (json!({"store": true}), "store"),
        (json!({"background": true}), "background"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input.0"),
        (json!({"input": [{"role": "king", "content": "x"}]}), "input.0"),
        (json!({"tools": {}}), "tools"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"tools": [{"type": "web_search"}]}), "tools.0"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"reasoning": {"summary": "detailed"}}), "reasoning.summary"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
    ] {
        let mut body = json!({"model": "m", "input": "hi"});
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (status, wrong) = error(world.post_to(PATH, body.to_string()).await).await;
        assert_eq!((status, &wrong["param"]), (400, &json!(param)), "{members}");
    }
    assert_eq!((provider.stats().requests, world.settled_down().await), (0, (Pico::ZERO, Pico::ZERO)));
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_a_failed_response() {
    let (world, provider) = world(capability::CHAT).await;
    provider.set(Behaviour { cut_rate: 1.0, ..Behaviour::instant(&["m"]) });
    let (events, _) = streamed(&world, json!({"model": "m", "input": "hi", "stream": true})).await;
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert!(last["response"]["error"]["message"].is_string());
}
