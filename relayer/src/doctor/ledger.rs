//! The database: whose it is, whether it may be sold by, and whether its disk has room.

use super::{Findings, Part};
use crate::config::Config;
use crate::ledger::{self, LedgerError};
use crate::registry::Registry;
use std::path::{Path, PathBuf};

pub(super) fn look(config: &Config, registry: Option<&Registry>, runs_here: bool) -> Findings {
    let mut found = Findings::of(Part::Ledger);
    let path = &config.ledger.path;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    if !folder.is_dir() {
        found.fault(
            format!("ledger.path: there is no folder {}", folder.display()),
            "make it, owned by the relayer's user, or correct the path: the relayer makes none",
        );
        return found;
    }
    room(&mut found, config, &folder);
    if !path.exists() {
        writable(&mut found, &folder);
        return found;
    }
    match belongs(path, registry) {
        Ok(()) => found.well(format!("{} is this relayer's ledger", path.display())),
        Err(error @ LedgerError::Copy { .. }) => {
            found.fault(error.to_string(), "see what `steam ledger reconcile` would do, and run it again with --apply");
        }
        Err(error @ LedgerError::Foreign { .. }) => found.fault(
            error.to_string(),
            "correct ledger.path: a ledger belongs to one relayer on one cluster, and to programs of its version",
        ),
        Err(error) => found.fault(
            format!("{}: {error}", path.display()),
            "see whether it is a ledger that this user may read, and restore a copy with `steam ledger restore` if it is damaged",
        ),
    }
    match ledger::in_use(path) {
        Err(error) => found.fault(
            error.to_string(),
            "the relayer's user must own the ledger's folder and the files in it: correct that with chown",
        ),
        Ok(true) if !runs_here => found.warning(
            format!("{} is open in another process, and no relayer answers at server.listen", path.display()),
            "see with `fuser` which process that is: two relayers never work on one ledger",
        ),
        Ok(_) => {}
    }
    found
}

fn belongs(path: &Path, registry: Option<&Registry>) -> Result<(), LedgerError> {
    let ledger = ledger::inspect(path)?;
    let (domain, relayer) = ledger.deployment()?;
    if let Some(registry) = registry
        && (domain, relayer) != (registry.domain, registry.relayer.address)
    {
        let problem = "it is the ledger of another relayer, program or cluster".into();
        return Err(LedgerError::Foreign { path: path.into(), problem });
    }
    match ledger.copied_ms()? {
        Some(made_ms) => Err(LedgerError::Copy { path: path.into(), made_ms }),
        None => Ok(()),
    }
}

fn room(found: &mut Findings, config: &Config, folder: &Path) {
    let wanted = config.ledger.min_free_bytes;
    match ledger::free_bytes(folder) {
        Some(free) if free < wanted => found.fault(
            format!(
                "the disk of {} has {free} bytes left, and ledger.min_free_bytes is {wanted}: nothing is sold",
                folder.display()
            ),
            "make room, or lower ledger.min_free_bytes or ledger.keep_receipts_days",
        ),
        Some(free) if free < wanted.saturating_mul(4) => found.warning(
            format!("the disk of {} has {free} bytes left; below {wanted} nothing is sold", folder.display()),
            "make room: a thousand requests take about a mebibyte",
        ),
        Some(free) => found.well(format!("the disk of {} has {} MiB left", folder.display(), free >> 20)),
        None => {}
    }
}

/// Whether a file can be made there, by making one that is gone again at once.
fn writable(found: &mut Findings, folder: &Path) {
    match tempfile(folder) {
        Ok(()) => found.well(format!("a new ledger will be made in {}", folder.display())),
        Err(error) => found.fault(
            format!("no file can be made in {}: {error}", folder.display()),
            "give the folder to the relayer's user with chown, or name another one in ledger.path",
        ),
    }
}

fn tempfile(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".steam-doctor-{}", std::process::id()));
    std::fs::File::create_new(&path)?;
    std::fs::remove_file(&path)
}
