//! Test money: the relayer of `steam dev` gives some to whoever asks. It is asked whether it does only where it is on this machine.

use super::relayer_api::RelayerApi;
use crate::chain::Pubkey;
use reqwest::Url;
use std::net::IpAddr;

/// The command by which the relayer that registered `url` gives `wallet` test money, if it does.
pub async fn command(url: &str, wallet: &Pubkey) -> Option<String> {
    if !is_local(url) {
        return None;
    }
    let api = RelayerApi::new(url).ok()?;
    // Nothing depends on it but a hint: a relayer that does not answer gives nothing.
    let gives = api.gives_test_money().await.unwrap_or_default();
    gives.then(|| {
        let json = "-H 'Content-Type: application/json'";
        format!("curl {}/chain/faucet {json} -d '{{\"wallet\":\"{wallet}\"}}'", api.base())
    })
}

fn is_local(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).map(|host| host.trim_matches(['[', ']']));
    host.is_some_and(|host| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::world::World;

    #[tokio::test]
    async fn a_local_relayer_that_gives_test_money_is_asked_for_it_and_others_are_not() {
        let wallet = Pubkey::new_from_array([7; 32]);
        let with = World::with(Vec::new(), |config| config.chain.faucet_keypair = "given".into()).await;
        let command = super::command(&with.url("/v1"), &wallet).await.unwrap();
        assert!(command.starts_with(&format!("curl {} -H", with.url("/v1/chain/faucet"))), "{command}");
        assert!(command.ends_with(&format!("-d '{{\"wallet\":\"{wallet}\"}}'")), "{command}");
        let without = World::new(Vec::new()).await;
        assert_eq!(super::command(&without.url("/v1"), &wallet).await, None);
        assert_eq!(super::command("http://127.0.0.1:1/v1", &wallet).await, None);
    }

    #[test]
    fn only_this_machine_is_local() {
        for (url, local) in [
            ("http://127.0.0.1:8787/v1", true),
            ("http://localhost/v1", true),
            ("http://[::1]:8787/v1", true),
            ("https://relayer.example.com/v1", false),
            ("http://10.0.0.1/v1", false),
            ("no url", false),
        ] {
            assert_eq!(is_local(url), local, "{url}");
        }
    }
}
