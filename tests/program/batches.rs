//! The bytes and accounts of a settlement, damaged in every way.

use anchor_lang::error::ErrorCode;
use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use solana_signer::Signer;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_tests::chain::{Refusal, Stored};
use steam_tests::world::{boundless, offer_at, vault_at};
use steam_tests::{Key, Line, Market, Vault, nobody, price, usage};

/// Bytes before a batch: the discriminator.
const DISCRIMINATOR: usize = 8;
/// Where the number of groups is.
const N_GROUPS: usize = DISCRIMINATOR + 32;
/// Where the first group is, and within it its counts.
const GROUP: usize = N_GROUPS + 1;
const N_VOUCHERS: usize = GROUP + 10;
const N_CHARGES: usize = GROUP + 11;
/// Where the first charge of a group with one voucher names its offer.
const OFFER_IX: usize = GROUP + 12 + 105 + 1;

/// A market and the instruction that settles one charge.
fn one() -> (Market, Instruction) {
    let m = Market::open();
    let group = m.charge(usage(1, 1_000, 0, 0));
    let instruction = m.world.settle_instruction(&m.relayer, &[group]);
    (m, instruction)
}

/// A market with two vaults and two offers, and the instruction that settles a charge for each.
fn two() -> (Market, (Vault, Key), Instruction) {
    let mut m = Market::open();
    let (vault, key) = m.neighbour();
    let second = m.world.list(&m.provider, "second", price(1, 1, 1, 1));
    let line = Line { key: &key, offer: &second, version: second.version, long: false, usage: usage(1, 1, 1, 1) };
    let groups = [m.charge(usage(1, 1_000, 0, 0)), m.world.group(&vault, &[line])];
    let instruction = m.world.settle_instruction(&m.relayer, &groups);
    (m, (vault, key), instruction)
}

fn settle(m: &mut Market, instruction: &Instruction) -> steam_tests::Outcome {
    m.world.settle_as_given(&m.relayer, instruction.clone())
}

#[test]
fn a_batch_may_end_nowhere_but_at_its_end() {
    let (mut m, (neighbour, _), whole) = two();
    // Anchor reads the discriminator; the batch is everything after.
    for len in 0..DISCRIMINATOR {
        let cut = Instruction { data: whole.data[..len].to_vec(), ..whole.clone() };
        settle(&mut m, &cut).anchor_err(ErrorCode::InstructionFallbackNotFound);
    }
    for len in DISCRIMINATOR..whole.data.len() {
        let cut = Instruction { data: whole.data[..len].to_vec(), ..whole.clone() };
        assert_eq!(settle(&mut m, &cut).refusal(), Refusal::Code(SteamError::BatchTruncated.into()), "at {len}");
    }
    assert_eq!(m.world.vault(&neighbour.address).settle_seq, 0);
    settle(&mut m, &whole).ok();
}

#[test]
fn a_batch_has_no_byte_after_its_end() {
    let (mut m, mut instruction) = one();
    for byte in [0, 255] {
        instruction.data.push(byte);
        settle(&mut m, &instruction).err(SteamError::BatchTrailingBytes);
    }
}

