//! What to do about each of the program's refusals that a person can meet.

/// The refusals by name. Those of Anchor's that a wrong keypair leads to are here too.
const ADVICE: [(&str, &str); 71] = [
    // Terms and tiers.
    ("InvalidPrice", "a price is at most 1000000 USD, and that of cached input at most that of input"),
    (
        "InvalidLongPrice",
        "name the prices of long prompts together with --long-from, none of them below the other prices, or none at all",
    ),
    ("InvalidLimits", "name a --max-output of at most --context: the context holds prompt and answer together"),
    ("PriceGraceRunning", "post it again when the last price's grace is over; `steam provider status` says when"),
    ("VersionOverflow", "offer the model from another provider account: this offer's prices are used up"),
    ("OfferRetired", "list it again with `steam provider offer`"),
    ("OfferListed", "retire it with `steam provider offer --model MODEL --retire`, and close it after its grace"),
    ("OfferStillSettles", "`steam provider close-offer` says how long; run it again then"),
    ("VersionAhead", "run `steam provider close-offer` again in some minutes"),
    ("PromptsNotLong", "the relayer's receipts must name long prompts alone; this is the relayer's to mend"),
    // Names.
    ("InvalidModel", "use 1 to 64 of a-z A-Z 0-9 . _ : / - as the model's name"),
    ("ReservedModel", "leave out :floor, :nitro, :free or :online at the end: they ask for a way of routing"),
    ("NameLength", "use a name of 1 to 32 bytes"),
    ("UrlLength", "use a URL of 1 to 128 bytes"),
    // Floors and delays.
    (
        "InvalidDelays",
        "keep settle_interval + max_pause < price_grace <= revoke_grace <= withdraw_delay, in seconds and in slots",
    ),
    ("DelayTooLong", "name delays of at most 7d, and 6048000 slots"),
    ("DelayBelowFloor", "`steam admin status` shows the floors; name delays that are not below them"),
    // Slots and keys.
    ("KeySlot", "`steam key create` takes the next slot by itself; a vault has 32"),
    ("KeySlotInUse", "revoke a key with `steam key revoke`; its slot is free after its grace"),
    ("KeyAlreadyLive", "make another key with `steam key create`"),
    ("KeyUnknown", "`steam key list` shows the vault's keys"),
    ("KeyRevoked", "`steam key list` says until when it still settles; make another with `steam key create`"),
    ("KeyClosed", "the key has ended; make another with `steam key create`"),
    ("KeyZero", "make the key with `steam key create`"),
    ("KeyExpiryPast", "name a span that ends later with --expires, or `never`"),
    ("ZeroLimit", "name a --limit above zero"),
    ("WindowMismatch", "name --window and --window-limit together or neither; a key's window never changes its length"),
    ("FeeTooHigh", "name at most 2000 basis points, which are 20 percent"),
    // Who may.
    ("NotUpgradeAuthority", "use the upgrade authority's keypair, with --keypair"),
    ("NotAdmin", "use the admin's keypair, with --keypair; `steam admin status` shows who that is"),
    ("NotPendingAdmin", "the admin offers the place with `steam admin transfer ADDRESS`"),
    ("NotGuardian", "use the guardian's keypair, with --keypair; `steam admin status` shows who that is"),
    ("NotAuthority", "use the keypair that registered it, with --keypair"),
    ("NotOwner", "use the vault owner's keypair, with --keypair"),
    ("NotSettler", "ask again: the relayer has another settler now"),
    ("NotRentPayer", "run the command again: who paid the rent is read from the chain"),
    ("ConstraintHasOne", "use the keypair it belongs to, with --keypair"),
    ("ConstraintSeeds", "use the keypair it belongs to, with --keypair"),
    // State of a provider or relayer.
    ("ProviderNotActive", "`steam provider status` says why"),
    ("Suspended", "ask the guardian of this deployment; `steam admin status` shows who that is"),
    ("SuspensionUnchanged", "nothing is to be done: it is so already"),
    ("ProviderHasOffers", "close each with `steam provider close-offer`; `steam provider status` shows them"),
    ("ProviderHasEarnings", "withdraw them with `steam provider withdraw`"),
    ("FeeGraceRunning", "change the fee again when the previous one's grace is over; `steam relayer status` says when"),
    ("ReceiptKeyZero", "name the address of a keypair with --receipt-key"),
    ("ReceiptKeyUnchanged", "nothing is to be done: it is the receipt key already"),
    // Pauses.
    ("Paused", "the pause ends by itself; `steam admin status` says when"),
    ("AlreadyPaused", "`steam admin status` says when the next pause is possible"),
    ("PauseCooldown", "`steam admin status` says when the next pause is possible"),
    // Money.
    ("InvalidMint", "name a mint with six decimals"),
    ("ZeroAmount", "name an amount above zero; if this was a recovery, there is nothing to recover"),
    ("NoWithdrawal", "request one with `steam vault withdraw AMOUNT`"),
    (
        "WithdrawalLocked",
        "`steam vault show` says when it unlocks; `steam vault withdraw --execute --wait` waits for it",
    ),
    ("GenerationMismatch", "the vault was closed and opened again: run the command again"),
    ("SettleSeqMismatch", "the vault has settled meanwhile: run the command again"),
    ("AgreementExpired", "run the command again"),
    ("DurableNonce", "send the transaction without a durable nonce: the relayer agrees for some minutes only"),
    (
        "CloseNeedsAll",
        "request everything with `steam vault withdraw --all`, and close the vault once that is unlocked",
    ),
    ("GenerationNotOver", "run the command again in a second: a vault closes in a later slot than it was opened in"),
    ("RecoverFunds", "take the vault's funds out with `steam vault withdraw`"),
    ("NotNested", "`steam vault recover` and `steam provider recover` show what can be recovered"),
    ("InvalidTokenProgram", "only tokens of the token programs can be recovered"),
    ("InsufficientBalance", "use a smaller amount; `steam provider earnings` and `steam vault show` say what is there"),
    ("InvalidDestination", "name another owner with --to: the account must be another one, of USDC"),
    ("InvalidTokenAccount", "name an account of the token program"),
    ("AmountOverflow", "use a smaller amount"),
    // What a charge meets; an owner reads of it when a relayer cannot settle.
    ("KeyPriceExceeded", "raise the key's highest price with `steam key update`, or choose cheaper offers"),
    ("KeyFeeExceeded", "raise the key's highest fee with `steam key update --max-fee-bps`"),
    ("KeyLimitExceeded", "raise the key's limit with `steam key update --limit`"),
    ("KeyWindowExceeded", "raise it with `steam key update --window-limit`, or wait for the next window"),
    ("ProviderNotAllowed", "make a key that may pay this provider with `steam key create --provider`"),
];

