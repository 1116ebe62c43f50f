//! Builds everything in the order it depends on each other, owns the tasks, and ends them in the reverse order.

use crate::allow_lists::AllowLists;
use crate::board::{self, Board};
use crate::chain::quorum::ask;
use crate::chain::rpc::{HttpRpc, Rpc, RpcError};
use crate::chain::{Pubkey, SettlementAccounts};
use crate::clock::{Clock, DAY_MS, SystemClock};
use crate::config::{Config, ConfigError, SettleConfig};
use crate::http::OperatorToken;
use crate::ledger::{Ledger, LedgerError};
use crate::market::Market;
use crate::metrics::Metrics;
use crate::node::gateway::{Faucet, Gateway, Sponsor};
use crate::node::histories::Histories;
use crate::node::keys::Keys;
use crate::node::openings::Openings;
use crate::node::requests::Requests;
use crate::node::sessions::Sessions;
use crate::node::{Limits, Node, Random};
use crate::origins::Verifier;
use crate::probe::{ProbeError, Prober};
use crate::reader::{Reader, accounts};
use crate::registry::Registry;
use crate::score::Scorer;
use crate::settle::{self, Settler, Setup};
use crate::tokens::Tokenizers;
use crate::upstream::{Upstream, UpstreamError};
use crate::vaults::{Identity, Vaults};
use crate::withdrawals::Withdrawals;
use ed25519_dalek::SigningKey;
use listen::{listen, listen_public};
use solana_keypair::{Keypair, read_keypair_file};
use solana_signer::Signer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod drain;
mod listen;
mod opening;
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

/// A relayer at work.
pub struct Running {
    /// What its requests see.
    pub node: Arc<Node>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where the operator's page listens, if there is one.
    pub operator: Option<SocketAddr>,
    server: JoinHandle<()>,
    /// Ends the reader and the settler, once nothing new can be charged.
    background: CancellationToken,
    workers: TaskTracker,
}

/// Starts a relayer: reads the chain, opens the ledger, and takes requests.
///
/// # Errors
/// [`StartError`], with nothing left running.
pub async fn start(mut config: Config) -> Result<Running, StartError> {
    config.check()?;
    let deployment = Deployment::read(&config).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (ledger, vaults) = deployment.open_ledger(&config, &clock).await?;
    let Deployment { nodes, parties, registry, settler, receipts, replaced } = deployment;
    let allow_lists = AllowLists::load(ledger.clone(), vaults.clone()).await?;
    let withdrawals = Withdrawals::new(vaults.clone(), ledger.clone(), parties, settler.insecure_clone());
    let givers = (faucet(&config, &parties)?, sponsor(&config, &parties, &ledger, &clock)?);
    let gateway = Gateway::new(nodes.clone(), parties, config.server.chain_requests_per_second, givers);
    let (mut reader, registry) = Reader::new(nodes.clone(), parties, vaults.clone(), registry);
    reader.read().await?;
    let (mut settlement, settle) = Settler::new(Setup {
        ledger: ledger.clone(),
        vaults: vaults.clone(),
        nodes,
        clock: clock.clone(),
        parties,
        keypair: settler,
        config: settlement_of(&config),
        alerts: config.alerts.clone(),
        registry: registry.clone(),
        replaced,
    });
    settlement.survey().await?;
    let (scorer, board) = (Scorer::new((&config.routing).into()).into(), remembered(&ledger, clock.unix_ms()).await?);
    let upstream = Upstream::new(&config.upstream, parties.relayer, &receipts)?;

    let (listener, addr) = listen_public(config.server.listen).await?;
    let operator = OperatorListener::open(&config).await?;
    let (background, workers) = (CancellationToken::new(), TaskTracker::new());
    workers.spawn(reader.run(config.chain.pause(), background.clone()));
    workers.spawn(settlement.run(background.clone()));
    workers.spawn(board::keep(board.clone(), registry.clone(), ledger.clone(), clock.clone(), background.clone()));
    workers.spawn(prune(ledger.clone(), clock.clone(), config.ledger.keep_receipts_days, background.clone()));
    let random = Random::from_os();
    let node = Arc::new(Node {
        limits: Limits::new(&config),
        market: Market::new(std::mem::take(&mut config.market)),
        config,
        clock,
        registry,
        vaults,
        allow_lists,
        withdrawals,
        gateway,
        ledger,
        scorer,
        board,
        histories: Histories::default(),
        listings: Default::default(),
        upstream,
        settle,
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        ending: CancellationToken::new(),
        metrics: Metrics::default(),
        tokenizers: Tokenizers::default(),
        keys: Keys::new(random.bytes()),
        sessions: Sessions::new(random.bytes()),
        openings: Openings::default(),
        requests: Requests::default(),
        random,
    });
    begin(&node).await?;
    let server = tokio::spawn(serve::serve(listener, node.clone(), crate::http::router(node.clone())));
    let operator = operator.map(|operator| operator.serve(&node));
    announce(&node, addr);
    Ok(Running { node, addr, operator, server, background, workers })
}

