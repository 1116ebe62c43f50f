//! There and back: a conversation that is said in another dialect is the same conversation, and so is the answer to it, whole or
//! in a stream; or there is a field that the other dialect has no word for, and it is named.

use super::*;
use crate::relay::dialect::chat::Chat;
use crate::relay::dialect::conversation::{Part, Role, ToolChoice};
use crate::relay::dialect::messages::Messages;
use crate::relay::dialect::responses::Responses;
use crate::relay::dialect::{Billed, Dialect};
use crate::relay::transcript::Transcript;
use crate::tokens::Counting;
use axum::http::HeaderMap;
use bytes::BytesMut;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Every pair of a client's dialect and a provider's other one.
const PAIRS: [(&dyn Dialect, &dyn Dialect); 6] = [
    (&Chat, &Messages),
    (&Chat, &Responses),
    (&Messages, &Chat),
    (&Messages, &Responses),
    (&Responses, &Chat),
    (&Responses, &Messages),
];

fn read(dialect: &dyn Dialect, body: &Value) -> Request {
    dialect.read(Bytes::from(body.to_string()), &HeaderMap::new()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// What is said in a conversation, in order: who says it, and what. Texts without words say nothing.
fn lines(conversation: &Conversation) -> Vec<(Role, Part)> {
    let parts = conversation.turns.iter().flat_map(|turn| turn.parts().map(|part| (turn.role, part.clone())));
    let says = |part: &Part| !matches!(part, Part::Text(text) if text.trim().is_empty());
    let parts = parts.map(|(role, part)| match part {
        Part::Result { id, content, failed } => {
            (role, Part::Result { id, content: content.into_iter().filter(says).collect(), failed })
        }
        // Arguments are JSON: their spaces say nothing.
        Part::Call { id, name, arguments } => {
            let arguments: Value = serde_json::from_str(&arguments).unwrap();
            (role, Part::Call { id, name, arguments: arguments.to_string() })
        }
        part => (role, part),
    });
    parts.filter(|(_, part)| says(part)).collect()
}

/// A turn of a generated conversation.
#[derive(Clone, Debug)]
enum Said {
    User(String, bool),
    Assistant(String),
    /// Calls at once, by their arguments, each with what it returned.
    Calls(Vec<(Value, String)>),
}

#[derive(Clone, Debug)]
struct Talk {
    system: Option<String>,
    turns: Vec<Said>,
    last: String,
    tools: bool,
    choice: u8,
    one_call: bool,
    temperature: Option<f64>,
    stop: Vec<String>,
    schema: bool,
    effort: Option<&'static str>,
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é\"\\\\\n{}<>😀 ]{0,12}"
}

fn arguments() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(
        "[a-z]{1,3}",
        prop_oneof![
            text().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ],
        0..3,
    )
    .prop_map(|members| json!(members))
}

prop_compose! {
    fn talks()(
        system in proptest::option::of(text()),
        turns in proptest::collection::vec(prop_oneof![
            (text(), any::<bool>()).prop_map(|(text, image)| Said::User(text, image)),
            text().prop_map(Said::Assistant),
            proptest::collection::vec((arguments(), text()), 1..3).prop_map(Said::Calls),
        ], 0..5),
        last in "[a-z]{1,8}",
        (tools, choice, one_call) in (any::<bool>(), 0..4u8, any::<bool>()),
        temperature in proptest::option::of(0.0..2.0f64),
        stop in prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec("[a-z]{1,3}", 1..6)],
        schema in any::<bool>(),
        effort in proptest::option::of(prop_oneof![Just("low"), Just("medium")]),
    ) -> Talk {
        Talk { system, turns, last, tools, choice, one_call, temperature, stop, schema, effort }
    }
}

const IMAGE: &str = "data:image/png;base64,iVBORw0KGgoAAAAN";

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}})
}

