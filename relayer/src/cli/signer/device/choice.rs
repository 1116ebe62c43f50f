//! Which of the connected devices is meant, and what is said where none of them will do. What a device is is behind [`Devices`]: Solana's
//! crate, or a test's stand-in.

use super::Locator;
use crate::chain::Pubkey;
use crate::cli::error::{CliError, Result};
use solana_derivation_path::DerivationPath;
use solana_signer::Signer;
use std::rc::Rc;

/// Why a device gives no key or no signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None is connected, or none may be used.
    Absent(String),
    /// Another app is open there, or none.
    AppClosed,
    /// It wants its PIN.
    Locked,
    /// It shows no such transaction, and may not sign what it does not show.
    BlindSigningOff,
    /// The person at the device said no.
    Rejected,
    /// Something else, in the words of Solana's crate.
    Other(String),
}

impl Fault {
    /// What is wrong.
    pub fn sentence(&self) -> String {
        match self {
            Self::Absent(problem) => format!("no Ledger answers: {problem}"),
            Self::AppClosed => "the Ledger's Solana app is not open".into(),
            Self::Locked => "the Ledger is locked".into(),
            Self::BlindSigningOff => "the Ledger may not sign what it does not show: blind signing is off".into(),
            Self::Rejected => "it was rejected at the Ledger".into(),
            Self::Other(problem) => format!("the Ledger does not do it: {problem}"),
        }
    }

    /// What to do.
    pub fn next(&self) -> &'static str {
        match self {
            Self::Absent(_) => {
                "connect one device, unlock it and open its Solana app; Linux needs Ledger's udev rules for access without root"
            }
            Self::AppClosed => "open its Solana app, and run the command again",
            Self::Locked => "unlock it with its PIN, open its Solana app, and run the command again",
            Self::BlindSigningOff => {
                "turn Blind signing on in the settings of its Solana app, and run the command again"
            }
            Self::Rejected => "run the command again, and approve it there if it is what you want",
            Self::Other(_) => "unlock it, open its Solana app, bring that up to date, and run the command again",
        }
    }
}

impl From<Fault> for CliError {
    fn from(fault: Fault) -> Self {
        Self::new("device", fault.sentence()).next(fault.next())
    }
}

/// The devices that are connected.
pub trait Devices {
    /// Each device's first address, or why it does not tell that.
    fn addresses(&self) -> Vec<std::result::Result<Pubkey, Fault>>;

    /// The key at `path` of the device with this first address.
    ///
    /// # Errors
    /// Why the device gives none.
    fn key(&self, device: Pubkey, path: &DerivationPath) -> std::result::Result<Rc<dyn Signer>, Fault>;
}

/// The key that `locator` names, of the devices that `connect` finds.
pub fn open<D: Devices>(
    connect: impl FnOnce() -> std::result::Result<D, Fault>,
    locator: &Locator,
) -> Result<Rc<dyn Signer>> {
    let devices = connect()?;
    let device = choose(&devices.addresses(), locator.device)?;
    Ok(devices.key(device, &locator.path)?)
}

