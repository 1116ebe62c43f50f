//! A socket on the way to a PostgreSQL server, on which connections break, are refused and are late where that is asked for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Where a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The next commit does not arrive.
    Commit,
    /// The next commit arrives, and its answer does not.
    Answer,
    /// The next commit goes nowhere, and the connection stays: as at the near end of a tunnel.
    Hole,
    /// The connection breaks at the next commit of a writer, which arrives later, when it is let through.
    Late,
}

/// Bytes of a commit that comes alone.
const LONE_COMMIT: usize = 12;

/// The socket. Its connections are carried by the runtime in which it was made.
pub struct Way {
    folder: tempfile::TempDir,
    state: Arc<State>,
}

struct State {
    there: PathBuf,
    cut: Mutex<Option<Cut>>,
    /// Whether nobody is let in.
    shut: AtomicBool,
    /// Grows when all connections break.
    breaks: watch::Sender<u64>,
    /// Grows when what is late is let through.
    arrives: watch::Sender<u64>,
    late: AtomicU64,
    open: AtomicU64,
}

impl Way {
    /// One to the socket `there`.
    pub fn to(there: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("steam-way-").tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let state = Arc::new(State {
            there,
            cut: Mutex::default(),
            shut: AtomicBool::new(false),
            breaks: watch::Sender::new(0),
            arrives: watch::Sender::new(0),
            late: AtomicU64::new(0),
            open: AtomicU64::new(0),
        });
        let own = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !own.shut.load(Ordering::SeqCst) {
                    own.open.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(carry(client, own.clone()));
                }
            }
        });
        Self { folder, state }
    }

    /// The folder that takes the place of the server's.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has the next commit break its connection.
    pub fn cut(&self, cut: Cut) {
        *self.state.cut.lock().unwrap() = Some(cut);
    }

    /// Whether no cut is waiting for its commit any more.
    pub fn is_done(&self) -> bool {
        self.state.cut.lock().unwrap().is_none()
    }

    /// Takes back what was to be cut.
    pub fn spare(&self) {
        *self.state.cut.lock().unwrap() = None;
    }

    /// Whether anybody is let in from now on.
    pub fn shut(&self, shut: bool) {
        self.state.shut.store(shut, Ordering::SeqCst);
    }

    /// Breaks all connections, and loses what is late.
    pub fn break_all(&self) {
        self.state.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Lets through what is late.
    pub fn let_through(&self) {
        self.state.arrives.send_modify(|arrives| *arrives += 1);
    }

    /// Commits that are late.
    pub fn late(&self) -> u64 {
        self.state.late.load(Ordering::SeqCst)
    }

    /// Connections that are open, those of late commits included.
    pub fn open(&self) -> u64 {
        self.state.open.load(Ordering::SeqCst)
    }
}

async fn carry(client: UnixStream, state: Arc<State>) {
    let (mut breaks, mut arrives) = (state.breaks.subscribe(), state.arrives.subscribe());
    if let Ok(server) = UnixStream::connect(&state.there).await {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let late = tokio::select! {
            late = pass(from_client, to_server, Cut::Commit, &state) => late,
            _ = pass(from_server, to_client, Cut::Answer, &state) => None,
            _ = breaks.changed() => None,
        };
        if let Some((mut server, commit)) = late {
            tokio::select! {
                biased;
                _ = breaks.changed() => {}
                _ = arrives.changed() => drop(server.write_all(&commit).await),
            }
            state.late.fetch_sub(1, Ordering::SeqCst);
        }
    }
    state.open.fetch_sub(1, Ordering::SeqCst);
}

/// Passes bytes on, until there are no more or it is told to stop at the word of a commit or of its answer, which is the same. A commit
/// that is late comes back.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: OwnedWriteHalf,
    at: Cut,
    state: &State,
) -> Option<(OwnedWriteHalf, Vec<u8>)> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return None };
        let commits = bytes[..read].windows(7).any(|word| word == b"COMMIT\0");
        let take = |what: Cut| state.cut.lock().unwrap().take_if(|cut| *cut == what).is_some();
        if commits && take(at) {
            return None;
        }
        if commits && at == Cut::Commit && take(Cut::Hole) {
            return std::future::pending().await;
        }
        // A writer's comes with what it writes. Others hold locks that everybody waits for in real time.
        if commits && at == Cut::Commit && read > LONE_COMMIT && take(Cut::Late) {
            state.late.fetch_add(1, Ordering::SeqCst);
            return Some((to, bytes[..read].to_vec()));
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return None;
        }
    }
}