/// The talk as a chat request.
fn in_chat(talk: &Talk) -> Value {
    let mut messages = Vec::new();
    messages.extend(talk.system.iter().map(|text| json!({"role": "system", "content": text})));
    for (place, said) in talk.turns.iter().enumerate() {
        match said {
            Said::User(text, false) => messages.push(json!({"role": "user", "content": text})),
            Said::User(text, true) => {
                let image = json!({"type": "image_url", "image_url": {"url": IMAGE}});
                messages.push(json!({"role": "user", "content": [image, {"type": "text", "text": text}]}));
            }
            Said::Assistant(text) => messages.push(json!({"role": "assistant", "content": text})),
            Said::Calls(calls) => {
                let id = |call: usize| format!("call_{place}_{call}");
                let said = calls.iter().enumerate().map(|(call, (arguments, _))| {
                    let function = json!({"name": "f", "arguments": arguments.to_string()});
                    json!({"id": id(call), "type": "function", "function": function})
                });
                messages.push(json!({"role": "assistant", "content": null, "tool_calls": said.collect::<Vec<_>>()}));
                for (call, (_, returned)) in calls.iter().enumerate() {
                    messages.push(json!({"role": "tool", "tool_call_id": id(call), "content": returned}));
                }
            }
        }
    }
    messages.push(json!({"role": "user", "content": talk.last}));
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": messages, "temperature": talk.temperature});
    if talk.tools {
        let choices =
            [json!("auto"), json!("none"), json!("required"), json!({"type": "function", "function": {"name": "f"}})];
        body["tools"] =
            json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema()}}]);
        body["tool_choice"] = choices[usize::from(talk.choice)].clone();
        body["parallel_tool_calls"] = (!talk.one_call).into();
    }
    if !talk.stop.is_empty() {
        body["stop"] = json!(talk.stop);
    }
    if talk.schema {
        body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema()}});
    }
    if let Some(effort) = talk.effort {
        body["reasoning_effort"] = effort.into();
    }
    body
}

/// The talk as a request for a response.
fn in_responses(talk: &Talk) -> Value {
    let mut input = Vec::new();
    for (place, said) in talk.turns.iter().enumerate() {
        match said {
            Said::User(text, image) => {
                let mut parts = vec![json!({"type": "input_text", "text": text})];
                if *image {
                    parts.push(json!({"type": "input_image", "image_url": IMAGE}));
                }
                input.push(json!({"role": "user", "content": parts}));
            }
            Said::Assistant(text) => {
                let parts = [json!({"type": "output_text", "text": text})];
                input.push(json!({"type": "message", "role": "assistant", "content": parts}));
            }
            Said::Calls(calls) => {
                let id = |call: usize| format!("call_{place}_{call}");
                for (call, (arguments, _)) in calls.iter().enumerate() {
                    let arguments = arguments.to_string();
                    input.push(
                        json!({"type": "function_call", "call_id": id(call), "name": "f", "arguments": arguments}),
                    );
                }
                for (call, (_, returned)) in calls.iter().enumerate() {
                    input.push(json!({"type": "function_call_output", "call_id": id(call), "output": returned}));
                }
            }
        }
    }
    input.push(json!({"role": "user", "content": talk.last}));
    let mut body = json!({"model": "m", "input": input, "temperature": talk.temperature, "instructions": talk.system});
    if talk.tools {
        let choices = [json!("auto"), json!("none"), json!("required"), json!({"type": "function", "name": "f"})];
        body["tools"] = json!([{"type": "function", "name": "f", "description": "d", "parameters": schema()}]);
        body["tool_choice"] = choices[usize::from(talk.choice)].clone();
        body["parallel_tool_calls"] = (!talk.one_call).into();
    }
    if talk.schema {
        body["text"] = json!({"format": {"type": "json_schema", "name": "n", "schema": schema()}});
    }
    if let Some(effort) = talk.effort {
        body["reasoning"] = json!({"effort": effort});
    }
    body
}

