//! A key with an allow-list pays the providers in it, proven at settlement, and nobody else.

use anchor_lang::solana_program::instruction::Instruction;
use steam::ledger::SealedGroup;
use steam_protocol::allow_list::{AllowList, MAX_PROVIDERS, Membership, Step};
use steam_protocol::batch::Batch;
use steam_protocol::units::MicroUsdc;
use steam_protocol::{merkle, sha256};
use steam_router::error::SteamError;
use steam_router::state::KeyGrant;
use steam_tests::chain::Refusal;
use steam_tests::world::{MODEL, PRICE, boundless, link};
use steam_tests::{Key, Line, Market, Offer, Outcome, nobody, usage, usdc};

/// Bytes of an instruction before its first group: discriminator, root, number of groups.
const GROUP: usize = 8 + 32 + 1;
const N_CHARGES: usize = GROUP + 11;
/// Where the number of proofs is in a group with one voucher and one charge; the first proof follows.
const N_MEMBERSHIPS: usize = GROUP + 12 + 105 + 22;
const PATH: usize = N_MEMBERSHIPS + 1;

/// What each line of these tests costs its key, without the fee: a million uncached tokens at $2, and the request.
const COST: u64 = 2_000_100;

/// The usual provider and others, up to `size`, in a list.
fn list(m: &Market, size: usize) -> AllowList {
    let others = (1..size).map(|n| nobody(&format!("provider {n}")).to_bytes());
    AllowList::new(others.chain([m.provider.address.to_bytes()]).collect()).unwrap()
}

/// A market whose key in slot 1 may pay the usual provider and four others.
fn listed() -> (Market, Key) {
    let mut m = Market::open();
    let list = list(&m, 5);
    let key = m.world.authorize_for(&m.vault, 1, list);
    (m, key)
}

fn line<'a>(key: &'a Key, offer: &'a Offer) -> Line<'a> {
    Line { key, offer, version: offer.version, long: false, usage: usage(1, 1_000_000, 0, 0) }
}

/// A rival provider's offer of the usual model.
fn rival(m: &mut Market) -> Offer {
    let provider = m.world.provider();
    m.world.list(&provider, MODEL, PRICE)
}

/// The group with other proofs in place of its own.
fn with(group: &SealedGroup, memberships: Vec<Membership>) -> SealedGroup {
    SealedGroup { memberships, ..group.clone() }
}

fn settle_one(m: &mut Market, group: &SealedGroup) -> Outcome {
    m.settle(std::slice::from_ref(group))
}

#[test]
fn a_key_pays_a_provider_in_its_list() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    assert_eq!(group.memberships.len(), 1);
    settle_one(&mut m, &group).ok();
    let state = m.state();
    assert_eq!((m.earned(), m.fees()), (MicroUsdc(COST), MicroUsdc(COST / 20)));
    assert_eq!(state.keys[1].settled_pico.get(), u128::from(COST + COST / 20) * 1_000_000);
    // The chain of groups says what was charged, not how it was proven.
    assert_eq!(state.settle_hash, link(&[0; 32], &with(&group, vec![])));
}

#[test]
fn every_provider_of_a_list_of_any_size_can_be_paid() {
    for size in [1, 2, 3, 5, 33, 63, MAX_PROVIDERS] {
        let mut m = Market::open();
        let providers: Vec<_> = (0..size).map(|_| m.world.provider()).collect();
        let list = AllowList::new(providers.iter().map(|provider| provider.address.to_bytes()).collect()).unwrap();
        let key = m.world.authorize_for(&m.vault, 1, list.clone());
        let places = [0, size / 2, size - 1].map(|place| list.providers()[place]);
        for provider in providers.iter().filter(|provider| places.contains(&provider.address.to_bytes())) {
            let offer = m.world.list(provider, MODEL, PRICE);
            let group = m.group(&[line(&key, &offer)]);
            settle_one(&mut m, &group).ok();
            assert_eq!(m.world.balance(&provider.token), MicroUsdc(COST), "of {size}");
        }
    }
}

