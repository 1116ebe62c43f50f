//! Messages over real sockets: from a simulated provider that speaks them, and from one that speaks chat completions.

use crate::localnet::provider::{Behaviour, SimulatedProvider};
use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, answer};
use crate::relay::testing::offer;
use crate::relay::testing::world::{World, decode, receipt_key};
use serde_json::{Value, json};
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::sha256;
use steam_protocol::units::Pico;
use steam_router::state::capability;

const PATH: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";
const ABLE: u64 = capability::STREAMING | capability::TOOLS | capability::JSON_SCHEMA;

async fn world(dialects: u64) -> (World, SimulatedProvider) {
    let provider = SimulatedProvider::start(Behaviour::instant(&["m"]), 1).await.unwrap();
    let offer = Offer { url: provider.url(), capabilities: dialects | ABLE, ..offer("sim", 1) };
    (World::new(vec![offer]).await, provider)
}

fn ask(members: Value) -> String {
    let mut body = json!({"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "say hello"}]});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

async fn whole(world: &World, body: String) -> (Value, Receipt) {
    let response = world.post_to(PATH, body).await;
    assert_eq!(response.status(), 200);
    let receipt = decode(response.headers()["steam-receipt"].to_str().unwrap());
    let bytes = response.bytes().await.unwrap();
    let receipt = SignedReceipt::from_bytes(&receipt).unwrap().receipt;
    assert_eq!(receipt.response_hash, sha256(&[&bytes]));
    (serde_json::from_slice(&bytes).unwrap(), receipt)
}

/// The events of a stream, each named as its type says, and its receipt.
async fn streamed(world: &World, body: String) -> (Vec<Value>, Option<Receipt>, String) {
    let response = world.post_to(PATH, body).await;
    assert_eq!(response.status(), 200);
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    let mark = ": steam-receipt ";
    let receipt = text.find(mark).map(|place| {
        let signed = SignedReceipt::from_bytes(&decode(text[place + mark.len()..].lines().next().unwrap())).unwrap();
        signed.verify(&receipt_key()).unwrap();
        assert_eq!(signed.receipt.response_hash, sha256(&[&text.as_bytes()[..place]]));
        assert_eq!(
            text[place..].split_once("\n\n").unwrap().1,
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        );
        signed.receipt
    });
    let events = text.split("\n\n").filter(|event| event.starts_with("event: ")).map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{event}");
        data
    });
    (events.collect(), receipt, id)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_message_is_the_same_from_either_kind_of_provider() {
    for dialect in [capability::MESSAGES, capability::CHAT, 0] {
        let (world, provider) = world(dialect).await;
        let (message, receipt) = whole(&world, ask(json!({"system": "Be brief."}))).await;
        assert_eq!(
            (&message["type"], &message["role"], &message["stop_reason"]),
            (&json!("message"), &json!("assistant"), &json!("end_turn"))
        );
        let text = message["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("This answer is simulated"), "{text}");
        let usage = &message["usage"];
        assert_eq!(usage["output_tokens"], provider.stats().output_tokens);
        assert_eq!(
            (u64::from(receipt.usage.input), receipt.counted_by),
            (usage["input_tokens"].as_u64().unwrap(), CountedBy::Provider)
        );
        assert!(usage["cost"].as_f64().unwrap() > 0.0);

        let (events, receipt, id) = streamed(&world, ask(json!({"stream": true}))).await;
        assert_eq!(
            kinds(&events),
            [
                "message_start",
                "ping",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop"
            ]
        );
        let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
        assert!(text.starts_with("This answer is simulated"), "{text}");
        let (receipt, last) = (receipt.unwrap(), &events[events.len() - 2]);
        assert_eq!(
            (&last["delta"]["stop_reason"], &last["usage"]["output_tokens"]),
            (&json!("end_turn"), &json!(receipt.usage.output))
        );
        assert_eq!((receipt.counted_by, receipt.finish_reason), (CountedBy::Provider, FinishReason::Stop));
        let decision = world.decision(&id).await;
        let spoken = if dialect == capability::MESSAGES { "messages" } else { "chat" };
        assert_eq!(
            (&decision["dialect"], &decision["routes"][0]["candidates"][0]["dialect"]),
            (&json!("messages"), &json!(spoken))
        );
    }
}

#[tokio::test]
async fn tools_are_called_and_their_results_answered_over_several_turns() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([{"name": "weather", "input_schema": schema}]);
    for dialect in [capability::MESSAGES, capability::CHAT] {
        let (world, _provider) = world(dialect).await;
        let (message, receipt) = whole(&world, ask(json!({ "tools": tools }))).await;
        let call = &message["content"][0];
        assert_eq!(
            (&call["type"], &call["name"], &call["input"]),
            (&json!("tool_use"), &json!("weather"), &json!({"city": "simulated"}))
        );
        assert_eq!((&message["stop_reason"], receipt.finish_reason), (&json!("tool_use"), FinishReason::ToolCalls));
        let (events, ..) = streamed(&world, ask(json!({"tools": tools, "stream": true}))).await;
        let input: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"city": "simulated"}));
        let result = json!({"type": "tool_result", "tool_use_id": call["id"], "content": "rain", "is_error": true});
        let messages = json!([
            {"role": "user", "content": "weather?"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]},
        ]);
        let (message, _) = whole(&world, ask(json!({"tools": tools, "messages": messages}))).await;
        assert_eq!((&message["stop_reason"], &message["content"][0]["type"]), (&json!("end_turn"), &json!("text")));
    }
}