#[test]
fn hostile_counts_are_refused() {
    let (mut m, valid) = one();
    for (at, counts, error) in [
        (N_GROUPS, &[0, 25, 128, 255][..], SteamError::BatchGroupCount),
        // Counts that could be, for which there is nothing.
        (N_GROUPS, &[2, 24], SteamError::BatchAccounts),
        (N_VOUCHERS, &[17, 255], SteamError::BatchVoucherCount),
        (N_CHARGES, &[17, 255], SteamError::BatchChargeCount),
        (N_VOUCHERS, &[2, 8], SteamError::BatchTruncated),
        (N_CHARGES, &[2, 16], SteamError::BatchTruncated),
        (N_VOUCHERS, &[0], SteamError::BatchTrailingBytes),
        (N_CHARGES, &[0], SteamError::ReceiptCount),
    ] {
        for &count in counts {
            let mut instruction = valid.clone();
            instruction.data[at] = count;
            let refusal = settle(&mut m, &instruction).refusal();
            // Fewer bytes than announced are found before or after what they would have meant.
            let found = Refusal::Code(error.into());
            let either = [found, Refusal::Code(SteamError::OfferIndex.into())];
            assert!(either.contains(&refusal), "{count} at {at}: {refusal:?}, not {}", error.name());
        }
    }
    let mut all = valid.clone();
    all.data[DISCRIMINATOR..].fill(255);
    settle(&mut m, &all).err(SteamError::BatchGroupCount);
    all.data[N_GROUPS] = 1;
    settle(&mut m, &all).err(SteamError::BatchVoucherCount);
    all.data[DISCRIMINATOR..].fill(0);
    settle(&mut m, &all).err(SteamError::BatchGroupCount);
}

#[test]
fn every_announced_group_brings_its_accounts() {
    let (mut m, (neighbour, _), whole) = two();
    // A vault without its token account, and then neither.
    let mut fewer = whole.clone();
    fewer.accounts.pop();
    settle(&mut m, &fewer).err(SteamError::BatchAccounts);
    fewer.accounts.truncate(vault_at(1) + 1);
    settle(&mut m, &fewer).err(SteamError::BatchAccounts);
    fewer.accounts.truncate(vault_at(0));
    settle(&mut m, &fewer).err(SteamError::BatchAccounts);
    let mut more = whole;
    more.accounts.push(AccountMeta::new_readonly(neighbour.address, false));
    settle(&mut m, &more).err(SteamError::BatchAccounts);
}

#[test]
fn at_most_sixty_four_offers() {
    let (mut m, mut instruction) = one();
    let pair = [instruction.accounts[offer_at(1, 0)].clone(), instruction.accounts[offer_at(1, 0) + 1].clone()];
    for _ in 0..64 {
        instruction.accounts.extend(pair.clone());
    }
    settle(&mut m, &instruction).err(SteamError::BatchAccounts);
}

#[test]
fn vaults_come_in_strictly_ascending_order() {
    let (mut m, _, mut instruction) = two();
    let (first, second) = (vault_at(0), vault_at(1));
    instruction.accounts.swap(first, second);
    instruction.accounts.swap(first + 1, second + 1);
    settle(&mut m, &instruction).refusal();
    // With the groups swapped too, so that each is its vault's.
    let groups = instruction.data[GROUP..].to_vec();
    let (one, two) = groups.split_at(groups.len() / 2);
    instruction.data[GROUP..].copy_from_slice(&[two, one].concat());
    settle(&mut m, &instruction).err(SteamError::VaultOrder);
}

#[test]
fn no_vault_comes_twice() {
    let mut m = Market::open();
    let first = m.charge(usage(1, 1_000, 0, 0));
    let mut second = first.clone();
    second.seq += 1;
    second.vouchers[0].1 = m.world.sign(&m.vault, &m.key, MicroUsdc(10_000));
    m.settle(&[first.clone(), second]).err(SteamError::VaultOrder);
    m.settle(&[first.clone(), first]).err(SteamError::VaultOrder);
}

#[test]
fn offers_come_in_strictly_ascending_order() {
    let (mut m, _, valid) = two();
    let (first, second) = (offer_at(2, 0), offer_at(2, 1));
    let mut swapped = valid.clone();
    swapped.accounts.swap(first, second);
    settle(&mut m, &swapped).err(SteamError::OfferOrder);
    let mut twice = valid.clone();
    twice.accounts[second] = twice.accounts[first].clone();
    settle(&mut m, &twice).err(SteamError::OfferOrder);
}

