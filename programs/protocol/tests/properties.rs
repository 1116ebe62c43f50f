//! What holds for every input, not only for the golden vectors' ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::ops::Range;
use steam_protocol::allow_list::{
    self, AllowList, AllowListError, MAX_PROVIDERS, MAX_STEPS, Membership, MembershipView, Step, memberships,
};
use steam_protocol::batch::{
    Batch, BatchCharge, BatchError, BatchView, BatchVoucher, CHARGE_LEN, GROUP_LEN, Group, HEADER_LEN, MAX_GROUPS,
    MAX_MEMBERSHIPS, VOUCHER_LEN,
};
use steam_protocol::group::{GroupHeader, MAX_CHARGES, MAX_KEYS, MAX_VOUCHERS, ResolvedCharge, next_hash};
use steam_protocol::key::{KeyError, PREFIX, SessionKey};
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, ReceiptError, SIGNED_LEN, SignedReceipt};
use steam_protocol::request::{RequestBinding, control_headers_hash};
use steam_protocol::units::{
    MAX_FEE_BPS, MAX_PRICE, MicroUsdc, PICO_PER_MICRO, Pico, Price, Tariff, Usage, charge, fee, floor_step, receipt_fee,
};
use steam_protocol::voucher::{Voucher, verify_strict};
use steam_protocol::{Hash, merkle, seeds, sha256};

prop_compose! {
    fn any_price()(components: [u64; 6]) -> Price {
        of_components(components)
    }
}

prop_compose! {
    fn posted_price()(components in proptest::array::uniform6(0..=MAX_PRICE)) -> Price {
        let price = of_components(components);
        Price { cached: price.cached.min(price.input), ..price }
    }
}

fn of_components([input, cached, cache_write, cache_write_long, output, request]: [u64; 6]) -> Price {
    Price { input, cached, cache_write, cache_write_long, output, request }
}

prop_compose! {
    fn posted_tariff()(standard in posted_price(), more in posted_price(), long_from in prop_oneof![Just(0u32), any::<u32>()]) -> Tariff {
        let above: Vec<u64> = standard.components().into_iter().zip(more.components()).map(|(a, b)| a.max(b)).collect();
        let long = if long_from == 0 { Price::default() } else { of_components(above.try_into().unwrap()) };
        Tariff { standard, long_from, long }
    }
}

prop_compose! {
    fn any_usage()(counts: [u32; 4], writes in proptest::array::uniform2(prop_oneof![Just(0u32), any::<u32>()])) -> Usage {
        let ([requests, input, cached, output], [cache_write, cache_write_long]) = (counts, writes);
        Usage { requests, input, cached, cache_write, cache_write_long, output }
    }
}

/// Amounts whose low digits matter and whose sums stay in range.
fn amounts() -> impl Strategy<Value = Vec<u128>> {
    vec(prop_oneof![0..3 * PICO_PER_MICRO, 0..1u128 << 76], 0..40)
}

/// The bytes of a test input, taken from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        *head
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn usage(&mut self) -> Usage {
        Usage {
            requests: self.u32(),
            input: self.u32(),
            cached: self.u32(),
            cache_write: self.u32(),
            cache_write_long: self.u32(),
            output: self.u32(),
        }
    }
}

/// Every input that differs from `bytes` in one bit.
fn flips(bytes: &[u8], bits: Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |at| {
        bits.clone().map(move |bit| {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            flipped
        })
    })
}

fn voucher(bytes: &[u8]) -> Voucher {
    let mut fields = Fields(bytes);
    let voucher = Voucher {
        domain: fields.take(),
        vault: fields.take(),
        generation: fields.u64(),
        epoch: fields.u32(),
        authorized: MicroUsdc(fields.u64()),
        request_hash: fields.take(),
    };
    assert!(fields.0.is_empty());
    voucher
}

fn group_hash(bytes: &[u8], charges: usize) -> Hash {
    let mut fields = Fields(bytes);
    let previous = fields.take();
    let header = GroupHeader {
        vault: fields.take(),
        generation: fields.u64(),
        seq: fields.u32(),
        receipts: fields.u32(),
        fee_bps: u16::from_le_bytes(fields.take()),
    };
    let mut charge = || {
        let [slot] = fields.take();
        let (slot, long) = (slot & 0x7f, slot >> 7 == 1);
        ResolvedCharge { slot, offer: fields.take(), version: fields.u32(), long, usage: fields.usage() }
    };
    let charges: Vec<ResolvedCharge> = (0..charges).map(|_| charge()).collect();
    assert!(fields.0.is_empty());
    next_hash(&previous, &header, charges.into_iter())
}