#[test]
fn a_provider_who_is_not_in_the_list_is_paid_by_no_proof() {
    let (mut m, key) = listed();
    let offer = rival(&mut m);
    let group = m.group(&[line(&key, &offer)]);
    settle_one(&mut m, &group).err(SteamError::MembershipMissing);
    let list = key.list.as_ref().unwrap();
    for member in list.providers() {
        let stolen = with(&group, vec![list.prove(member).unwrap()]);
        settle_one(&mut m, &stolen).err(SteamError::ProviderNotAllowed);
    }
    // Nor by its own proof in a list of the relayer's making.
    let forged = AllowList::new([list.providers(), &[offer.provider.to_bytes()]].concat()).unwrap();
    let proof = forged.prove(&offer.provider.to_bytes()).unwrap();
    settle_one(&mut m, &with(&group, vec![proof])).err(SteamError::ProviderNotAllowed);
    assert_eq!((m.world.balance(&offer.token), m.state().settle_seq), (MicroUsdc(0), 0));
}

#[test]
fn each_charge_is_checked_not_only_the_first() {
    let (mut m, key) = listed();
    let offer = rival(&mut m);
    let usual = m.offer.clone();
    let allowed = m.group(&[line(&key, &usual)]).memberships;
    for (first, second, error) in
        [(&usual, &offer, SteamError::MembershipMissing), (&offer, &usual, SteamError::ProviderNotAllowed)]
    {
        let group = m.group(&[line(&key, first), line(&key, second)]);
        settle_one(&mut m, &with(&group, allowed.clone())).err(error);
        settle_one(&mut m, &with(&group, [allowed.clone(), allowed.clone()].concat()))
            .err(SteamError::ProviderNotAllowed);
    }
}

#[test]
fn a_proof_has_exactly_the_steps_to_the_root() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    let Membership(steps) = &group.memberships[0];
    let step = Step { left: true, sibling: [0; 32] };
    let wrong = [
        vec![],
        steps[1..].to_vec(),
        steps[..steps.len() - 1].to_vec(),
        [steps.clone(), vec![step]].concat(),
        [vec![step], steps.clone()].concat(),
        steps.iter().rev().copied().collect(),
        steps.iter().map(|step| Step { left: !step.left, ..*step }).collect(),
    ];
    for steps in wrong {
        let group = with(&group, vec![Membership(steps.clone())]);
        settle_one(&mut m, &group).err(SteamError::ProviderNotAllowed);
    }
    settle_one(&mut m, &group).ok();
}

#[test]
fn whatever_bit_of_a_proof_is_flipped_nothing_settles() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    let valid = m.world.settle_instruction(&m.relayer, &[group]);
    let settled = m.state().settle_seq;
    for bit in 8 * N_MEMBERSHIPS..8 * valid.data.len() {
        let mut flipped = valid.clone();
        flipped.data[bit / 8] ^= 1 << (bit % 8);
        let outcome = m.world.settle_as_given(&m.relayer, flipped);
        assert!(outcome.0.is_err(), "bit {bit}");
    }
    assert_eq!((m.state().settle_seq, m.earned()), (settled, MicroUsdc(0)));
    m.world.settle_as_given(&m.relayer, valid).ok();
}

#[test]
fn hostile_counts_and_paths_are_refused() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    let valid = m.world.settle_instruction(&m.relayer, &[group]);
    assert_eq!((valid.data[N_CHARGES], valid.data[N_MEMBERSHIPS]), (0x81, 1));
    for (at, values, error) in [
        (N_MEMBERSHIPS, &[0, 17, 128, 255][..], SteamError::BatchMembershipCount),
        // Counts that could be, for which there is nothing.
        (N_MEMBERSHIPS, &[2, 16], SteamError::BatchTruncated),
        (PATH, &[0, 128, 255], SteamError::BatchMembershipPath),
        (PATH, &[16, 31, 64, 127], SteamError::BatchTruncated),
        (PATH, &[1, 2, 3], SteamError::BatchTrailingBytes),
        (N_CHARGES, &[1], SteamError::BatchTrailingBytes),
        (N_CHARGES, &[0x80 | 17, 255], SteamError::BatchChargeCount),
    ] {
        for &value in values {
            let mut instruction = valid.clone();
            instruction.data[at] = value;
            let refusal = m.world.settle_as_given(&m.relayer, instruction).refusal();
            // Bytes that are too many are looked for once the group has been read as what it then says.
            let trailing = error == SteamError::BatchTrailingBytes;
            let unproven = [SteamError::ProviderNotAllowed, SteamError::MembershipMissing];
            let found = std::iter::once(error).chain(unproven.into_iter().filter(|_| trailing));
            let found: Vec<_> = found.map(|error| Refusal::Code(error.into())).collect();
            assert!(found.contains(&refusal), "{value} at {at}: {refusal:?}");
        }
    }
    m.world.settle_as_given(&m.relayer, valid).ok();
}

