//! Where a request belongs, if several processes share the relayer's vaults: to the partition of the vault that pays, to all of them, or to
//! the first one, which has what belongs to no vault.

use super::{paths, sessions};
use crate::chain::Pubkey;
use crate::ledger::partitions::partition_of;
use crate::node::Shared;
use crate::node::sessions::Session;
use crate::relay::auth::Credentials;
use crate::vaults::Directory;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use steam_protocol::Address;

/// The header of a signed request that names its vault.
const VAULT: &str = "steam-vault";

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the process itself, whatever it holds.
    Own(Own),
    /// To whoever holds this partition.
    Partition(u16),
    /// To every partition: one of them knows, or several.
    All(Gather),
    /// To the partition in which this key was charged, whose vault is not on chain any more.
    Former(Address),
    /// To any partition: none knows more than another.
    Any,
}

/// What a process says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// That it answers.
    Health,
    /// Whether it takes requests.
    Ready,
    /// What it counts.
    Metrics,
}

/// Which answer of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gather {
    /// The one of the partition that knows what is asked for.
    Found,
    /// One that succeeded, once no partition is left that may have to know and could not be asked.
    Kept,
}

/// The partition that has what belongs to no vault: the chain for pages, sign-ins, openings, and the public figures of the market.
pub(crate) const HOME: u16 = 0;

/// Finds where requests belong.
#[derive(Debug)]
pub(crate) struct Targets {
    segments: paths::Segments,
    of: u16,
}

impl Targets {
    /// For a ledger of `of` partitions.
    pub(crate) fn new(of: u16) -> Self {
        Self { segments: paths::Segments::of(super::document().paths.paths.keys()), of }
    }

    /// Where `request` belongs, as far as it shows.
    pub(crate) fn of(&self, request: &Request, shared: &Shared, directory: &Directory) -> Target {
        let path = self.segments.spelt(request.uri().path());
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments[..] {
            ["health"] => return Target::Own(Own::Health),
            ["ready"] => return Target::Own(Own::Ready),
            ["metrics"] => return Target::Own(Own::Metrics),
            _ if self.of == 1 => return Target::Partition(HOME),
            ["v1", "allow-lists", ..] if request.method() == Method::PUT => return Target::All(Gather::Kept),
            ["v1", "allow-lists" | "withdrawals", ..] => return Target::All(Gather::Found),
            ["v1", "chain" | "sponsored" | "solana-pay" | "sign-in" | "sessions", ..] => return self.home(),
            ["v1", "models" | "providers" | "market", ..] => return self.home(),
            _ => {}
        }
        if sessions::token(request.headers()).is_some() {
            return self.home();
        }
        if let ["v1", "vaults", vault] = segments[..]
            && let Ok(vault) = vault.parse::<Pubkey>()
        {
            return self.vault(&vault);
        }
        if let Some(vault) = request.headers().get(VAULT) {
            let vault = vault.to_str().ok().and_then(|vault| vault.trim().parse::<Pubkey>().ok());
            return vault.map_or(Target::Any, |vault| self.vault(&vault));
        }
        // Nothing is proved by a key that is sent: the process that holds the vault checks who asks.
        let Some(key) = bearer(request.headers(), shared) else { return Target::Any };
        match directory.of_key(&key) {
            Some(vault) => self.vault(&vault),
            None if request.method() == Method::GET => Target::Former(key),
            None => Target::Any,
        }
    }

    /// Where a request belongs whose sender has signed in.
    pub(crate) fn signed_in(&self, request: &Request, session: &Session) -> Target {
        let path = self.segments.spelt(request.uri().path());
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (&segments[..], session.vault) {
            // Its own, or one that pays its provider: the vault of that may be anywhere.
            (["v1", "receipts", _] | ["v1", "generation", ..], _) => Target::All(Gather::Found),
            (["v1", "receipts" | "usage" | "key" | "credits"] | ["v1", "vaults", _], Some(vault)) => self.vault(&vault),
            _ => self.home(),
        }
    }

    fn home(&self) -> Target {
        Target::Partition(HOME)
    }

    fn vault(&self, vault: &Pubkey) -> Target {
        Target::Partition(partition_of(vault.as_array(), self.of))
    }
}

