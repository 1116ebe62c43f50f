//! Files with secrets: whom else their permissions let in.

use crate::warning::Warning;
use crate::words::quoted;
use std::path::Path;

/// What is wrong with a file's permissions, if every user of the machine may read or change it, and what to do. A folder or a device is no
/// such file: it holds no secret, and its permissions are needed.
pub fn exposed(path: &Path) -> Option<Warning> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let mode = file.permissions().mode();
        let shown = path.display();
        let may = match (mode & 0o004 != 0, mode & 0o002 != 0) {
            (true, true) => "read and change",
            (true, false) => "read",
            (false, true) => "change",
            (false, false) => return None,
        };
        let says = format!("every user of this machine may {may} {shown}");
        Some(Warning { says, mend: format!("take that away with `chmod o-rw {}`", quoted(path)) })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_everybody_may_read_or_change_is_told_and_one_of_a_group_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "x").unwrap();
        for (mode, says) in [
            (0o600, None),
            (0o440, None),
            (0o644, Some("may read /")),
            (0o602, Some("may change /")),
            (0o666, Some("may read and change /")),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = exposed(&path);
            assert_eq!(told.is_some(), says.is_some(), "{mode:o}");
            assert!(says.is_none_or(|says| told.as_ref().unwrap().says.contains(says)), "{mode:o}: {told:?}");
        }
        assert_eq!(exposed(&folder.path().join("none")), None, "what is not there is told elsewhere");
        for other in ["/", "/dev/null"] {
            assert_eq!(exposed(Path::new(other)), None, "{other}: everybody needs it");
        }
    }
}