#[test]
fn a_batch_with_proofs_ends_at_its_end() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    let valid = m.world.settle_instruction(&m.relayer, &[group]);
    for len in N_MEMBERSHIPS..valid.data.len() {
        let cut = Instruction { data: valid.data[..len].to_vec(), ..valid.clone() };
        m.world.settle_as_given(&m.relayer, cut).err(SteamError::BatchTruncated);
    }
    let mut longer = valid.clone();
    longer.data.push(0);
    m.world.settle_as_given(&m.relayer, longer).err(SteamError::BatchTrailingBytes);
}

#[test]
fn a_proof_nobody_needs_is_refused() {
    let (mut m, key) = listed();
    let proof = m.group(&[line(&key, &m.offer)]).memberships.remove(0);
    // For a key that may pay everybody, after the one that is needed, and in a void group.
    let unlisted = m.group(&[line(&m.key, &m.offer)]);
    settle_one(&mut m, &with(&unlisted, vec![proof.clone()])).err(SteamError::MembershipUnused);
    let needed = m.group(&[line(&m.key, &m.offer), line(&key, &m.offer)]);
    settle_one(&mut m, &with(&needed, vec![proof.clone(); 2])).err(SteamError::MembershipUnused);
    let void = m.group(&[]);
    settle_one(&mut m, &with(&void, vec![proof.clone()])).err(SteamError::MembershipUnused);
    settle_one(&mut m, &needed).ok();
    // A group that was applied is read, and that is all.
    settle_one(&mut m, &with(&needed, vec![proof; 2])).ok();
    assert_eq!(m.state().settle_seq, 1);
}

#[test]
fn one_proof_serves_all_charges_of_a_list_and_a_provider() {
    let (mut m, key) = listed();
    let list = key.list.clone().unwrap();
    let twin = m.world.authorize_for(&m.vault, 2, list.clone());
    let second = m.world.list(&m.provider, "second", PRICE);
    let group = m.group(&[line(&key, &m.offer), line(&m.key, &m.offer), line(&key, &second), line(&twin, &m.offer)]);
    assert_eq!(group.memberships.len(), 1);
    settle_one(&mut m, &group).ok();
    assert_eq!(m.earned(), MicroUsdc(4 * COST));
}

#[test]
fn each_list_and_each_provider_brings_its_proof_in_order() {
    let mut m = Market::open();
    let offer = rival(&mut m);
    let both = AllowList::new(vec![m.provider.address.to_bytes(), offer.provider.to_bytes()]).unwrap();
    let key = m.world.authorize_for(&m.vault, 1, both);
    let usual = list(&m, 3);
    let other = m.world.authorize_for(&m.vault, 2, usual);
    let group = m.group(&[line(&key, &offer), line(&key, &m.offer), line(&other, &m.offer), line(&key, &offer)]);
    let [first, second, third] = &group.memberships[..] else { panic!("three pairs") };
    for wrong in [[second, first, third], [first, third, second], [third, second, first]] {
        let swapped = with(&group, wrong.map(Clone::clone).to_vec());
        settle_one(&mut m, &swapped).err(SteamError::ProviderNotAllowed);
    }
    let fewer = with(&group, vec![first.clone(), second.clone()]);
    settle_one(&mut m, &fewer).err(SteamError::MembershipMissing);
    settle_one(&mut m, &group).ok();
    assert_eq!((m.earned(), m.world.balance(&offer.token)), (MicroUsdc(2 * COST), MicroUsdc(2 * COST)));
}

#[test]
fn a_list_of_another_key_allows_nothing() {
    let (mut m, key) = listed();
    let offer = rival(&mut m);
    let own = AllowList::new(vec![offer.provider.to_bytes()]).unwrap();
    let other = m.world.authorize_for(&m.vault, 2, own);
    // The second key's proof of the rival, for the first key's charge.
    let lines = [line(&other, &offer), line(&key, &offer)];
    let proof = m.group(&lines[..1]).memberships;
    let group = m.group(&lines);
    settle_one(&mut m, &with(&group, proof.clone())).err(SteamError::MembershipMissing);
    let twice = [proof.clone(), proof].concat();
    settle_one(&mut m, &with(&group, twice)).err(SteamError::ProviderNotAllowed);
}