#[tokio::test]
async fn thoughts_keep_their_signature_and_are_billed_by_the_providers_count() {
    let (world, _provider) = world(capability::MESSAGES).await;
    let thinking = json!({"type": "enabled", "budget_tokens": 1_024});
    let (message, receipt) = whole(&world, ask(json!({ "thinking": thinking }))).await;
    assert_eq!(
        message["content"][0],
        json!({"type": "thinking", "thinking": "Simulated thoughts.", "signature": "c2ltdWxhdGVk"})
    );
    assert_eq!(receipt.counted_by, CountedBy::Provider);
    let (events, ..) = streamed(&world, ask(json!({"thinking": thinking, "stream": true}))).await;
    assert!(events.iter().any(|event| event["delta"]["signature"] == "c2ltdWxhdGVk"));
}

#[tokio::test]
async fn what_chat_has_no_word_for_is_a_400_that_names_the_field_unless_somebody_speaks_messages() {
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}});
    let (chat, chat_only) = world(capability::CHAT).await;
    let response = chat.post_to(PATH, ask(thinking.clone())).await;
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    let error = &body["error"];
    assert_eq!((&body["type"], &error["type"]), (&json!("error"), &json!("invalid_request_error")));
    assert_eq!(
        (&error["param"], &error["code"]),
        (&json!("thinking.budget_tokens"), &json!("untranslatable_parameter"))
    );
    assert_eq!((chat_only.stats().requests, chat.settled_down().await), (0, (Pico::ZERO, Pico::ZERO)));

    let messages = SimulatedProvider::start(Behaviour::instant(&["m"]), 2).await.unwrap();
    let speaks = Offer { url: messages.url(), capabilities: capability::MESSAGES | ABLE, ..offer("able", 2) };
    let other = Offer { url: chat_only.url(), capabilities: capability::CHAT | ABLE, ..offer("chat", 1) };
    let both = World::new(vec![other, speaks]).await;
    let members = json!({"stream": true, "thinking": thinking["thinking"]});
    let (_, _, id) = streamed(&both, ask(members)).await;
    let decision = both.decision(&id).await;
    let reason = decision["routes"][0]["excluded"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "speaks /v1/chat/completions, which has no word for `thinking.budget_tokens`");
    assert_eq!((chat_only.stats().requests, messages.stats().served), (0, 1));
}

