//! Hardware wallets, by Solana's own crate: `usb://ledger`, with the address of the device and the path of the key if there are more.

#[cfg(any(feature = "ledger", test))]
mod choice;
#[cfg(feature = "ledger")]
mod ledger;

use crate::chain::Pubkey;
use crate::cli::error::Result;
use solana_derivation_path::DerivationPath;
use solana_signer::Signer;
use std::rc::Rc;

/// Which device, and which of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locator {
    /// The device's first address, where there is more than one device.
    device: Option<Pubkey>,
    /// The key's path; `m/44'/501'` unless another is named.
    path: DerivationPath,
}

/// Reads what follows `usb:`.
pub(super) fn parse(rest: &str) -> std::result::Result<Locator, String> {
    let expected =
        || "expected usb://ledger, usb://ledger?key=ACCOUNT/CHANGE or usb://ledger/ADDRESS?key=...".to_owned();
    let rest = rest.strip_prefix("//ledger").ok_or_else(expected)?;
    let (device, query) = rest.split_once('?').map_or((rest, None), |(device, query)| (device, Some(query)));
    let device = match device {
        "" | "/" => None,
        device => Some(device.strip_prefix('/').and_then(|device| device.parse().ok()).ok_or_else(expected)?),
    };
    let path = query.map_or_else(|| Ok(DerivationPath::default()), super::derivation)?;
    Ok(Locator { device, path })
}

/// Connects with the device and asks it for the key's address.
#[cfg(feature = "ledger")]
pub(super) fn open(locator: &Locator) -> Result<Rc<dyn Signer>> {
    choice::open(ledger::Connected::new, locator)
}

/// A build without support for them says so.
#[cfg(not(feature = "ledger"))]
pub(super) fn open(_: &Locator) -> Result<Rc<dyn Signer>> {
    use crate::cli::error::CliError;
    Err(CliError::new("device", "this `steam` was built without support for hardware wallets").next(
        "build it with `--features ledger`, or sign elsewhere: name the address with --keypair, and use --sign-only",
    ))
}
