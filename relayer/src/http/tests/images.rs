//! Images are billed by the formula that their model's maker publishes.

use crate::registry::Offer;
use crate::relay::testing::mock::{Mock, WHOLE, answer};
use crate::relay::testing::world::World;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A PNG of 1,024 by 1,024 pixels, as far as its head goes.
fn square() -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x04\0\0\0\x04\0".to_vec();
    bytes.extend([8, 2, 0, 0, 0].repeat(20));
    BASE64.encode(bytes)
}

/// What is billed of a claim of `prompt` tokens for an image of `model`, asked for at `path`.
async fn billed(model: &str, path: &str, body: Value, prompt: u64) -> (u64, String) {
    let usage = format!(r#""prompt_tokens":{prompt}"#);
    let mock = Mock::new("p", answer("200 OK", &WHOLE.replace(r#""prompt_tokens":20"#, &usage))).await;
    let capabilities = steam_router::state::capability::CHAT | steam_router::state::capability::VISION;
    let offer = Offer { model: model.into(), context_limit: 128_000, capabilities, ..mock.offer(1) };
    let world = World::new(vec![offer]).await;
    let mut body = body;
    body["model"] = model.into();
    let response = world.post_to(path, body.to_string()).await;
    assert_eq!(response.status(), 200, "{path}: {}", response.text().await.unwrap());
    let id = response.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    let (_, receipt) = world.get(&format!("/v1/receipts/{id}")).await;
    let fields = &receipt["fields"];
    (fields["usage"]["input"].as_u64().unwrap(), fields["counted_by"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_image_is_billed_by_its_models_formula_in_every_dialect() {
    let url = format!("data:image/png;base64,{}", square());
    let chat = |detail: &str| {
        let image = json!({"type": "image_url", "image_url": {"url": url, "detail": detail}});
        json!({"max_tokens": 16, "messages": [{"role": "user", "content": [image]}]})
    };
    let source = json!({"type": "base64", "media_type": "image/png", "data": square()});
    let messages =
        json!({"max_tokens": 16, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]});
    let part = json!({"type": "input_image", "image_url": url});
    let responses = json!({"max_output_tokens": 16, "input": [{"role": "user", "content": [part]}]});
    for (model, path, body, formula) in [
        ("gpt-4o-mini", "/v1/chat/completions", chat("high"), 25_501),
        ("gpt-4o-mini", "/v1/chat/completions", chat("low"), 2_833),
        ("gpt-4o-mini", "/v1/messages", messages.clone(), 25_501),
        ("gpt-4o-mini", "/v1/responses", responses, 25_501),
        ("gpt-4o", "/v1/messages", messages, 765),
        // Nobody published how it counts.
        ("gpt-9.x", "/v1/chat/completions", chat("high"), 2_000),
    ] {
        let honest = billed(model, path, body.clone(), formula + 8).await;
        assert_eq!(honest, (formula + 8, "provider".to_owned()), "{model} {path}");
        let (input, counted_by) = billed(model, path, body, formula + 1_000).await;
        assert!((formula..formula + 100).contains(&input) && counted_by == "capped", "{model} {path}: {input}");
    }
}