/// The talk as a request for messages.
fn in_messages(talk: &Talk) -> Value {
    let mut messages = Vec::new();
    for (place, said) in talk.turns.iter().enumerate() {
        let text = |text: &str| json!({"type": "text", "text": text});
        match said {
            Said::User(words, image) => {
                let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"});
                let mut blocks = vec![text(words)];
                if *image {
                    blocks.push(json!({"type": "image", "source": source}));
                }
                messages.push(json!({"role": "user", "content": blocks}));
            }
            Said::Assistant(words) => messages.push(json!({"role": "assistant", "content": [text(words)]})),
            Said::Calls(calls) => {
                let id = |call: usize| format!("call_{place}_{call}");
                let said = calls.iter().enumerate().map(|(call, (arguments, _))| {
                    json!({"type": "tool_use", "id": id(call), "name": "f", "input": arguments})
                });
                messages.push(json!({"role": "assistant", "content": said.collect::<Vec<_>>()}));
                let results = calls.iter().enumerate().map(|(call, (_, returned))| {
                    json!({"type": "tool_result", "tool_use_id": id(call), "content": returned})
                });
                messages.push(json!({"role": "user", "content": results.collect::<Vec<_>>()}));
            }
        }
    }
    messages.push(json!({"role": "user", "content": talk.last}));
    let mut body = json!({
        "model": "m", "max_tokens": 9, "messages": messages, "system": talk.system,
        "temperature": talk.temperature.map(|temperature| temperature / 2.0),
    });
    if talk.tools {
        let choices = ["auto", "none", "any", "tool"].map(|kind| json!({"type": kind}));
        let mut choice = choices[usize::from(talk.choice)].clone();
        if talk.choice == 3 {
            choice["name"] = "f".into();
        }
        if talk.one_call && talk.choice != 1 {
            choice["disable_parallel_tool_use"] = true.into();
        }
        body["tools"] = json!([{"name": "f", "description": "d", "input_schema": schema()}]);
        body["tool_choice"] = choice;
    }
    let mut config = json!({});
    if talk.schema {
        config["format"] = json!({"type": "json_schema", "schema": schema()});
    }
    if let Some(effort) = talk.effort {
        config["effort"] = effort.into();
    }
    if config != json!({}) {
        body["output_config"] = config;
    }
    body
}

fn body_in(dialect: &dyn Dialect, talk: &Talk) -> Value {
    match dialect.name() {
        "chat" => in_chat(talk),
        "messages" => in_messages(talk),
        _ => in_responses(talk),
    }
}

/// An answer as it was meant.
#[derive(Clone, Debug)]
struct Meant {
    reasoning: String,
    text: String,
    calls: Vec<Value>,
    finish: FinishReason,
    usage: Usage,
    /// Bytes of each piece of a stream.
    piece: usize,
}

prop_compose! {
    fn answers()(
        reasoning in text(), text in text(), calls in proptest::collection::vec(arguments(), 0..3),
        finish in prop_oneof![Just(FinishReason::Stop), Just(FinishReason::Length), Just(FinishReason::ContentFilter)],
        (prompt, cached, completion) in (1..1_000u64, 0..1_000u64, 1..1_000u64), piece in 1..6usize,
    ) -> Meant {
        let usage = Usage { prompt, cached: cached.min(prompt), completion, ..Usage::default() };
        let finish = if calls.is_empty() || finish == FinishReason::Length { finish } else { FinishReason::ToolCalls };
        Meant { reasoning, text, calls, finish, usage, piece }
    }
}

