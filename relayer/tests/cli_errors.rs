//! What the command line says to wrong input: for every flag of every command, a sentence that names it and the
//! documented exit code, in text and in JSON. The commands and flags come from the parser itself, so that none is
//! forgotten: a flag without a case in the table fails.

#[path = "cli_errors/signing.rs"]
mod signing;
#[path = "cli_errors/table.rs"]
mod table;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Arg, Command, CommandFactory};
use ed25519_dalek::{Signer, SigningKey};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command as Process, Output, Stdio};
use steam::cli::Cli;
use steam_protocol::receipt::{CountedBy, FinishReason, Receipt, SignedReceipt};
use steam_protocol::units::{Pico, Price, Usage, charge, receipt_fee};
use table::{Case, case};

/// Runs the binary away from this machine's settings, with nothing listening where it is sent.
fn steam(args: &[&str]) -> Output {
    steam_with(args, b"")
}

/// As [`steam`], with something on standard input.
fn steam_with(args: &[&str], input: &[u8]) -> Output {
    let home = std::env::temp_dir().join(format!("steam-cli-errors-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a temporary folder");
    let mut process = Process::new(env!("CARGO_BIN_EXE_steam"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STEAM_")) {
        process.env_remove(name);
    }
    process.env("HOME", home).env_remove("XDG_STATE_HOME").env("NO_COLOR", "1").args(args);
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = process.spawn().expect("the binary runs");
    // A command that reads none of it may have ended.
    let _ = running.stdin.take().expect("a pipe").write_all(input);
    running.wait_with_output().expect("the binary ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A receipt that holds, and the key it is by.
fn receipt() -> (String, String) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let (price, usage) = (
        Price::basic(500_000, 100_000, 1_500_000, 0),
        Usage { requests: 1, input: 12, cached: 3, output: 40, ..Usage::default() },
    );
    let cost = charge(&price, &usage);
    let receipt = Receipt {
        key_id: 1,
        domain: [1; 32],
        relayer: [2; 32],
        vault: [3; 32],
        generation: 4,
        key_epoch: 1,
        key_slot: 0,
        number: 9,
        request_hash: [5; 32],
        response_hash: steam_protocol::sha256(&[b"answer"]),
        provider: [7; 32],
        offer: [8; 32],
        price_version: 1,
        price: price.into(),
        usage,
        counted_by: CountedBy::Provider,
        charge: cost,
        fee_bps: 100,
        fee: receipt_fee(cost, 100).expect("in range"),
        key_cumulative: Pico(cost.0 * 2),
        finish_reason: FinishReason::Stop,
        started_at_ms: 1,
        ttft_ms: 2,
        duration_ms: 3,
        routing_hash: [9; 32],
    };
    let signature = key.sign(&receipt.message()).to_bytes();
    let bytes = SignedReceipt { receipt, signature }.to_bytes();
    (BASE64.encode(bytes), bs58::encode(key.verifying_key().to_bytes()).into_string())
}

/// Every command that does something, by its path.
fn leaves(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    let children: Vec<&Command> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
    if children.is_empty() {
        found.push((path.to_owned(), command.clone()));
    }
    for child in children {
        let path = format!("{path} {}", child.get_name());
        leaves(child, path.trim(), found);
    }
}

fn commands() -> Vec<(String, Command)> {
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    leaves(&root, "", &mut found);
    assert!(found.len() > 20, "the command tree is walked");
    found
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// As people see it: `--limit`, or the name of a value by place.
fn shown(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => {
            arg.get_value_names().and_then(|names| names.first()).map_or(arg.get_id().to_string(), ToString::to_string)
        }
    }
}

/// The command line that gives `value` to one flag of a command.
fn line<'a>(path: &'a str, arg: &Arg, value: &'a str, flag: &'a str, receipt: &'a (String, String)) -> Vec<&'a str> {
    let mut args: Vec<&str> = path.split(' ').collect();
    match arg.get_long() {
        // Attached, so that a value may begin with a dash.
        Some(_) => args.push(flag),
        None => args.push(value),
    }
    if arg.get_id() == "config" {
        args.extend(["--keypair", "/nonexistent/id.json"]);
    }
    if path == "receipt verify" && arg.get_id() != "receipt_key" {
        args.extend(["--receipt-key", &receipt.1]);
        if arg.get_id() != "receipt" {
            args.push(&receipt.0);
        }
    }
    args
}

fn check(path: &str, arg: &Arg, value: &str, exit: i32, says: &str, receipt: &(String, String)) {
    let flag = format!("--{}={value}", arg.get_long().unwrap_or_default());
    let mut args = line(path, arg, value, &flag, receipt);
    let text = steam(&args);
    let context = format!("steam {}\n{}", args.join(" "), stderr(&text));
    assert_eq!(text.status.code(), Some(exit), "{context}");
    assert!(stderr(&text).contains(says), "names {says}: {context}");
    assert!(!stderr(&text).contains("panicked"), "{context}");
    assert!(text.stdout.is_empty(), "{context}");
    if arg.get_id() == "output" {
        return;
    }
    args.extend(["--output", "json"]);
    let json = steam(&args);
    assert_eq!(json.status.code(), Some(exit), "{context}");
    let error: Result<serde_json::Value, _> = serde_json::from_slice(&json.stderr);
    assert!(error.is_ok(), "{context}\nas JSON: {}", stderr(&json));
    let error = error.unwrap_or_default();
    let (message, next) = (error["error"]["message"].as_str(), error["error"]["next"].as_str());
    assert!(message.is_some_and(|message| message.len() > 10), "{context}: {error}");
    let told = format!("{} {}", message.unwrap_or_default(), next.unwrap_or_default());
    assert!(told.contains(says), "names {says}: {told}");
}

#[test]
fn every_flag_refuses_what_is_wrong() {
    let receipt = receipt();
    let mut without = Vec::new();
    for (path, command) in commands() {
        for arg in command.get_arguments().filter(|arg| takes_value(arg)) {
            let id = arg.get_id().as_str();
            // Global flags are parsed by one code; one command stands for all.
            if arg.is_global_set() && path != "vault show" {
                continue;
            }
            match case(&path, id) {
                None => without.push(format!("{path}: {id}")),
                Some(Case::Free) => {}
                Some(Case::Usage(values)) => {
                    values.iter().for_each(|value| check(&path, arg, value, 2, &shown(arg), &receipt));
                }
                Some(Case::Late(value, exit, says)) => check(&path, arg, value, exit, says, &receipt),
            }
        }
    }
    assert!(without.is_empty(), "flags without a case in the table: {without:?}");
}

#[test]
fn every_command_has_help_and_refuses_unknown_flags() {
    for (path, _) in commands() {
        let args: Vec<&str> = path.split(' ').collect();
        let help = steam(&[&args[..], &["--help"]].concat());
        assert_eq!(help.status.code(), Some(0), "{path}");
        assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: steam"), "{path}");
        let unknown = steam(&[&args[..], &["--nonsense"]].concat());
        assert_eq!(unknown.status.code(), Some(2), "{path}");
        assert!(stderr(&unknown).contains("--nonsense"), "{path}: {}", stderr(&unknown));
    }
}

#[test]
fn what_every_command_takes_is_told_in_a_few_lines() {
    for (path, _) in commands() {
        let help = steam(&[&path.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat());
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let (_, global) = help.split_once("Global options:\n").expect("a heading");
        let flags = global.lines().filter(|line| line.trim_start().starts_with('-'));
        assert_eq!(flags.count(), 5, "{path}: {global}");
    }
}

#[test]
fn a_file_that_cannot_be_read_was_not_checked_and_one_that_is_wrong_does_not_hold() {
    let (encoded, key) = receipt();
    let wrong = std::env::temp_dir().join(format!("steam-wrong-{}", std::process::id()));
    std::fs::write(&wrong, "nothing of the kind").expect("a temporary file");
    let wrong = wrong.to_str().expect("UTF-8");
    let verify = ["receipt", "verify", &encoded, "--receipt-key", &key, "--proof"];
    for (command, says) in [
        (&["config", "check"][..], "steam config check"),
        (&["receipt", "show"], "Steam-Receipt"),
        (&verify, "--proof"),
    ] {
        for (file, exit) in [("/nonexistent/file.json", 1), (wrong, 3)] {
            let output = steam(&[command, &[file]].concat());
            assert_eq!(output.status.code(), Some(exit), "{command:?} {file}: {}", stderr(&output));
            assert!(stderr(&output).contains(says), "{command:?} {file}: {}", stderr(&output));
        }
    }
    std::fs::remove_file(wrong).expect("removed");
}

#[cfg(feature = "localnet")]
#[test]
fn a_tour_is_no_json() {
    let output = steam(&["dev", "--demo", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--demo is a tour for people"), "{}", stderr(&output));
}

#[test]
fn flags_that_exclude_or_need_each_other_are_named() {
    for (args, says) in [
        (&["vault", "withdraw"][..], "AMOUNT"),
        (&["vault", "withdraw", "5", "--all"], "--all"),
        (&["vault", "withdraw", "--execute", "--cancel"], "--cancel"),
        (&["vault", "withdraw", "--cancel", "--wait"], "--wait"),
        (&["vault", "withdraw", "5", "--now", "--wait"], "--now"),
        (&["vault", "withdraw", "--execute", "--now"], "--now"),
        (&["vault", "withdraw", "5", "--to", "11111111111111111111111111111112"], "--execute"),
        (&["vault", "withdraw", "5", "--wait", "--sign-only"], "--wait"),
        (&["vault", "withdraw", "5", "--now", "--sign-only"], "--now"),
        (&["keygen"], "--out"),
        (&["vault", "open"], "--relayer"),
        (&["vault", "recover", "--sol", "--mint", "11111111111111111111111111111112"], "--sol"),
        (&["key", "create"], "--limit"),
        (&["key", "create", "--limit", "5", "--window", "1d"], "--window-limit"),
        (&["key", "create", "--limit", "5", "--window-limit", "1"], "--window"),
        (&["key", "revoke"], "KEY"),
        (&["key", "update"], "KEY"),
        (&["key", "update", "11111111111111111111111111111112"], "--limit"),
        (&["vault", "recover", "--nested", "--sol"], "--nested"),
        (&["provider", "close-offer"], "--model"),
        (&["provider", "close", "--model", "m"], "--model"),
        (&["key", "allow"], "--provider"),
        (&["provider", "offer", "--model", "m"], "--price-input"),
        (&["provider", "offer"], "--model"),
        (&["provider", "offer", "--model", "m", "--model", "n", "--retire"], "--model"),
        (&["provider", "offer", "--from", "prices.toml", "--price-input", "1"], "--price-input"),
        (&["provider", "offer", "--from", "prices.toml", "--retire"], "--retire"),
        (&["provider", "offer", "--from", "prices.toml", "--sign-only"], "--sign-only"),
        (&["provider", "offer", "--model", "m", "--retire", "--price-input", "1"], "--retire"),
        (&["provider", "offer", "--model", "m", "--retire", "--price-request", "1"], "--retire"),
        (&["provider", "offer", "--model", "m", "--retire", "--capability", "tools"], "--retire"),
        (&["provider", "offer", "--model", "m", "--retire", "--quantization", "fp8"], "--retire"),
        (&["provider", "offer", "--model", "m", "--retire", "--long-price-request", "1"], "--long"),
        (
            &[
                "provider",
                "offer",
                "--model",
                "m",
                "--price-input",
                "1",
                "--price-cached",
                "2",
                "--price-output",
                "1",
                "--context",
                "9",
            ],
            "--price-cached",
        ),
        (
            &[
                "provider",
                "offer",
                "--model",
                "m",
                "--price-input",
                "1",
                "--price-output",
                "1",
                "--context",
                "9",
                "--max-output",
                "10",
            ],
            "--max-output",
        ),
        (&["admin", "init", "--price-grace", "1s"], "--price-grace"),
        (&["admin", "init", "--withdraw-delay", "8d"], "--withdraw-delay"),
        (&["admin", "init", "--slot-ms", "1"], "--slot-ms"),
        (&["admin", "config"], "--guardian"),
        (&["admin", "transfer"], "ADDRESS"),
        (&["relayer", "update"], "--settler"),
        (&["relayer", "fee"], "BPS"),
        (&["provider", "update"], "--name"),
        (&["receipt", "verify", "x"], "--receipt-key"),
        (&["ledger", "resolve", "1"], "--retry"),
        (&["ledger", "resolve", "1", "--retry", "--write-off"], "--write-off"),
        (&["ledger", "resolve", "--retry"], "ID"),
        (&["ledger", "resolve", "1", "--retry", "--by", "ann"], "--note"),
        (&["ledger", "resolve", "1", "--all"], "--all"),
        (&["proxy", "--listen", "0.0.0.0:0"], "--remote"),
        (&["proxy", "--listen", "0.0.0.0:0", "--remote"], "--token-file"),
        (&["proxy", "--max-cost", "2"], "--max-unresolved"),
        (&["vault", "show", "--output", "csv"], "steam statement"),
        (&["chat", "hi", "--no-fallbacks", "--hedge-after-ms", "100"], "--no-fallbacks"),
    ] {
        let output = steam(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_list_of_providers_is_bounded() {
    let providers: Vec<String> =
        (0..65u8).map(|n| format!("--provider={}", bs58::encode([n; 32]).into_string())).collect();
    for command in [&["key", "create", "--limit", "5"][..], &["key", "allow"]] {
        let args: Vec<&str> = command.iter().copied().chain(providers.iter().map(String::as_str)).collect();
        let output = steam(&args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("--provider: an allow-list names at most 64"), "{}", stderr(&output));
    }
}

#[test]
fn a_node_out_of_reach_is_a_failure_with_what_to_do() {
    let keypair = keypair_file("network");
    let key = keypair.with_file_name(format!("steam-key-{}", std::process::id()));
    std::fs::write(&key, steam_protocol::key::SessionKey::from_seed(&[42; 32]).reveal()).expect("a file");
    let (keypair, key) = (keypair.to_str().expect("UTF-8"), key.to_str().expect("UTF-8"));
    let address = "11111111111111111111111111111112";
    for args in [
        &["vault", "show"][..],
        &["vault", "open", "--relayer", address],
        &["vault", "deposit", "5"],
        &["vault", "withdraw", "5"],
        &["vault", "close"],
        &["vault", "recover"],
        &["key", "list"],
        &["key", "create", "--limit", "5"],
        &["key", "revoke", address],
        &["key", "update", address, "--limit", "5"],
        &["key", "create", "--limit", "5", "--provider", address],
        &["key", "allow", "--provider", address, "--provider", address],
        &["provider", "register", "--name", "n", "--endpoint", "http://127.0.0.1:1/v1"],
        &["provider", "offer", "--model", "m", "--retire"],
        &["provider", "close-offer", "--model", "m"],
        &["provider", "close"],
        &["provider", "recover", "--nested"],
        &["vault", "recover", "--nested"],
        &["provider", "earnings"],
        &["provider", "withdraw"],
        &["provider", "update", "--status", "retired"],
        &["provider", "status"],
        &[
            "relayer",
            "register",
            "--settler",
            address,
            "--receipt-key",
            address,
            "--fee-bps",
            "1",
            "--endpoint",
            "http://a/v1",
        ],
        &["relayer", "withdraw-fees"],
        &["relayer", "update", "--status", "retired"],
        &["relayer", "fee", "1"],
        &["relayer", "status"],
        &["relayer", "list"],
        &["admin", "init"],
        &["admin", "pause"],
        &["admin", "suspend-provider", address],
        &["admin", "config", "--guardian", address],
        &["admin", "transfer", address],
        &["admin", "accept"],
        &["admin", "status"],
        &["usage", "--key-file", key, "--vault", address],
        &["statement", "--key-file", key, "--vault", address, "--output", "csv"],
        &["proxy", "--key-file", key, "--vault", address],
    ] {
        let output = steam(&[args, &["-u", "http://127.0.0.1:1", "-k", keypair]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("cannot reach the Solana RPC node at http://127.0.0.1:1"),
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains("next: "), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_key_on_the_command_line_is_refused_and_not_repeated() {
    let secret = steam_protocol::key::SessionKey::from_seed(&[42; 32]).reveal();
    for args in [
        &["chat", "--key-file", &secret][..],
        &["chat", &secret],
        &["vault", "show", "--vault", &secret],
        &[&secret],
        &["--output", "json", "key", "revoke", &secret],
    ] {
        let output = steam(args);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("STEAM_API_KEY"), "{}", stderr(&output));
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains(&secret), "the key is repeated");
    }
}

#[test]
fn a_servers_password_on_the_command_line_is_refused_and_not_repeated() {
    let with = "postgres://steam:s3cret@127.0.0.1/steam";
    let free = "postgres://steam@127.0.0.1:1/steam";
    for args in [
        &["ledger", "check", "--ledger", with][..],
        &["ledger", "move", "--from", with, "--to", "a.db"],
        &["ledger", "move", "--from", "a.db", "--to", with, "--output", "json"],
    ] {
        let output = steam(args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("STEAM_LEDGER_PASSWORD"), "{}", stderr(&output));
        assert!(!stderr(&output).contains("s3cret"), "the password is repeated");
    }
    // One that is away is said to be, in one line, and so are files that it has no use for.
    for args in [&["ledger", "check"][..], &["ledger", "resolve"], &["ledger", "reconcile"]] {
        let output = steam(&[args, &["--ledger", free]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(free) && said.contains("Connection refused") && said.contains("psql"), "{said}");
    }
    let said = stderr(&steam(&["ledger", "backup", "copy.db", "--ledger", free]));
    assert!(said.contains("pg_dump"), "{said}");
}

#[test]
fn a_checked_configuration_shows_no_access_key() {
    let (settler, receipt) = (keypair_file("settler"), keypair_file("receipt"));
    let config = settler.with_file_name(format!("steam-{}.toml", std::process::id()));
    let text = format!(
        "[chain]\nrpc_urls = [\"https://u:s3cret@rpc.example.com/s3cret?api-key=s3cret\"]\nrelayer = \"4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi\"\nsettler_keypair = {settler:?}\nreceipt_keypair = {receipt:?}\n"
    );
    std::fs::write(&config, text).expect("a file");
    for format in ["text", "json"] {
        let output = steam(&["--output", format, "config", "check", &config.display().to_string()]);
        let shown = String::from_utf8(output.stdout.clone()).expect("UTF-8") + &stderr(&output);
        assert!(output.status.success(), "{shown}");
        assert!(shown.contains("https://rpc.example.com") && !shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_damaged_keypair_is_named_and_not_shown() {
    let path = std::env::temp_dir().join(format!("steam-damaged-{}.json", std::process::id()));
    for content in ["[1,2,3]", "a very secret phrase", "[1,2,3", ""] {
        std::fs::write(&path, content).expect("a temporary file");
        let output = steam(&[
            "vault",
            "show",
            "-u",
            "http://127.0.0.1:1",
            "-k",
            path.to_str().expect("UTF-8"),
            "-C",
            "/dev/null",
        ]);
        // The node is asked first; the keypair is read by a command that needs it before.
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let open = steam(&["admin", "init", "-u", "http://127.0.0.1:1", "-k", path.to_str().expect("UTF-8")]);
        assert_eq!(open.status.code(), Some(1));
        assert!(stderr(&open).contains("is no keypair file"), "{}", stderr(&open));
        assert!(content.is_empty() || !stderr(&open).contains(content), "{}", stderr(&open));
    }
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_receipt_is_checked_offline() {
    let (encoded, key) = receipt();
    let verified = steam(&["receipt", "verify", &encoded, "--receipt-key", &key]);
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("holds: signed by the receipt key"));
    let shown = steam(&["receipt", "show", &encoded, "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((shown["usage"]["output"].as_u64(), shown["counted_by"].as_str()), (Some(40), Some("provider")));
    assert_eq!((&shown["price"]["input"], &shown["price"]["cached"]), (&"500000".into(), &"100000".into()));

    let mut bytes = BASE64.decode(&encoded).expect("base64");
    bytes[40] ^= 1;
    let tampered = steam(&["receipt", "verify", &BASE64.encode(bytes), "--receipt-key", &key]);
    assert_eq!(tampered.status.code(), Some(3));
    assert!(stderr(&tampered).contains("not by the relayer's receipt key"), "{}", stderr(&tampered));

    let answer = std::env::temp_dir().join(format!("steam-answer-{}", std::process::id()));
    for (content, exit) in [("answer", 0), ("another", 3)] {
        std::fs::write(&answer, content).expect("a temporary file");
        let path = answer.to_str().expect("UTF-8");
        let output = steam(&["receipt", "verify", &encoded, "--receipt-key", &key, "--answer", path]);
        assert_eq!(output.status.code(), Some(exit), "{content}: {}", stderr(&output));
    }
    std::fs::remove_file(answer).expect("removed");
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = steam(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("withdraw-fees"), "{shell}");
    }
}

#[test]
fn a_keypair_is_made_where_nothing_is_and_what_is_in_the_way_is_told() {
    let folder = std::env::temp_dir().join(format!("steam-keygen-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = |name: &str| folder.join(name).display().to_string();
    let made = steam(&["keygen", "--out", &path("id.json")]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    for (name, exit, says) in [
        ("id.json", 1, "name a file that does not exist yet with --out"),
        ("none/id.json", 1, "make it with `mkdir -p "),
        ("new/", 1, "it is a folder"),
        (".", 2, "--out"),
    ] {
        let output = steam(&["keygen", "--out", &path(name)]);
        assert_eq!(output.status.code(), Some(exit), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{name}: {}", stderr(&output));
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_may_read_is_told_to_people() {
    use std::os::unix::fs::PermissionsExt;
    let keypair = keypair_file("exposed");
    let path = keypair.to_str().expect("UTF-8");
    for (mode, warns) in [(0o600, false), (0o644, true)] {
        std::fs::set_permissions(&keypair, std::fs::Permissions::from_mode(mode)).expect("set");
        let args = ["admin", "pause", "-k", path, "-u", "http://127.0.0.1:1"];
        let told = stderr(&steam(&args));
        assert_eq!(told.contains("warning: every user of this machine may read"), warns, "{mode:o}: {told}");
        let json = stderr(&steam(&[&args[..], &["--output", "json"]].concat()));
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "one document: {json}");
    }
}

#[cfg(unix)]
#[test]
fn a_checked_configuration_tells_what_it_leaves_open() {
    use std::os::unix::fs::PermissionsExt;
    let (settler, receipt) = (keypair_file("settler-open"), keypair_file("receipt-open"));
    let at = |name: &str| settler.with_file_name(format!("steam-open-{name}-{}", std::process::id()));
    let (config, token) = (at("config"), at("token"));
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").expect("a file");
    for (mode, listen, warnings) in [(0o600, "127.0.0.1:8788", 0), (0o644, "0.0.0.0:8788", 4)] {
        for file in [&settler, &receipt, &token] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("set");
        }
        let text = format!(
            "[chain]\nrpc_urls = [\"https://rpc.example.com\"]\nrelayer = \"4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi\"\nsettler_keypair = {settler:?}\nreceipt_keypair = {receipt:?}\n[operator]\nlisten = \"{listen}\"\ntoken_file = {token:?}\n"
        );
        std::fs::write(&config, text).expect("a file");
        let check = ["config", "check", config.to_str().expect("UTF-8")];
        let text = steam(&check);
        let told = String::from_utf8_lossy(&text.stdout).into_owned();
        assert_eq!(told.lines().filter(|line| line.starts_with("warning: ")).count(), warnings, "{told}");
        assert!(!told.contains("0123456789abcdef"), "a token is never shown");
        let json = steam(&[&check[..], &["--output", "json"]].concat());
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert_eq!(json["warnings"].as_array().map(Vec::len), Some(warnings), "{json}");
    }
}

fn keypair_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("steam-keypair-{name}-{}.json", std::process::id()));
    let key = SigningKey::from_bytes(&[if name.starts_with("receipt") { 4 } else { 3 }; 32]);
    let bytes: Vec<u8> = key.to_keypair_bytes().to_vec();
    std::fs::write(&path, serde_json::to_string(&bytes).expect("JSON")).expect("a temporary file");
    path
}
