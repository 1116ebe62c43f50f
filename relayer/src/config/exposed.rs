//! What a configuration leaves open to others: for a person to look at.

use super::Config;
use crate::chain::node_url;
use crate::secret_files::exposed;
use crate::warning::Warning;
use std::path::Path;

impl Config {
    /// What others may read or reach that is the relayer's alone. `file` is where the configuration
    /// was read.
    pub fn warnings(&self, file: &Path) -> Vec<Warning> {
        let Self { chain, ledger, probe, sponsor, operator, replicas, .. } = self;
        let secrets = [
            ("chain.settler_keypair", &chain.settler_keypair),
            ("chain.receipt_keypair", &chain.receipt_keypair),
            ("chain.faucet_keypair", &chain.faucet_keypair),
            ("sponsor.keypair", &sponsor.keypair),
            ("probe.key_file", &probe.key_file),
            ("operator.token_file", &operator.token_file),
            ("ledger.password_file", &ledger.password_file),
            ("replicas.secret_file", &replicas.secret_file),
        ];
        let named = secrets.into_iter().filter(|(_, path)| !path.as_os_str().is_empty());
        let mut told: Vec<Warning> = named
            .filter_map(|(key, path)| {
                let Warning { says, mend } = exposed(path)?;
                Some(Warning { says: format!("{key}: {says}"), mend })
            })
            .collect();
        let bare = |url: &String| url.trim_end_matches('/') == node_url::shown(url);
        if !chain.rpc_urls.iter().all(bare)
            && let Some(Warning { says, mend }) = exposed(file)
        {
            told.push(Warning { says: format!("chain.rpc_urls may hold keys, and {says}"), mend });
        }
        if !operator.token_file.as_os_str().is_empty() && !operator.listen.ip().is_loopback() {
            let says = format!(
                "operator.listen: other machines may reach {}, and the operator's page is plain HTTP, so that its token can be read on the way",
                operator.listen
            );
            told.push(Warning { says, mend: "listen on 127.0.0.1, and come through SSH or a proxy with TLS".into() });
        }
        if replicas.is_on() && !replicas.listen.ip().is_loopback() {
            let says = format!(
                "replicas.listen: other machines may reach {}, and what the processes send each other is plain HTTP, keys included",
                replicas.listen
            );
            let mend =
                "let only the other processes reach it, on a network of your own, or through a tunnel that encrypts"
                    .into();
            told.push(Warning { says, mend });
        }
        told
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::config::{Chain, LedgerConfig, Operator, Probe, Sponsoring};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_secret_that_everybody_may_read_is_told_and_so_is_a_page_that_others_reach() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, "secret").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let config = |mode: u32, listen: &str, url: &str| Config {
            chain: Chain {
                rpc_urls: vec![url.into()],
                settler_keypair: made("settler", mode),
                receipt_keypair: made("receipts", mode),
                faucet_keypair: made("faucet", mode),
                ..Chain::default()
            },
            probe: Probe { key_file: made("probe", mode), ..Probe::default() },
            sponsor: Sponsoring { keypair: made("sponsor", mode), ..Sponsoring::default() },
            operator: Operator { listen: listen.parse().unwrap(), token_file: made("token", mode) },
            ledger: LedgerConfig {
                url: "postgres://steam@localhost/steam".into(),
                password_file: made("password", mode),
                ..LedgerConfig::default()
            },
            ..Config::default()
        };
        let file = made("steam.toml", 0o644);
        let warnings = |mode, listen, url| {
            let told = config(mode, listen, url).warnings(&file);
            told.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(warnings(0o640, "[::1]:1", "http://127.0.0.1:8899/"), Vec::<String>::new());
        let told = warnings(0o644, "0.0.0.0:8788", "https://rpc.example.com/?api-key=s3cret");
        for key in [
            "chain.settler_keypair: ",
            "chain.receipt_keypair: ",
            "chain.faucet_keypair: ",
            "sponsor.keypair: ",
            "probe.key_file: ",
            "operator.token_file: ",
            "ledger.password_file: ",
            "chain.rpc_urls may hold keys, and every user of this machine may read ",
            "operator.listen: other machines may reach 0.0.0.0:8788",
        ] {
            assert_eq!(told.iter().filter(|line| line.starts_with(key)).count(), 1, "{key} in {told:#?}");
        }
        assert_eq!(told.len(), 9, "{told:#?}");
        assert!(!format!("{told:?}").contains("s3cret"));
        let off = Config {
            operator: Operator { listen: "0.0.0.0:1".parse().unwrap(), ..Operator::default() },
            ..Config::default()
        };
        assert_eq!(off.warnings(&file), [], "there is no page without a token");
    }
}
