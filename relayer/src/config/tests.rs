//! What is refused, and that the message names the key.

use super::*;
use crate::ledger::Location;

/// A configuration that can be used, with `more` added to it.
fn read(more: &str) -> Result<Config, String> {
    let config = format!(
        "chain.rpc_urls = [\"http://127.0.0.1:8899\"]\nchain.relayer = \"{}\"\nchain.settler_keypair = \"a\"\n\
         chain.receipt_keypair = \"b\"\n{more}",
        Pubkey::new_from_array([1; 32])
    );
    let config: Config = toml::from_str(&config).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn a_mistake_is_placed_and_its_line_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steam.toml");
    for (text, place, says) in [
        ("[chain]\nrpc_urls = [\"https://a/?s3cret\" \"x\"]", "line 2, column 33", "array"),
        (
            "[chain]\nrpc_urls = \"https://a/?k=s3cret\\\"x\"",
            "line 2, column 12",
            "invalid type: string, expected a sequence",
        ),
        ("[chain]\nrpc_url = [\"https://a/?k=s3cret\"]", "line 2, column 1", "unknown field `rpc_url`"),
        ("[server]\nlisten = \"s3cret\"", "line 2, column 10", ""),
    ] {
        std::fs::write(&file, text).unwrap();
        let told = Config::read(&file).unwrap_err().to_string();
        assert!(told.contains(place) && told.contains(says) && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn each_timeout_can_be_another_for_a_model() {
    let config = read(
        "upstream.connect_timeout_ms_of = { a = 1 }\nupstream.first_token_timeout_ms_of = { a = 2 }\n\
         upstream.idle_timeout_ms_of = { a = 3 }\nupstream.total_timeout_ms_of = { a = 4 }",
    );
    let upstream = config.unwrap().upstream;
    let of = |model: &str| {
        [upstream.first_token_timeout(model), upstream.idle_timeout(model), upstream.total_timeout(model)]
            .map(|timeout| timeout.as_millis())
    };
    assert_eq!((of("a"), of("b")), ([2, 3, 4], [30_000, 30_000, 600_000]));
    // How long connecting takes shows only at a socket: `a_model_may_be_given_another_time_to_connect`.
    assert_eq!(upstream.connect_timeout_ms_of["a"], 1);
}

#[test]
fn a_timeout_of_nothing_or_of_no_number_is_refused_by_name() {
    for name in ["connect", "first_token", "idle", "total"] {
        for (value, expected) in [("0", "at least 1"), ("-1", "-1"), ("\"2 s\"", "2 s"), ("1.5", "1.5")] {
            let key = format!("upstream.{name}_timeout_ms");
            let refused = read(&format!("{key} = {value}")).unwrap_err();
            assert!(refused.contains(&key) && refused.contains(expected), "{key} = {value}: {refused}");
            let key = format!("{key}_of");
            let refused = read(&format!("{key} = {{ \"a/b\" = {value} }}")).unwrap_err();
            assert!(refused.contains(&key) && refused.contains(expected), "{key} = {value}: {refused}");
        }
    }
}

#[test]
fn a_coefficient_out_of_its_range_is_refused_by_name() {
    for (key, wrong) in [
        ("time_weight", ["-1", "101", "nan", "inf"]),
        ("broken_weight", ["-1", "1001", "nan", "inf"]),
        ("load_weight", ["-1", "101", "nan", "inf"]),
        ("exploration", ["-0.1", "0.6", "nan", "inf"]),
        ("memory", ["-1", "3601", "nan", "inf"]),
        ("blend_ratio", ["-1", "1001", "nan", "inf"]),
    ] {
        for value in wrong {
            // Some are whole numbers in TOML, which the type takes for fractions.
            let refused = read(&format!("routing.{key} = {value}")).unwrap_err();
            assert!(refused.starts_with(&format!("routing.{key}: ")), "{key} = {value}: {refused}");
        }
    }
}

#[test]
fn what_is_sponsored_has_bounds() {
    for (key, wrong) in [
        ("min_deposit_microusdc", ["0", "1000000000001"]),
        ("openings_per_day", ["0", "100001"]),
        ("openings_per_owner_per_day", ["0", "-1"]),
        ("lamports_per_day", ["19999999", "1000000000001"]),
    ] {
        for value in wrong {
            let refused = read(&format!("sponsor.{key} = {value}")).unwrap_err();
            assert!(refused.contains(key) || refused.contains(value), "{key} = {value}: {refused}");
        }
    }
    assert!(Config::default().sponsor.keypair.as_os_str().is_empty(), "off unless somebody wants it");
}

#[test]
fn a_ledger_on_a_server_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let url = "ledger.url = \"postgres://steam@127.0.0.1/steam\"";
    let config = read(&format!("{url}\nledger.password_file = {file:?}")).unwrap();
    let location = config.ledger.location().unwrap();
    assert_eq!(
        location,
        Location::read("postgres://steam@127.0.0.1/steam").unwrap().with_password(Some("s3cret".to_owned().into()))
    );
    let shown = format!("{} {:?} {}", config.shown(&config.market), config, config.ledger.shown());
    assert!(!shown.contains("s3cret") && shown.contains("postgres://steam@127.0.0.1/steam"), "{shown}");
    let without = read(&format!("{url}\nledger.password_file = \"/nowhere/at/all\"")).unwrap();
    let problem = without.ledger.location().unwrap_err().to_string();
    assert!(problem.starts_with("ledger.password_file: cannot read /nowhere/at/all"), "{problem}");
    for (wrong, key) in [
        ("ledger.url = \"postgres://steam:s3cret@127.0.0.1/steam\"", "ledger.url: a password is in the URL"),
        (
            "ledger.url = \"postgres://steam@db.example/steam\"",
            "ledger.url: connections to the server are not encrypted",
        ),
        ("ledger.url = \"/var/lib/steam.db\"", "ledger.url: expected a URL"),
        ("ledger.path = \"postgres://steam@127.0.0.1/steam\"", "ledger.path: a file"),
        ("ledger.password_file = \"p\"", "ledger.password_file: only with ledger.url"),
    ] {
        let refused = read(wrong).unwrap_err();
        assert!(refused.starts_with(key) && !refused.contains("s3cret"), "{wrong}: {refused}");
    }
    // What a flag or the environment names takes the place of either.
    let mut config = config;
    config.ledger.set_location(&Location::File("a.db".into()));
    assert_eq!(config.ledger.location().unwrap(), Location::File("a.db".into()));
    config.check().unwrap();
}

#[test]
fn a_key_that_nobody_knows_is_refused() {
    for key in ["upstream.connect_timeout", "routing.exponents", "nothing"] {
        let refused = read(&format!("{key} = 1")).unwrap_err();
        assert!(refused.contains("unknown field"), "{refused}");
    }
}

#[test]
fn what_only_a_restart_takes_over_is_named() {
    let running = read("").unwrap();
    for (more, parts) in [
        ("", vec![]),
        ("market.deny_models = [\"a\"]", vec![]),
        ("server.max_concurrent = 7\nsettle.interval_ms = 7000", vec!["server", "settle"]),
        ("ledger.keep_receipts_days = 7\nalerts.unsettled_seconds = 7", vec!["ledger", "alerts"]),
        ("sponsor.openings_per_day = 7", vec!["sponsor"]),
        ("upstream.max_attempts = 2\nrouting.exploration = 0.01", vec!["routing", "upstream"]),
    ] {
        assert_eq!(running.restarts_for(&read(more).unwrap()), parts, "{more}");
    }
}

#[test]
fn a_configuration_is_shown_without_what_may_be_secret() {
    let mut config = read("upstream.credentials = [{ provider = \"4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi\", origin = \"https://a\", env = \"A_KEY\" }]").unwrap();
    config.chain.rpc_urls = vec!["https://user:s3cret@rpc.example/v2/s3cret?api-key=s3cret".into()];
    let shown = config.shown(&Market { deny_models: vec!["m".into()], ..Market::default() });
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    assert_eq!(shown["chain"]["rpc_urls"][0], "https://rpc.example");
    assert_eq!(
        (&shown["market"]["deny_models"][0], &shown["server"]["listen"]),
        (&"m".into(), &"127.0.0.1:8787".into())
    );
    assert_eq!(shown["upstream"]["credentials"][0]["env"], "A_KEY");
}

#[test]
fn the_operators_page_is_not_where_the_public_is() {
    let refused = read("operator.token_file = \"t\"\noperator.listen = \"127.0.0.1:8787\"").unwrap_err();
    assert!(refused.contains("operator.listen") && refused.contains("another address"), "{refused}");
    assert!(read("operator.listen = \"127.0.0.1:8787\"").is_ok(), "there is none without a token");
}

#[test]
fn a_connection_may_be_idle_for_longer_than_load_balancers_keep_it() {
    // They keep one for 60 s; who closes it before them answers some of their requests with a reset.
    assert!(Config::default().server.header_timeout_ms > 60_000);
}

#[test]
fn replicas_need_a_server_a_secret_and_an_address() {
    let server = "ledger.url = \"postgres://steam@localhost/steam\"\nreplicas.secret_file = \"s\"\n";
    assert!(!Config::default().replicas.is_on(), "off unless somebody wants it");
    assert!(read(server).unwrap().replicas.is_on());
    let named =
        read(&format!("{server}replicas.listen = \"0.0.0.0:8789\"\nreplicas.address = \"a.example:8789\"")).unwrap();
    assert_eq!(named.replicas.address, "a.example:8789");
    for (more, key) in [
        ("replicas.secret_file = \"s\"", "replicas.secret_file: only with ledger.url"),
        ("replicas.partitions = 4", "replicas.partitions: 1, or name"),
        (&format!("{server}replicas.partitions = 0"), "replicas.partitions: between 1 and 64"),
        (&format!("{server}replicas.partitions = 65"), "replicas.partitions: between 1 and 64"),
        (&format!("{server}replicas.lease_ms = 999"), "replicas.lease_ms: "),
        (&format!("{server}replicas.lease_ms = 60001"), "replicas.lease_ms: "),
        (&format!("{server}replicas.wait_ms = 60001"), "replicas.wait_ms: "),
        (&format!("{server}replicas.listen = \"0.0.0.0:8789\""), "replicas.address: where the other"),
        (&format!("{server}replicas.listen = \"127.0.0.1:0\""), "replicas.address: where the other"),
        (&format!("{server}replicas.address = \"a.example\""), "replicas.address: as host:port"),
    ] {
        let refused = read(more).unwrap_err();
        assert!(refused.starts_with(key), "{more}: {refused}");
    }
}