fn pieces(text: &str, size: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// The answer as a provider of chat completions streams it: pieces of several calls in turns.
fn stream_of_chat(meant: &Meant) -> Vec<Value> {
    let chunk = |delta: Value, finish: Option<&str>| json!({"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut all = vec![chunk(json!({"role": "assistant"}), None)];
    all.extend(
        pieces(&meant.reasoning, meant.piece).iter().map(|text| chunk(json!({"reasoning_content": text}), None)),
    );
    all.extend(pieces(&meant.text, meant.piece).iter().map(|text| chunk(json!({"content": text}), None)));
    for (index, _) in meant.calls.iter().enumerate() {
        let call = json!({"index": index, "id": format!("id{index}"), "function": {"name": "f", "arguments": ""}});
        all.push(chunk(json!({"tool_calls": [call]}), None));
    }
    let arguments: Vec<Vec<String>> = meant.calls.iter().map(|call| pieces(&call.to_string(), meant.piece)).collect();
    for turn in 0..arguments.iter().map(Vec::len).max().unwrap_or(0) {
        for (index, piece) in arguments.iter().enumerate().filter_map(|(index, all)| Some((index, all.get(turn)?))) {
            all.push(chunk(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None));
        }
    }
    let finish = match meant.finish {
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        _ => "stop",
    };
    all.push(chunk(json!({}), Some(finish)));
    let Usage { prompt, cached, completion, .. } = meant.usage;
    let usage = json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": {"cached_tokens": cached},
    });
    all.push(json!({"choices": [], "usage": usage}));
    all.push(json!("[DONE]"));
    all
}

/// The answer as a provider of messages streams it: block after block.
fn stream_of_messages(meant: &Meant) -> Vec<Value> {
    let Usage { prompt, cached, completion, .. } = meant.usage;
    let usage = json!({"input_tokens": prompt - cached, "cache_read_input_tokens": cached, "output_tokens": 1});
    let mut all = vec![json!({"type": "message_start", "message": {"id": "x", "model": "m", "usage": usage}})];
    let mut blocks: Vec<(Value, Vec<Value>)> = Vec::new();
    let deltas = |text: &str, kind: &str, member: &str| -> Vec<Value> {
        pieces(text, meant.piece).iter().map(|piece| json!({"type": kind, member: piece})).collect()
    };
    if !meant.reasoning.is_empty() {
        let deltas = deltas(&meant.reasoning, "thinking_delta", "thinking");
        blocks.push((json!({"type": "thinking", "thinking": "", "signature": ""}), deltas));
    }
    blocks.push((json!({"type": "text", "text": ""}), deltas(&meant.text, "text_delta", "text")));
    for (index, call) in meant.calls.iter().enumerate() {
        let block = json!({"type": "tool_use", "id": format!("id{index}"), "name": "f", "input": {}});
        // A call without arguments has no pieces of them.
        let arguments = if *call == json!({}) { String::new() } else { call.to_string() };
        blocks.push((block, deltas(&arguments, "input_json_delta", "partial_json")));
    }
    for (index, (block, deltas)) in blocks.into_iter().enumerate() {
        all.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        all.extend(
            deltas.into_iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
        );
        all.push(json!({"type": "content_block_stop", "index": index}));
    }
    let reason = match meant.finish {
        FinishReason::Length => "max_tokens",
        FinishReason::ContentFilter => "refusal",
        FinishReason::ToolCalls => "tool_use",
        _ => "end_turn",
    };
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    all.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": completion}}));
    all.push(json!({"type": "message_stop"}));
    all
}

/// The answer as a provider of responses streams it: item after item.
fn stream_of_responses(meant: &Meant) -> Vec<Value> {
    let Usage { prompt, cached, completion, .. } = meant.usage;
    let mut all = vec![json!({"type": "response.created", "response": {"id": "x", "model": "m", "output": []}})];
    let mut output: Vec<Value> = Vec::new();
    let mut say = |announced: Value, kind: &str, text: &str, done: Value| {
        let place = output.len();
        all.push(json!({"type": "response.output_item.added", "output_index": place, "item": announced}));
        all.extend(pieces(text, meant.piece).iter().map(|piece| {
            json!({"type": format!("response.{kind}.delta"), "output_index": place, "content_index": 0, "delta": piece})
        }));
        all.push(json!({"type": "response.output_item.done", "output_index": place, "item": done}));
        output.push(done);
    };
    if !meant.reasoning.is_empty() {
        let summary = json!([{"type": "summary_text", "text": meant.reasoning}]);
        let announced = json!({"type": "reasoning", "summary": []});
        let done = json!({"type": "reasoning", "summary": summary});
        say(announced, "reasoning_summary_text", &meant.reasoning, done);
    }
    if !meant.text.is_empty() {
        let announced = json!({"type": "message", "role": "assistant", "content": []});
        let done =
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": meant.text}]});
        say(announced, "output_text", &meant.text, done);
    }
    for (index, call) in meant.calls.iter().enumerate() {
        let item = |arguments: &str| json!({"type": "function_call", "call_id": format!("id{index}"), "name": "f", "arguments": arguments});
        let arguments = call.to_string();
        say(item(""), "function_call_arguments", &arguments, item(&arguments));
    }
    let reason = match meant.finish {
        FinishReason::Length => Some("max_output_tokens"),
        FinishReason::ContentFilter => Some("content_filter"),
        _ => None,
    };
    let status = if reason.is_some() { "incomplete" } else { "completed" };
    let usage = json!({
        "input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": completion,
    });
    let response = json!({
        "id": "x", "model": "m", "status": status, "output": output, "usage": usage,
        "incomplete_details": reason.map(|reason| json!({"reason": reason})),
    });
    all.push(json!({"type": format!("response.{status}"), "response": response}));
    all
}

/// The answer as a provider of this dialect streams it.
fn stream_of(provider: &dyn Dialect, meant: &Meant) -> Vec<Value> {
    match provider.name() {
        "chat" => stream_of_chat(meant),
        "messages" => stream_of_messages(meant),
        _ => stream_of_responses(meant),
    }
}

/// A whole answer, as a provider writes it.
fn whole_of(provider: &dyn Dialect, meant: &Meant) -> Value {
    let mut said = super::Said::default();
    let events = stream_of(provider, meant);
    let request = read(provider, &body_in(provider, &plain()));
    let mut reading = provider.reader(&request);
    for event in &events {
        reading.event(&event_of(event), &mut |event| said.take(&event)).unwrap();
    }
    let composer = provider.translate().unwrap();
    let mut whole: Value = serde_json::from_str(&composer.composer(&request, 0, 0).whole(said)).unwrap();
    let Usage { prompt, cached, completion, .. } = meant.usage;
    whole["usage"] = match provider.name() {
        "chat" => {
            json!({"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": {"cached_tokens": cached}})
        }
        "messages" => {
            json!({"input_tokens": prompt - cached, "cache_read_input_tokens": cached, "output_tokens": completion})
        }
        _ => {
            json!({"input_tokens": prompt, "output_tokens": completion, "input_tokens_details": {"cached_tokens": cached}})
        }
    };
    whole
}

fn event_of(json: &Value) -> sse::Event {
    let data = json.as_str().map_or_else(|| json.to_string(), ToOwned::to_owned);
    sse::Event { name: sse::Name::Usual, data: data.into() }
}

fn plain() -> Talk {
    Talk {
        system: None,
        turns: Vec::new(),
        last: "hi".into(),
        tools: false,
        choice: 0,
        one_call: false,
        temperature: None,
        stop: Vec::new(),
        schema: false,
        effort: None,
    }
}

/// What a client of `dialect` reads: the answer, and its usage.
fn understood(dialect: &dyn Dialect, request: &Request, bytes: &[u8], streamed: bool) -> (super::Said, Option<Usage>) {
    let (mut said, mut usage) = (super::Said::default(), None);
    let mut reader = dialect.reader(request);
    let mut take = |event: Event<'_>| {
        if let Event::Usage { usage: stated, .. } = event {
            usage = stated;
        }
        said.take(&event)
    };
    if !streamed {
        reader.whole(Bytes::copy_from_slice(bytes), &mut take).unwrap();
        return (said, usage);
    }
    let mut parser = sse::Parser::new(1 << 20);
    parser.push(bytes).unwrap();
    parser.finish().unwrap();
    let mut ends = 0;
    while let Some(event) = parser.pop() {
        let piece = reader.event(&event, &mut take).unwrap();
        ends += u32::from(matches!(piece, Piece::End(_)));
    }
    assert_eq!(ends, 1, "a stream has one end: {}", String::from_utf8_lossy(bytes));
    (said, usage)
}