#[test]
fn a_root_that_is_no_list_s_pays_nobody() {
    let mut m = Market::open();
    let provider = m.provider.address.to_bytes();
    // Of no leaves, of the bare address, of a leaf of a receipt tree, and of nothing anybody knows.
    let roots = [sha256(&[]), provider, merkle::leaf(&provider), [1; 32]];
    for (slot, root) in (1..).zip(roots) {
        let key = m.world.authorize(&m.vault, slot, KeyGrant { allow_root: root, ..boundless() });
        let group = m.group(&[line(&key, &m.offer)]);
        settle_one(&mut m, &group).err(SteamError::MembershipMissing);
        let step = Step { left: true, sibling: provider };
        for steps in [vec![], vec![step], vec![step; 6]] {
            settle_one(&mut m, &with(&group, vec![Membership(steps)])).err(SteamError::ProviderNotAllowed);
        }
    }
    assert_eq!(m.earned(), MicroUsdc(0));
}

#[test]
fn a_proof_is_asked_for_after_the_price_and_before_the_funds() {
    let (mut m, key) = listed();
    let group = m.group(&[line(&key, &m.offer)]);
    let mut unpriced = with(&group, vec![]);
    unpriced.lines[0].version = 9;
    settle_one(&mut m, &unpriced).err(SteamError::PriceUnknown);
    // A vault that is too poor is skipped only with a group that could have settled, but for its voucher.
    let poor = m.world.open_vault(&m.relayer);
    let key = m.world.authorize_for(&poor, 0, key.list.unwrap());
    let group = m.world.group(&poor, &[line(&key, &m.offer)]);
    settle_one(&mut m, &with(&group, vec![])).err(SteamError::MembershipMissing);
    settle_one(&mut m, &group).ok();
    assert_eq!(m.world.vault(&poor.address).settle_seq, 0);
    m.world.deposit(&poor, usdc(3));
    settle_one(&mut m, &group).ok();
    assert_eq!(m.world.vault(&poor.address).settle_seq, 1);
}

#[test]
fn groups_with_and_without_lists_share_a_batch() {
    let (mut m, key) = listed();
    let (neighbour, free) = m.neighbour();
    let groups = [m.group(&[line(&key, &m.offer)]), m.world.group(&neighbour, &[line(&free, &m.offer)])];
    let instruction = m.world.settle_instruction(&m.relayer, &groups);
    let batch = Batch::decode(&instruction.data[8..]).unwrap();
    assert_eq!(batch.groups.iter().map(|group| group.memberships.len()).sum::<usize>(), 1);
    m.settle(&groups).ok();
    assert_eq!(m.earned(), MicroUsdc(2 * COST));
}

#[test]
fn a_full_group_of_keys_with_lists_fits_the_program_s_memory() {
    // Sixteen charges that need sixteen proofs: eight keys with a list each, of two providers.
    let mut m = Market::open();
    m.world.deposit(&m.vault, usdc(100));
    let offer = rival(&mut m);
    let keys: Vec<Key> = (0..8)
        .map(|n| {
            let third = nobody(&format!("third {n}")).to_bytes();
            let providers = vec![m.provider.address.to_bytes(), offer.provider.to_bytes(), third];
            let list = AllowList::new(providers).unwrap();
            if n == 0 {
                m.world.revoke(&m.vault, 0, Some(&m.relayer.settler.insecure_clone())).ok();
            }
            m.world.authorize_for(&m.vault, n, list)
        })
        .collect();
    let lines: Vec<Line> = keys.iter().flat_map(|key| [line(key, &m.offer), line(key, &offer)]).collect();
    let group = m.group(&lines);
    assert_eq!((group.lines.len(), group.memberships.len()), (16, 16));
    m.world.settle_v1(&m.relayer, &[group]).ok();
    assert_eq!((m.earned(), m.world.balance(&offer.token)), (MicroUsdc(8 * COST), MicroUsdc(8 * COST)));
}
