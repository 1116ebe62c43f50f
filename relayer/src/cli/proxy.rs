//! `steam proxy`: the relayer's API on this machine. Any SDK, agent or editor speaks to it as to the provider, with any key; the
//! proxy signs each request with the session key, which never leaves the machine, and counts what was spent from receipts that
//! it verified.

mod answer;
mod failure;
mod guard;
mod http;
mod state;
#[cfg(test)]
mod tests;

use self::guard::{Guard, host, origin};
use self::state::Proxy;
use super::account::{KeyAt, Spending};
use super::amount::Usdc;
use super::error::{CliError, Result};
use super::explain::explain;
use super::output::{Format, Report, line};
use super::serve::asked_to_stop;
use super::solana::Global;
use axum::serve::ListenerExt;
use serde::Serialize;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::sha256;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once the proxy is to stop.
const GRACE: Duration = Duration::from_secs(30);
/// Fewest characters of a token that clients must send.
const SHORTEST_TOKEN: usize = 16;

/// Serve the relayer's API on this machine, signing each request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SDKs of OpenAI take the base URL that is printed, those of Anthropic the same without /v1. They need a key and \
may be given any: the proxy signs with its own. As many requests are under way at once as --max-cost fits into \
--max-unresolved; the others wait their turn."
)]
pub struct ProxyArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788", env = "STEAM_PROXY_LISTEN")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines may reach. Whoever reaches it and has the token spends with the key
    #[arg(long, requires = "token_file")]
    pub remote: bool,
    /// File with a token that clients must send as their API key [default: any key will do]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Names under which clients may address the proxy, besides localhost and addresses
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = host)]
    pub allow_host: Vec<String>,
    /// Origins whose web pages may use the proxy, like http://localhost:3000 [default: none]
    #[arg(long, value_name = "ORIGIN,...", value_delimiter = ',', value_parser = origin)]
    pub allow_origin: Vec<String>,
    /// What the key may spend.
    #[command(flatten)]
    pub spending: Spending,
    /// Which key, at which relayer.
    #[command(flatten)]
    pub at: KeyAt,
}

/// What is said once the proxy listens.
#[derive(Debug, Serialize)]
struct Listening {
    base_url: String,
    anthropic_base_url: String,
    relayer: String,
    key: String,
    at_once: usize,
    max_cost: Usdc,
}

impl ProxyArgs {
    pub async fn run(self, global: &Global) -> Result<()> {
        let guard = self.guard()?;
        let Spending { max_cost, max_unresolved, .. } = self.spending;
        if max_cost > max_unresolved {
            return Err(CliError::usage("--max-cost is above --max-unresolved")
                .next("lower --max-cost or raise --max-unresolved"));
        }
        if let Some(path) = &self.token_file {
            global.output.warn_of(path);
        }
        let account = self.at.open(global).await?;
        let client = account.client(&self.spending)?;
        // Of requests that were under way when the proxy ended last; and a relayer that cannot be reached is told of now.
        client.recover().await.map_err(|error| explain(&error))?;
        let listener = TcpListener::bind(self.listen).await.map_err(|error| self.cannot_listen(&error))?;
        let address = listener.local_addr().map_err(|error| self.cannot_listen(&error))?;
        let at_once = usize::try_from(max_unresolved.0 / max_cost.0).unwrap_or(usize::MAX);
        let proxy = Arc::new(Proxy::new(client, max_cost, at_once, guard, global.output));
        global.output.print(&Listening {
            base_url: format!("http://{address}/v1"),
            anthropic_base_url: format!("http://{address}"),
            relayer: account.api.base().to_owned(),
            key: account.address().to_string(),
            at_once: proxy.at_once(),
            max_cost: max_cost.into(),
        })?;
        serve(listener, proxy, asked_to_stop(), global.output).await
    }

    fn guard(&self) -> Result<Guard> {
        if !self.listen.ip().is_loopback() && !self.remote {
            return Err(CliError::usage(format!(
                "--listen {} can be reached by other machines, which could spend with the key",
                self.listen
            ))
            .next("listen on 127.0.0.1, or add --remote and --token-file"));
        }
        let token = self.token_file.as_ref().map(|path| {
            let fail = |problem: String| {
                CliError::new("token", format!("--token-file {}: {problem}", path.display()))
                    .next("write a random text there, as `openssl rand -hex 32` makes one")
            };
            let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
            let token = text.trim();
            if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(fail(format!("a token has {SHORTEST_TOKEN} or more visible characters and no spaces")));
            }
            Ok(sha256(&[token.as_bytes()]))
        });
        Ok(Guard {
            remote: self.remote,
            hosts: self.allow_host.clone(),
            origins: self.allow_origin.clone(),
            token: token.transpose()?,
        })
    }

    fn cannot_listen(&self, error: &io::Error) -> CliError {
        CliError::new("listen", format!("cannot listen on {}: {error}", self.listen))
            .next("name another address or port with --listen")
    }
}

/// Serves until `stop` is ready; requests under way may end, within [`GRACE`].
async fn serve(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    stop: impl Future<Output = Result<()>>,
    output: Format,
) -> Result<()> {
    let listener = listener.tap_io(|connection| {
        // Without it a stream waits for the acknowledgement of what was sent before. A connection that cannot is only slower.
        let _ = connection.set_nodelay(true);
    });
    let stopping = CancellationToken::new();
    let server =
        axum::serve(listener, http::router(proxy.clone())).with_graceful_shutdown(stopping.clone().cancelled_owned());
    let mut server = tokio::spawn(server.into_future());
    let asked = tokio::select! {
        asked = stop => asked,
        // It ends when it is told to; its only other end is a panic.
        ended = &mut server => {
            let problem = ended.err().map_or_else(|| "it stopped listening".into(), |error| error.to_string());
            return Err(CliError::new("proxy", format!("the proxy ended: {problem}")).next("start it again"));
        }
    };
    stopping.cancel();
    let under_way = async {
        let served = server.await;
        proxy.settle().await;
        served
    };
    if tokio::time::timeout(GRACE, under_way).await.is_err() {
        output.progress("Some requests did not end in time. What they may cost stays counted; the next start looks for their receipts.");
    }
    asked
}

impl Report for Listening {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "base URL", format!("{} (Anthropic's SDKs: {})", self.base_url, self.anthropic_base_url))?;
        line(out, "relayer", &self.relayer)?;
        line(out, "key", &self.key)?;
        line(out, "at once", format!("{} requests of at most {} USDC each", self.at_once, self.max_cost))
    }
}