/// The key that a request carries, if it carries one.
fn bearer(headers: &HeaderMap, shared: &Shared) -> Option<Address> {
    match Credentials::read(headers, shared.bearer_keys()) {
        Ok(Credentials::Bearer(key)) => Some(key.address()),
        _ => None,
    }
}

/// The session whose token a request carries, if it is kept here.
pub(crate) fn session(headers: &HeaderMap, shared: &Shared) -> Option<Session> {
    shared.sessions.get(sessions::token(headers)?, shared.clock.unix_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::mock::good;
    use crate::relay::testing::world::World;
    use axum::body::Body;
    use steam_protocol::key::SessionKey;

    #[tokio::test]
    async fn every_request_belongs_somewhere() {
        let world = World::new(vec![good(false).await.offer(1)]).await;
        let (shared, directory) = (&world.node.shared, world.node.vaults.directory());
        let of = 7;
        let targets = Targets::new(of);
        let vault = world.snapshot.address;
        let own = Target::Partition(partition_of(vault.as_array(), of));
        let key = world.key().reveal();
        let bearer = format!("Bearer {key}");
        let vault_path = format!("/v1/vaults/{vault}");
        let [none, bearer, key]: [&[(&str, &str)]; 3] = [&[], &[("authorization", &bearer)], &[("x-api-key", &key)]];
        let former = SessionKey::from_seed(&[77; 32]);
        let former_bearer = format!("Bearer {}", former.reveal());
        let unknown: &[(&str, &str)] = &[("authorization", &former_bearer)];
        let vault = vault.to_string();
        let signed: &[(&str, &str)] = &[("steam-vault", &vault), ("authorization", "Bearer nonsense")];
        let session: &[(&str, &str)] = &[("authorization", "Bearer steam-session-x")];
        for (method, path, headers, target) in [
            ("GET", "/health", none, Target::Own(Own::Health)),
            ("GET", "/ready/", none, Target::Own(Own::Ready)),
            ("GET", "/metrics", none, Target::Own(Own::Metrics)),
            ("POST", "/v1/chat/completions", bearer, own),
            ("POST", "/chat/completions", key, own),
            ("POST", "/v1/messages", signed, own),
            ("GET", "/v1/usage", bearer, own),
            ("GET", "/v1/receipts/gen-1", key, own),
            ("GET", &vault_path, none, own),
            ("POST", "/v1/chat/completions", none, Target::Any),
            ("POST", "/v1/chat/completions", unknown, Target::Any),
            ("GET", "/v1/usage", unknown, Target::Former(former.address())),
            ("GET", "/", none, Target::Any),
            ("PUT", "/v1/allow-lists", bearer, Target::All(Gather::Kept)),
            ("GET", "/v1/allow-lists/00", none, Target::All(Gather::Found)),
            ("POST", "/withdrawals", none, Target::All(Gather::Found)),
            ("GET", "/v1/chain/blockhash", bearer, Target::Partition(HOME)),
            ("POST", "/v1/solana-pay/openings", none, Target::Partition(HOME)),
            ("POST", "/v1/sign-in", none, Target::Partition(HOME)),
            ("GET", "/v1/models", bearer, Target::Partition(HOME)),
            ("GET", "/v1/providers/a/receipts", session, Target::Partition(HOME)),
            ("GET", "/v1/usage", session, Target::Partition(HOME)),
        ] {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(targets.of(&request, shared, &directory), target, "{method} {path}");
        }
    }

    #[test]
    fn who_signed_in_reads_where_the_vault_is() {
        let vault = Pubkey::new_from_array([5; 32]);
        let session = Session { owner: vault, vault: Some(vault), provider: None, until_ms: 0 };
        let targets = Targets::new(7);
        let own = Target::Partition(partition_of(vault.as_array(), 7));
        let find = |path: &str, session: &Session| {
            targets.signed_in(&Request::builder().uri(path).body(Body::empty()).unwrap(), session)
        };
        for path in ["/v1/usage", "/usage", "/v1/receipts?limit=1", "/v1/vaults/x"] {
            assert_eq!(find(path, &session), own, "{path}");
            assert_eq!(find(path, &Session { vault: None, ..session }), Target::Partition(HOME), "{path}");
        }
        assert_eq!(find("/v1/receipts/gen-1", &session), Target::All(Gather::Found));
        assert_eq!(find("/v1/providers/x/usage", &session), Target::Partition(HOME));
    }
}