#[test]
fn every_offer_is_named_by_a_charge() {
    let mut m = Market::open();
    let second = m.world.list(&m.provider, "second", price(1, 1, 1, 1));
    let groups = [m.group(&[m.line(usage(1, 1, 0, 0)), Line { offer: &second, ..m.line(usage(1, 1, 0, 0)) }])];
    let both = m.world.settle_instruction(&m.relayer, &groups);
    let line = groups[0].lines.iter().find(|line| line.offer < groups[0].lines[0].offer.max(groups[0].lines[1].offer));
    // The same accounts for a group that names only the first of the two.
    let named = if line.unwrap().offer == m.offer.address.to_bytes() { &m.offer } else { &second };
    let group = m.group(&[Line { offer: named, ..m.line(usage(1, 1, 0, 0)) }]);
    let mut instruction = m.world.settle_instruction(&m.relayer, &[group]);
    instruction.accounts = both.accounts;
    settle(&mut m, &instruction).err(SteamError::UnusedAccount);
}

#[test]
fn every_charge_names_an_offer_that_is_there() {
    let (mut m, valid) = one();
    for index in [1, 2, 63, 64, 127, 128, 255] {
        let mut instruction = valid.clone();
        instruction.data[OFFER_IX] = index;
        settle(&mut m, &instruction).err(SteamError::OfferIndex);
    }
    // Nor is any without one.
    let mut without = valid;
    without.accounts.truncate(offer_at(1, 0));
    settle(&mut m, &without).err(SteamError::OfferIndex);
}

#[test]
fn a_count_of_cache_writes_that_is_announced_is_not_zero() {
    let (mut m, valid) = one();
    for flag in [1 << 5, 1 << 6] {
        let mut instruction = valid.clone();
        instruction.data[OFFER_IX - 1] |= flag;
        settle(&mut m, &instruction).err(SteamError::BatchTruncated);
        instruction.data.extend_from_slice(&[0; 4]);
        settle(&mut m, &instruction).err(SteamError::BatchZeroWrites);
    }
}

#[test]
fn a_charge_names_a_slot_a_vault_has() {
    let (mut m, valid) = one();
    // The upper bits are no part of the slot.
    for slot in [8, 9, 31] {
        let mut instruction = valid.clone();
        instruction.data[OFFER_IX - 1] = slot;
        settle(&mut m, &instruction).err(SteamError::KeySlot);
    }
}

#[test]
fn only_the_relayer_s_settler_settles() {
    let (mut m, mut instruction) = one();
    let thief = m.world.wallet();
    let authority = m.relayer.authority.insecure_clone();
    let owner = m.vault.owner.insecure_clone();
    let guardian = m.world.guardian.insecure_clone();
    for signer in [&thief, &authority, &owner, &guardian] {
        m.world.fund(&signer.pubkey());
        instruction.accounts[0].pubkey = signer.pubkey();
        m.world.run_paid_by(&signer.pubkey(), &[instruction.clone()], &[signer]).err(SteamError::NotSettler);
    }
    // The settler named, but not signing.
    instruction.accounts[0] = AccountMeta::new(m.relayer.settler.pubkey(), false);
    m.world.run(&[instruction], &[]).anchor_err(ErrorCode::AccountNotSigner);
}

#[test]
fn only_the_relayer_a_vault_names_settles_it() {
    let mut m = Market::open();
    let rival = m.world.relayer(500);
    let group = m.charge(usage(1, 1_000, 0, 0));
    m.world.settle(&rival, &[group]).err(SteamError::VaultRelayerMismatch);
}