/// What a client of `client` is sent for the answer of a provider of `provider`.
fn relayed(client: &Request, provider: &dyn Dialect, meant: &Meant, streamed: bool) -> Vec<u8> {
    let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, client.reader(provider, 0, 7));
    let mut writer = client.dialect.writer();
    let mut out = BytesMut::new();
    let mut whole = None;
    if streamed {
        let events = stream_of(provider, meant);
        for event in &events {
            match transcript.event(&event_of(event)).unwrap().0 {
                Piece::Composed(data) | Piece::End(data) => data.iter().for_each(|data| writer.event(data, &mut out)),
                piece => panic!("{piece:?}"),
            }
        }
    } else {
        let answer = whole_of(provider, meant).to_string();
        whole = Some(transcript.whole(Bytes::from(answer)).unwrap().0);
    }
    let usage = transcript.counts.usage.unwrap();
    let count = |tokens: u64| u32::try_from(tokens).unwrap();
    let billed = Billed {
        input: count(usage.prompt - usage.cached),
        cached: count(usage.cached),
        cache_write: 0,
        cache_write_long: 0,
        output: count(usage.completion),
        cost_usd: "0.1".into(),
    };
    let stated = transcript.counts.stated_usage.as_deref();
    if let Some(whole) = whole {
        return writer.whole(&whole, stated, &billed).to_vec();
    }
    writer.usage(stated, &billed, &mut out);
    writer.end(&mut out);
    out.to_vec()
}

