//! Wrong input of every kind in every dialect: that dialect's own error names the field, no provider is asked, and nothing is
//! charged.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::offer;
use crate::relay::testing::world::World;
use serde_json::{Value, json};
use steam_protocol::units::Pico;

const NO_IMAGE: &str = "data:image/png;base64,bm8gaW1hZ2UgYXQgYWxs";

fn asks(part: Value) -> Value {
    json!([{"role": "user", "content": [part]}])
}

fn chat() -> Vec<(Value, &'static str)> {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "tool_calls": [call]});
    let said = json!({"role": "user", "content": "go on"});
    vec![
        (json!({"model": 7}), "model"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "king", "content": "hi"}]}), "messages.0.role"),
        (json!({"messages": [{"content": "hi"}]}), "messages.0.role"),
        (json!({"messages": [calls, said]}), "messages.0.tool_calls"),
        (json!({"messages": [said, {"role": "tool", "tool_call_id": "a", "content": "x"}]}), "messages.1.tool_call_id"),
        (
            json!({"messages": asks(json!({"type": "image_url", "image_url": {"url": NO_IMAGE}}))}),
            "messages.0.content.0",
        ),
        (
            json!({"messages": asks(json!({"type": "image_url", "image_url": {"url": "me.png"}}))}),
            "messages.0.content.0",
        ),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 5, "max_completion_tokens": 6}), "max_completion_tokens"),
        (json!({"maxTokens": 5}), "maxTokens"),
        (json!({"n": 99}), "n"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"tools": [{"type": "function", "function": {"name": 7}}]}), "tools.0.function.name"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        (json!({"response_format": {"type": "json_schema", "json_schema": 7}}), "response_format.json_schema"),
    ]
}

fn messages() -> Vec<(Value, &'static str)> {
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b", "content": "x"}]});
    let data = NO_IMAGE.rsplit(',').next();
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    vec![
        (json!({"model": 7}), "model"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [{"role": "king", "content": "hi"}]}), "messages.0.role"),
        (json!({"messages": [call, result]}), "messages.1.content"),
        (json!({"messages": [call, {"role": "user", "content": "go on"}]}), "messages.1.content"),
        (json!({"messages": [call]}), "messages"),
        (json!({"messages": asks(image)}), "messages.0.content.0"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"maxTokens": 5}), "maxTokens"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"tools": [{"name": 7}]}), "tools.0.name"),
        (json!({"tool_choice": "auto"}), "tool_choice"),
        (json!({"system": 7}), "system"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": "many"}}), "thinking.budget_tokens"),
    ]
}

fn responses() -> Vec<(Value, &'static str)> {
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "b", "output": "x"});
    vec![
        (json!({"model": 7}), "model"),
        (json!({"input": 7}), "input"),
        (json!({"input": [{"role": "king", "content": "hi"}]}), "input.0"),
        (json!({"input": [output]}), "input.0"),
        (json!({"input": [call]}), "input.0"),
        (json!({"input": asks(json!({"type": "input_image", "image_url": NO_IMAGE}))}), "input.0"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"maxOutputTokens": 5}), "maxOutputTokens"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"tools": [{"type": "function", "name": 7}]}), "tools.0.name"),
        (json!({"text": {"verbosity": 7}}), "text.verbosity"),
        (json!({"store": true}), "store"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
    ]
}

fn completions() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"model": 7}), "model"),
        (json!({"prompt": {}}), "prompt"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"n": 0}), "n"),
        (json!({"best_of": 3}), "best_of"),
        (json!({"bestOf": 3}), "bestOf"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stop": 7}), "stop"),
        (json!({"logprobs": "many"}), "logprobs"),
        (json!({"suffix": 7}), "suffix"),
    ]
}

fn embeddings() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"model": 7}), "model"),
        (json!({"input": [{}]}), "input"),
        (json!({"encoding_format": "hex"}), "encoding_format"),
        (json!({"dimensions": 0}), "dimensions"),
        (json!({"user": 7}), "user"),
        (json!({"stream": true}), "stream"),
    ]
}

#[tokio::test]
async fn wrong_input_is_named_in_the_clients_dialect_and_never_charged() {
    let provider = SimulatedProvider::start(Behaviour::instant(&["m"]), 1).await.unwrap();
    let world = World::new(vec![Offer { url: provider.url(), capabilities: u64::MAX, ..offer("all", 1) }]).await;
    let said = || json!([{"role": "user", "content": "hi"}]);
    let (chat_body, input) = (json!({"model": "m", "messages": said()}), json!({"model": "m", "input": "hi"}));
    let dialects = [
        ("/v1/chat/completions", chat_body, chat()),
        ("/v1/messages", json!({"model": "m", "max_tokens": 9, "messages": said()}), messages()),
        ("/v1/responses", input.clone(), responses()),
        ("/v1/completions", json!({"model": "m", "prompt": "hi"}), completions()),
        ("/v1/embeddings", input, embeddings()),
    ];
    for (path, right, wrong) in dialects {
        let malformed = [("[]".to_owned(), None), ("{".to_owned(), None)];
        let with = |(members, param): (Value, &'static str)| {
            let mut body = right.clone();
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            (body.to_string(), Some(param))
        };
        for (body, param) in malformed.into_iter().chain(wrong.into_iter().map(with)) {
            let answer = world.post_to(path, body.clone()).await;
            assert_eq!(answer.headers()["content-type"], "application/json", "{path} {body}");
            let (status, answer) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
            let error = &answer["error"];
            assert_eq!((status, &error["type"]), (400, &json!("invalid_request_error")), "{path} {body}: {answer}");
            assert_eq!(error["param"].as_str(), param, "{path} {body}: {answer}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{path} {body}");
            assert_eq!(answer["type"] == "error", path == "/v1/messages", "{path} {body}: {answer}");
        }
        assert_eq!(provider.stats().served, 0, "{path}");
        assert_eq!(world.settled_down().await, (Pico::ZERO, Pico::ZERO), "{path}");
    }
    let right = json!({"model": "m", "messages": said()}).to_string();
    assert_eq!(world.post_to("/v1/chat/completions", right).await.status(), 200, "what is right is served");
    let named = world.client.get(world.url("/v1/models/%FF")).send().await.unwrap();
    assert_eq!(
        (named.status().as_u16(), &named.json::<Value>().await.unwrap()["error"]["param"]),
        (400, &json!("path"))
    );
}
