//! Copies the write-ahead log into the file beside the writer, so that no commit waits for it.
//!
//! A checkpoint from another connection blocks no writer, but what is committed meanwhile is left over, and the log only begins
//! anew once nothing is. So the bulk is copied here, and the writer copies the few pages that are left between two commits.

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Wakes the thread that copies; it ends when this is dropped.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    copied: Arc<AtomicBool>,
}

impl Checkpointer {
    /// Starts the thread for the ledger at `path`.
    pub fn start(path: &Path) -> std::io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let copied = Arc::new(AtomicBool::new(false));
        let (path, done) = (path.to_path_buf(), copied.clone());
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || run(path, &woken, &done))?;
        Ok(Self { wake, copied })
    }

    /// Has the log copied, unless that is under way.
    pub fn wake(&self) {
        // Full: it was woken already. Disconnected: the thread could not be kept, and the writer copies everything itself.
        if let Err(mpsc::TrySendError::Disconnected(())) = self.wake.try_send(()) {
            self.copied.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the bulk was copied since this was last asked.
    pub fn take_copied(&self) -> bool {
        self.copied.swap(false, Ordering::Relaxed)
    }
}

fn run(path: PathBuf, woken: &Receiver<()>, copied: &AtomicBool) {
    let mut connection = None;
    while woken.recv().is_ok() {
        if let Err(error) = bulk(&path, &mut connection) {
            connection = None;
            tracing::warn!(%error, "the ledger's log could not be copied into its file beside the writer");
        }
        copied.store(true, Ordering::Relaxed);
    }
}

fn bulk(path: &Path, connection: &mut Option<Connection>) -> rusqlite::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(path)?),
    };
    checkpoint(connection)
}

/// Copies as much of the log as no reader needs, and makes it durable.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