/// Conversations that are tried with each pair. Enough of them must be said: tests of what is refused alone prove little.
const TRIES: u32 = 300;

#[test]
fn a_fifth_of_the_conversations_and_more_can_be_said_by_every_pair() {
    let mut runner = TestRunner::deterministic();
    let talks: Vec<Talk> = (0..TRIES).map(|_| talks().new_tree(&mut runner).unwrap().current()).collect();
    for (client, provider) in PAIRS {
        let said = |talk: &&Talk| read(client, &body_in(client, talk)).dialect_for(provider.capability()).is_ok();
        let said = talks.iter().filter(said).count() as u32;
        assert!(said >= TRIES / 5, "{} by {}: {said} of {TRIES}", client.name(), provider.name());
    }
}

#[test]
fn what_a_call_returned_is_said_to_a_provider_of_responses() {
    let image = || json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAN"}});
    let texts = || json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    for (content, failed, output) in [
        (json!("a"), false, json!("a")),
        (texts(), true, json!("Error: a\nb")),
        (
            json!([image()]),
            true,
            json!([
                {"type": "input_text", "text": "Error: "},
                {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
            ]),
        ),
    ] {
        let body = json!({
            "model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": content, "is_error": failed}]},
            ],
            "tools": [{"name": "f", "input_schema": schema()}],
        });
        let request = read(&Messages, &body);
        let said: Value = serde_json::from_str(request.said_in(&Responses).unwrap().text()).unwrap();
        let wanted = json!({"type": "function_call_output", "call_id": "c", "output": output});
        assert_eq!(said["input"][2], wanted);
    }
}

