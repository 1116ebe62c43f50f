//! The database: whose it is, whether it may be sold by, and whether its disk has room. It is read, and nothing beside it is made: a file
//! that another user makes would be in the relayer's way.

use super::{Findings, Part};
use crate::config::Config;
use crate::ledger::{self, LedgerError, Location};
use crate::registry::Registry;
use crate::words::quoted;
use std::path::{Path, PathBuf};

pub(super) fn look(config: &Config, registry: Option<&Registry>, runs_here: bool) -> Findings {
    let mut found = Findings::of(Part::Ledger);
    match config.ledger.location() {
        // Told with the files.
        Err(_) => {}
        Ok(Location::File(path)) => in_file(&mut found, config, &path, (registry, runs_here)),
        Ok(server) if config.replicas.is_on() => shared(&mut found, config, &server, registry),
        Ok(server) => on_server(&mut found, &server, (registry, runs_here)),
    }
    found
}

fn in_file(found: &mut Findings, config: &Config, path: &Path, (registry, runs_here): (Option<&Registry>, bool)) {
    let folder = folder(path);
    if !folder.is_dir() {
        // Told with the files.
        return;
    }
    room(found, config, &folder);
    // The relayer fills a file that is empty.
    let new = std::fs::metadata(path).map_or(true, |file| file.is_file() && file.len() == 0);
    let in_use = ledger::in_use(path);
    if runs_here && (new || in_use == Some(false)) {
        found.fault(
            format!("the relayer that runs here has another ledger open than {}", path.display()),
            "correct ledger.path, or restart the relayer if it was changed",
        );
    } else if new {
        writable(found, &folder);
    }
    if new {
        return;
    }
    contents(found, &path.into(), registry);
    if in_use == Some(true) && !runs_here {
        found.warning(
            format!("{} is open in another process, and no relayer answers at server.listen", path.display()),
            "see with `fuser` which process that is: two relayers never work on one ledger",
        );
    }
}

fn on_server(found: &mut Findings, server: &Location, (registry, runs_here): (Option<&Registry>, bool)) {
    let in_use = ledger::in_use(server);
    if runs_here && in_use == Some(false) {
        found.fault(
            format!("the relayer that runs here has another ledger open than {server}"),
            "correct ledger.url, or restart the relayer if it was changed",
        );
    }
    usable(found, server);
    contents(found, server, registry);
    if in_use == Some(true) && !runs_here {
        found.warning(
            format!("{server} is open in another process, and no relayer answers at server.listen"),
            "see in the server's pg_stat_activity which one that is: two relayers never work on one ledger",
        );
    }
}

/// A ledger that several processes share: who has what open says nothing about this one.
fn shared(found: &mut Findings, config: &Config, server: &Location, registry: Option<&Registry>) {
    usable(found, server);
    match config.replicas.partitions {
        1 => contents(found, server, registry),
        of => (0..of).for_each(|partition| contents(found, &server.clone().in_partition(Some(partition)), registry)),
    }
}

fn usable(found: &mut Findings, server: &Location) {
    if let Err(error) = ledger::usable(server) {
        found.fault(
            error.to_string(),
            "mend that on the server; a database of the relayer's own is made with `createdb --owner USER --encoding UTF8 --template template0`",
        );
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn contents(found: &mut Findings, location: &Location, registry: Option<&Registry>) {
    let named = quoted(Path::new(&location.to_string()));
    match belongs(location, registry) {
        Ok(open) => {
            found.well(format!("{location} is this relayer's ledger; `steam ledger check --ledger {named}` looks inside"));
            if open > 0 {
                found.warning(
                    format!("{open} incidents wait for a person's decision"),
                    format!("see them with `steam ledger resolve --ledger {named}`"),
                );
            }
        }
        Err(LedgerError::Missing { .. }) => found.well(format!("a new ledger will be made in {location}")),
        Err(error @ LedgerError::Server { .. }) => found.fault(
            error.to_string(),
            "start the server, or correct ledger.url and its password: `psql` with the same URL must get in",
        ),
        Err(error @ LedgerError::Copy { .. }) => found.fault(
            error.to_string(),
            format!("see what `steam ledger reconcile --ledger {named} --rpc-url URL` would do, and run it again with --apply"),
        ),
        Err(error @ LedgerError::Foreign { .. }) => found.fault(
            error.to_string(),
            "correct ledger.path or ledger.url: a ledger belongs to one relayer on one cluster, and to programs of its version",
        ),
        Err(error) => found.fault(
            format!("{location}: {error}"),
            format!("see whether it is a ledger that this user may read; if it is damaged put a copy back with `steam ledger restore --ledger {named}`"),
        ),
    }
}

/// How many incidents are open in a ledger that is this relayer's.
fn belongs(location: &Location, registry: Option<&Registry>) -> Result<usize, LedgerError> {
    let ledger = ledger::inspect(location)?;
    let (domain, relayer) = ledger.deployment()?;
    if let Some(registry) = registry
        && (domain, relayer) != (registry.domain, registry.relayer.address)
    {
        let problem = "it is the ledger of another relayer, program or cluster".into();
        return Err(LedgerError::Foreign { ledger: location.to_string(), problem });
    }
    match ledger.copied_ms()? {
        Some(made_ms) => Err(LedgerError::Copy { ledger: location.to_string(), made_ms }),
        None => Ok(ledger.incidents(false)?.len()),
    }
}

fn room(found: &mut Findings, config: &Config, folder: &Path) {
    let wanted = config.ledger.min_free_bytes;
    let shown = folder.display();
    match ledger::free_bytes(folder) {
        Some(free) if free < wanted => found.fault(
            format!(
                "the disk of {shown} has {free} bytes left, and ledger.min_free_bytes is {wanted}: nothing is sold"
            ),
            "make room, or lower ledger.min_free_bytes or ledger.keep_receipts_days",
        ),
        Some(free) if free < wanted.saturating_mul(4) => found.warning(
            format!("the disk of {shown} has {free} bytes left; below {wanted} nothing is sold"),
            "make room: a thousand requests take about a mebibyte",
        ),
        Some(free) => found.well(format!("the disk of {shown} has {} MiB left", free >> 20)),
        None => {}
    }
}

fn writable(found: &mut Findings, folder: &Path) {
    #[cfg(unix)]
    if let Err(error) = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        return found.fault(
            format!("this user can make no file in {}: {error}", folder.display()),
            "give the folder to the relayer's user with chown, or name another one in ledger.path",
        );
    }
    found.well(format!("a new ledger will be made in {}", folder.display()));
}