#[tokio::test]
async fn wrong_requests_and_refusals_have_the_form_of_this_api() {
    let (world, provider) = world(capability::CHAT).await;
    for (body, status, kind, param) in [
        ("{".to_owned(), 400, "invalid_request_error", Value::Null),
        (ask(json!({"max_tokens": 0})), 400, "invalid_request_error", json!("max_tokens")),
        (
            ask(json!({"messages": [{"role": "king", "content": "x"}]})),
            400,
            "invalid_request_error",
            json!("messages.0.role"),
        ),
        (ask(json!({"model": "nobody"})), 404, "not_found_error", json!("model")),
    ] {
        let response = world.post_to(PATH, body.clone()).await;
        assert_eq!(response.status(), status, "{body}");
        let wrong: Value = response.json().await.unwrap();
        assert_eq!(
            (&wrong["type"], &wrong["error"]["type"], &wrong["error"]["param"]),
            (&json!("error"), &json!(kind), &param),
            "{body}"
        );
    }
    assert_eq!(provider.stats().requests, 0);
    let refusing =
        Mock::new("strict", answer("400 Bad Request", r#"{"error":{"message":"the prompt is too long","code":"x"}}"#))
            .await;
    let refused = World::new(vec![Offer { capabilities: capability::CHAT, ..refusing.offer(1) }]).await;
    let response = refused.post_to(PATH, ask(json!({}))).await;
    assert_eq!(response.status(), 400);
    let wrong: Value = response.json().await.unwrap();
    assert_eq!((&wrong["type"], &wrong["error"]["message"]), (&json!("error"), &json!("the prompt is too long")));
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_of_this_api_and_a_receipt() {
    for dialect in [capability::MESSAGES, capability::CHAT] {
        let (world, provider) = world(dialect).await;
        provider.set(Behaviour { cut_rate: 1.0, ..Behaviour::instant(&["m"]) });
        let response = world.post_to(PATH, ask(json!({"stream": true}))).await;
        let text = response.text().await.unwrap();
        let error = text.split("\n\n").find(|event| event.starts_with("event: error\n")).unwrap();
        assert!(error.contains(r#"{"type":"error","error":{"type":"api_error","#), "{error}");
        assert!(text.contains(": steam-receipt ") && !text.contains("message_stop"), "{text}");
    }
}

#[tokio::test]
async fn the_key_comes_in_either_header_and_the_version_reaches_the_provider() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 1},
    });
    let mock = Mock::new("mock", answer("200 OK", &body.to_string())).await;
    let world = World::new(vec![Offer { capabilities: capability::MESSAGES, ..mock.offer(1) }]).await;
    let post = |key: Option<String>| {
        let request =
            world.client.post(world.url(&format!("{PATH}?beta=true"))).header("content-type", "application/json");
        let request =
            request.header("anthropic-version", "2026-10-21").header("anthropic-beta", "a,b").body(ask(json!({})));
        match key {
            Some(key) => request.header("x-api-key", key).send(),
            None => request.send(),
        }
    };
    assert_eq!(post(Some(world.key().reveal().to_string())).await.unwrap().status(), 200);
    let (head, _) = mock.requests.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/messages HTTP/1.1"), "{head}");
    assert!(head.contains("anthropic-version: 2026-10-21") && head.contains("anthropic-beta: a,b"), "{head}");
    assert!(!head.contains(&*world.key().reveal()), "the client's key stays here");
    let wrong: Value = post(Some("sk-steam-x".into())).await.unwrap().json().await.unwrap();
    assert_eq!(wrong["error"]["type"], "authentication_error");
    assert_eq!(post(None).await.unwrap().status(), 401);
}

#[tokio::test]
async fn tokens_are_counted_without_a_charge() {
    let (world, provider) = world(capability::CHAT).await;
    let count = |text: String| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": text}], "tools": []});
        world.post_to(COUNT, body.to_string())
    };
    let tokens =
        async |text: String| count(text).await.json::<Value>().await.unwrap()["input_tokens"].as_u64().unwrap();
    let (short, long) = (tokens("foo".into()).await, tokens("word ".repeat(400)).await);
    assert!(short > 0 && long > short + 400, "{short} {long}");
    assert_eq!((provider.stats().requests, world.settled_down().await), (0, (Pico::ZERO, Pico::ZERO)));
    let unknown = world.post_to(COUNT, r#"{"model":"nobody","messages":[{"role":"user","content":"a"}]}"#).await;
    assert_eq!(unknown.status(), 404);
    let wrong: Value = world.post_to(COUNT, r#"{"model":"m"}"#).await.json().await.unwrap();
    assert_eq!((&wrong["type"], &wrong["error"]["param"]), (&json!("error"), &json!("messages")));
}

#[tokio::test]
async fn a_client_of_chat_is_served_by_a_provider_of_messages() {
    use crate::relay::testing::world::Streamed;
    let (world, provider) = world(capability::MESSAGES).await;
    let response = world.chat(json!({"max_tokens": 200})).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("stop"))
    );
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().starts_with("This answer is simulated"));
    assert_eq!(answer["usage"]["completion_tokens"], provider.stats().output_tokens);

    let options = json!({"include_usage": true});
    let stream = Streamed::read(world.chat(json!({"stream": true, "stream_options": options})).await).await;
    assert!(stream.done && stream.text().starts_with("This answer is simulated"));
    let finishes = stream.events.iter().filter(|event| event["choices"][0]["finish_reason"] == "stop").count();
    let receipt = stream.receipt.unwrap().receipt;
    assert_eq!((finishes, receipt.counted_by), (1, CountedBy::Provider));
    assert_eq!(stream.events.last().unwrap()["usage"]["completion_tokens"], receipt.usage.output);

    let function =
        json!({"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let tools = json!([{"type": "function", "function": function}]);
    let stream = Streamed::read(world.chat(json!({"stream": true, "tools": tools})).await).await;
    let pieces = stream.events.iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]);
    let arguments: String = pieces.filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"city": "simulated"}));

    let served = provider.stats().requests;
    for (member, field) in
        [(json!({"seed": 1}), "seed"), (json!({"temperature": 1.5}), "temperature"), (json!({"n": 2}), "n")]
    {
        let response = world.chat(member).await;
        assert_eq!(response.status(), 400);
        let wrong: Value = response.json().await.unwrap();
        assert_eq!(
            (&wrong["error"]["param"], &wrong["error"]["code"]),
            (&json!(field), &json!("untranslatable_parameter"))
        );
    }
    assert_eq!(provider.stats().requests, served);
}
