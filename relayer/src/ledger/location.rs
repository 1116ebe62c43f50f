//! Where a ledger is: a SQLite file, or a database on a PostgreSQL server.

use reqwest::Url;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use tokio_postgres::config::{Host, SslMode};
use zeroize::Zeroizing;

/// Where a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The SQLite file.
    File(PathBuf),
    /// A database on a server.
    Server(Server),
}

/// That connections to a server are encrypted, and whom to believe who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// File with the certificates in PEM by one of which the server's is signed; those of the system unless set.
    pub root: Option<PathBuf>,
}

/// A database on a PostgreSQL server, and how to be let in. The password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    tls: Option<Tls>,
    password: Option<Zeroizing<String>>,
    /// Which part of a ledger that is divided; the whole database's own without one.
    partition: Option<u16>,
}

impl Location {
    /// Reads a path or a `postgres://` URL.
    ///
    /// # Errors
    /// What is wrong with a URL.
    pub fn read(text: &str) -> Result<Self, String> {
        // A mistyped URL is no file, and may hold a password: it is not repeated.
        if text.contains("://") { Server::new(text).map(Self::Server) } else { Ok(Self::File(text.into())) }
    }

    /// The same with a server's password; a file has none.
    #[must_use]
    pub fn with_password(self, password: Option<Zeroizing<String>>) -> Self {
        match self {
            Self::Server(server) => Self::Server(Server { password, ..server }),
            file @ Self::File(_) => file,
        }
    }

    /// One partition of a ledger that is divided. A file is never divided.
    #[must_use]
    pub fn in_partition(self, partition: Option<u16>) -> Self {
        match (self, partition) {
            (Self::Server(server), Some(partition)) => Self::Server(server.in_partition(partition)),
            (place, _) => place,
        }
    }
}

/// The environment variable that holds a server's password where no file is named.
pub const PASSWORD_VARIABLE: &str = "STEAM_LEDGER_PASSWORD";

/// A server's password: from the file, if one is named, or from the environment; none where neither has one.
///
/// # Errors
/// Why the file cannot be read.
pub fn password(file: &Path) -> std::io::Result<Option<Zeroizing<String>>> {
    if file.as_os_str().is_empty() {
        return Ok(std::env::var(PASSWORD_VARIABLE).ok().map(Zeroizing::new));
    }
    let text = Zeroizing::new(std::fs::read_to_string(file)?);
    Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}

