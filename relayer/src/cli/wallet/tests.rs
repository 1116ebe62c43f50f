use super::*;
use crate::instructions::{cancel_withdraw, open_vault};
use solana_keypair::Keypair;
use solana_signer::Signer as _;
use std::rc::Rc;

const RELAYER: Pubkey = Pubkey::new_from_array([9; 32]);

fn keypair(seed: u8) -> Keypair {
    Keypair::new_from_array([seed; 32])
}

fn hash(seed: u8) -> Hash {
    Hash::new_from_array([seed; 32])
}

/// A wallet whose owner is here, and pays.
fn whole() -> Wallet {
    Wallet::new(Signer::Here(Rc::new(keypair(1))), Format::Json)
}

/// A wallet whose owner signs elsewhere, and whose payer is here.
fn split(presigned: Vec<Presigned>) -> Wallet {
    let elsewhere = Wallet::new(Signer::Elsewhere(keypair(1).pubkey()), Format::Json);
    Wallet { payer: Signer::Here(Rc::new(keypair(2))), presigned, ..elsewhere }
}

fn steps() -> [Instruction; 1] {
    [cancel_withdraw(&keypair(1).pubkey(), &RELAYER)]
}

fn given(by: &Keypair, message: &VersionedMessage) -> Vec<Presigned> {
    vec![Presigned { address: by.pubkey(), signature: by.sign_message(&message.serialize()) }]
}

#[test]
fn what_was_signed_elsewhere_completes_exactly_that_transaction() {
    let printed = split(vec![]).sign(&steps(), hash(1), None).unwrap();
    assert_eq!(printed.absent, [keypair(1).pubkey()]);
    assert_eq!(printed.all().unwrap_err().code(), "missing_signature");
    let presigned = given(&keypair(1), &printed.transaction.message);
    let whole = split(presigned.clone()).sign(&steps(), hash(1), None).unwrap();
    assert!(whole.all().is_ok() && whole.transaction.verify_with_results().iter().all(|holds| *holds));
    assert_eq!(whole.transaction.message.static_account_keys()[0], keypair(2).pubkey(), "the payer comes first");

    let later = split(presigned.clone()).sign(&steps(), hash(2), None).err().unwrap();
    assert_eq!(later.code(), "wrong_signature");
    let other = cancel_withdraw(&keypair(1).pubkey(), &Pubkey::new_from_array([8; 32]));
    assert_eq!(split(presigned).sign(&[other], hash(1), None).err().unwrap().code(), "wrong_signature");
    let forged =
        vec![Presigned { address: keypair(1).pubkey(), ..given(&keypair(3), &printed.transaction.message)[0].clone() }];
    assert_eq!(split(forged).sign(&steps(), hash(1), None).err().unwrap().code(), "wrong_signature");
}

#[test]
fn a_signature_that_nobody_needs_is_refused() {
    let printed = split(vec![]).sign(&steps(), hash(1), None).unwrap();
    let error = split(given(&keypair(3), &printed.transaction.message)).sign(&steps(), hash(1), None).err().unwrap();
    assert_eq!(error.exit(), crate::cli::error::Exit::Usage);
    assert!(error.message().contains(&keypair(3).pubkey().to_string()), "{error}");
}

#[test]
fn a_session_key_signs_beside_owner_and_payer() {
    let key = SessionKey::from_seed(&[5; 32]);
    let (owner, payer) = (keypair(1).pubkey(), keypair(2).pubkey());
    let mut step = open_vault(&owner, &payer, &RELAYER, &RELAYER);
    step.accounts.push(anchor_lang::prelude::AccountMeta::new_readonly(Pubkey::new_from_array(key.address()), true));
    let wallet = Wallet { payer: Signer::Here(Rc::new(keypair(2))), ..whole() };
    let signed = wallet.sign(std::slice::from_ref(&step), hash(1), Some(&key)).unwrap();
    assert!(signed.absent.is_empty() && signed.transaction.verify_with_results() == [true; 3]);
    let without = wallet.sign(&[step], hash(1), None).unwrap();
    assert_eq!(without.absent, [Pubkey::new_from_array(key.address())]);
}

#[test]
fn a_price_is_set_with_the_units_that_it_is_paid_for() {
    let wallet = Wallet { unit_price: Some(10_000), ..whole() };
    let (steps, fee) = wallet.priced(&[steps(), steps()].concat());
    assert_eq!(fee, Some(PriorityFee { lamports: 4_000, micro_lamports_per_unit: 10_000, units: 400_000 }));
    assert_eq!(steps[0], ComputeBudgetInstruction::set_compute_unit_limit(400_000));
    assert_eq!(steps[1], ComputeBudgetInstruction::set_compute_unit_price(10_000));
    assert_eq!(steps.len(), 4);
    let (most, _) = wallet.priced(&vec![steps[2].clone(); 9]);
    assert_eq!(most[0], ComputeBudgetInstruction::set_compute_unit_limit(1_400_000));
    assert_eq!(whole().priced(&steps[2..]), (steps[2..].to_vec(), None), "without a price nothing is added");
    let signed = wallet.sign(&steps[2..], hash(1), None).unwrap();
    let unsent = serde_json::to_value(Unsent::of(&signed).unwrap()).unwrap();
    assert_eq!(unsent["priority_fee"]["lamports"], "4000", "also where it is printed and not sent");
    let free = serde_json::to_value(Unsent::of(&whole().sign(&steps[2..], hash(1), None).unwrap()).unwrap()).unwrap();
    assert!(free.get("priority_fee").is_none(), "{free}");
}

#[test]
fn what_is_printed_names_who_signed_and_who_is_to_sign() {
    let signed = split(vec![]).sign(&steps(), hash(1), None).unwrap();
    let unsent = serde_json::to_value(Unsent::of(&signed).unwrap()).unwrap();
    let (owner, payer) = (keypair(1).pubkey(), keypair(2).pubkey());
    assert_eq!(unsent["absent"], serde_json::json!([owner.to_string()]));
    assert_eq!(unsent["blockhash"], hash(1).to_string());
    let signature = signed.transaction.signatures[0];
    assert_eq!(unsent["signers"], serde_json::json!([format!("{payer}={signature}")]));
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(unsent["transaction"].as_str().unwrap()).unwrap();
    assert_eq!(bincode::deserialize::<VersionedTransaction>(&bytes).unwrap(), signed.transaction);
    let mut text = Vec::new();
    crate::cli::output::Report::text(&Unsent::of(&signed).unwrap(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(&format!("--signer {payer}={signature} --signer {owner}=SIGNATURE")), "{text}");
}