/// What to do about a refusal.
pub(super) fn what_next(name: &str) -> Option<&'static str> {
    ADVICE.into_iter().find(|(known, _)| *known == name).map(|(_, next)| next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What only a relayer's settler can meet, whose batches the relayer builds and simulates: `relayer/src/settle` decides about
    /// them.
    const OF_BATCHES: [&str; 29] = [
        "PriceOutdated",
        "PriceFuture",
        "PriceUnknown",
        "VoucherExceeded",
        "BatchTruncated",
        "BatchTrailingBytes",
        "BatchGroupCount",
        "BatchVoucherCount",
        "BatchChargeCount",
        "BatchZeroWrites",
        "BatchMembershipCount",
        "BatchMembershipPath",
        "BatchAccounts",
        "VaultOrder",
        "OfferOrder",
        "VaultRelayerMismatch",
        "VaultTokenMismatch",
        "OfferTokenMismatch",
        "UnusedAccount",
        "OfferIndex",
        "SeqGap",
        "ReceiptCount",
        "FeeMismatch",
        "VoucherOrder",
        "VoucherMissing",
        "VoucherUnused",
        "MembershipMissing",
        "MembershipUnused",
        "VoucherSignature",
    ];

    /// `STEAM_WRITE_DOCS=1` writes it.
    #[test]
    fn the_page_of_errors_has_every_refusal_of_the_program() {
        use std::fmt::Write as _;
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ERRORS.md");
        let page = std::fs::read_to_string(path).unwrap();
        let mark = "<!-- refusals -->\n";
        let (head, _) = page.split_once(mark).unwrap();
        let mut written =
            format!("{head}{mark}\n| code | name | the rule | what `steam` says to do |\n|---:|---|---|---|\n");
        let interface: crate::cli::failure::Interface = serde_json::from_str(crate::cli::failure::IDL).unwrap();
        for crate::cli::failure::ProgramError { code, name, msg } in interface.errors {
            let next = what_next(&name).unwrap_or("the relayer's own: its log and `steam ledger resolve` list it");
            writeln!(written, "| {code} | `{name}` | {msg} | {next} |").unwrap();
        }
        if std::env::var_os("STEAM_WRITE_DOCS").is_some() {
            std::fs::write(path, &written).unwrap();
        }
        assert_eq!(page, written, "docs/ERRORS.md is not of these: run this test with STEAM_WRITE_DOCS=1");
    }

    #[test]
    fn every_refusal_of_the_program_says_what_to_do_or_is_the_relayers_own() {
        let interface: crate::cli::failure::Interface = serde_json::from_str(crate::cli::failure::IDL).unwrap();
        let names: Vec<&str> = interface.errors.iter().map(|error| error.name.as_str()).collect();
        for name in &names {
            assert!(what_next(name).is_some() != OF_BATCHES.contains(name), "{name}");
        }
        let of_anchor = ["ConstraintHasOne", "ConstraintSeeds"];
        for name in ADVICE.iter().map(|(name, _)| name).chain(&OF_BATCHES) {
            assert!(names.contains(name) || of_anchor.contains(name), "{name} is no error");
        }
        for (at, (name, next)) in ADVICE.iter().enumerate() {
            assert!(ADVICE.iter().skip(at + 1).all(|(other, _)| other != name), "{name} is there twice");
            assert!(!next.ends_with('.') && next.len() > 15, "{name}: {next}");
        }
    }
}
