//! The relayer of the load: as many threads as there are cores, and the machine's clock.

use super::node::{self, FEE_BPS, vault};
use super::process::listening;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use steam::clock::SystemClock;
use steam::node::{Node, Random};
use tokio::net::TcpListener;

/// Pause between two readings of the chain.
const POLL: Duration = Duration::from_secs(1);

/// Serves until killed.
pub fn run() -> Result<()> {
    let provider = std::env::args().nth(1).context("whose address?")?;
    let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let node = node::node((&provider, u64::MAX), files.path(), Arc::new(SystemClock), Random::from_os()).await?;
        tokio::spawn(read_chain(node.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(listener.local_addr()?);
        node::serve(listener, steam::http::router(node)).await
    })
}

/// Reads the chain again and again, as a relayer does that has one.
async fn read_chain(node: Arc<Node>) {
    loop {
        tokio::time::sleep(POLL).await;
        let now = node.clock.unix();
        node.vaults.update(&[vault(now)], now, FEE_BPS);
    }
}
