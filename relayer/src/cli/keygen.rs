//! `steam keygen`: a keypair file in the Solana CLI's form, so that nobody needs that tool to own a vault, to provide or to relay.

use super::error::Result;
use super::new_file::{cannot_make, create};
use super::output::{Report, line};
use super::parse::file;
use super::solana::Global;
use serde::Serialize;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Make a keypair file, as the Solana CLI has it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file is the only copy: whoever has it owns what the address owns, and nobody can make it again.\nName it to other commands with --keypair."
)]
pub struct Keygen {
    /// File to write; it must not exist
    #[arg(long, value_name = "FILE", value_parser = file)]
    pub out: PathBuf,
}

#[derive(Serialize)]
struct Made {
    address: String,
    file: String,
}

impl Keygen {
    pub fn run(self, global: &Global) -> Result<()> {
        let keypair = Keypair::new();
        write_new(&self.out, &keypair).map_err(|error| cannot_make(&self.out, &error, "keypair", "--out"))?;
        global.output.print(&Made { address: keypair.pubkey().to_string(), file: self.out.display().to_string() })
    }
}

/// Creates a file that only its owner can read. Never overwrites one.
fn write_new(path: &Path, keypair: &Keypair) -> io::Result<()> {
    let mut file = create(path, 0o600)?;
    let bytes = Zeroizing::new(keypair.to_bytes());
    let text = Zeroizing::new(serde_json::to_vec(bytes.as_slice()).map_err(io::Error::from)?);
    file.write_all(&text).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all())
}

impl Report for Made {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "address", &self.address)?;
        line(out, "file", &self.file)?;
        writeln!(out, "Keep a copy of the file where nobody else can read it.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::signer::read_keypair;

    #[test]
    fn a_keypair_file_is_its_owners_is_read_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("owner.json");
        let keypair = Keypair::new_from_array([7; 32]);
        write_new(&path, &keypair).unwrap();
        assert_eq!(read_keypair(&path, "--keypair").unwrap().to_bytes(), keypair.to_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let again = write_new(&path, &Keypair::new_from_array([8; 32])).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_keypair(&path, "--keypair").unwrap().to_bytes(), keypair.to_bytes());
    }
}
