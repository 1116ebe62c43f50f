//! A PostgreSQL server of the tests' own, in a temporary folder, on a socket there. It runs as an unprivileged user, since it
//! refuses to run as root, and ends with the process that started it, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

const SCRIPT: &str = include_str!("postgres.sh");
/// What is said where there is none.
const MISSING: &str = "the tests of the ledger on a server need PostgreSQL 15 or newer: `apt-get install postgresql`, or name the \
                       folder of `initdb` and `postgres` in STEAM_POSTGRES_BIN";

/// A server.
pub struct Server {
    folder: PathBuf,
    guardian: Mutex<Guardian>,
    databases: AtomicUsize,
}

/// The shell that has started the server, and stops it when nobody writes to it any more.
struct Guardian {
    child: Child,
    tell: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Server {
    /// The one that the tests of a process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of its own, for a test that stops it.
    pub fn start() -> Self {
        let bin = binaries();
        let folder = tempfile::Builder::new().prefix("steam-pg-").tempdir().unwrap().keep();
        let mut command = as_unprivileged(&folder);
        command.args(["sh", "-c", SCRIPT, "postgres.sh"]).arg(bin).arg(&folder).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("sh and, as root, setpriv must be there");
        let (tell, says) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let server =
            Self { folder, guardian: Mutex::new(Guardian { child, tell, says }), databases: AtomicUsize::new(0) };
        server.expect("started");
        server
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a certificate for an address, and the root that has signed it: `server.pem`, `server.key` and `root.pem` in the folder.
    #[allow(dead_code, reason = "not every group of tests encrypts")]
    pub fn certify(&self, address: &str) {
        let script = format!(
            "cd {} && new='req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes' &&
             openssl $new -x509 -days 2 -subj /CN=root -keyout root.key -out root.pem &&
             openssl $new -subj /CN=server -keyout server.key -out server.csr && echo subjectAltName=IP:{address} >names &&
             openssl x509 -req -days 2 -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile names -out server.pem",
            self.folder.display(),
        );
        let made = as_unprivileged(&self.folder).args(["sh", "-c", &script]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=steam", self.folder.display())
    }

    /// The URL of a new database: an empty one, or one like another, which nobody must be connected to.
    pub fn database(&self, like: Option<&str>) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {}", like.unwrap_or("template1")));
        self.url(&name)
    }

    /// Runs SQL in a database; what it says of a single row and column.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(binaries().join("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "steam", "-h"]).arg(&self.folder);
        let done = psql.args(["-d", database, "-c", sql]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Stops it, as an operator would.
    pub fn stop(&self) {
        self.tell("stop", "stopped");
    }

    /// Kills it.
    pub fn crash(&self) {
        self.tell("crash", "stopped");
    }

    /// Starts it again, with settings like `-c default_transaction_read_only=on`.
    pub fn start_again(&self, settings: &str) {
        self.tell(&format!("start {settings}"), "started");
    }

    /// Has it hang: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.tell("freeze", "frozen");
    }

    /// Has it go on.
    pub fn thaw(&self) {
        self.tell("thaw", "thawed");
    }

    fn guardian(&self) -> MutexGuard<'_, Guardian> {
        self.guardian.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, word: &str, answer: &str) {
        writeln!(self.guardian().tell.as_ref().unwrap(), "{word}").unwrap();
        self.expect(answer);
    }

    fn expect(&self, answer: &str) {
        let mut said = String::new();
        self.guardian().says.read_line(&mut said).unwrap();
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert_eq!(said.trim(), answer, "the server's log:\n{}", log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut guardian = self.guardian();
        guardian.tell = None;
        guardian.child.wait().unwrap();
    }
}

/// The folder of the server's programs.
fn binaries() -> &'static Path {
    static BINARIES: OnceLock<PathBuf> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let named = std::env::var_os("STEAM_POSTGRES_BIN").map(PathBuf::from);
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
        debian.sort_unstable();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = named.into_iter().chain(debian.into_iter().rev()).chain(std::env::split_paths(&path));
        all.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists()).expect(MISSING)
    })
}

/// A command of the user `postgres`, if this is root's process; it may write to `folder`.
fn as_unprivileged(folder: &Path) -> Command {
    let id = |flag: &str, user: &[&str]| {
        let id = Command::new("id").arg(flag).args(user).output().unwrap();
        String::from_utf8(id.stdout).unwrap().trim().parse::<u32>().ok()
    };
    if id("-u", &[]) != Some(0) {
        return Command::new("env");
    }
    let (user, group) = id("-u", &["postgres"]).zip(id("-g", &["postgres"])).expect(MISSING);
    std::os::unix::fs::chown(folder, Some(user), Some(group)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
    command
}
