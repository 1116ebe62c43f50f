//! Every way to get the headers of a request wrong.

use super::*;
use crate::http::errors::status;
use crate::relay::testing::{Signer, registry};
use axum::http::{HeaderName, HeaderValue};
use steam_protocol::request::CONTROL_HEADERS;

const NOW: i64 = 1_000_000;

fn code(error: &RelayError) -> (u16, &'static str, Option<&str>) {
    (status(error).as_u16(), error.code(), error.param())
}

fn read(headers: &[(&str, &str)]) -> Result<Credentials, RelayError> {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect();
    Credentials::read(&headers, Some(&Keys::new([1; 16])))
}

fn signer() -> Signer {
    Signer { vault: Pubkey::new_from_array([1; 32]), generation: 7, epoch: 1, ..Signer::new(&registry(Vec::new())) }
}

fn verify(
    signer: &Signer,
    change: impl FnOnce(&mut HeaderMap, &mut Vec<u8>, &mut String),
) -> Result<Caller, RelayError> {
    let mut body = b"{}".to_vec();
    let mut path = "/v1/chat/completions".to_owned();
    let mut headers = signer.headers("POST", &path, &body);
    change(&mut headers, &mut body, &mut path);
    let credentials = Credentials::read(&headers, None)?;
    let identified = Identified { credentials, key: signer.key_ref(), limits: signer.limits() };
    let inbound = Inbound { method: "POST", path: &path, headers: &headers, body_hash: body_hash(&body) };
    identified.verify(&registry(Vec::new()), &inbound, NOW)
}

#[test]
fn a_bearer_key_is_read_and_every_other_authorization_explained() {
    let key = SessionKey::from_seed(&[0xff; 32]).reveal();
    assert!(matches!(read(&[("authorization", &format!("Bearer {key}"))]), Ok(Credentials::Bearer(_))));
    assert!(matches!(read(&[("authorization", &format!("bearer   {key}"))]), Ok(Credentials::Bearer(_))));
    assert_eq!(code(&read(&[]).unwrap_err()), (401, "missing_api_key", None));
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "sk-steam-abc",
        "Bearer sk-abc",
        "Bearer sk-steam-",
        &format!("Bearer {key}x"),
    ] {
        let error = read(&[("authorization", value)]).unwrap_err();
        assert_eq!(code(&error), (401, "invalid_api_key", None), "{value}");
        assert!(!error.to_string().contains(&key));
    }
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
    assert_eq!(code(&Credentials::read(&headers, None).unwrap_err()), (401, "bearer_keys_disabled", None));
}

#[test]
fn a_signed_request_lacks_no_header_and_has_none_twice() {
    let signer = signer();
    verify(&signer, |_, _, _| {}).unwrap();
    for name in SIGNATURE_HEADERS.iter().chain(&["content-digest"]) {
        let error = verify(&signer, |headers, _, _| drop(headers.remove(*name))).unwrap_err();
        assert_eq!(code(&error), (401, "missing_header", None), "{name}");
        assert!(error.to_string().contains(name), "{error}");
        let error = verify(&signer, |headers, _, _| {
            let value = headers[*name].clone();
            headers.append(*name, value);
        })
        .unwrap_err();
        assert_eq!(code(&error), (400, "malformed_header", Some(*name)));
    }
}

