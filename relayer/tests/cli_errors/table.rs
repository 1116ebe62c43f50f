//! The wrong values, by command and flag.

/// What a wrong value of a flag must lead to.
pub enum Case {
    /// Exit code 2 and a sentence naming the flag, for each of these values.
    Usage(&'static [&'static str]),
    /// This exit code and this part of the message, for this value.
    Late(&'static str, i32, &'static str),
    /// Any text is right.
    Free,
}
use Case::{Free, Late, Usage};

const AMOUNT: Case =
    Usage(&["-1", "-0.5", "NaN", "inf", "1e6", "1,5", "", "0.0000001", "0", "99999999999999999999", "0x10", "five"]);
const PRICE: Case = Usage(&["-1", "NaN", "1e6", "", "0.0000001", "1000000.1", "99999999999999999999"]);
const ADDRESS: Case = Usage(&["", "me", "0OIl", "11111111111111111111111111111111111111111111111"]);
const SPAN: Case = Usage(&["", "1", "-1d", "1w", "d", "0s", "99999999999d", "1.5h"]);
const BPS: Case = Usage(&["-1", "2001", "1.5", "", "one"]);
const TOKENS: Case = Usage(&["0", "-1", "1.5", "4294967296", "", "many"]);
const URL: Case = Usage(&[
    "",
    "example.com",
    "ftp://example.com",
    "http://",
    "http://user@example.com",
    "http://:word@example.com",
    "http://a/?q=1",
    "http://a/\n\u{1b}[31m",
    "http://a/é",
]);
const FOLDER: Case = Usage(&["", "/", "."]);