/// The device that is meant. Solana's crate would ask at the terminal, and end the process where there is none.
fn choose(all: &[std::result::Result<Pubkey, Fault>], wanted: Option<Pubkey>) -> Result<Pubkey> {
    let ready: Vec<Pubkey> = all.iter().filter_map(|one| one.as_ref().ok().copied()).collect();
    if let Some(device) = wanted.filter(|wanted| ready.contains(wanted)) {
        return Ok(device);
    }
    let fault = all.iter().find_map(|one| one.as_ref().err());
    let names: Vec<String> = ready.iter().map(|address| format!("usb://ledger/{address}")).collect();
    match (&ready[..], wanted, fault) {
        ([only], None, _) => Ok(*only),
        ([], _, None) => Err(Fault::Absent("no device was found".into()).into()),
        // Of those that do not tell their address any may be the one that is meant.
        ([], _, Some(fault)) | (_, Some(_), Some(fault)) => Err(fault.clone().into()),
        (_, Some(wanted), None) => {
            Err(CliError::new("device", format!("no Ledger with the first address {wanted} is connected"))
                .next(format!("connect that one, or name what is connected: {}", names.join(", "))))
        }
        (_, None, _) => Err(CliError::new("device", format!("{} Ledgers are connected", ready.len()))
            .next(format!("say which: {}", names.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::signer;
    use solana_keypair::Keypair;
    use solana_signature::Signature;
    use solana_signer::SignerError;
    use std::cell::RefCell;

    /// The signer, and which accounts of which devices were asked for.
    type Chosen = (Result<Rc<dyn Signer>>, Vec<(Pubkey, DerivationPath)>);

    type Asked = Rc<RefCell<Vec<(Pubkey, DerivationPath)>>>;

    /// Devices that are told what to say, and remember what they were asked for.
    struct Told {
        addresses: Vec<std::result::Result<Pubkey, Fault>>,
        key: std::result::Result<Key, Fault>,
        asked: Asked,
    }

    /// A key that signs, or says why it does not.
    #[derive(Clone)]
    struct Key(std::result::Result<Rc<Keypair>, Fault>);

    impl Signer for Key {
        fn try_pubkey(&self) -> std::result::Result<Pubkey, SignerError> {
            Ok(Pubkey::new_from_array([9; 32]))
        }

        fn try_sign_message(&self, message: &[u8]) -> std::result::Result<Signature, SignerError> {
            match &self.0 {
                Ok(keypair) => keypair.try_sign_message(message),
                Err(fault) => Err(SignerError::Protocol(fault.sentence())),
            }
        }

        fn is_interactive(&self) -> bool {
            true
        }
    }

    impl Devices for Told {
        fn addresses(&self) -> Vec<std::result::Result<Pubkey, Fault>> {
            self.addresses.clone()
        }

        fn key(&self, device: Pubkey, path: &DerivationPath) -> std::result::Result<Rc<dyn Signer>, Fault> {
            self.asked.borrow_mut().push((device, path.clone()));
            self.key.clone().map(|key| Rc::new(key) as Rc<dyn Signer>)
        }
    }

    fn at(seed: u8) -> Pubkey {
        Pubkey::new_from_array([seed; 32])
    }

    /// Opens what `name` names among devices that say this.
    fn opened(
        name: &str,
        addresses: &[std::result::Result<Pubkey, Fault>],
        key: std::result::Result<Key, Fault>,
    ) -> Chosen {
        let Ok(signer::Source::Device(locator)) = signer::source(name) else { panic!("{name} names no device") };
        let asked = Asked::default();
        let told = Told { addresses: addresses.to_vec(), key, asked: asked.clone() };
        let opened = open(|| Ok(told), &locator);
        let asked = asked.borrow().clone();
        (opened, asked)
    }

    fn signing() -> Key {
        Key(Ok(Rc::new(Keypair::new_from_array([1; 32]))))
    }

    #[test]
    fn the_device_and_the_path_that_are_named_are_asked_for() {
        let [one, two] = [at(1), at(2)];
        let full = |path: &str| DerivationPath::from_absolute_path_str(path).unwrap();
        for (name, connected, device, path) in [
            ("usb://ledger".to_owned(), &[Ok(one)][..], one, full("m/44/501")),
            ("usb://ledger?key=3".into(), &[Ok(one)], one, full("m/44/501/3")),
            ("usb://ledger?key=0/1".into(), &[Ok(one)], one, full("m/44/501/0/1")),
            (format!("usb://ledger/{two}?key=0"), &[Ok(one), Ok(two)], two, full("m/44/501/0")),
            // One that does not tell its address stands in nobody's way.
            ("usb://ledger".into(), &[Err(Fault::Locked), Ok(two)], two, full("m/44/501")),
            (format!("usb://ledger/{one}"), &[Err(Fault::AppClosed), Ok(one)], one, full("m/44/501")),
        ] {
            let (signer, asked) = opened(&name, connected, Ok(signing()));
            assert_eq!(asked, [(device, path)], "{name}");
            assert_eq!(signer.unwrap().pubkey(), at(9), "{name}");
        }
    }

    #[test]
    fn what_will_not_do_is_told_with_what_to_do_and_no_key_is_asked_for() {
        let [one, two, three] = [at(1), at(2), at(3)];
        let which = format!("usb://ledger/{one}, usb://ledger/{two}");
        let third = format!("usb://ledger/{three}");
        for (name, connected, says) in [
            ("usb://ledger", &[][..], ["no device was found", "udev rules"]),
            (&third, &[], ["no device was found", "connect one device"]),
            ("usb://ledger", &[Ok(one), Ok(two)], ["2 Ledgers are connected", &which]),
            (&third, &[Ok(one), Ok(two)], [&format!("first address {three} is connected"), &which]),
            ("usb://ledger", &[Err(Fault::AppClosed)], ["Solana app is not open", "open its Solana app"]),
            ("usb://ledger", &[Err(Fault::Locked)], ["is locked", "with its PIN"]),
            (&third, &[Ok(one), Err(Fault::Locked)], ["is locked", "with its PIN"]),
            ("usb://ledger", &[Err(Fault::Other("USB".into()))], ["USB", "unlock it"]),
        ] {
            let (opened, asked) = opened(name, connected, Ok(signing()));
            let error = opened.err().unwrap();
            assert_eq!((error.code(), asked.len()), ("device", 0), "{name}: {error}");
            assert!(says.iter().all(|says| error.to_string().contains(says)), "{name}: {error}");
        }
    }

    #[test]
    fn a_device_that_gives_no_key_or_no_signature_says_why() {
        let (opened_, asked) = opened("usb://ledger", &[Ok(at(1))], Err(Fault::Rejected));
        let error = opened_.err().unwrap().to_string();
        assert!(asked.len() == 1 && error.contains("rejected at the Ledger"), "{error}");
        for (fault, says) in [
            (Fault::BlindSigningOff, "blind signing is off"),
            (Fault::Rejected, "rejected at the Ledger"),
            (Fault::Locked, "is locked"),
            (Fault::AppClosed, "Solana app is not open"),
        ] {
            let (opened, _) = opened("usb://ledger", &[Ok(at(1))], Ok(Key(Err(fault))));
            let error = signer::Signer::Here(opened.unwrap()).sign(b"message").unwrap_err();
            let text = error.to_string();
            assert!(error.code() == "sign" && text.contains(&at(9).to_string()), "{text}");
            assert!(text.contains(says) && text.contains("allow blind signing"), "{text}");
        }
        let (opened, _) = opened("usb://ledger", &[Ok(at(1))], Ok(signing()));
        assert!(signer::Signer::Here(opened.unwrap()).sign(b"message").unwrap().is_some());
        let Ok(signer::Source::Device(locator)) = signer::source("usb://ledger") else { panic!("no device") };
        let none = open(|| Err::<Told, _>(Fault::Absent("hidapi error: no access".into())), &locator).err().unwrap();
        assert!(none.to_string().contains("no access") && none.to_string().contains("udev"), "{none}");
    }
}
