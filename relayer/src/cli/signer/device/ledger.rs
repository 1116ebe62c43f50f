//! Ledgers by Solana's own crate.

use super::choice::{Devices, Fault};
use crate::chain::Pubkey;
use solana_derivation_path::DerivationPath;
use solana_remote_wallet::ledger_error::LedgerError;
use solana_remote_wallet::locator::{Locator, Manufacturer};
use solana_remote_wallet::remote_keypair::{RemoteKeypair, generate_remote_keypair};
use solana_remote_wallet::remote_wallet::{
    RemoteWallet, RemoteWalletError, RemoteWalletManager, RemoteWalletType, initialize_wallet_manager,
};
use solana_signature::Signature;
use solana_signer::{Signer, SignerError};
use std::rc::Rc;

/// The devices that are connected now.
pub struct Connected(Rc<RemoteWalletManager>);

/// A key of a device.
struct Key(RemoteKeypair);

impl Connected {
    /// Looks for devices.
    ///
    /// # Errors
    /// The machine's USB devices cannot be used.
    pub fn new() -> Result<Self, Fault> {
        let manager = initialize_wallet_manager().map_err(Fault::from)?;
        manager.update_devices().map_err(Fault::from)?;
        Ok(Self(manager))
    }
}

impl Devices for Connected {
    fn addresses(&self) -> Vec<Result<Pubkey, Fault>> {
        let told = self.0.list_devices().into_iter();
        told.map(|device| device.error.map_or(Ok(device.pubkey), |error| Err(error.into()))).collect()
    }

    fn key(&self, device: Pubkey, path: &DerivationPath) -> Result<Rc<dyn Signer>, Fault> {
        let locator = Locator { manufacturer: Manufacturer::Ledger, pubkey: Some(device) };
        let key = generate_remote_keypair(locator, path.clone(), &self.0, false, "keypair")?;
        Ok(Rc::new(Key(key)))
    }
}

impl Signer for Key {
    fn try_pubkey(&self) -> Result<Pubkey, SignerError> {
        self.0.try_pubkey()
    }

    fn try_sign_message(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let RemoteWalletType::Ledger(wallet) = &self.0.wallet_type;
        let signed = wallet.sign_message(&self.0.derivation_path, message);
        signed.map_err(|error| SignerError::Protocol(Fault::from(error).sentence()))
    }

    fn is_interactive(&self) -> bool {
        true
    }
}

impl From<RemoteWalletError> for Fault {
    fn from(error: RemoteWalletError) -> Self {
        match error {
            RemoteWalletError::NoDeviceFound | RemoteWalletError::Hid(_) => Self::Absent(error.to_string()),
            RemoteWalletError::UserCancel | RemoteWalletError::LedgerError(LedgerError::UserCancel) => Self::Rejected,
            // What apps other than Solana's answer to its commands, and the device without one.
            RemoteWalletError::LedgerError(
                LedgerError::NoAppResponse | LedgerError::InvalidCla | LedgerError::UnimplementedInstruction,
            ) => Self::AppClosed,
            // "Security status not satisfied".
            RemoteWalletError::LedgerError(LedgerError::NoApduReceived | LedgerError::SdkExceptionSecurity) => {
                Self::Locked
            }
            // The Solana app's answer to what it cannot show where blind signing is off.
            RemoteWalletError::LedgerError(LedgerError::SdkNotSupported) => Self::BlindSigningOff,
            other => Self::Other(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_answers_has_a_name_of_ours() {
        let of = |error: LedgerError| Fault::from(RemoteWalletError::LedgerError(error));
        assert_eq!(of(LedgerError::NoAppResponse), Fault::AppClosed);
        assert_eq!(of(LedgerError::InvalidCla), Fault::AppClosed);
        assert_eq!(of(LedgerError::NoApduReceived), Fault::Locked);
        assert_eq!(of(LedgerError::SdkNotSupported), Fault::BlindSigningOff);
        assert_eq!(of(LedgerError::UserCancel), Fault::Rejected);
        assert_eq!(Fault::from(RemoteWalletError::UserCancel), Fault::Rejected);
        assert!(matches!(Fault::from(RemoteWalletError::NoDeviceFound), Fault::Absent(_)));
        assert!(matches!(Fault::from(RemoteWalletError::Hid("x".into())), Fault::Absent(text) if text.contains('x')));
        assert_eq!(
            Fault::from(RemoteWalletError::Protocol("Unknown error")),
            Fault::Other("protocol error: Unknown error".into())
        );
    }
}