#[test]
fn every_account_is_the_one_that_is_named() {
    let (mut m, (_, _), valid) = two();
    let thief = m.world.wallet();
    let loot = m.world.token_account(&thief.pubkey());
    let rival = m.world.relayer(500);
    let (fee, mint, token_program) = (3, 4, 5);
    let (vault, vault_token) = (vault_at(0), vault_at(0) + 1);
    let (offer, offer_token) = (offer_at(2, 0), offer_at(2, 0) + 1);
    let steam = |error: SteamError| Refusal::Code(error.into());
    let anchor = |error: ErrorCode| Refusal::Code(error.into());
    for (position, account, refusal) in [
        (1, rival.address, steam(SteamError::NotSettler)),
        (2, rival.address, anchor(ErrorCode::AccountDiscriminatorMismatch)),
        (fee, loot, anchor(ErrorCode::ConstraintAddress)),
        (fee, rival.fee_token, anchor(ErrorCode::ConstraintAddress)),
        (mint, m.world.payer.pubkey(), anchor(ErrorCode::ConstraintAddress)),
        (token_program, anchor_lang::system_program::ID, anchor(ErrorCode::InvalidProgramId)),
        (vault_token, loot, steam(SteamError::VaultTokenMismatch)),
        (vault_token, m.world.mint, steam(SteamError::VaultTokenMismatch)),
        (offer_token, loot, steam(SteamError::OfferTokenMismatch)),
        (offer_token, rival.fee_token, steam(SteamError::OfferTokenMismatch)),
        // Confused about what they are.
        (vault, thief.pubkey(), anchor(ErrorCode::AccountOwnedByWrongProgram)),
        (vault, loot, anchor(ErrorCode::AccountOwnedByWrongProgram)),
    ] {
        let mut instruction = valid.clone();
        instruction.accounts[position].pubkey = account;
        assert_eq!(settle(&mut m, &instruction).refusal(), refusal, "{account} at {position}");
    }
    for (position, account) in [(vault, m.offer.address), (offer, m.vault.address), (offer, m.provider.address)] {
        let mut instruction = valid.clone();
        instruction.accounts[position].pubkey = account;
        instruction.accounts[position].is_writable = true;
        let refusal = settle(&mut m, &instruction).refusal();
        // An account out of its order is found before it is read.
        let found = [
            anchor(ErrorCode::AccountDiscriminatorMismatch),
            steam(SteamError::OfferOrder),
            steam(SteamError::VaultOrder),
        ];
        assert!(found.contains(&refusal), "{account} at {position}: {refusal:?}");
    }
    settle(&mut m, &valid).ok();
}

#[test]
fn a_forged_offer_pays_nobody() {
    let (mut m, valid) = one();
    let at = offer_at(1, 0);
    let genuine = m.world.account(&m.offer.address).unwrap();
    let forged = nobody("forged offer");
    let thief = m.world.wallet();
    let loot = m.world.token_account(&thief.pubkey());
    // An offer's bytes, with the thief's token account, in an account of another program.
    let mut data = genuine.data.clone();
    data[8 + 32..8 + 64].copy_from_slice(loot.as_ref());
    let mut instruction = valid.clone();
    instruction.accounts[at].pubkey = forged;
    instruction.accounts[at + 1].pubkey = loot;
    m.world.set_account(&forged, Stored { owner: nobody("program"), data: data.clone(), ..genuine.clone() });
    settle(&mut m, &instruction).anchor_err(ErrorCode::AccountOwnedByWrongProgram);
    // In an account of this program whose discriminator is another's, or cut short.
    let vault = m.world.account(&m.vault.address).unwrap().data;
    data[..8].copy_from_slice(&vault[..8]);
    m.world.set_account(&forged, Stored { data: data.clone(), ..genuine.clone() });
    settle(&mut m, &instruction).anchor_err(ErrorCode::AccountDiscriminatorMismatch);
    m.world.set_account(&forged, Stored { data: data[..7].to_vec(), ..genuine.clone() });
    settle(&mut m, &instruction).anchor_err(ErrorCode::AccountDiscriminatorNotFound);
    // Or not there at all: a provider that never registered.
    m.world.set_account(&forged, Stored { owner: anchor_lang::system_program::ID, data: vec![], ..genuine });
    settle(&mut m, &instruction).anchor_err(ErrorCode::AccountOwnedByWrongProgram);
    assert_eq!(m.world.balance(&loot), MicroUsdc(0));
}

