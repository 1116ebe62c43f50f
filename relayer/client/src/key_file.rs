//! The file that holds an API key: text, `sk-steam-…`, readable by its owner alone.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use steam_protocol::key::{KeyError, SessionKey};
use zeroize::Zeroizing;

/// Most bytes of a file that holds a key, with room for line breaks.
const MOST: u64 = 4_096;

/// Why a key file cannot be used. No error shows the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("cannot use the API key's file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path} does not hold an API key: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// Reads the key in `path`.
///
/// # Errors
/// [`KeyFileError`]
pub fn read(path: &Path) -> Result<SessionKey, KeyFileError> {
    let mut text = Zeroizing::new(String::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map_err(|source| KeyFileError::Io { path: path.into(), source })?;
    text.trim().parse().map_err(|source| KeyFileError::Content { path: path.into(), source })
}

/// Creates a file that only its owner can read, and writes the key into it. Never overwrites one.
///
/// # Errors
/// [`KeyFileError::Io`], also if the file exists.
pub fn create(path: &Path, key: &SessionKey) -> Result<(), KeyFileError> {
    let fail = |source| KeyFileError::Io { path: path.into(), source };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let text = Zeroizing::new(key.reveal());
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_its_owners_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = SessionKey::from_seed(&[9; 32]);
        create(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().address(), key.address());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(matches!(create(&path, &SessionKey::from_seed(&[8; 32])), Err(KeyFileError::Io { .. })));
        assert_eq!(read(&path).unwrap().address(), key.address());
        std::fs::write(&path, format!("{}x", key.reveal())).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Content { .. }));
        assert!(!format!("{error} {error:?}").contains(&key.reveal()[12..]));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_an_end_holds_no_key() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(KeyFileError::Content { .. })));
    }
}
