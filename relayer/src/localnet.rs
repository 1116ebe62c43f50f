//! Everything a Steam Router needs around it, on this machine alone: simulated providers over real sockets, and an
//! embedded Solana network with the program deployed. For development and tests; nothing here serves production.

pub mod provider;

pub use provider::{Behaviour, SimulatedProvider, Stats};