/// The case of a flag, by its command's path and its name.
pub fn case(path: &str, id: &str) -> Option<Case> {
    Some(match (path, id) {
        (_, "url") => Usage(&["", "mars", "ws://localhost", "http://"]),
        (_, "keypair") | ("vault open", "fee_payer") => Usage(&[
            "",
            "usb://trezor",
            "usb://ledger?key=x",
            "prompt://x",
            "prompt://?key=0/0/0",
            "ssh://host",
            "stdin:x",
        ]),
        ("vault open", "with_compute_unit_price") => {
            Usage(&["", "-1", "0.5", "50000001", "18446744073709551616", "many"])
        }
        ("vault open", "blockhash") => Usage(&["", "x", "0OIl"]),
        ("vault open", "signer") => {
            Usage(&["", "me=you", "11111111111111111111111111111112", "11111111111111111111111111111112="])
        }
        // Every command that sends has these, parsed by one code; one stands for all.
        (_, "fee_payer" | "with_compute_unit_price" | "blockhash" | "signer") => Free,
        ("vault show", "config") => Late("/nonexistent/config.yml", 1, "--config"),
        // A global flag is read by the commands that need the cluster; one stands for all.
        (_, "config") => Free,
        (_, "output") => Usage(&["", "xml", "TEXT"]),
        ("ledger move", "from" | "to") => FOLDER,
        (
            _,
            "vault" | "relayer" | "provider" | "key" | "to" | "settler" | "receipt_key" | "mint" | "admin" | "guardian",
        ) => ADDRESS,
        (_, "amount" | "limit" | "window_limit" | "max_cost" | "max_unresolved" | "max_unknown") => AMOUNT,
        (_, "price_input" | "price_cached" | "price_output" | "price_request") => PRICE,
        (_, "price_cache_write" | "price_cache_write_long") => PRICE,
        (_, "long_price_input" | "long_price_cached" | "long_price_output" | "long_price_request") => PRICE,
        (_, "long_price_cache_write" | "long_price_cache_write_long") => PRICE,
        (_, "long_from") => TOKENS,
        (_, "max_price_cache_write" | "max_price_cache_write_long") => PRICE,
        (_, "max_price_input" | "max_price_cached" | "max_price_output" | "max_price_request") => PRICE,
        (_, "window" | "expires") => SPAN,
        ("admin init" | "admin config", "slot_ms") => Usage(&["0", "-1", "10001", "fast", ""]),
        (
            "admin init" | "admin config",
            "settle_interval" | "max_pause" | "price_grace" | "revoke_grace" | "withdraw_delay" | "price_notice"
            | "fee_notice",
        ) => SPAN,
        (_, "max_fee_bps" | "fee_bps") => BPS,
        (_, "max_tokens" | "context" | "max_output") => TOKENS,
        ("provider offer", "from") => Late("/nonexistent/prices.toml", 1, "--from"),
        ("provider offer", "model") => Usage(&["", "a b", "é", "m:floor", "m:NITRO", "m:free", "m:online"]),
        (_, "model") => Usage(&["", "a b", "é"]),
        (_, "endpoint") => URL,
        (_, "replica_address") => Usage(&["", "8789", "host", "a host:1", "http://host:1"]),
        (_, "rpc_url") => Usage(&["mars", "ws://localhost", "http://"]),
        (_, "name") => Usage(&["", "a name that is longer than thirty-two bytes", "Ac\u{200b}me", "\u{202e}x", " x"]),
        (_, "capability") => Usage(&["", "flying"]),
        (_, "quantization") => Usage(&["", "fp7", "FP8"]),
        ("admin init", "floor_percent") => Usage(&["0", "-1", "101", "1.5", "", "half"]),
        (_, "status") => Usage(&["", "asleep", "suspended"]),
        (_, "shell") => Usage(&["", "tcsh"]),
        (_, "listen") => Usage(&["", "8787", "localhost", "127.0.0.1:99999"]),
        (_, "out" | "state" | "ledger") => FOLDER,
        ("ledger backup" | "ledger restore", "copy") => FOLDER,
        ("ledger move", "ledger_password_file") => Late("/nonexistent/password", 2, "--from"),
        ("ledger backup" | "ledger restore", "ledger_password_file") => Late("/nonexistent/password", 2, "FILE"),
        (_, "ledger_password_file") => Late("/nonexistent/password", 1, "--ledger-password-file"),
        ("ledger check" | "ledger reconcile" | "ledger resolve" | "ledger backup" | "ledger restore", "partition") => {
            Usage(&["", "-1", "one", "65536"])
        }
        ("ledger resolve", "id") => Usage(&["", "one", "1.5"]),
        ("ledger resolve" | "ledger reconcile", "by" | "note") => Free,
        (_, "program") => ADDRESS,
        ("chat" | "proxy" | "usage" | "statement", "key_file") => Late("/nonexistent/key", 1, "--key-file"),
        ("proxy", "token_file") => Late("/nonexistent/token", 1, "--token-file"),
        ("proxy", "allow_host") => Usage(&["", "a b", "a:80", "http://a"]),
        ("proxy", "allow_origin") => Usage(&["", "*", "null", "http://a/", "http://a/b"]),
        ("usage" | "statement", "since" | "until") => Usage(&["", "yesterday", "2026-02-30", "2026-2-3", "-1", "1.5"]),
        ("usage", "by") => Usage(&["", "hour", "day,", "DAY"]),
        ("dev", "info") => Late("/nonexistent/folder/info.json", 1, "/nonexistent/folder/info.json"),
        ("dev", "seed") => Usage(&["-1", "one", "", "18446744073709551616"]),
        ("dev", "port") => Usage(&["-1", "65536", "http", ""]),
        ("dev", "dir") => Late("/proc/steam", 1, "/proc/steam"),
        ("dev", "providers") => Usage(&["3", "33", "-1", "four", ""]),
        ("dev", "slot_ms") => Usage(&["19", "2001", "-1", "fast", ""]),
        ("dev", "settle_interval_ms") => Usage(&["99", "60001", "-1", "fast", ""]),
        ("dev", "requests_per_minute") => Usage(&["-1", "4294967296", "many", ""]),
        ("serve", "file") => Late("/nonexistent/steam.toml", 1, "/nonexistent/steam.toml"),
        ("init", "deployment") => Usage(&["", "moon", "docker"]),
        ("init", "settler_keypair" | "receipt_keypair") => FOLDER,
        ("config check" | "doctor", "file") => Late("/nonexistent/steam.toml", 1, "/nonexistent/steam.toml"),
        ("receipt show" | "receipt verify", "receipt") => Late("bm8gcmVjZWlwdA==", 3, "no signed receipt"),
        ("receipt verify", "answer") => Late("/nonexistent/answer", 1, "--answer"),
        ("receipt verify", "key_file") => Late("/nonexistent/key", 2, "--key-file"),
        ("receipt verify", "routing") => Late("/nonexistent/record", 1, "--routing"),
        ("receipt verify", "proof") => Late("/nonexistent/proof", 1, "--proof"),
        ("chat", "prompt" | "system") => Free,
        ("chat", "models") => Usage(&["", "a,", "a b"]),
        ("chat", "order" | "only" | "ignore") => Usage(&["", "a,", ",a"]),
        ("chat", "sort") => Usage(&["", "fast", "Price"]),
        ("chat", "data_collection") => Usage(&["", "none", "Deny"]),
        ("chat", "quantizations") => Usage(&["", "fp7", "fp8,", "FP8"]),
        ("chat", "max_price_prompt" | "max_price_completion") => PRICE,
        ("chat", "preferred_min_throughput" | "preferred_max_latency") => Usage(&["", "0", "-1", "NaN", "inf", "fast"]),
        ("chat", "hedge_after_ms") => Usage(&["", "-1", "1.5", "600001", "soon"]),
        _ => return None,
    })
}
