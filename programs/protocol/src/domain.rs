//! The domain ties every signature to one program on one cluster.

use crate::{Address, Hash, sha256};

/// `sha256("steam-router:v1" ‖ program ‖ genesis hash)`: what a voucher and a receipt name, so that neither
/// means anything to another deployment. Clients compare `Config.domain` with their cluster's genesis hash.
pub fn domain(program: &Address, genesis_hash: &Hash) -> Hash {
    sha256(&[b"steam-router:v1", program, genesis_hash])
}
