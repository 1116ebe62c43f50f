//! A state that is behind what the key spent: lost, old, shared, or with answers that were left.

use super::*;
use std::time::Duration;

/// A relayer that charged the key twice, and a client whose file knows nothing of it.
async fn lost(name: &str) -> (Arc<Mock>, Client) {
    let relayer = Mock::start().await;
    let before = relayer.client(&format!("{name}-before"));
    ask(&before, true).await.unwrap();
    ask(&before, false).await.unwrap();
    let after = relayer.client(&format!("{name}-after"));
    (relayer, after)
}

/// Asks, and leaves before the answer begins.
async fn ask_and_leave(client: &Client) -> Result<Answer, ClientError> {
    let request = Request::json("chat/completions", r#"{"stream":true}"#);
    client.send_unless(request, CEILING, tokio::time::sleep(Duration::from_millis(100))).await
}

#[tokio::test]
async fn a_lost_state_is_recovered_and_the_request_is_signed_anew() {
    let (relayer, client) = lost("recovered").await;
    ask(&client, true).await.unwrap();
    assert_eq!(client.state().spent().unwrap(), relayer.charged());
    let spent = Pico(2 * cost().0).ceil_micro().unwrap().0;
    assert_eq!(
        relayer.authorized()[2..],
        [CEILING.0, spent + CEILING.0],
        "refused, and signed for what was spent before"
    );
    // It goes on as if nothing had been lost.
    ask(&client, false).await.unwrap();
    assert_eq!(relayer.authorized().len(), 5);
    assert_eq!(client.state().spent().unwrap(), Pico(4 * cost().0));
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
}

#[tokio::test]
async fn a_key_that_is_used_elsewhere_too_goes_on() {
    let relayer = Mock::start().await;
    let (one, other) = (relayer.client("one-place"), relayer.client("other-place"));
    for _ in 0..3 {
        ask(&one, true).await.unwrap();
        ask(&other, true).await.unwrap();
    }
    assert_eq!(other.state().spent().unwrap(), Pico(6 * cost().0));
    assert_eq!(relayer.charged(), Pico(6 * cost().0));
}

#[tokio::test]
async fn a_relayer_cannot_invent_more_than_is_allowed() {
    let (relayer, client) = lost("invented").await;
    let most = relayer.charged().ceil_micro().unwrap();
    let strict = client.max_unknown(MicroUsdc(most.0 - 1)).unwrap();
    let refused = ask(&strict, true).await;
    let unknown = |error: &ClientError| match error {
        ClientError::State(StateError::UnknownSpending { unknown, .. }) => Some(*unknown),
        _ => None,
    };
    assert_eq!(refused.as_ref().err().and_then(unknown), Some(relayer.charged()), "{refused:?}");
    assert_eq!(strict.state().spent().unwrap(), Pico::ZERO);
    // What was taken over counts against what may be taken over later.
    let client = relayer.client("invented-after").max_unknown(most).unwrap();
    ask(&client, true).await.unwrap();
    ask(&relayer.client("invented-elsewhere"), true).await.unwrap();
    let refused = ask(&client, true).await;
    assert_eq!(refused.as_ref().err().and_then(unknown), Some(Pico(3 * cost().0)), "{refused:?}");
}

#[tokio::test]
async fn a_receipt_that_is_not_the_relayers_is_taken_over_by_nobody() {
    for manner in [Manner::AnotherKey, Manner::WrongArithmetic, Manner::UnknownKeyId] {
        let (relayer, client) = lost(&format!("forged-{manner:?}")).await;
        relayer.charge(manner, [7; 32], [7; 32]);
        assert!(ask(&client, true).await.is_err(), "{manner:?}");
        assert_eq!(client.state().spent().unwrap(), Pico::ZERO, "{manner:?}");
    }
}

#[tokio::test]
async fn receipts_that_were_withheld_are_found_where_the_key_would_stop() {
    let relayer = Mock::start().await;
    let client = relayer.client("withheld").max_unresolved(MicroUsdc(250_000)).unwrap();
    relayer.behaves(Manner::HidesReceipt);
    for _ in 0..5 {
        assert!(matches!(ask(&client, true).await, Err(ClientError::NoReceipt)));
    }
    assert_eq!(
        client.state().spent().unwrap(),
        Pico(4 * cost().0),
        "those before the limit was reached the second time"
    );
    client.recover().await.unwrap();
    assert_eq!(client.state().spent().unwrap(), relayer.charged());
    assert_eq!(client.state().unresolved().unwrap(), MicroUsdc(0));
}

#[tokio::test]
async fn a_receipt_that_was_found_before_its_answers_end_is_counted_once() {
    let relayer = Mock::start().await;
    let client = relayer.client("found-before");
    let request = Request::json("chat/completions", r#"{"stream":true}"#);
    let answer = client.send(request, CEILING).await.unwrap();
    client.recover().await.unwrap();
    assert_eq!(client.state().spent().unwrap(), cost());
    answer.collect().await.unwrap();
    assert_eq!(client.state().spent().unwrap(), cost());
}

#[tokio::test]
async fn a_request_that_is_left_before_its_answer_is_counted_if_it_was_charged() {
    let relayer = Mock::start().await;
    let client = relayer.client("left-before");
    relayer.behaves(Manner::Hangs);
    assert!(matches!(ask_and_leave(&client).await, Err(ClientError::Left)));
    assert_eq!((client.state().spent().unwrap(), client.state().unresolved().unwrap()), (Pico::ZERO, MicroUsdc(0)));
    relayer.behaves(Manner::ChargesAndHangs);
    assert!(matches!(ask_and_leave(&client).await, Err(ClientError::Left)));
    assert_eq!((client.state().spent().unwrap(), client.state().unresolved().unwrap()), (cost(), MicroUsdc(0)));
    relayer.behaves(Manner::Honest);
    ask(&client, true).await.unwrap();
    assert_eq!(client.state().spent().unwrap(), relayer.charged());
}

#[tokio::test]
async fn an_answer_that_is_left_is_counted_by_its_receipt() {
    let relayer = Mock::start().await;
    let client = relayer.client("left-within");
    relayer.behaves(Manner::Stalls);
    let request = Request::json("chat/completions", r#"{"stream":true}"#);
    let mut answer = client.send(request, CEILING).await.unwrap();
    assert!(matches!(answer.next().await, Ok(Some(Part::Bytes(_)))));
    let receipt = answer.leave().await.unwrap().unwrap();
    assert_eq!(receipt.receipt.key_cumulative, relayer.charged());
    assert_eq!((client.state().spent().unwrap(), client.state().unresolved().unwrap()), (cost(), MicroUsdc(0)));
}

#[tokio::test]
async fn what_costs_nothing_is_signed_and_allows_nothing() {
    let relayer = Mock::start().await;
    let client = relayer.client("free");
    let mut request = Request { path: "receipts?limit=1".into(), headers: HeaderMap::new(), body: Bytes::new() };
    request.headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    request.headers.insert("x-api-key", HeaderValue::from_static("sk-other"));
    let response = client.send_free(Method::GET, request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(client.state().high_water().unwrap(), MicroUsdc(0));
}
