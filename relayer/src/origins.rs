//! Origins prove themselves: `/.well-known/steam-provider.json` of an offer's origin names the providers that may use it. It
//! is read when an offer appears and again every hour, by the rules of every call: public addresses, no redirects.

use crate::chain::Pubkey;
use crate::config::host_of;
use crate::market::{Proof, Proofs};
use crate::node::Shared;
use crate::registry::{Offer, Registry};
use crate::upstream::{Upstream, WellKnownError};
use futures::StreamExt;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Pause between two looks for origins to read.
const PAUSE: Duration = Duration::from_millis(500);
/// Time after which an origin is read again.
const FRESH: Duration = Duration::from_secs(3_600);
/// Time after which an origin that could not be read is read again, at first; it doubles up to [`LONGEST_RETRY`].
const RETRY: Duration = Duration::from_secs(15);
/// The longest such time: one that never answers is not worth as much as one that does.
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3_600);
/// Time for which what an origin said last holds while it cannot be read.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Time for which published proofs are taken to be those of the same offers, if nothing was read: [`KEPT`] ends no later.
const PUBLISHED_FOR: Duration = Duration::from_secs(60);
/// Origins read at once, and in one round.
const AT_ONCE: usize = 8;
const PER_ROUND: usize = 64;
/// Most providers that an origin may name, and most models that it may name of each.
const MAX_NAMED: usize = 256;

/// What an origin says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WellKnown {
    /// The providers that may use it.
    pub providers: Vec<Named>,
}

/// A provider that may use an origin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// Its address.
    pub address: String,
    /// Offered models, and what the provider itself calls each.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
}

impl WellKnown {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence on what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let shape = r#"{"providers": [{"address": "…"}]}"#;
        let read: Self = serde_json::from_slice(bytes).map_err(|error| format!("it is not {shape}: {error}"))?;
        if read.providers.len() > MAX_NAMED || read.providers.iter().any(|named| named.models.len() > MAX_NAMED) {
            return Err(format!("it may name {MAX_NAMED} providers at most, and as many models of each"));
        }
        if let Some(wrong) = read.providers.iter().find(|named| named.address.parse::<Pubkey>().is_err()) {
            return Err(format!("`{}` is no provider's address", crate::relay::json::shorten(&wrong.address)));
        }
        Ok(read)
    }

    /// The provider at `address`, if it is named.
    pub fn named(&self, address: &Pubkey) -> Option<&Named> {
        let address = address.to_string();
        self.providers.iter().find(|named| named.address == address)
    }
}

/// Reads what the origin of `url` says.
///
/// # Errors
/// [`WellKnownError`], of which [`WellKnownError::Absent`] says that it names nobody.
pub async fn read(upstream: &Upstream, url: &str) -> Result<WellKnown, WellKnownError> {
    let bytes = upstream.well_known(url).await?;
    WellKnown::read(&bytes).map_err(WellKnownError::Malformed)
}

/// What is known of one origin.
#[derive(Debug)]
struct Known {
    said: Option<(WellKnown, Instant)>,
    next: Instant,
    failures: u32,
}

/// Reads origins and publishes what they prove.
#[derive(Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
    known: HashMap<String, Known>,
    /// The offers whose proofs were published last, and when.
    published: Option<(Arc<Registry>, Instant)>,
}

