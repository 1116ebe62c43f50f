//! Builds everything in the order it depends on each other, owns the tasks, and ends them in the reverse order.

use crate::chain::quorum::ask;
use crate::chain::rpc::{HttpRpc, Rpc, RpcError};
use crate::chain::{Pubkey, SettlementAccounts};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::http::OperatorToken;
use crate::ledger::LedgerError;
use crate::ledger::partitions::Share;
use crate::market::Market;
use crate::metrics::Metrics;
use crate::node::held::Held;
use crate::node::histories::Histories;
use crate::node::keys::Keys;
use crate::node::openings::Openings;
use crate::node::requests::Requests;
use crate::node::sessions::Sessions;
use crate::node::{Limits, Node, Random, Shared};
use crate::origins::Verifier;
use crate::probe::ProbeError;
use crate::reader::{Reader, accounts};
use crate::registry::Registry;
use crate::score::Scorer;
use crate::settle;
use crate::tokens::Tokenizers;
use crate::upstream::{Upstream, UpstreamError};
use crate::vaults::Directory;
use ed25519_dalek::SigningKey;
use listen::{listen, listen_public};
use partition::{Partition, Site};
use solana_keypair::{Keypair, read_keypair_file};
use solana_signer::Signer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

mod drain;
mod entry;
mod keeper;
mod listen;
mod opening;
mod partition;
pub mod replica;
#[cfg(feature = "simulation")]
pub mod seat;
mod serve;
mod timed;