/// Learns what must be known before the first request, and starts what goes on beside them.
async fn begin(node: &Arc<Node>) -> Result<(), StartError> {
    let mut verifier = Verifier::new(node.clone());
    verifier.begin(FIRST_PROOFS).await;
    node.tasks.spawn(verifier.run());
    board::seed_from_history(&node.board, &node.scorer, node.clock.unix_ms());
    if let Some(prober) = Prober::new(node.clone()).await? {
        node.tasks.spawn(prober.run());
    }
    if node.gateway.sponsor().is_some() {
        node.tasks.spawn(watch_sponsor(node.clone()));
    }
    Ok(())
}

/// Says what is running, for whoever reads the log after an upgrade.
fn announce(node: &Node, address: SocketAddr) {
    let registry = node.registry.borrow().clone();
    let accounts = node.gateway.accounts();
    // Paths and queries of endpoints may hold keys.
    let host = |url: &String| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let nodes: Vec<String> = node.config.chain.rpc_urls.iter().filter_map(host).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        relayer = %accounts.relayer,
        program = %accounts.program,
        settler = %accounts.settler,
        nodes = nodes.join(","),
        ledger = node.config.ledger.shown(),
        fee_bps = registry.relayer.fee_bps,
        offers = registry.offers.len(),
        bearer_keys = node.config.server.bearer_keys,
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
        self.node.shutdown.cancel();
        let limit = Duration::from_millis(self.node.config.server.drain_timeout_ms);
        drain::drain(&self.node, self.server, limit).await;
        self.background.cancel();
        self.workers.close();
        self.workers.wait().await;
    }
}

/// The board as the ledger has it.
async fn remembered(ledger: &Ledger, now_ms: i64) -> Result<Arc<Board>, StartError> {
    let board = Arc::new(Board::default());
    board::restore(&board, ledger, now_ms).await?;
    Ok(board)
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

    /// Opens the ledger, and loads from it what vaults owe and which requests cannot come again.
    async fn open_ledger(&self, config: &Config, clock: &Arc<dyn Clock>) -> Result<(Ledger, Arc<Vaults>), StartError> {
        let relayer = self.parties.relayer;
        let ledger = Ledger::open(config.ledger.location()?, &self.registry.domain, &relayer.to_bytes())?;
        ledger.want_free(config.ledger.min_free_bytes);
        let remembered_since = (clock.unix() - crate::vaults::REMEMBER_SECONDS) * 1_000;
        ledger.finish_sealing().await?;
        let loaded = ledger.load(remembered_since).await?;
        let identity = Identity {
            domain: self.registry.domain,
            relayer,
            key_id: self.registry.relayer.receipt_key_id,
            receipt_key: self.receipts.clone(),
        };
        let vaults = Arc::new(Vaults::new(identity, ledger.clone(), clock.clone(), loaded));
        Ok((ledger, vaults))
    }
}

/// The operator's listener, which is not served yet.
struct OperatorListener {
    listener: TcpListener,
    addr: SocketAddr,
    token: OperatorToken,
}