#[test]
fn a_forged_relayer_or_config_settles_nothing() {
    let (mut m, valid) = one();
    for (position, genuine) in [(1, m.relayer.address), (2, steam::addresses::config())] {
        let stored = m.world.account(&genuine).unwrap();
        let forged = nobody("forged");
        m.world.set_account(&forged, Stored { owner: nobody("program"), ..stored });
        let mut instruction = valid.clone();
        instruction.accounts[position].pubkey = forged;
        settle(&mut m, &instruction).anchor_err(ErrorCode::AccountOwnedByWrongProgram);
    }
}

#[test]
fn a_token_account_that_cannot_be_read_settles_nothing() {
    let (mut m, instruction) = one();
    let genuine = m.world.account(&m.vault.token).unwrap();
    let token = m.vault.token;
    for (owner, len) in [(nobody("program"), 165), (genuine.owner, 164), (genuine.owner, 0), (genuine.owner, 355)] {
        let mut data = genuine.data.clone();
        data.resize(len, 0);
        m.world.set_account(&token, Stored { owner, data, ..genuine.clone() });
        settle(&mut m, &instruction).err(SteamError::InvalidTokenAccount);
    }
}

#[test]
fn what_is_written_is_named_writable() {
    let (mut m, valid) = one();
    let mut instruction = valid.clone();
    instruction.accounts[vault_at(0)].is_writable = false;
    settle(&mut m, &instruction).anchor_err(ErrorCode::AccountNotMutable);
    instruction = valid.clone();
    instruction.accounts[3].is_writable = false;
    settle(&mut m, &instruction).anchor_err(ErrorCode::ConstraintMut);
    for position in [vault_at(0) + 1, offer_at(1, 0) + 1] {
        instruction = valid.clone();
        instruction.accounts[position].is_writable = false;
        settle(&mut m, &instruction).runtime_err("PrivilegeEscalation");
    }
}

#[test]
fn receipts_are_the_requests_of_the_charges() {
    let mut m = Market::open();
    let (neighbour, key) = m.neighbour();
    let valid = m.group(&[m.line(usage(2, 10, 0, 0)), m.line(usage(3, 0, 10, 0)), m.line(usage(0, 1, 0, 0))]);
    for receipts in [0, 1, 4, 6, u32::MAX] {
        let mut group = valid.clone();
        group.receipts = receipts;
        m.settle(&[group]).err(SteamError::ReceiptCount);
    }
    // A sum beyond 32 bits does not wrap around to what the group says.
    let wraps = [usage(u32::MAX, 0, 0, 0), usage(2, 0, 0, 0)].map(|usage| Line { key: &key, ..m.line(usage) });
    let wraps = m.world.group(&neighbour, &wraps);
    assert_eq!(wraps.receipts, 1);
    m.settle(&[wraps]).err(SteamError::ReceiptCount);
    m.settle(&[valid]).ok();
}

#[test]
fn a_group_of_every_key_and_sixteen_charges_settles() {
    let mut m = Market::open();
    let keys: Vec<Key> = (1..16).map(|slot| m.world.authorize(&m.vault, slot, boundless())).collect();
    let all: Vec<&Key> = std::iter::once(&m.key).chain(&keys).collect();
    let lines: Vec<Line> = (0..16).map(|n| Line { key: all[n], ..m.line(usage(1, 10, 0, 0)) }).collect();
    let groups = [m.group(&lines)];
    m.world.settle_v1(&m.relayer, &groups).ok();
    let state = m.state();
    assert_eq!((state.settle_seq, state.receipts_settled, state.settle_hash), (1, 16, groups[0].hash));
    assert!(state.keys.iter().all(|key| key.settled_pico == state.keys[0].settled_pico));
    assert_eq!(m.earned(), MicroUsdc(16 * (20 + 100)));
}