impl Verifier {
    /// One that has read nothing.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: HashMap::new(), published: None }
    }

    /// Reads origins until the relayer shuts down.
    pub async fn run(mut self) {
        let shutdown = self.shared.stopping.clone();
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.step(Instant::now()) => {}
            }
        }
    }

    /// Reads the origins that are due at `now`, and publishes what all of them prove.
    pub async fn step(&mut self, now: Instant) {
        let registry = self.shared.registry.borrow().clone();
        let due = self.due(&registry, now);
        let shared = self.shared.clone();
        let reads = due.into_iter().map(|(host, url)| {
            let shared = shared.clone();
            async move { (host, read(&shared.upstream, &url).await) }
        });
        let mut reads = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut learned = false;
        while let Some((host, read)) = reads.next().await {
            self.learn(host, read, now);
            learned = true;
        }
        let current = self.published.as_ref().is_some_and(|(offers, at)| {
            Arc::ptr_eq(offers, &registry) && now.saturating_duration_since(*at) < PUBLISHED_FOR
        });
        if learned || !current {
            self.publish(registry, now);
        }
    }

    /// Reads for at most `patience`, before the first request is taken: those who answer by then are asked from the beginning.
    pub async fn begin(&mut self, patience: Duration) {
        let now = Instant::now();
        if tokio::time::timeout(patience, self.step(now)).await.is_err() {
            let registry = self.shared.registry.borrow().clone();
            self.publish(registry, now);
        }
    }

    fn publish(&mut self, registry: Arc<Registry>, now: Instant) {
        self.shared.market.prove(self.proofs(&registry, now));
        self.published = Some((registry, now));
    }

    /// Hosts to read, with a URL of each; those of offers that are gone are forgotten.
    fn due(&mut self, registry: &Registry, now: Instant) -> Vec<(String, String)> {
        let mut hosts: HashMap<String, &str> = HashMap::new();
        for offer in &registry.offers {
            hosts.entry(origin_of(&offer.url)).or_insert(&offer.url);
        }
        self.known.retain(|host, _| hosts.contains_key(host));
        let mut due: Vec<(Option<Instant>, String, String)> = hosts
            .into_iter()
            .map(|(host, url)| (self.known.get(&host).map(|known| known.next), host, url.to_owned()))
            .filter(|(next, ..)| next.is_none_or(|next| next <= now))
            .collect();
        // Those that were never read come first, then those that have waited longest.
        due.sort_unstable();
        due.into_iter().take(PER_ROUND).map(|(_, host, url)| (host, url)).collect()
    }

    fn learn(&mut self, host: String, read: Result<WellKnown, WellKnownError>, now: Instant) {
        let before = self.known.remove(&host);
        let known = match read {
            Ok(said) => Known { said: Some((said, now)), next: now + FRESH, failures: 0 },
            Err(error) => {
                tracing::info!(%host, %error, "an origin proves nothing");
                let failures = before.as_ref().map_or(0, |known| known.failures).saturating_add(1);
                let pause = RETRY.saturating_mul(1 << failures.saturating_sub(1).min(12)).min(LONGEST_RETRY);
                // An origin that answers without the file has withdrawn what it said.
                let withdrawn = matches!(error, WellKnownError::Absent | WellKnownError::Malformed(_));
                let said = before.and_then(|known| known.said).filter(|_| !withdrawn);
                Known { said, next: now + pause, failures }
            }
        };
        self.known.insert(host, known);
    }

    fn proofs(&self, registry: &Registry, now: Instant) -> Proofs {
        let proved = registry.offers.iter().filter_map(|offer| Some((offer.address, self.proof(offer, now)?)));
        proved.collect()
    }

    fn proof(&self, offer: &Offer, now: Instant) -> Option<Proof> {
        let (said, at) = self.known.get(&origin_of(&offer.url))?.said.as_ref()?;
        let named = said.named(&offer.provider).filter(|_| now.saturating_duration_since(*at) < KEPT)?;
        let own = named.models.iter().find(|(model, _)| model.eq_ignore_ascii_case(&offer.model));
        Some(Proof {
            url: offer.url.clone(),
            host: host_of(&offer.url).to_ascii_lowercase().into(),
            model: own.map(|(_, own)| own.as_str().into()),
        })
    }
}

/// Scheme, host and port of a URL: an origin over plain HTTP proves nothing for the one over TLS.
fn origin_of(url: &str) -> String {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://{}", host_of(url)).to_ascii_lowercase()
}