fn binding_hash(bytes: &[u8], method: &str, path: &str) -> Hash {
    let mut fields = Fields(bytes);
    let hash = RequestBinding {
        relayer: &fields.take(),
        method,
        path,
        body_hash: &fields.take(),
        control_hash: &fields.take(),
        max_cost: MicroUsdc(fields.u64()),
        not_after: i64::from_le_bytes(fields.take()),
        nonce: &fields.take(),
    }
    .hash();
    assert!(fields.0.is_empty());
    hash
}

prop_compose! {
    fn any_receipt()(
        fixed: [[u8; 32]; 8],
        (key_id, key_epoch, price_version, ttft_ms, duration_ms) in any::<(u32, u32, u32, u32, u32)>(),
        (generation, number, key_slot, started_at_ms, key_cumulative) in any::<(u64, u64, u8, i64, u128)>(),
        price in posted_tariff(),
        usage in any_usage(),
        fee_bps in 0..=MAX_FEE_BPS,
        counted_by in select(&[CountedBy::Provider, CountedBy::Relayer, CountedBy::Capped]),
        finish_reason in select(&[
            FinishReason::Stop, FinishReason::Length, FinishReason::ToolCalls, FinishReason::ContentFilter,
            FinishReason::Error, FinishReason::ClientGone, FinishReason::Other,
        ]),
    ) -> Receipt {
        let [domain, relayer, vault, request_hash, response_hash, provider, offer, routing_hash] = fixed;
        let charge = price.charge(&usage);
        let fee = receipt_fee(charge, fee_bps).unwrap();
        Receipt {
            key_id, domain, relayer, vault, generation, key_epoch, key_slot, number, request_hash, response_hash, provider, offer,
            price_version, price, usage, counted_by, charge, fee_bps, fee, key_cumulative: Pico(key_cumulative), finish_reason,
            started_at_ms, ttft_ms, duration_ms, routing_hash,
        }
    }
}

fn signed(receipt: Receipt, key: &SessionKey) -> SignedReceipt {
    SignedReceipt { signature: key.sign(&receipt.message()), receipt }
}

prop_compose! {
    fn any_voucher()(slot: u8, authorized: u64, request_hash: Hash, left: Hash, right: Hash) -> BatchVoucher {
        let signature = [left, right].concat().try_into().unwrap();
        BatchVoucher { slot, authorized: MicroUsdc(authorized), request_hash, signature }
    }
}

prop_compose! {
    fn any_charge()(slot in 0..32u8, offer_ix: u8, version: u32, long: bool, usage in any_usage()) -> BatchCharge {
        BatchCharge { slot, offer_ix, version, long, usage }
    }
}

prop_compose! {
    fn any_group()(
        seq: u32,
        receipts: u32,
        fee_bps: u16,
        vouchers in vec(any_voucher(), 0..=MAX_VOUCHERS),
        charges in vec(any_charge(), 0..=MAX_CHARGES),
        memberships in prop_oneof![Just(vec![]), vec(any_membership(), 1..=MAX_MEMBERSHIPS)],
    ) -> Group {
        Group { seq, receipts, fee_bps, vouchers, charges, memberships }
    }
}

fn any_membership() -> impl Strategy<Value = Membership> {
    let step = any::<(bool, Hash)>().prop_map(|(left, sibling)| Step { left, sibling });
    vec(step, 0..=MAX_STEPS).prop_map(Membership)
}

/// Lists of any size whose providers differ, and one more that is in none of them.
fn any_list() -> impl Strategy<Value = (AllowList, [u8; 32])> {
    btree_set(any::<[u8; 32]>(), 2..=MAX_PROVIDERS + 1).prop_map(|providers| {
        let mut providers: Vec<_> = providers.into_iter().collect();
        let stranger = providers.swap_remove(providers.len() / 2);
        (AllowList::new(providers).unwrap(), stranger)
    })
}

/// A proof as the program reads it.
fn proves(proof: &Membership, provider: &[u8; 32], root: &Hash) -> bool {
    let memberships = vec![proof.clone()];
    let group = Group { seq: 1, receipts: 0, fee_bps: 0, vouchers: vec![], charges: vec![], memberships };
    let bytes = Batch { root: [0; 32], groups: vec![group] }.encode().unwrap();
    let mut views: Vec<MembershipView> =
        BatchView::parse(&bytes).unwrap().next_group().unwrap().memberships().collect();
    views.pop().unwrap().proves(provider, root)
}

prop_compose! {
    fn any_batch(most: usize)(root: Hash, groups in vec(any_group(), 1..=most)) -> Batch {
        Batch { root, groups }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| merkle::leaf(&i.to_le_bytes())).collect()
}

/// On which side the siblings of leaf `index` of `count` stand, nearest first.
fn shape(index: u64, count: u64) -> Vec<bool> {
    if count == 1 {
        return Vec::new();
    }
    let left = count.next_power_of_two() / 2;
    let is_right = index >= left;
    let mut sides = if is_right { shape(index - left, count - left) } else { shape(index, left) };
    sides.push(is_right);
    sides
}

