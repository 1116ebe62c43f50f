//! The simulated provider as a client sees it.

use super::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MODEL: &str = "sim/small";

async fn provider(change: impl FnOnce(&mut Behaviour)) -> SimulatedProvider {
    let mut behaviour = Behaviour::instant(&[MODEL]);
    change(&mut behaviour);
    SimulatedProvider::start(behaviour, 1).await.expect("a port")
}

async fn post(provider: &SimulatedProvider, body: Value) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder().no_proxy().build().expect("client");
    client.post(format!("{}/chat/completions", provider.url())).json(&body).send().await
}

async fn whole(provider: &SimulatedProvider, mut body: Value) -> (u16, Value) {
    ask(&mut body);
    let response = post(provider, body).await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("json"))
}

async fn streamed(provider: &SimulatedProvider, mut body: Value) -> Vec<Value> {
    ask(&mut body);
    body["stream"] = json!(true);
    let text = post(provider, body).await.expect("an answer").text().await.expect("its end");
    let (chunks, end) = text.rsplit_once("data: [DONE]\n\n").expect("done");
    assert_eq!(end, "");
    chunks.split_terminator("\n\n").map(|e| serde_json::from_str(&e["data: ".len()..]).expect("json")).collect()
}

fn ask(body: &mut Value) {
    let defaults = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Say something." }] });
    for (name, value) in defaults.as_object().expect("object") {
        body.as_object_mut().expect("object").entry(name.clone()).or_insert(value.clone());
    }
}

fn text(chunks: &[Value], pointer: &str) -> (String, usize) {
    let parts: Vec<&str> = chunks.iter().filter_map(|c| c.pointer(pointer)?.as_str()).collect();
    (parts.concat(), parts.iter().filter(|part| !part.is_empty()).count())
}

#[tokio::test]
async fn counts_what_it_sends_whole_and_streamed() {
    let provider = provider(|b| b.output_tokens = 50).await;
    let (status, answer) = whole(&provider, json!({})).await;
    assert_eq!((status, &answer["system_fingerprint"]), (200, &json!("simulated")));
    let content = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(answer["usage"]["completion_tokens"], answer::pieces(content).count());
    let chunks = streamed(&provider, json!({ "stream_options": { "include_usage": true } })).await;
    let (content, tokens) = text(&chunks, "/choices/0/delta/content");
    let usage = chunks.last().expect("usage");
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(tokens)));
    assert!(tokens >= 50 && tokens <= content.len());
    assert_eq!(provider.stats().served, 2);
}