impl OperatorListener {
    /// The one that is configured, if there is one.
    async fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let path = &config.operator.token_file;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let token = operator_token(path)?;
        let (listener, addr) = listen(config.operator.listen).await?;
        Ok(Some(Self { listener, addr, token }))
    }

    /// Serves it until the shutdown of `node`. Returns where it is.
    fn serve(self, node: &Arc<Node>) -> SocketAddr {
        let router = crate::http::operator_router(node.clone(), self.token);
        node.tasks.spawn(serve::serve(self.listener, node.clone(), router));
        tracing::info!(address = %self.addr, "serving the operator's page");
        self.addr
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

/// How charges are settled. A local network's transactions cost nobody anything: nothing waits there.
fn settlement_of(config: &Config) -> SettleConfig {
    let min_fee_microusdc = if config.upstream.localnet { 0 } else { config.settle.min_fee_microusdc };
    SettleConfig { min_fee_microusdc, ..config.settle.clone() }
}

/// Time in which origins are read before the first request is taken.
const FIRST_PROOFS: Duration = Duration::from_secs(3);
/// Pause between two looks for what was kept as long as configured.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Drops what was settled `days` ago, a little at a time, until `shutdown`.
async fn prune(ledger: Ledger, clock: Arc<dyn Clock>, days: u32, shutdown: CancellationToken) {
    if days == 0 {
        return;
    }
    loop {
        let before = clock.unix_ms() - i64::from(days) * DAY_MS;
        let more = ledger.prune(before).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is older than ledger.keep_receipts_days could not be dropped");
            false
        });
        let pause = if more { Duration::from_millis(20) } else { PRUNE_EVERY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The faucet, if one is configured.
fn faucet(config: &Config, accounts: &SettlementAccounts) -> Result<Option<Faucet>, StartError> {
    let path = &config.chain.faucet_keypair;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Ok(Some(Faucet::new(read_keypair(path)?, accounts.mint)))
}

/// Who pays for openings, if somebody does. It has nothing else to do: whatever it signs could otherwise be about something else.
fn sponsor(
    config: &Config,
    accounts: &SettlementAccounts,
    ledger: &Ledger,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Sponsor>, StartError> {
    let settings = &config.sponsor;
    if settings.keypair.as_os_str().is_empty() {
        return Ok(None);
    }
    let keypair = read_keypair(&settings.keypair)?;
    if [accounts.settler, read_keypair(&config.chain.receipt_keypair)?.pubkey()].contains(&keypair.pubkey()) {
        return Err(StartError::Mismatch(
            "sponsor.keypair is the settler's or the one of receipts: make another one with `steam keygen`, and send it SOL".into(),
        ));
    }
    Ok(Some(Sponsor::new(keypair, settings.clone(), ledger.clone(), clock.clone())))
}

/// Pause between two looks at what became of the openings that were paid for.
const SPONSOR_EVERY: Duration = Duration::from_secs(10);

/// Finds out what became of openings until the relayer shuts down.
async fn watch_sponsor(node: Arc<Node>) {
    loop {
        match node.gateway.resolve_sponsored().await {
            Ok(counted) => node.metrics.sponsor(counted, node.gateway.sponsor_lamports().await),
            Err(error) => {
                tracing::warn!(%error, "what became of sponsored openings is not known yet, so all of them count")
            }
        }
        tokio::select! {
            () = node.shutdown.cancelled() => return,
            () = tokio::time::sleep(SPONSOR_EVERY) => {}
        }
    }
}

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

    #[test]
    fn the_sponsor_is_neither_the_settler_nor_the_receipt_key() {
        let files = tempfile::tempdir().unwrap();
        let write = |seed: u8| {
            let path = files.path().join(format!("{seed}.json"));
            std::fs::write(&path, format!("{:?}", Keypair::new_from_array([seed; 32]).to_bytes())).unwrap();
            path
        };
        let at = |seed: u8| Keypair::new_from_array([seed; 32]).pubkey();
        let zero = Pubkey::default();
        let accounts = SettlementAccounts {
            program: zero,
            config: zero,
            relayer: zero,
            settler: at(7),
            fee_token: zero,
            mint: zero,
        };
        let ledger = Ledger::open(&files.path().join("steam.db"), &[0; 32], &[0; 32]).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut config = Config::default();
        config.chain.receipt_keypair = write(8);
        assert!(sponsor(&config, &accounts, &ledger, &clock).unwrap().is_none(), "off unless it is named");
        for (seed, taken) in [(7, true), (8, true), (9, false)] {
            config.sponsor.keypair = write(seed);
            match sponsor(&config, &accounts, &ledger, &clock) {
                Err(error) => assert!(taken && error.to_string().contains("sponsor.keypair"), "{seed}: {error}"),
                Ok(found) => assert_eq!((taken, found.unwrap().address()), (false, at(seed))),
            }
        }
        config.sponsor.keypair = files.path().join("none.json");
        let error = sponsor(&config, &accounts, &ledger, &clock).unwrap_err().to_string();
        assert!(error.contains("none.json"), "{error}");
    }
}
