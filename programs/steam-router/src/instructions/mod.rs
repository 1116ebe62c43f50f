//! The instructions, one a file: who may call is in the accounts, what it does in `handle`.

mod authorize_key;
mod cancel_withdraw;
mod execute_withdraw;
mod init_config;
mod open_vault;
mod pause;
mod put_offer;
mod register_provider;
mod register_relayer;
mod request_withdraw;
mod retire_offer;
mod revoke_key;
mod settle_batch;
mod withdraw_earnings;
mod withdraw_fees;

pub use authorize_key::*;
pub use cancel_withdraw::*;
pub use execute_withdraw::*;
pub use init_config::*;
pub use open_vault::*;
pub use pause::*;
pub use put_offer::*;
pub use register_provider::*;
pub use register_relayer::*;
pub use request_withdraw::*;
pub use retire_offer::*;
pub use revoke_key::*;
pub use settle_batch::*;
pub use withdraw_earnings::*;
pub use withdraw_fees::*;