proptest! {
    #[test]
    fn a_charge_is_exact_and_never_overflows(price in any_price(), usage in any_usage()) {
        let part = |count: u32, unit: u64| u128::from(count).checked_mul(unit.into()).unwrap();
        let exact = part(usage.input, price.input)
            .checked_add(part(usage.cached, price.cached)).unwrap()
            .checked_add(part(usage.cache_write, price.cache_write)).unwrap()
            .checked_add(part(usage.cache_write_long, price.cache_write_long)).unwrap()
            .checked_add(part(usage.output, price.output)).unwrap()
            .checked_add(part(usage.requests, price.request).checked_mul(PICO_PER_MICRO).unwrap()).unwrap();
        prop_assert_eq!(charge(&price, &usage), Pico(exact));
        prop_assert!(exact < 1 << 118);
    }

    #[test]
    fn the_charge_of_a_sum_is_the_sum_of_charges(price in posted_price(), a in any_usage(), b in any_usage()) {
        if let Some(both) = a.checked_add(&b) {
            prop_assert_eq!(Some(charge(&price, &both)), charge(&price, &a).checked_add(charge(&price, &b)));
        }
    }

    #[test]
    fn a_posted_price_never_overflows_a_fee(price in posted_price(), usage in any_usage(), bps in 0..=MAX_FEE_BPS) {
        prop_assert!(price.is_valid());
        let amount = charge(&price, &usage);
        prop_assert!(fee(amount, bps).unwrap() <= amount);
        prop_assert!(receipt_fee(amount, bps).unwrap() <= amount);
    }

    /// However a sum is cut into charges, the same tokens move, never more than the sum.
    #[test]
    fn any_split_moves_the_same_tokens(before in 0..1u128 << 80, amounts in amounts(), cuts: Vec<u32>) {
        let sum: u128 = amounts.iter().sum();
        let whole = floor_step(Pico(before), Pico(sum)).unwrap();

        let mut cuts: Vec<u128> = cuts.into_iter().map(|cut| sum * u128::from(cut) / u128::from(u32::MAX)).collect();
        cuts.extend([0, sum]);
        cuts.sort_unstable();
        let splits = [amounts, cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()];
        for split in splits {
            let (mut at, mut moved) = (Pico(before), MicroUsdc(0));
            for amount in split {
                moved = moved.checked_add(floor_step(at, Pico(amount)).unwrap()).unwrap();
                at = at.checked_add(Pico(amount)).unwrap();
                // What a vault paid so far never exceeds what it owes so far.
                prop_assert!(u128::from(moved.0) * PICO_PER_MICRO <= before % PICO_PER_MICRO + (at.0 - before));
            }
            prop_assert_eq!(at, Pico(before + sum));
            prop_assert_eq!(moved, whole);
        }
        prop_assert_eq!(Some(whole.0), Pico(before + sum).floor_micro().unwrap().0.checked_sub(Pico(before).floor_micro().unwrap().0));
    }

    #[test]
    fn floor_steps_refuse_what_they_cannot_express(before: u128, amount: u128) {
        let expected = before.checked_add(amount)
            .and_then(|after| u64::try_from(after / PICO_PER_MICRO - before / PICO_PER_MICRO).ok());
        prop_assert_eq!(floor_step(Pico(before), Pico(amount)), expected.map(MicroUsdc));
    }

    #[test]
    fn ceil_covers_and_floor_is_covered(pico in 0..u128::from(u64::MAX) * PICO_PER_MICRO) {
        let (floor, ceil) = (Pico(pico).floor_micro().unwrap(), Pico(pico).ceil_micro().unwrap());
        prop_assert!(floor.pico().0 <= pico && pico <= ceil.pico().0);
        prop_assert_eq!(ceil.0 - floor.0, u64::from(pico % PICO_PER_MICRO != 0));
    }

    /// A holder that counts its receipts' fees never falls behind what settles.
    #[test]
    fn receipt_fees_cover_the_group_fee(amounts in amounts(), bps in 0..=MAX_FEE_BPS) {
        let shown: u128 = amounts.iter().map(|&amount| receipt_fee(Pico(amount), bps).unwrap().0).sum();
        let taken = fee(Pico(amounts.iter().sum()), bps).unwrap().0;
        prop_assert!(shown >= taken);
        prop_assert!(shown - taken <= amounts.len() as u128);
    }

    /// Cutting a group in two never raises its fee, so that settling often is not a way to charge more.
    #[test]
    fn splitting_a_group_never_raises_the_fee(a in 0..1u128 << 100, b in 0..1u128 << 100, bps in 0..=MAX_FEE_BPS) {
        let parts = fee(Pico(a), bps).unwrap().0 + fee(Pico(b), bps).unwrap().0;
        let whole = fee(Pico(a + b), bps).unwrap().0;
        prop_assert!(parts <= whole && whole - parts <= 1);
    }

    #[test]
    fn a_batch_reads_as_it_was_written(batch in any_batch(5)) {
        let bytes = batch.encode().unwrap();
        let proofs = |group: &Group| match group.memberships.len() {
            0 => 0,
            n => 1 + n + 32 * group.memberships.iter().map(|proof| proof.0.len()).sum::<usize>(),
        };
        let writes = |group: &Group| -> usize {
            let counts = group.charges.iter().flat_map(|charge| [charge.usage.cache_write, charge.usage.cache_write_long]);
            CHARGE_LEN * group.charges.len() + 4 * counts.filter(|&count| count != 0).count()
        };
        let fixed = |group: &Group| GROUP_LEN + group.vouchers.len() * VOUCHER_LEN + writes(group);
        let expected: usize = batch.groups.iter().map(|group| fixed(group) + proofs(group)).sum();
        prop_assert_eq!(bytes.len(), HEADER_LEN + expected);
        prop_assert_eq!(Batch::decode(&bytes).unwrap(), batch);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_have_one_reading(
        mut bytes in vec(prop_oneof![any::<u8>(), 0..3u8], 0..600),
        groups in 0..4u8,
    ) {
        if let Some(byte) = bytes.get_mut(32) {
            *byte = groups;
        }
        if let Ok(batch) = Batch::decode(&bytes) {
            prop_assert_eq!(batch.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn oversized_groups_are_refused(group in any_group(), voucher in any_voucher(), charge in any_charge()) {
        let refused = |group: Group, error| {
            let batch = Batch { root: [0; 32], groups: vec![group] };
            prop_assert_eq!(batch.encode(), Err(error));
            Ok(())
        };
        refused(Group { vouchers: vec![voucher; MAX_VOUCHERS + 1], ..group.clone() }, BatchError::VoucherCount)?;
        refused(Group { charges: vec![charge; MAX_CHARGES + 1], ..group.clone() }, BatchError::ChargeCount)?;
        let beyond = BatchCharge { slot: MAX_KEYS as u8, ..charge };
        refused(Group { charges: vec![beyond], vouchers: vec![], ..group.clone() }, BatchError::ChargeSlot)?;
        let step = Step { left: true, sibling: [0; 32] };
        for steps in [0, MAX_STEPS] {
            let memberships = vec![Membership(vec![step; steps]); MAX_MEMBERSHIPS + 1];
            refused(Group { memberships, ..group.clone() }, BatchError::MembershipCount)?;
        }
        let memberships = vec![Membership(vec![step; MAX_STEPS + 1])];
        refused(Group { memberships, ..group.clone() }, BatchError::MembershipPath)?;
        for count in [0, MAX_GROUPS + 1] {
            let groups = vec![Group { vouchers: vec![], charges: vec![], memberships: vec![], ..group.clone() }; count];
            prop_assert_eq!(Batch { root: [0; 32], groups }.encode(), Err(BatchError::GroupCount));
        }
    }

    #[test]
    fn a_list_proves_its_providers_and_no_other((list, stranger) in any_list(), (member, other) in any::<(Index, Index)>()) {
        let root = list.root();
        let (member, other) = (member.get(list.providers()), other.get(list.providers()));
        let proof = list.prove(member).unwrap();
        prop_assert!(proof.0.len() <= MAX_STEPS);
        prop_assert!(list.contains(member) && proves(&proof, member, &root));
        prop_assert!(!list.contains(&stranger) && list.prove(&stranger).is_none() && !proves(&proof, &stranger, &root));
        prop_assert_eq!(proves(&proof, other, &root), member == other);
        prop_assert!(root != allow_list::ANY);
    }

    #[test]
    fn any_other_proof_leads_elsewhere(
        (list, _) in any_list(),
        (member, at) in any::<(Index, Index)>(),
        (byte, bit) in (0..32usize, 0..8u32),
        (left, sibling) in any::<(bool, Hash)>(),
    ) {
        let (member, root) = (member.get(list.providers()), list.root());
        let proof = list.prove(member).unwrap();
        let refused = |steps: &[Step]| {
            prop_assert!(!proves(&Membership(steps.to_vec()), member, &root));
            Ok(())
        };
        if proof.0.len() < MAX_STEPS {
            refused(&[&proof.0[..], &[Step { left, sibling }]].concat())?;
            refused(&[&[Step { left, sibling }], &proof.0[..]].concat())?;
        }
        if !proof.0.is_empty() {
            let at = at.index(proof.0.len());
            refused(&proof.0[..at])?;
            refused(&proof.0[at + 1..])?;
            let mut changed = proof.0.clone();
            changed[at].sibling[byte] ^= 1 << bit;
            refused(&changed)?;
            changed[at] = Step { left: !proof.0[at].left, ..proof.0[at] };
            refused(&changed)?;
        }
    }

    #[test]
    fn a_set_of_providers_has_one_list((list, stranger) in any_list(), by: Index, again: Index) {
        let mut named = list.providers().to_vec();
        named.push(*again.get(list.providers()));
        named.rotate_left(by.index(list.providers().len()));
        prop_assert_eq!(&AllowList::new(named.clone()).unwrap(), &list);
        named.push(stranger);
        if let Ok(other) = AllowList::new(named) {
            prop_assert_ne!(other.root(), list.root());
        }
    }

    /// The tags part them, also where somebody names a provider's bytes in a receipt or the other way round.
    #[test]
    fn no_leaf_of_a_list_is_a_leaf_or_a_node_of_another_tree(provider: [u8; 32], left: Hash, right: Hash) {
        let leaf = allow_list::leaf(&provider);
        prop_assert_ne!(leaf, merkle::leaf(&provider));
        let node = merkle::root(&[left, right]);
        prop_assert_ne!(leaf, node);
        prop_assert!(!proves(&Membership(vec![]), &provider, &merkle::leaf(&provider)));
        // A list of a node's children does not prove the node.
        prop_assert!(!proves(&Membership(vec![]), &node, &node));
    }

    #[test]
    fn a_group_brings_one_proof_for_each_list_and_provider(
        (one, _) in any_list(),
        (two, _) in any_list(),
        lines in vec(any::<(bool, Index)>(), 0..=MAX_CHARGES),
    ) {
        let charges: Vec<_> = lines.iter().map(|(first, provider)| {
            let list = if *first { &one } else { &two };
            (list, *provider.get(list.providers()))
        }).collect();
        let proofs = memberships(charges.clone()).unwrap();
        let mut left = proofs.iter();
        let mut seen = Vec::new();
        for (list, provider) in charges {
            if !seen.contains(&(list.root(), provider)) {
                seen.push((list.root(), provider));
                prop_assert!(proves(left.next().unwrap(), &provider, &list.root()));
            }
        }
        prop_assert!(left.next().is_none());
    }

    #[test]
    fn a_proof_holds_for_its_leaf_and_place_only(
        count in 1..=130usize,
        (index, other, sibling) in any::<(Index, Index, Index)>(),
        (byte, bit) in (0..32usize, 0..8u32),
        stranger: Hash,
    ) {
        let (leaves, index, other) = (leaves(count), index.index(count), other.index(count));
        let (root, path) = (merkle::root(&leaves), merkle::proof(&leaves, index).unwrap());
        let ends_in = |leaf: &Hash, index: usize, path: &[Hash]| merkle::root_from_proof(leaf, index as u64, count as u64, path);
        prop_assert_eq!(ends_in(&leaves[index], index, &path), Some(root));
        if other != index {
            prop_assert_ne!(ends_in(&leaves[index], other, &path), Some(root));
            prop_assert_ne!(ends_in(&leaves[other], index, &path), Some(root));
        }
        prop_assert_ne!(ends_in(&stranger, index, &path), Some(root));
        prop_assert_eq!(ends_in(&leaves[index], index, &[&path[..], &[stranger]].concat()), None);
        if !path.is_empty() {
            let at = sibling.index(path.len());
            prop_assert_eq!(ends_in(&leaves[index], index, &path[..at]), None);
            let mut flipped = path.clone();
            flipped[at][byte] ^= 1 << bit;
            prop_assert_ne!(ends_in(&leaves[index], index, &flipped), Some(root));
        }
        prop_assert_eq!(merkle::proof(&leaves, count), None);
    }

    /// A root does not commit to its count: another one passes exactly if it puts every sibling on the same side.
    #[test]
    fn another_count_passes_by_its_shape_only(count in 1..=130usize, index: Index, other in 0..=260u64) {
        let (leaves, index) = (leaves(count), index.index(count));
        let path = merkle::proof(&leaves, index).unwrap();
        let found = merkle::root_from_proof(&leaves[index], index as u64, other, &path);
        let same_shape = (index as u64) < other && shape(index as u64, other) == shape(index as u64, count as u64);
        prop_assert_eq!(found == Some(merkle::root(&leaves)), same_shape);
    }

    #[test]
    fn arbitrary_proofs_never_panic(leaf: Hash, index: u64, count: u64, path in vec(any::<Hash>(), 0..70)) {
        let found = merkle::root_from_proof(&leaf, index, count, &path);
        prop_assert!(index < count || found.is_none());
    }

    #[test]
    fn a_key_reads_as_it_was_written(mut seed: Hash, zeros in 0..=32usize) {
        seed[..zeros].fill(0);
        let key = SessionKey::from_seed(&seed);
        let text = key.reveal();
        prop_assert_eq!(text.parse::<SessionKey>().unwrap().reveal(), text.clone());

        let encoded = text.strip_prefix(PREFIX).unwrap();
        let refused = |text: String, error| {
            prop_assert_eq!(text.parse::<SessionKey>().unwrap_err(), error, "{}", text);
            Ok(())
        };
        refused(format!("{PREFIX}1{encoded}"), KeyError::Seed)?;
        if let Some(shorter) = encoded.strip_prefix('1') {
            refused(format!("{PREFIX}{shorter}"), KeyError::Seed)?;
        }
        for space in [" ", "\n", "\t", "\0", "\u{a0}"] {
            refused(format!("{text}{space}"), KeyError::Seed)?;
            refused(format!("{PREFIX}{space}{encoded}"), KeyError::Seed)?;
            refused(format!("{space}{text}"), KeyError::Prefix)?;
        }
        refused(encoded.to_owned(), KeyError::Prefix)?;
        refused(text.to_uppercase(), KeyError::Prefix)?;
    }

    #[test]
    fn bytes_of_any_other_length_are_no_key(bytes in vec(any::<u8>(), 0..80)) {
        prop_assume!(bytes.len() != 32);
        let text = format!("{PREFIX}{}", bs58::encode(bytes).into_string());
        prop_assert_eq!(text.parse::<SessionKey>().unwrap_err(), KeyError::Seed);
    }

    #[test]
    fn every_key_has_one_text(tail in "[ -~]{0,60}|\\PC{0,60}|[1-9A-HJ-NP-Za-km-z]{40,46}") {
        if let Ok(key) = format!("{PREFIX}{tail}").parse::<SessionKey>() {
            prop_assert_eq!(key.reveal(), format!("{PREFIX}{tail}"));
        }
    }

    #[test]
    fn debug_shows_the_public_half_only(seed: Hash) {
        let key = SessionKey::from_seed(&seed);
        for debug in [format!("{key:?}"), format!("{key:#?}")] {
            prop_assert_eq!(debug, format!("SessionKey({})", bs58::encode(key.address()).into_string()));
        }
        prop_assert_ne!(key.address(), seed);
    }

    #[test]
    fn bytes_of_another_length_are_no_receipt(bytes in vec(any::<u8>(), 0..SIGNED_LEN * 2)) {
        prop_assume!(bytes.len() != SIGNED_LEN);
        prop_assert_eq!(SignedReceipt::from_bytes(&bytes), Err(ReceiptError::Malformed));
    }

    #[test]
    fn receipts_of_any_bytes_never_panic_and_have_one_reading(bytes in vec(any::<u8>(), SIGNED_LEN), counted in 0..5u8, finish in 0..9u8) {
        let mut bytes = bytes;
        (bytes[377], bytes[428]) = (counted, finish);
        match SignedReceipt::from_bytes(&bytes) {
            Ok(signed) => {
                prop_assert!(counted < 3 && finish < 7);
                prop_assert_eq!(signed.to_bytes(), bytes);
                prop_assert!(signed.receipt.check_amounts().is_err());
            }
            Err(error) => {
                prop_assert!(counted >= 3 || finish >= 7);
                prop_assert_eq!(error, ReceiptError::Malformed);
            }
        }
    }

    #[test]
    fn control_headers_are_bound_in_any_order(
        headers in vec(
            ("(?i)(steam-[a-c]{0,2}|steam-route-[a-c]|idempotency-key|anthropic-beta|anthropic-version|openai-beta|steam-nonce|steam-max-cost|x-[a-c]|accept)", vec(any::<u8>(), 0..4)),
            0..6,
        ),
        by: Index,
    ) {
        let hash = |headers: &[(String, Vec<u8>)]| {
            control_headers_hash(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
        };
        let expected = hash(&headers);
        let mut turned = headers.clone();
        if !turned.is_empty() {
            turned.rotate_left(by.index(headers.len()));
        }
        turned.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase());
        prop_assert_eq!(hash(&turned), expected);
        for at in 0..headers.len() {
            let mut changed = headers.clone();
            changed[at].1.push(0);
            let name = headers[at].0.to_ascii_lowercase();
            let is_covered = match name.as_str() {
                "steam-nonce" | "steam-max-cost" => false,
                "anthropic-beta" | "anthropic-version" | "idempotency-key" | "openai-beta" => true,
                other => other.starts_with("steam-"),
            };
            prop_assert_eq!(hash(&changed) != expected, is_covered, "{} changed", name);
            let removed = headers.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, header)| header.clone());
            prop_assert_eq!(hash(&removed.collect::<Vec<_>>()) != expected, is_covered, "{} removed", name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_batch_of_other_length_is_refused(batch in any_batch(2), extra in vec(any::<u8>(), 1..64)) {
        let bytes = batch.encode().unwrap();
        for length in 0..bytes.len() {
            prop_assert_eq!(Batch::decode(&bytes[..length]), Err(BatchError::Truncated));
        }
        prop_assert_eq!(Batch::decode(&[bytes, extra].concat()), Err(BatchError::TrailingBytes));
    }

    #[test]
    fn every_bit_of_a_voucher_matters(bytes in vec(any::<u8>(), 32 + 32 + 8 + 4 + 8 + 32), seed: Hash) {
        let message = voucher(&bytes).message();
        for flipped in flips(&bytes, 0..8) {
            prop_assert_ne!(voucher(&flipped).message(), message);
        }
        let key = SessionKey::from_seed(&seed);
        let signature = key.sign(&message);
        prop_assert!(verify_strict(&key.address(), &message, &signature));
        for flipped in flips(&signature, 0..8) {
            prop_assert!(!verify_strict(&key.address(), &message, &flipped.try_into().unwrap()));
        }
        for flipped in flips(&message, 0..1) {
            prop_assert!(!verify_strict(&key.address(), &flipped, &signature));
        }
    }

    #[test]
    fn every_bit_of_a_group_matters(charges in 0..=3usize, bytes in vec(any::<u8>(), 82 + 3 * 61)) {
        let bytes = &bytes[..82 + charges * 61];
        let hash = group_hash(bytes, charges);
        for flipped in flips(bytes, 0..8) {
            prop_assert_ne!(group_hash(&flipped, charges), hash);
        }
    }

    #[test]
    fn every_bit_of_a_request_matters(
        bytes in vec(any::<u8>(), 32 * 3 + 8 + 8 + 16),
        method in "[A-Z]{1,7}",
        path in "/[a-z0-9/]{0,30}",
    ) {
        let hash = binding_hash(&bytes, &method, &path);
        for flipped in flips(&bytes, 0..8) {
            prop_assert_ne!(binding_hash(&flipped, &method, &path), hash);
        }
        for flipped in flips(method.as_bytes(), 0..7) {
            prop_assert_ne!(binding_hash(&bytes, std::str::from_utf8(&flipped).unwrap(), &path), hash);
        }
        for flipped in flips(path.as_bytes(), 0..7) {
            prop_assert_ne!(binding_hash(&bytes, &method, std::str::from_utf8(&flipped).unwrap()), hash);
        }
        // Nor can a byte move from one string to the next.
        let (head, tail) = path.split_at(1);
        prop_assert_ne!(binding_hash(&bytes, &format!("{method}{head}"), tail), hash);
    }

    #[test]
    fn every_bit_of_a_receipt_matters(receipt in any_receipt(), seed: Hash, bit in 0..8u32) {
        let key = SessionKey::from_seed(&seed);
        let signed = signed(receipt, &key);
        prop_assert_eq!(signed.verify(&key.address()), Ok(()));
        let bytes = signed.to_bytes();
        prop_assert_eq!(bytes.len(), SIGNED_LEN);
        prop_assert_eq!(&SignedReceipt::from_bytes(&bytes).unwrap(), &signed);
        for flipped in flips(&bytes, bit..bit + 1) {
            let error = SignedReceipt::from_bytes(&flipped).and_then(|signed| signed.verify(&key.address())).unwrap_err();
            prop_assert!(matches!(error, ReceiptError::Malformed | ReceiptError::Signature));
        }
        prop_assert_eq!(signed.verify(&SessionKey::from_seed(&sha256(&[&seed])).address()), Err(ReceiptError::Signature));
    }

    /// A relayer's signature does not make its arithmetic right.
    #[test]
    fn signed_but_wrong_amounts_are_named(receipt in any_receipt(), seed: Hash, by in 1..1u128 << 40) {
        let key = SessionKey::from_seed(&seed);
        let wrong_charge = Receipt { charge: Pico(receipt.charge.0 + by), ..receipt.clone() };
        prop_assert_eq!(signed(wrong_charge, &key).verify(&key.address()), Err(ReceiptError::Charge));
        let wrong_fee = Receipt { fee: Pico(receipt.fee.0 + by), ..receipt };
        prop_assert_eq!(signed(wrong_fee, &key).verify(&key.address()), Err(ReceiptError::Fee));
    }
}

#[test]
fn every_leaf_of_every_size_has_its_proof() {
    for count in 1..=130 {
        let leaves = leaves(count);
        let root = merkle::root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let path = merkle::proof(&leaves, index).unwrap();
            assert_eq!(merkle::root_from_proof(leaf, index as u64, count as u64, &path), Some(root));
        }
    }
}

#[test]
fn every_provider_of_every_size_has_its_proof_and_no_more_fit() {
    let providers: Vec<[u8; 32]> = (0..=MAX_PROVIDERS).map(|n| sha256(&[&n.to_le_bytes()])).collect();
    for size in 1..=MAX_PROVIDERS {
        let list = AllowList::new(providers[..size].to_vec()).unwrap();
        assert!(list.providers().iter().all(|p| proves(&list.prove(p).unwrap(), p, &list.root())), "{size}");
    }
    assert_eq!(AllowList::new(providers), Err(AllowListError::TooLong));
    assert_eq!(AllowList::new(vec![]), Err(AllowListError::Empty));
    assert_eq!(memberships([]), Some(vec![]));
}

#[test]
fn the_provider_that_is_not_in_its_list_spoils_the_group_s_proofs() {
    let list = AllowList::new(vec![[1; 32], [2; 32]]).unwrap();
    assert_eq!(memberships([(&list, [1; 32]), (&list, [3; 32])]), None);
}

#[test]
fn a_leaf_cannot_pass_for_a_node() {
    let leaves = leaves(4);
    let inner = [merkle::root(&leaves[..2]), merkle::root(&leaves[2..])].concat();
    assert_ne!(merkle::leaf(&inner), merkle::root(&leaves));
}

#[test]
fn a_reader_that_stops_early_does_not_finish() {
    let group = Group { seq: 1, receipts: 0, fee_bps: 0, vouchers: vec![], charges: vec![], memberships: vec![] };
    let bytes = Batch { root: [0; 32], groups: vec![group; 2] }.encode().unwrap();
    let mut view = BatchView::parse(&bytes).unwrap();
    assert_eq!(view.finish(), Err(BatchError::TrailingBytes));
    view.next_group().unwrap();
    assert_eq!(view.finish(), Err(BatchError::TrailingBytes));
    view.next_group().unwrap();
    assert_eq!(view.finish(), Ok(()));
    assert_eq!(view.next_group().unwrap_err(), BatchError::Truncated);
}

#[test]
fn seeds_are_told_in_the_order_of_their_constants() {
    let (owner, relayer) = ([1; 32], [2; 32]);
    assert_eq!(seeds::vault(&owner, &relayer), [b"vault", &owner[..], &relayer]);
    let (provider, model) = ([3; 32], seeds::model_hash("lab/model"));
    assert_eq!(seeds::offer(&provider, &model), [b"offer", &provider[..], &model]);
}

#[test]
fn a_batch_that_is_read_has_groups() {
    let group =
        Group { seq: 1, receipts: 0, fee_bps: 0, vouchers: Vec::new(), charges: Vec::new(), memberships: Vec::new() };
    let bytes = Batch { root: [0; 32], groups: vec![group] }.encode().unwrap();
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!((view.len(), view.is_empty()), (1, false));
}

#[test]
fn amounts_are_written_with_all_their_digits() {
    assert_eq!(MicroUsdc(12_000_034).to_string(), "12.000034");
    assert_eq!(Pico(12_000_000_000_034).to_string(), "12.000000000034");
    assert_eq!((MicroUsdc(0).to_string(), Pico(999).to_string()), ("0.000000".into(), "0.000000000999".into()));
}

#[test]
fn amounts_and_usages_add_up_until_they_cannot() {
    assert_eq!([Pico(1), Pico(20), Pico(300)].into_iter().sum::<Pico>(), Pico(321));
    assert_eq!(Pico(1_999_999).floor_micro(), Some(MicroUsdc(1)));
    assert_eq!((Pico(5).checked_sub(Pico(2)), Pico(2).checked_sub(Pico(5))), (Some(Pico(3)), None));
    assert_eq!((Pico(5).saturating_sub(Pico(2)), Pico(2).saturating_sub(Pico(5))), (Pico(3), Pico::ZERO));
    let (five, two) = (MicroUsdc(5), MicroUsdc(2));
    assert_eq!((five.checked_sub(two), two.checked_sub(five)), (Some(MicroUsdc(3)), None));
    assert_eq!((five.checked_add(two), five.checked_add(MicroUsdc(u64::MAX))), (Some(MicroUsdc(7)), None));
    assert_eq!(receipt_fee(Pico(10_001), 1), Some(Pico(2)));
    let (one, edge) = (
        Usage { requests: 1, input: 2, cached: 3, output: 4, ..Usage::default() },
        Usage { requests: u32::MAX, input: 0, cached: 0, output: 0, ..Usage::default() },
    );
    assert_eq!(one.checked_add(&one), Some(Usage { requests: 2, input: 4, cached: 6, output: 8, ..Usage::default() }));
    assert_eq!(one.checked_add(&edge), None);
}

/// The prime is ed, ff thirty times, 7f: only who has all of it is beyond.
#[test]
fn a_key_that_ends_as_the_prime_does_is_a_key_like_others() {
    let like_the_prime = |key: &SessionKey| key.address()[0] >= 0xed && key.address()[31] & 0x7f == 0x7f;
    let keys = (0..100_000_u32).map(|n| SessionKey::from_seed(&sha256(&[&n.to_le_bytes()])));
    let key = keys.into_iter().find(like_the_prime).unwrap();
    assert!(verify_strict(&key.address(), b"served", &key.sign(b"served")));
}