/// Why the relayer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A keypair file cannot be read.
    #[error("cannot read the keypair {path}: {source}")]
    KeypairFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A keypair file holds something else. Its content is never shown.
    #[error("{path} holds no keypair: it should be a JSON array of 64 numbers, as `solana-keygen new` writes it")]
    Keypair {
        /// The file.
        path: PathBuf,
    },
    /// The operator's token cannot be read.
    #[error("cannot read operator.token_file, {path}: {source}")]
    OperatorTokenFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's token cannot be read. It is never shown.
    #[error("operator.token_file {path} holds no token: 32 or more letters, digits or signs in one line")]
    OperatorToken {
        /// The file.
        path: PathBuf,
    },
    /// The secret of the processes that share a ledger cannot be read.
    #[error("cannot read replicas.secret_file, {path}: {source}")]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no secret in its file. What is there is never shown.
    #[error("replicas.secret_file {path} holds no secret: 32 or more letters, digits or signs in one line")]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// The chain cannot be read.
    #[error("cannot read the chain: {0}")]
    Chain(#[from] RpcError),
    /// The deployment is not what the configuration says.
    #[error("{0}")]
    Mismatch(String),
    /// The database cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger cannot be compared with the chain.
    #[error("cannot compare the ledger with the chain: {0}")]
    Settle(#[from] settle::SettleError),
    /// What is sold could not be settled in time.
    #[error(transparent)]
    Grace(#[from] settle::grace::GraceTooShort),
    /// Providers cannot be called.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Probes cannot be paid.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The socket that is handed over cannot be used.
    #[error("cannot use the socket that LISTEN_FDS hands over: {0}")]
    Socket(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A relayer at work, alone on its ledger.
pub struct Running {
    /// What its requests see.
    pub node: Arc<Node>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where the operator's page listens, if there is one.
    pub operator: Option<SocketAddr>,
    server: JoinHandle<()>,
    whole: Partition,
    process: Process,
}

/// Starts a relayer: reads the chain, opens the ledger, and takes requests.
///
/// # Errors
/// [`StartError`], with nothing left running.
pub async fn start(config: Config) -> Result<Running, StartError> {
    config.check()?;
    let (place, [public, own]) = (config.ledger.location()?, [config.server.listen, config.operator.listen]);
    let token = OperatorToken::configured(&config)?;
    let site = Deployment::read(&config).await?.site(config)?;
    let whole = site.open(place, None, Share::WHOLE).await?;
    let (listener, addr) = listen_public(public).await?;
    let operator = OperatorListener::open(own, token).await?;
    let process = Process::begin(&site).await;
    whole.probe().await?;
    let node = whole.node.clone();
    let server = tokio::spawn(serve::serve(listener, node.shared.clone(), crate::http::router(node.clone())));
    let held = Arc::new(Held::default());
    held.insert(0, node.clone());
    let operator = operator.map(|operator| operator.serve(&node.shared, held, &node.tasks));
    announce(&site, addr);
    Ok(Running { node, addr, operator, server, whole, process })
}

/// What goes on in a process whatever it holds.
struct Process {
    /// Ends the reader.
    background: DropGuard,
    workers: TaskTracker,
}

impl Process {
    /// Learns what must be known before the first request, and starts what goes on beside them.
    async fn begin(site: &Site) -> Self {
        let (background, workers) = (CancellationToken::new(), TaskTracker::new());
        let pause = site.shared.config.chain.pause();
        workers.spawn(Reader::run(site.reader.clone(), pause, background.clone()));
        let mut verifier = Verifier::new(site.shared.clone());
        verifier.begin(FIRST_PROOFS).await;
        workers.spawn(verifier.run());
        Self { background: background.drop_guard(), workers }
    }

    async fn end(self) {
        drop(self.background);
        self.workers.close();
        self.workers.wait().await;
    }
}

/// Says what is running, for whoever reads the log after an upgrade.
fn announce(site: &Site, address: SocketAddr) {
    let shared = &site.shared;
    let registry = shared.registry.borrow().clone();
    let accounts = &site.parties;
    // Paths and queries of endpoints may hold keys.
    let host = |url: &String| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let nodes: Vec<String> = shared.config.chain.rpc_urls.iter().filter_map(host).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        relayer = %accounts.relayer,
        program = %accounts.program,
        settler = %accounts.settler,
        nodes = nodes.join(","),
        ledger = shared.config.ledger.shown(),
        fee_bps = registry.relayer.fee_bps,
        offers = registry.offers.len(),
        bearer_keys = shared.config.server.bearer_keys,
        %address,
        "serving"
    );
}

impl Running {
    /// Takes over the `[market]` part of another configuration. Returns the other parts that differ, which a restart takes over.
    pub fn reload(&self, config: &Config) -> Vec<&'static str> {
        self.node.market.reload(config.market.clone());
        self.node.config.restarts_for(config)
    }

    /// Drains: takes no new connection, lets requests under way end within the configured time, ends and charges what is longer,
    /// then stops settling.
    /// What is sealed or sent by then is taken up by the next start.
    pub async fn stop(self) {
        let Self { node, server, whole, process, .. } = self;
        node.stopping.cancel();
        drain::drain(&node, server, node.config.server.drain()).await;
        whole.close().await;
        process.end().await;
    }
}

/// What a process has from the machine, which a simulation replaces.
struct Surroundings {
    clock: Arc<dyn Clock>,
    random: Random,
    upstream: Arc<Upstream>,
    opens: Arc<partition::Open>,
}

/// The relayer as the chain has it, and the keys it works with.
struct Deployment {
    nodes: Vec<Arc<dyn Rpc>>,
    parties: SettlementAccounts,
    registry: Registry,
    settler: Keypair,
    receipts: SigningKey,
    /// How long dust may wait whose price was replaced.
    replaced: Duration,
}

impl Deployment {
    /// Reads the keys and the chain, and checks that they belong together.
    async fn read(config: &Config) -> Result<Self, StartError> {
        let settler = read_keypair(&config.chain.settler_keypair)?;
        let receipts = read_keypair(&config.chain.receipt_keypair)?;
        let nodes = HttpRpc::all(&config.chain.rpc_urls)?;
        let program = config.chain.program.unwrap_or(steam_router::ID);
        let relayer = config.chain.relayer.unwrap_or_default();
        let registry = accounts::agreed_registry(&nodes, &program, &relayer, None).await?;
        check_deployment(&nodes, &program, &registry, &settler, &receipts).await?;
        let replaced = settle::grace::check(config, &accounts::delays(&nodes, &program).await?)?;
        let parties = SettlementAccounts {
            program,
            config: accounts::config_address(&program),
            relayer,
            settler: settler.pubkey(),
            fee_token: registry.relayer.fee_token,
            mint: registry.mint,
        };
        let receipts = SigningKey::from_bytes(receipts.secret_bytes());
        Ok(Self { nodes, parties, registry, settler, receipts, replaced })
    }

    /// What partitions are opened with.
    fn site(self, config: Config) -> Result<Site, StartError> {
        let upstream = Arc::new(Upstream::new(&config.upstream, self.parties.relayer, &self.receipts)?);
        let (clock, random, opens) = (Arc::new(SystemClock), Random::from_os(), Arc::new(partition::open));
        Ok(self.site_in(config, Surroundings { clock, random, upstream, opens }))
    }

    /// The same in other surroundings.
    fn site_in(self, mut config: Config, surroundings: Surroundings) -> Site {
        let Surroundings { clock, random, upstream, opens } = surroundings;
        let Self { nodes, parties, registry, settler, receipts, replaced } = self;
        let (domain, receipt_key_id, directory) =
            (registry.domain, registry.relayer.receipt_key_id, Arc::<Directory>::default());
        let (reader, registry) = Reader::of_nobody(nodes.clone(), parties, directory.clone(), registry);
        let shared = Arc::new(Shared {
            limits: Limits::new(&config),
            upstream,
            scorer: Scorer::new((&config.routing).into()).into(),
            market: Market::new(std::mem::take(&mut config.market)),
            config,
            clock,
            registry,
            board: Arc::default(),
            histories: Histories::default(),
            listings: Default::default(),
            stopping: CancellationToken::new(),
            metrics: Metrics::default(),
            tokenizers: Tokenizers::default(),
            keys: Keys::new(random.bytes()),
            sessions: Sessions::new(random.bytes()),
            openings: Openings::default(),
            requests: Requests::default(),
            random,
        });
        let reader = Arc::new(Mutex::new(reader));
        Site { shared, reader, directory, nodes, parties, domain, settler, receipts, receipt_key_id, replaced, opens }
    }
}

/// The operator's listener, which is not served yet.
struct OperatorListener {
    listener: TcpListener,
    addr: SocketAddr,
    token: OperatorToken,
}

impl OperatorListener {
    /// One at `address`, if there is a token to let the operator in by.
    async fn open(address: SocketAddr, token: Option<OperatorToken>) -> Result<Option<Self>, StartError> {
        let Some(token) = token else { return Ok(None) };
        let (listener, addr) = listen(address).await?;
        Ok(Some(Self { listener, addr, token }))
    }

    /// Serves it, as one of `tasks`, until the process takes no new request. Returns where it is.
    fn serve(self, shared: &Arc<Shared>, held: Arc<Held>, tasks: &TaskTracker) -> SocketAddr {
        let router = crate::http::operator_router(shared.clone(), held, self.token);
        tasks.spawn(serve::serve(self.listener, shared.clone(), router));
        tracing::info!(address = %self.addr, "serving the operator's page");
        self.addr
    }
}

impl OperatorToken {
    /// The token in the configured file, if one is configured.
    fn configured(config: &Config) -> Result<Option<Self>, StartError> {
        let path = &config.operator.token_file;
        (!path.as_os_str().is_empty()).then(|| operator_token(path)).transpose()
    }
}

/// Checks that every node is on the cluster of the program's config, and that the keys are the relayer's.
async fn check_deployment(
    nodes: &[Arc<dyn Rpc>],
    program: &Pubkey,
    registry: &Registry,
    settler: &Keypair,
    receipt_key: &Keypair,
) -> Result<(), StartError> {
    for (_, genesis) in ask(nodes, |node| node.genesis_hash()).await? {
        if steam_protocol::domain::domain(&program.to_bytes(), &genesis) != registry.domain {
            return Err(StartError::Mismatch(
                "an RPC node's genesis hash is not the one in the program's config: check chain.rpc_urls and \
                 chain.program"
                    .into(),
            ));
        }
    }
    let expect = |key: &str, file: Pubkey, on_chain: Pubkey| {
        if file == on_chain {
            return Ok(());
        }
        Err(StartError::Mismatch(format!(
            "{key} is {file} and the relayer's account names {on_chain}: use that keypair, or register a relayer with \
             this one"
        )))
    };
    expect("chain.settler_keypair", settler.pubkey(), registry.relayer.settler)?;
    expect("chain.receipt_keypair", receipt_key.pubkey(), registry.relayer.receipt_key)
}

/// Time that connections have after the requests they carry, where those are served by other processes.
const LAST_CONNECTIONS: Duration = Duration::from_secs(5);
/// Time in which origins are read before the first request is taken.
const FIRST_PROOFS: Duration = Duration::from_secs(3);
/// The operator's token in a file.
///
/// # Errors
/// [`StartError::OperatorTokenFile`] or [`StartError::OperatorToken`].
pub(crate) fn operator_token(path: &Path) -> Result<OperatorToken, StartError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| StartError::OperatorTokenFile { path: path.into(), source })?;
    OperatorToken::read(&text).ok_or_else(|| StartError::OperatorToken { path: path.into() })
}

/// The keypair in a file.
///
/// # Errors
/// [`StartError::KeypairFile`] or [`StartError::Keypair`].
pub(crate) fn read_keypair(path: &Path) -> Result<Keypair, StartError> {
    let unread = |source| StartError::KeypairFile { path: path.into(), source };
    // A pipe would be waited for, and what is read from it is gone.
    if !std::fs::metadata(path).map_err(unread)?.is_file() {
        return Err(StartError::Keypair { path: path.into() });
    }
    std::fs::File::open(path).map_err(unread)?;
    read_keypair_file(path).map_err(|_| StartError::Keypair { path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keypair_that_is_not_there_is_told_from_a_file_that_holds_none() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("id.json");
        let missing = read_keypair(&path).unwrap_err().to_string();
        assert!(missing.contains("No such file") && !missing.contains("array"), "{missing}");
        for pipe in ["/dev/null", "/"] {
            assert!(matches!(read_keypair(Path::new(pipe)), Err(StartError::Keypair { .. })), "{pipe}");
        }
        std::fs::write(&path, "a very secret phrase").unwrap();
        let other = read_keypair(&path).unwrap_err().to_string();
        assert!(other.contains("holds no keypair") && !other.contains("secret phrase"), "{other}");
    }
}
