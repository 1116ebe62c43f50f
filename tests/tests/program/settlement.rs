//! What a settlement moves, and what it writes down.

use steam_protocol::units::MicroUsdc;
use steam_router::events::Settled;
use steam_tests::{Market, usage};

#[test]
fn a_settlement_pays_the_provider_and_the_relayer_exactly() {
    let mut m = Market::open();
    let before = m.funds();
    // 1,000 uncached at $2, 500 cached at $1, 250 generated at $8 a million, and 2 requests at $0.0001.
    let group = m.charge(usage(2, 1_000, 500, 250));
    let hash = group.hash;
    let done = m.settle(&[group]).ok();
    let (paid, fee) = (MicroUsdc(2_000 + 500 + 2_000 + 200), MicroUsdc(4_700 / 20));
    assert_eq!((m.earned(), m.fees()), (paid, fee));
    assert_eq!(m.funds().0, before.0 - paid.0 - fee.0);
    let state = m.state();
    assert_eq!((state.settle_seq, state.receipts_settled, state.settle_hash), (1, 2, hash));
    assert_eq!((state.settled_pico.get(), state.fee_pico.get()), (4_700_000_000, 235_000_000));
    assert_eq!(state.keys[0].settled_pico.get(), 4_935_000_000);
    let [event] = &done.events::<Settled>()[..] else { panic!("one event") };
    assert_eq!((event.vault, event.seq, event.receipts), (m.vault.address, 1, 2));
    assert_eq!((event.paid, event.fee), (paid.0, fee.0));
}
