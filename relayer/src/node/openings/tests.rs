//! Openings that wait for a phone: their number, their time, and who gets what.

use super::*;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::sync::Arc;
use steam_protocol::units::Price;

const ID: Id = [1; 16];
const NOW: i64 = 1_000_000;
const ALICE: Pubkey = Pubkey::new_from_array([21; 32]);
const BOB: Pubkey = Pubkey::new_from_array([22; 32]);

fn key() -> Keypair {
    Keypair::new_from_array([77; 32])
}

fn wish() -> Wish {
    let max_price = Price::basic(5, 5, 5, 5).into();
    let grant = KeyGrant {
        expires: i64::MAX,
        limit_total: 10,
        window_seconds: 0,
        window_limit: 0,
        max_price,
        max_fee_bps: 100,
        allow_root: [0; 32],
    };
    Wish { key: key().pubkey(), grant, amount: MicroUsdc(5) }
}

fn message(n: u8) -> Message {
    Message::new_with_blockhash(&[], Some(&ALICE), &[n; 32].into())
}

fn signature(message: &Message) -> Signature {
    key().sign_message(&message.serialize())
}

fn waiting() -> Arc<Openings> {
    let openings = Openings::default();
    assert_eq!(openings.wish(ID, wish(), None, NOW), Ok(NOW + LIFE_MS));
    Arc::new(openings)
}

/// A wallet that waits.
async fn asks(openings: &Arc<Openings>, message: Message) -> tokio::task::JoinHandle<Result<Signature, OpeningError>> {
    let turn = || openings.asked(&ID, NOW).unwrap().map(|asked| asked.turn);
    let before = turn();
    let waits = openings.clone();
    let wallet = tokio::spawn(async move { waits.ask(&ID, ALICE, message, NOW).await });
    while turn() == before {
        tokio::task::yield_now().await;
    }
    wallet
}

#[tokio::test(start_paused = true)]
async fn a_wallet_gets_the_signature_of_what_was_made_for_it() {
    let openings = waiting();
    assert_eq!(openings.asked(&ID, NOW), Ok(None));
    assert_eq!(openings.sign(&ID, signature(&message(1)), NOW), Err(OpeningError::NotAsked));
    let wallet = asks(&openings, message(1)).await;
    assert_eq!(openings.sign(&ID, signature(&message(2)), NOW), Err(OpeningError::Signature));
    assert!(!wallet.is_finished());
    let signed = signature(&message(1));
    openings.sign(&ID, signed, NOW).unwrap();
    assert_eq!(wallet.await.unwrap(), Ok(signed));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_does_not_sign_is_waited_for_so_long_and_no_longer() {
    let openings = waiting();
    let begun = tokio::time::Instant::now();
    assert_eq!(openings.ask(&ID, ALICE, message(1), NOW).await, Err(OpeningError::Unsigned));
    let waited = begun.elapsed();
    assert!((PATIENCE..PATIENCE + Duration::from_millis(10)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_account_may_ask_again_and_another_may_not() {
    let openings = waiting();
    let first = asks(&openings, message(1)).await;
    let second = asks(&openings, message(2)).await;
    assert_eq!(first.await.unwrap(), Err(OpeningError::Replaced), "one waits, not two");
    assert_eq!(openings.wished_by(&ID, &BOB, NOW), Err(OpeningError::Taken));
    assert_eq!(openings.ask(&ID, BOB, message(3), NOW).await, Err(OpeningError::Taken));
    assert_eq!(openings.sign(&ID, signature(&message(1)), NOW), Err(OpeningError::Signature));
    let third = asks(&openings, message(2)).await;
    assert_eq!(second.await.unwrap(), Err(OpeningError::Replaced), "with the same blockhash too");
    openings.sign(&ID, signature(&message(2)), NOW).unwrap();
    assert!(third.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_opening_ends_after_ten_minutes() {
    let openings = waiting();
    let last = NOW + LIFE_MS - 1;
    assert_eq!(openings.wished(&ID, last), Ok(wish()));
    for at in [&ID, &[2; 16]] {
        let now = if *at == ID { NOW + LIFE_MS } else { NOW };
        assert_eq!(openings.wished(at, now), Err(OpeningError::Unknown));
        assert_eq!(openings.wished_by(at, &ALICE, now), Err(OpeningError::Unknown));
        assert_eq!(openings.asked(at, now), Err(OpeningError::Unknown));
        assert_eq!(openings.ask(at, ALICE, message(1), now).await, Err(OpeningError::Unknown));
        assert_eq!(openings.sign(at, signature(&message(1)), now), Err(OpeningError::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_so_many_and_all_together_have_so_many() {
    let openings = Openings::default();
    let make = |n: usize, peer: Option<IpAddr>, now_ms| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_le_bytes());
        openings.wish(id, wish(), peer, now_ms)
    };
    let peer = |n: u8| Some(IpAddr::from([203, 0, 113, n]));
    for n in 0..MOST_OF_PEER {
        make(n, peer(1), NOW).unwrap();
    }
    let full = |seconds| Err(OpeningError::Full { retry_after: Duration::from_secs(seconds) });
    assert_eq!(make(MOST, peer(1), NOW + 1_500), full(599), "until the first of them ends");
    assert!(make(MOST_OF_PEER, peer(2), NOW).is_ok());
    for n in MOST_OF_PEER + 1..MOST {
        make(n, None, NOW).unwrap();
    }
    assert_eq!(make(MOST, None, NOW), full(600));
    assert_eq!(make(MOST, peer(3), NOW), full(600));
    assert!(make(MOST, peer(1), NOW + LIFE_MS).is_ok(), "what has ended is forgotten");
    assert_eq!(openings.lock().len(), 1);
}