#[test]
fn what_an_answer_cites_is_said_by_chat_and_responses_once() {
    let cited = json!({"start_index": 0, "end_index": 2, "title": "A page", "url": "https://example.com/a"});
    let flat = json!({"type": "url_citation", "start_index": 0, "end_index": 2, "title": "A page", "url": "https://example.com/a"});
    let chunk = |delta: Value, finish: Option<&str>| json!({"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let annotations = json!([{"type": "url_citation", "url_citation": cited}]);
    let of_chat = vec![
        chunk(json!({"content": "hi"}), None),
        chunk(json!({"annotations": annotations}), None),
        // Again with others, of which one is no link and one claims to be another thing.
        chunk(json!({"annotations": [annotations[0], {"type": "url_citation", "url_citation": {"url": 5}}]}), None),
        chunk(json!({}), Some("stop")),
        json!("[DONE]"),
    ];
    let part = json!({"type": "output_text", "text": "hi", "annotations": [flat]});
    let item = json!({"type": "message", "role": "assistant", "content": [part]});
    let of_responses = vec![
        json!({"type": "response.created", "response": {"id": "x", "model": "m", "output": []}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"}),
        json!({"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation_index": 0, "annotation": flat}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "x", "model": "m", "status": "completed", "output": [item]}}),
    ];
    let ways: [(&dyn Dialect, &dyn Dialect, Vec<Value>); 2] =
        [(&Responses, &Chat, of_chat), (&Chat, &Responses, of_responses)];
    for (client, provider, events) in ways {
        let request = read(client, &body_in(client, &plain()));
        let whole = {
            let mut said = super::Said::default();
            let mut reading = provider.reader(&read(provider, &body_in(provider, &plain())));
            for event in &events {
                reading.event(&event_of(event), &mut |event| said.take(&event)).unwrap();
            }
            client.translate().unwrap().composer(&request, 0, 0).whole(said)
        };
        let mut transcript = Transcript::new(Counting::Bytes, 1, 1_000, request.reader(provider, 0, 7));
        let mut streamed = Vec::new();
        for event in &events {
            match transcript.event(&event_of(event)).unwrap().0 {
                Piece::Composed(data) | Piece::End(data) => streamed.extend(data),
                piece => panic!("{piece:?}"),
            }
        }
        let texts = streamed.iter().map(|data| String::from_utf8(data.to_vec()).unwrap()).collect::<Vec<_>>();
        let named = |text: &str| text.matches("https://example.com/a").count();
        assert_eq!(named(&whole), 1, "{whole}");
        let pieces: Vec<&String> =
            texts.iter().filter(|text| text.contains("annotation.added") || text.contains("chunk")).collect();
        assert_eq!(pieces.iter().map(|text| named(text)).sum::<usize>(), 1, "{texts:?}");
        let heard = understood(client, &request, whole.as_bytes(), false).0;
        assert_eq!(heard.choices[0].citations, std::slice::from_ref(&cited), "{whole}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_conversation_is_the_same_in_every_dialect_or_the_field_is_named(talk in talks()) {
        for (client, provider) in PAIRS {
            let body = body_in(client, &talk);
            let request = read(client, &body);
            let mut meant = client.translate().unwrap().parse(&request).unwrap();
            let said = match request.dialect_for(provider.capability()) {
                Ok(dialect) => request.said_in(dialect).unwrap(),
                Err(unspoken) => {
                    let field = unspoken.field.unwrap();
                    let path = format!("/{}", field.replace('.', "/"));
                    prop_assert!(body.pointer(&path).is_some(), "{field} is no field of {body}");
                    continue;
                }
            };
            let mut there: Value = serde_json::from_str(said.text()).unwrap();
            there["model"] = "m".into();
            there[if provider.name() == "responses" { "max_output_tokens" } else { "max_tokens" }] = 9.into();
            // Messages say which of these ended the answer, which a client of theirs would miss elsewhere.
            let stop = ["stop", "stop_sequences"].iter().find_map(|name| there.as_object_mut().unwrap().remove(*name));
            prop_assert_eq!(stop, (!meant.stop.is_empty()).then(|| json!(meant.stop)));
            let there = read(provider, &there);
            let back = provider.translate().unwrap().parse(&there).unwrap();
            meant.unseal().unwrap();
            prop_assert_eq!(lines(&meant), lines(&back));
            // Without a word functions of responses are strict, and those of other dialects are not.
            if provider.name() == "responses" {
                meant.tools.iter_mut().for_each(|tool| tool.strict = tool.strict.or(Some(false)));
            }
            prop_assert_eq!(&meant.tools, &back.tools);
            prop_assert_eq!(&meant.tool_choice, &back.tool_choice);
            // Who may call nothing may not call two at once.
            prop_assert!(meant.one_call == back.one_call || meant.tool_choice == ToolChoice::None);
            prop_assert_eq!(&meant.temperature, &back.temperature);
            prop_assert_eq!(&meant.effort, &back.effort);
            prop_assert_eq!(meant.format.is_some(), back.format.is_some());
        }
    }

    #[test]
    fn an_answer_is_the_same_in_every_dialect_whole_and_streamed(meant in answers()) {
        for (client, provider) in PAIRS {
            let request = read(client, &body_in(client, &plain()));
            for streamed in [true, false] {
                let bytes = relayed(&request, provider, &meant, streamed);
                let (said, usage) = understood(client, &request, &bytes, streamed);
                let choice = said.choices.into_iter().next().unwrap_or_default();
                let (mut reasoning, mut text, mut calls) = (String::new(), String::new(), Vec::new());
                for part in choice.parts {
                    match part {
                        Piecemeal::Text(said) => text.push_str(&said),
                        Piecemeal::Reasoning(said) => reasoning.push_str(&said),
                        Piecemeal::Call { id, name, arguments, .. } => calls.push((id, name, arguments)),
                        part => panic!("{part:?}"),
                    }
                }
                let wanted: Vec<_> = meant.calls.iter().enumerate()
                    .map(|(index, arguments)| (format!("id{index}"), "f".to_owned(), arguments.clone())).collect();
                let calls: Vec<_> = calls.into_iter()
                    .map(|(id, name, arguments)| (id, name, serde_json::from_str::<Value>(&arguments).unwrap())).collect();
                let way = format!("{} from {}, streamed: {streamed}", client.name(), provider.name());
                prop_assert_eq!((text, reasoning, calls), (meant.text.clone(), meant.reasoning.clone(), wanted), "{}", way);
                prop_assert_eq!(choice.finish, Some(meant.finish), "{}", way);
                let usage = usage.map(|usage| (usage.prompt, usage.cached, usage.completion));
                prop_assert_eq!(usage, Some((meant.usage.prompt, meant.usage.cached, meant.usage.completion)), "{}", way);
            }
        }
    }
}

/// A history of so many calls at once and their results, the last call's first, in each dialect.
fn many_calls(dialect: &dyn Dialect, count: usize) -> Value {
    let id = |call: usize| format!("{call:06}");
    let (made, answered) = (0..count, (0..count).rev());
    match dialect.name() {
        "chat" => {
            let calls = made
                .map(|call| json!({"id": id(call), "type": "function", "function": {"name": "f", "arguments": ""}}));
            let mut messages = vec![json!({"role": "assistant", "tool_calls": calls.collect::<Vec<_>>()})];
            messages.extend(answered.map(|call| json!({"role": "tool", "tool_call_id": id(call), "content": ""})));
            json!({"model": "m", "max_tokens": 9, "messages": messages})
        }
        "messages" => {
            let calls = made.map(|call| json!({"type": "tool_use", "id": id(call), "name": "f", "input": {}}));
            let results = answered
                .map(|call| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id(call)}]}));
            let mut messages = vec![json!({"role": "assistant", "content": calls.collect::<Vec<_>>()})];
            messages.extend(results);
            json!({"model": "m", "max_tokens": 9, "messages": messages})
        }
        _ => {
            let said = (0..count).map(|_| json!({"role": "assistant", "content": "x"}));
            let calls =
                made.map(|call| json!({"type": "function_call", "call_id": id(call), "name": "f", "arguments": ""}));
            let outputs =
                answered.map(|call| json!({"type": "function_call_output", "call_id": id(call), "output": ""}));
            let tools = (0..count).map(|tool| json!({"type": "function", "name": id(tool)}));
            let input: Vec<Value> = said.chain(calls).chain(outputs).collect();
            json!({"model": "m", "input": input, "tools": tools.collect::<Vec<_>>()})
        }
    }
}

#[test]
fn very_many_calls_take_time_in_proportion() {
    for (client, provider) in PAIRS {
        let took = |count: usize| {
            let body = Bytes::from(many_calls(client, count).to_string());
            let began = std::time::Instant::now();
            let request = client.read(body, &HeaderMap::new()).unwrap();
            assert!(request.dialect_for(provider.capability()).is_ok(), "{} {}", client.name(), provider.name());
            began.elapsed()
        };
        // Eight times as many took 64 times as long when each was looked for among all.
        let (few, many) = (took(3_000), took(24_000));
        let most = few * 16 + std::time::Duration::from_secs(1);
        assert!(many < most, "{} to {}: {few:?}, then {many:?}", client.name(), provider.name());
    }
}