#[test]
fn every_header_has_one_form() {
    for (name, values) in [
        ("steam-key", &["", "0", "1111", "l", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"][..]),
        ("steam-vault", &["", "nonsense!"]),
        ("steam-authorized", &["", "-1", "+1", "1.5", "0x1", "99999999999999999999", "1 1"]),
        ("steam-max-cost", &["", "a"]),
        ("steam-not-after", &["", "-5", "9223372036854775808"]),
        ("steam-nonce", &["", "00", "zz000000000000000000000000000000"]),
        ("steam-signature", &["", "AAAA", "!"]),
        ("content-digest", &["", "sha-512=:AAAA:", "sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:AAAA"]),
    ] {
        for value in values {
            let error = verify(&signer(), |headers, _, _| {
                headers.insert(name, HeaderValue::try_from(*value).unwrap());
            })
            .unwrap_err();
            assert_eq!(code(&error), (400, "malformed_header", Some(name)), "{name}: {value}");
        }
    }
}

#[test]
fn another_digest_of_the_body_may_stand_beside() {
    verify(&signer(), |headers, _, _| {
        let value = format!("sha-512=:AAAA:, {}", headers["content-digest"].to_str().unwrap());
        headers.insert("content-digest", HeaderValue::try_from(value).unwrap());
    })
    .unwrap();
}

#[test]
fn nothing_that_is_signed_can_be_changed() {
    let signer = signer();
    let error = verify(&signer, |_, body, _| body.push(b' ')).unwrap_err();
    assert_eq!(code(&error), (400, "digest_mismatch", Some("content-digest")));
    let set = |name: &'static str, value: &'static str| {
        verify(&signer, |headers, _, _| {
            headers.insert(name, HeaderValue::from_static(value));
        })
    };
    for result in [
        set("steam-authorized", "1000001"),
        set("steam-max-cost", "999999999"),
        set("steam-not-after", "1000101"),
        set("steam-nonce", "00000000000000000000000000000001"),
        verify(&signer, |_, _, path| path.push('x')),
        verify(&Signer { generation: 8, ..signer.clone() }, |_, _, _| {}),
        verify(&Signer { epoch: 2, ..signer.clone() }, |_, _, _| {}),
        verify(&Signer { relayer: [1; 32], ..signer.clone() }, |_, _, _| {}),
        verify(&Signer { domain: [1; 32], ..signer.clone() }, |_, _, _| {}),
    ] {
        assert_eq!(code(&result.unwrap_err()), (401, "invalid_signature", None));
    }
}

#[test]
fn no_control_header_can_be_added_changed_or_removed() {
    let controls = CONTROL_HEADERS.into_iter().chain(["steam-route-only", "steam-anything"]);
    for name in controls {
        let refused = |signed: &[(&'static str, &'static str)], change: &dyn Fn(&mut HeaderMap)| {
            let signer = Signer { controls: signed.to_vec(), ..signer() };
            verify(&signer, |_, _, _| {}).unwrap();
            let error = verify(&signer, |headers, _, _| change(headers)).unwrap_err();
            assert_eq!(code(&error), (401, "invalid_signature", None), "{name}");
        };
        refused(&[], &|headers| drop(headers.insert(name, HeaderValue::from_static("added"))));
        refused(&[(name, "a")], &|headers| drop(headers.insert(name, HeaderValue::from_static("b"))));
        refused(&[(name, "a")], &|headers| assert!(headers.append(name, HeaderValue::from_static("a"))));
        refused(&[(name, "a")], &|headers| drop(headers.remove(name)));
    }
    verify(&signer(), |headers, _, _| {
        headers.insert("accept", HeaderValue::from_static("text/event-stream"));
        headers.insert("x-request-id", HeaderValue::from_static("1"));
    })
    .unwrap();
}

#[test]
fn a_deadline_has_not_passed_and_is_not_far() {
    let at = |not_after| verify(&Signer { not_after, ..signer() }, |_, _, _| {});
    at(NOW).unwrap();
    at(NOW + MAX_AHEAD_SECONDS).unwrap();
    assert_eq!(code(&at(NOW - 1).unwrap_err()), (401, "expired", None));
    assert_eq!(
        code(&at(NOW + MAX_AHEAD_SECONDS + 1).unwrap_err()),
        (400, "not_after_too_far", Some("steam-not-after"))
    );
}

#[test]
fn one_key_among_placeholders_is_enough() {
    let key = SessionKey::from_seed(&[0xff; 32]).reveal();
    let bearer = format!("Bearer {key}");
    for headers in [
        vec![("authorization", "Bearer unused"), ("x-api-key", &key)],
        vec![("authorization", &bearer), ("x-api-key", "unused")],
        vec![("authorization", "Basic abc"), ("api-key", &key)],
        vec![("x-api-key", ""), ("api-key", &key)],
    ] {
        assert!(matches!(read(&headers), Ok(Credentials::Bearer(_))), "{headers:?}");
    }
    assert!(
        matches!(read(&[("authorization", &bearer), ("x-api-key", &key)]), Ok(Credentials::Bearer(_))),
        "one key twice"
    );
    let other = SessionKey::from_seed(&[0xfe; 32]).reveal();
    let two = read(&[("authorization", &bearer), ("x-api-key", &other)]).unwrap_err();
    assert_eq!(code(&two), (400, "conflicting_keys", None), "either could pay");
    let none = read(&[("authorization", "Bearer unused"), ("x-api-key", "neither")]).unwrap_err();
    assert_eq!(code(&none), (401, "invalid_api_key", None));
}
