//! Files that a command makes: why one cannot be made, and what to do.

use super::error::CliError;
use crate::words::quoted;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// The folder that `path` is in, if it is not there.
pub fn missing_folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
}

/// Makes a file at `path` with these permissions. One that is there stays as it is.
///
/// # Errors
/// What the system says; [`cannot_make`] tells people.
pub fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// The error of a new file at `path` that could not be made, with `code`. `flag` named it.
pub fn cannot_make(path: &Path, error: &io::Error, code: &'static str, flag: &str) -> CliError {
    let shown = path.display();
    let fail = |problem: String| CliError::new(code, format!("cannot write {shown}: {problem}"));
    if path.is_dir() || error.kind() == ErrorKind::IsADirectory {
        return fail("it is a folder".into()).next(format!("name a file in it with {flag}"));
    }
    if let Some(folder) = missing_folder(path) {
        return fail(format!("there is no folder {}", folder.display()))
            .next(format!("make it with `mkdir -p {}`, or name another file with {flag}", quoted(folder)));
    }
    match error.kind() {
        ErrorKind::AlreadyExists => fail("it exists, and is never written over".into())
            .next(format!("name a file that does not exist yet with {flag}")),
        ErrorKind::PermissionDenied => fail("the permissions do not allow it".into())
            .next(format!("name a file in a folder of your own with {flag}")),
        _ => fail(error.to_string()).next(format!("name another file with {flag}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("there"), "").unwrap();
        for (name, message, next) in [
            ("there", "it exists, and is never written over", "does not exist yet with --out"),
            ("", "it is a folder", "name a file in it with --out"),
            ("new/", "it is a folder", "name a file in it with --out"),
            ("none/key", "there is no folder /", "make it with `mkdir -p /"),
            ("there/key", "cannot write /", "name another file with --out"),
        ] {
            let path = path(name);
            let error = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).unwrap_err();
            let told = cannot_make(&path, &error, "key", "--out").to_string();
            assert!(told.contains(message) && told.contains(next), "{name}: {told}");
        }
        let denied = cannot_make(&path("x"), &ErrorKind::PermissionDenied.into(), "key", "--out").to_string();
        assert!(denied.contains("permissions") && denied.contains("folder of your own"), "{denied}");
    }
}
