//! Everything a Steam Router needs around it, on this machine alone: simulated providers over real sockets, and an
//! embedded Solana network with the program deployed. For development and tests; nothing here serves production.

#[cfg(feature = "localnet")]
mod bootstrap;
#[cfg(feature = "localnet")]
pub mod client;
#[cfg(feature = "localnet")]
mod market;
#[cfg(feature = "localnet")]
mod pace;
pub mod provider;
#[cfg(feature = "localnet")]
mod surfnet;

#[cfg(feature = "localnet")]
pub use bootstrap::{Deployment, ProviderAccount, ProviderSetup, Setup, unhindered};
#[cfg(feature = "localnet")]
pub use market::{MODELS, Profile, profiles};
pub use provider::{Behaviour, SimulatedProvider, Stats};
#[cfg(feature = "localnet")]
pub use surfnet::{Localnet, LocalnetError, Options, PROGRAM};

#[cfg(all(test, feature = "localnet"))]
mod tests;