#[tokio::test]
async fn limits_cut_it_short() {
    let provider = provider(|_| {}).await;
    let (_, answer) = whole(&provider, json!({ "max_tokens": 5, "n": 2 })).await;
    assert_eq!(answer["choices"][1]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 10);
    let (_, answer) = whole(&provider, json!({ "stop": ["is simulated"] })).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "This answer ");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn calls_the_tool_it_is_given_and_then_answers() {
    let provider = provider(|_| {}).await;
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tools = json!([{ "type": "function", "function": { "name": "weather", "parameters": parameters } }]);
    let chunks = streamed(&provider, json!({ "tools": tools })).await;
    assert_eq!(chunks[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"], "weather");
    let (arguments, _) = text(&chunks, "/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("json"), json!({ "city": "simulated" }));
    assert_eq!(chunks.last().expect("end")["choices"][0]["finish_reason"], "tool_calls");
    let messages = json!([{ "role": "tool", "tool_call_id": "x", "content": "rain" }]);
    let (_, answer) = whole(&provider, json!({ "tools": tools, "messages": messages })).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn answers_in_json_when_asked() {
    let provider = provider(|_| {}).await;
    let (_, answer) = whole(&provider, json!({ "response_format": { "type": "json_object" } })).await;
    let content = answer["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(serde_json::from_str::<Value>(content).expect("json")["simulated"], true);
}

#[tokio::test]
async fn refuses_what_openai_refuses() {
    let provider = provider(|_| {}).await;
    let cases = [
        (json!({ "messages": [] }), 400, json!("messages")),
        (json!({ "messages": [{ "role": "king", "content": "x" }] }), 400, json!("messages")),
        (json!({ "messages": [{ "role": "user" }] }), 400, json!("messages")),
        (json!({ "temperature": 3 }), 400, json!("temperature")),
        (json!({ "temperature": "hot" }), 400, json!("temperature")),
        (json!({ "max_tokens": 0 }), 400, json!("max_tokens")),
        (json!({ "n": 0 }), 400, json!("n")),
        (json!({ "stream": 1 }), 400, json!("stream")),
        (json!({ "stream_options": {} }), 400, json!("stream_options")),
        (json!({ "stop": ["a", "b", "c", "d", "e"] }), 400, json!("stop")),
        (json!({ "tool_choice": "auto" }), 400, json!("tool_choice")),
        (json!({ "response_format": { "type": "xml" } }), 400, json!("response_format")),
        (json!({ "model": "gpt-x" }), 404, Value::Null),
    ];
    for (body, expected, param) in cases {
        let (status, answer) = whole(&provider, body.clone()).await;
        assert_eq!((status, &answer["error"]["param"]), (expected, &param), "{body}");
        assert!(answer["error"]["message"].is_string());
    }
    assert_eq!(provider.stats().requests, 0);
}

#[tokio::test]
async fn a_known_beginning_comes_from_the_cache() {
    let provider = provider(|b| b.cache_share = 0.5).await;
    let ask = || json!({ "messages": [{ "role": "user", "content": "word ".repeat(400) }] });
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("count");
    assert_eq!(cached(&whole(&provider, ask()).await.1), 0);
    let (_, again) = whole(&provider, ask()).await;
    let prompt = again["usage"]["prompt_tokens"].as_u64().expect("count");
    assert!(cached(&again) >= prompt / 2 - 16 && cached(&again) <= prompt / 2);
}

#[tokio::test]
async fn fails_as_told() {
    let provider = provider(|b| b.failure_rate = 1.0).await;
    assert_eq!(whole(&provider, json!({})).await.0, 500);
    provider.set(Behaviour { rate_limit_rate: 1.0, ..Behaviour::instant(&[MODEL]) });
    let mut body = json!({});
    ask(&mut body);
    let response = post(&provider, body.clone()).await.expect("an answer");
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"1".parse().expect("value")));
    provider.set(Behaviour { cut_rate: 1.0, ..Behaviour::instant(&[MODEL]) });
    body["stream"] = json!(true);
    assert!(post(&provider, body).await.expect("its head").text().await.is_err(), "the stream breaks off");
    let stats = provider.stats();
    assert_eq!((stats.failed, stats.rate_limited, stats.cut, stats.served), (1, 1, 1, 0));
}

#[tokio::test]
async fn dies_in_the_middle_and_comes_back() {
    let provider = provider(|b| (b.time_scale, b.tokens_per_second) = (1.0, 50.0)).await;
    let mut body = json!({ "stream": true });
    ask(&mut body);
    let head = post(&provider, body.clone()).await.expect("its head");
    tokio::time::sleep(Duration::from_millis(250)).await;
    provider.kill();
    assert!(head.text().await.is_err(), "the answer breaks off");
    assert!(post(&provider, body).await.is_err(), "nobody is there");
    provider.revive();
    assert_eq!(whole(&provider, json!({ "max_tokens": 1 })).await.0, 200);
}

#[tokio::test]
async fn takes_its_time() {
    let provider = provider(|b| {
        (b.time_scale, b.ttft, b.tokens_per_second, b.output_tokens) = (0.5, Duration::from_millis(200), 200.0, 40);
    })
    .await;
    let began = Instant::now();
    streamed(&provider, json!({ "max_tokens": 40 })).await;
    let took = began.elapsed().as_millis();
    assert!((195..600).contains(&took), "{took} ms");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answers() {
    let (a, b) = (provider(|_| {}).await, provider(|_| {}).await);
    let (a, b) = (whole(&a, json!({})).await.1, whole(&b, json!({})).await.1);
    assert_eq!((&a["choices"], &a["id"]), (&b["choices"], &b["id"]));
}
