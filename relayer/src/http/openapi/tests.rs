//! The document is whole: all of the router is in it, all it refers to is there, and the API answers as it says.

use super::*;
use crate::relay::testing::VAULT;
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, error};
use serde_json::{Value, json};
use std::collections::HashSet;

fn parsed() -> Value {
    serde_json::from_str(&json!(document()).to_string()).unwrap()
}

/// Every operation: path, method and what is said of it.
fn all(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, one)| (path, method, one)))
}

/// Where a reference leads.
fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn visit(value: &Value, seen: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                seen(reference);
            }
            members.values().for_each(|value| visit(value, seen));
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, seen)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = parsed();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut used = HashSet::new();
    visit(&document, &mut |reference| {
        resolve(&document, reference);
        used.insert(reference.rsplit('/').next().unwrap().to_owned());
    });
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(name), "nothing uses the schema {name}");
    }
}

#[test]
fn every_operation_says_what_it_takes_and_what_it_answers() {
    let document = parsed();
    let mut ids = HashSet::new();
    for (path, method, operation) in all(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path} has the name of another");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{path}");
        assert!(operation["summary"].is_string(), "{path}");
        let named = |place: &str, name: &str| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            parameters.filter(|one| one["in"] == place && one["name"] == name).count()
        };
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            assert_eq!(named("path", name), 1, "{path}");
        }
        assert_eq!(operation["requestBody"].is_object(), ["post", "put"].contains(&method.as_str()), "{path}");
        assert!(operation["responses"]["200"].is_object(), "{path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{path} {status}");
            let contents = response["content"].as_object().unwrap();
            assert!(contents.values().all(|content| content["schema"].is_object()), "{path} {status}");
        }
        for scheme in operation["security"].as_array().into_iter().flatten() {
            for name in scheme.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][name].is_object(), "{path} {name}");
            }
        }
    }
    assert_eq!(ids.len(), 49);
}

#[test]
fn a_route_is_only_added_together_with_its_documentation() {
    let source = include_str!("../../http.rs");
    for undocumented in [".route(", ".route_service(", ".nest", ".merge("] {
        assert!(!source.contains(undocumented), "{undocumented}) adds a route that the document does not have");
    }
}

/// One schema of objects that have the members of all `parts`.
fn together(document: &Value, parts: &[Value]) -> Value {
    let mut whole = serde_json::json!({ "type": "object", "properties": {}, "required": [] });
    for part in parts {
        let part = part["$ref"].as_str().map_or(part, |reference| resolve(document, reference));
        assert_eq!(part["type"], "object", "only objects have parts: {part}");
        for (name, member) in part["properties"].as_object().into_iter().flatten() {
            whole["properties"][name] = member.clone();
        }
        whole["required"].as_array_mut().unwrap().extend(part["required"].as_array().into_iter().flatten().cloned());
        if !part["additionalProperties"].is_null() {
            whole["additionalProperties"] = part["additionalProperties"].clone();
        }
    }
    whole
}

/// Whether `value` is as `schema` says. Members beyond the schema's are a fault too, unless it takes any.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(document, resolve(document, reference), value);
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(options) = schema[word].as_array() {
            let faults: Vec<String> = options.iter().filter_map(|one| fits(document, one, value).err()).collect();
            return if faults.len() < options.len() { Ok(()) } else { Err(faults.join(" and ")) };
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return fits(document, &together(document, parts), value);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.contains(value).then_some(()).ok_or(format!("{value} is none of {words:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ => return Ok(()),
    };
    let is = |one: &str| match one {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !types.iter().any(|one| is(one)) {
        return Err(format!("{value} is no {types:?}"));
    }
    if let Some(values) = value.as_array() {
        return values.iter().try_for_each(|value| fits(document, &schema["items"], value));
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, value) in members {
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null | Value::Bool(false)) if schema["properties"].is_object() => {
                return Err(format!("{name} is not in the schema"));
            }
            (Value::Null, _) => {}
            (known, _) => fits(document, known, value).map_err(|fault| format!("{name}: {fault}"))?,
        }
    }
    Ok(())
}

/// Asserts that the answer of an operation is as the document says.
fn conforms(path: &str, method: &str, status: u16, body: &Value) {
    let document = parsed();
    let response = &document["paths"][path][method]["responses"][status.to_string()];
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path} does not say what {status} is");
    if let Err(fault) = fits(&document, schema, body) {
        panic!("{method} {path} {status}: {fault}");
    }
}

#[tokio::test]
async fn the_api_answers_as_the_document_says() {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    let answer = world.chat(json!({})).await;
    let id = answer.headers()["steam-generation-id"].to_str().unwrap().to_owned();
    conforms("/v1/chat/completions", "post", 200, &answer.json().await.unwrap());
    let (status, refused) = error(world.chat(json!({"model": "none"})).await).await;
    conforms("/v1/chat/completions", "post", status, &json!({ "error": refused }));
    for (path, asked) in [
        ("/v1/models", "/v1/models".to_owned()),
        ("/v1/models", "/v1/models?window=x".to_owned()),
        ("/v1/models/{id}", "/v1/models/m?window=1h".to_owned()),
        ("/v1/models/{id}", "/v1/models/none".to_owned()),
        ("/v1/providers", "/v1/providers".to_owned()),
        ("/v1/receipts/{id}", format!("/v1/receipts/{id}")),
        ("/v1/receipts/{id}", "/v1/receipts/none".to_owned()),
        ("/v1/generation/{id}", format!("/v1/generation/{id}")),
        ("/v1/generation", format!("/v1/generation?id={id}")),
        ("/v1/generation", "/v1/generation".to_owned()),
        ("/v1/vaults/{address}", format!("/v1/vaults/{VAULT}")),
        ("/v1/allow-lists/{root}", "/v1/allow-lists/none".to_owned()),
        ("/v1/chain", "/v1/chain".to_owned()),
        ("/v1/chain/blockhash", "/v1/chain/blockhash".to_owned()),
        ("/v1/chain/accounts/{address}", format!("/v1/chain/accounts/{VAULT}")),
        ("/v1/chain/accounts/{address}", "/v1/chain/accounts/none".to_owned()),
        (
            "/v1/chain/transactions/{signature}",
            format!("/v1/chain/transactions/{}", solana_signature::Signature::default()),
        ),
        ("/health", "/health".to_owned()),
        ("/ready", "/ready".to_owned()),
    ] {
        let (status, body) = world.get(&asked).await;
        conforms(path, "get", status, &body);
    }
}

#[test]
fn a_schema_refuses_what_is_not_as_it_says() {
    let document = parsed();
    let fits = |name: &str, value: Value| fits(&document, &document["components"]["schemas"][name], &value);
    fits("Health", json!({"status": "ok"})).unwrap();
    fits("Health", json!({"status": 1})).unwrap_err();
    fits("Health", json!({})).unwrap_err();
    fits("Health", json!({"status": "ok", "more": 1})).unwrap_err();
    fits("FinishReason", json!("stop")).unwrap();
    fits("FinishReason", json!("stopped")).unwrap_err();
    fits("WithdrawalAmount", json!("all")).unwrap();
    fits("WithdrawalAmount", json!("some")).unwrap_err();
}

#[tokio::test]
async fn the_document_is_served_to_any_web_page() {
    let world = World::new(vec![]).await;
    let response = world.client.get(world.url("/openapi.json")).send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.json::<Value>().await.unwrap(), parsed());
}
