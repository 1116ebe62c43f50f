//! A valid settlement, changed bit by bit: whatever still goes through moves exactly what it says, and no more than the
//! key signed.

use anchor_lang::solana_program::instruction::Instruction;
use steam_protocol::batch::Batch;
use steam_protocol::units::{MicroUsdc, Price, charge, fee};
use steam_tests::world::{PRICE, expected_moves};
use steam_tests::{Market, usage};

/// The accounts a settlement writes.
fn written(m: &Market) -> [anchor_lang::prelude::Pubkey; 4] {
    [m.vault.address, m.vault.token, m.provider.token, m.relayer.fee_token]
}

#[test]
fn whatever_bit_is_flipped_nobody_pays_more_than_was_signed() {
    let mut m = Market::open();
    let group = m.charge(usage(3, 1_000, 500, 250));
    let valid = m.world.settle_instruction(&m.relayer, &[group]);
    let before = m.state();
    let funds = m.funds();
    let snapshot = written(&m).map(|address| (address, m.world.account(&address).unwrap()));
    let untouched = |m: &Market| snapshot.iter().all(|(at, stored)| m.world.account(at).as_ref() == Some(stored));
    let (mut applied, mut refused) = (0, 0);
    // A bit or two of each byte, another in the next.
    for bit in (0..8 * valid.data.len()).step_by(5) {
        let mut flipped = Instruction { data: valid.data.clone(), ..valid.clone() };
        flipped.data[bit / 8] ^= 1 << (bit % 8);
        let outcome = m.world.settle_as_given(&m.relayer, flipped.clone());
        if outcome.0.is_err() {
            refused += 1;
            assert!(untouched(&m), "{bit}");
            continue;
        }
        let after = m.state();
        let batch = Batch::decode(&flipped.data[8..]).unwrap();
        let [group] = &batch.groups[..] else { panic!("one group") };
        if after.settle_seq == before.settle_seq {
            // Applied before, or more than the vault holds: untouched.
            assert!(untouched(&m), "{bit}");
            continue;
        }
        applied += 1;
        let [line] = &group.charges[..] else { panic!("one charge") };
        let cost = charge(&Price::from(PRICE), &line.usage);
        assert_eq!(after.settled_pico.get(), cost.0, "{bit}");
        assert_eq!(after.fee_pico.get(), fee(cost, 500).unwrap().0, "{bit}");
        assert!(after.keys[0].settled_pico.get() <= group.vouchers[0].authorized.pico().0, "{bit}");
        let (paid, fees) = expected_moves(&before, &after);
        assert_eq!((m.earned(), m.fees()), (paid, fees), "{bit}");
        assert_eq!(m.funds(), MicroUsdc(funds.0 - paid.0 - fees.0), "{bit}");
        for (address, stored) in &snapshot {
            m.world.set_account(address, stored.clone());
        }
    }
    // The root, which the program does not read, and claims of less than was used.
    assert!((51..70).contains(&applied), "{applied}");
    assert!(refused > 200, "{refused}");
}
