//! Everything a Steam Router needs around it, on this machine alone: simulated providers over real sockets, and an
//! embedded Solana network with the program deployed. For development and tests; nothing here serves production.

#[cfg(feature = "localnet")]
pub mod client;
pub mod provider;
#[cfg(feature = "localnet")]
mod surfnet;

pub use provider::{Behaviour, SimulatedProvider, Stats};
#[cfg(feature = "localnet")]
pub use surfnet::{Localnet, LocalnetError, Options, PROGRAM};