impl Server {
    /// Whether a text is meant as a server's URL.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads a URL like `postgres://user@host:5432/database`, or with the folder of a socket `postgres:///database?host=/run/postgresql&user=name`.
    /// `sslmode=verify-full` and `sslrootcert` are PostgreSQL's own, of its library libpq; without them there is no encryption.
    ///
    /// # Errors
    /// What is wrong with it; a password in it is, and is not repeated.
    pub fn new(url: &str) -> Result<Self, String> {
        let form = "expected a URL like postgres://user@host:5432/database";
        if !Self::is_url(url) {
            return Err(form.into());
        }
        let tls = Tls::of(url)?;
        let config: tokio_postgres::Config = plain(url).parse().map_err(|_| form.to_owned())?;
        if config.get_password().is_some() {
            return Err("a password is in the URL, where logs and other programs may show it: leave it out there, and name a file \
                        that has it, or set STEAM_LEDGER_PASSWORD"
                .into());
        }
        if config.get_user().is_none() || config.get_dbname().is_none() || config.get_hosts().is_empty() {
            return Err(format!("{form}: user, host and database must all be named"));
        }
        if config.get_hosts().len() > 1 || config.get_hostaddrs().len() > 1 {
            return Err(
                "several hosts are named: the ledger is on one server, and another one may have an older copy".into()
            );
        }
        if matches!(config.get_ssl_mode(), SslMode::Require) {
            return Err("sslmode=require lets anybody be the server: name sslmode=verify-full, and sslrootcert if its certificate is \
                        your own"
                .into());
        }
        let here = |host: &Host| match host {
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        // Where an address is named too, it is what is connected to.
        let is_here = config.get_hosts().iter().all(here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        if !is_here && tls.is_none() {
            return Err("connections to the server are not encrypted: add sslmode=verify-full, or name one on this machine by a \
                        socket's folder or a loopback address"
                .into());
        }
        Ok(Self { url: url.into(), tls, password: None, partition: None })
    }

    /// One partition of a ledger that is divided: its tables are in a schema of their own.
    #[must_use]
    pub fn in_partition(&self, partition: u16) -> Self {
        Self { partition: Some(partition), ..self.clone() }
    }

    /// How connections are encrypted, if they are.
    pub(super) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether it is one partition of a ledger.
    pub(super) fn is_partition(&self) -> bool {
        self.partition.is_some()
    }

    /// How to connect.
    pub(super) fn config(&self) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = plain(&self.url).parse()?;
        if self.tls.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        if let Some(password) = &self.password {
            config.password(password.as_bytes());
        }
        if let Some(partition) = self.partition {
            let others = config.get_options().map(|others| format!("{others} ")).unwrap_or_default();
            config.options(format!("{others}-c search_path={}", schema_of(partition)));
        }
        Ok(config)
    }
}

impl Tls {
    /// What a URL says of it.
    fn of(url: &str) -> Result<Option<Self>, String> {
        let root = parameter(url, "sslrootcert").map(PathBuf::from);
        match (parameter(url, "sslmode").as_deref(), root) {
            (Some("verify-full"), root) => Ok(Some(Self { root })),
            (_, Some(_)) => Err("sslrootcert is for sslmode=verify-full: add that".into()),
            (_, None) => Ok(None),
        }
    }
}

/// A parameter of a URL, which may be no URL otherwise: of its hosts the library decides.
fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let alone = Url::parse(&format!("postgres:///?{query}")).ok()?;
    alone.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// A URL as `tokio_postgres` takes it, which does not know what [`Tls`] is read from.
fn plain(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else { return url.into() };
    let is_tls = |pair: &str| pair == "sslmode=verify-full" || pair.starts_with("sslrootcert=");
    let others: Vec<&str> = query.split('&').filter(|pair| !is_tls(pair)).collect();
    if others.is_empty() { before.into() } else { format!("{before}?{}", others.join("&")) }
}

/// The schema of a partition's tables.
pub(super) fn schema_of(partition: u16) -> String {
    format!("steam_partition_{partition}")
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)?;
        self.partition.map_or(Ok(()), |partition| write!(f, ", partition {partition}"))
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_file_or_a_servers_url() {
        assert_eq!(Location::read("/a/steam.db").unwrap(), Location::File("/a/steam.db".into()));
        let socket = "postgres:///steam?host=/run/postgresql&user=steam";
        for url in ["postgres://steam@localhost/steam", "postgresql://steam@[::1]:5433/steam", socket] {
            let Location::Server(server) = Location::read(url).unwrap() else { panic!("{url} is a server") };
            assert_eq!(server.to_string(), url);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, problem) in [
            ("postgres://steam:s3cret@localhost/steam", "a password is in the URL"),
            ("postgres://steam@localhost/steam?password=s3cret", "a password is in the URL"),
            ("postgres://localhost/steam", "user, host and database"),
            ("postgres://steam@localhost", "user, host and database"),
            ("postgres:///steam?user=steam", "user, host and database"),
            ("postgres://steam@localhost:port/steam", "expected a URL"),
            ("postgres://steam@db.example/steam", "not encrypted"),
            ("postgres://steam@localhost,db.example/steam", "several hosts"),
            ("postgres://steam@localhost:1,localhost:2/steam", "several hosts"),
            ("postgress://steam:s3cret@localhost/steam", "expected a URL"),
            ("POSTGRES://steam:s3cret@localhost/steam", "expected a URL"),
            ("postgres://steam@localhost/steam?hostaddr=192.0.2.1", "not encrypted"),
            ("postgres://steam@localhost/steam?sslmode=require", "sslmode=verify-full"),
            ("postgres://steam@db.example/steam?sslmode=prefer", "not encrypted"),
            ("postgres://steam@localhost/steam?sslmode=verify-ca", "expected a URL"),
            ("postgres://steam@localhost/steam?sslmode=verify-fully", "expected a URL"),
            ("postgres://steam@localhost/steam?sslrootcert=/a.pem", "is for sslmode=verify-full"),
        ] {
            let refused = Location::read(url).unwrap_err();
            assert!(refused.contains(problem) && !refused.contains("s3cret"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_server_on_another_machine_is_reached_by_tls_alone() {
        for (parameters, root) in [
            ("sslmode=verify-full", None),
            ("sslrootcert=/etc/steam/a%20root.pem&sslmode=verify-full", Some("/etc/steam/a root.pem")),
        ] {
            let url = format!("postgres://steam@db.example/steam?{parameters}&options=-c%20geqo%3Doff");
            let Ok(Location::Server(server)) = Location::read(&url) else { panic!("{url} is a server") };
            assert_eq!(server.tls(), Some(&Tls { root: root.map(PathBuf::from) }));
            let config = server.config().unwrap();
            assert_eq!((config.get_ssl_mode(), config.get_options()), (SslMode::Require, Some("-c geqo=off")));
            assert_eq!(server.to_string(), url);
        }
        let Ok(Location::Server(server)) = Location::read("postgres://steam@localhost/steam") else {
            panic!("a server")
        };
        assert_eq!(server.tls(), None);
    }

    #[test]
    fn a_partition_has_a_schema_of_its_own() {
        let place = Location::read("postgres://steam@localhost/steam?options=-c%20geqo%3Doff").unwrap();
        let Location::Server(server) = place.in_partition(Some(3)) else { panic!("a server") };
        let config = server.config().unwrap();
        assert_eq!(config.get_options(), Some("-c geqo=off -c search_path=steam_partition_3"));
        assert!(server.to_string().ends_with(", partition 3") && server.is_partition());
        let file = Location::read("/a/steam.db").unwrap();
        assert_eq!(file.clone().in_partition(Some(1)), file);
    }

    #[test]
    fn a_password_is_never_shown() {
        let location = Location::read("postgres://steam@localhost/steam").unwrap();
        let location = location.with_password(Some(Zeroizing::new("s3cret".into())));
        let shown = format!("{location} {location:?} {location:#?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        let Location::Server(server) = &location else { panic!("a server") };
        assert_eq!(server.config().unwrap().get_password(), Some(&b"s3cret"[..]));
    }
}
