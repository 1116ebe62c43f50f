"""SIGHUP reads [market] anew, and a file with a mistake changes nothing and is told."""

import json
import os
import signal

from lab import get, run, wait

READ = "the [market] part of the configuration was read anew"
NOT_READ = "the configuration was not read anew"
RESTART = "these parts of the configuration have changed and need a restart"


def models(relayer):
    return [model["id"] for model in json.loads(get(f"{relayer.url}/v1/models")[1])["data"]]


def hang_up(relayer, message):
    before = len(relayer.logged(message))
    relayer.serve.send_signal(signal.SIGHUP)
    return wait(f"the log says: {message}", lambda: relayer.logged(message)[before:], 20)[0]


def test_sighup_reads_the_market_anew_and_a_wrong_file_changes_nothing(relayer):
    assert relayer.chat("demo/small")[0] == 200
    assert "demo/small" in models(relayer)

    relayer.configure({"market.deny_models": '["demo/small"]'})
    assert relayer.chat("demo/small")[0] == 200, "a file alone changes nothing"
    hang_up(relayer, READ)
    status, text = relayer.chat("demo/small")
    assert status == 400 and "the operator of this relayer does not serve" in text, (status, text)
    assert relayer.chat("demo/large")[0] == 200

    for market, said in [
        ({"market.max_candidates": "0"}, "market.max_candidates: between 1 and 512"),
        ({"market.max_candidates": '"many"'}, "invalid type"),
        ({"market.deny_hosts": '["https://a.example/v1"]'}, "market.deny_hosts"),
    ]:
        relayer.configure(market)
        line = hang_up(relayer, NOT_READ)
        assert line["level"] == "ERROR" and said in line["fields"]["error"], line
        assert relayer.chat("demo/small")[0] == status, "a wrong file changed the market"
    relayer.config.unlink()
    assert "cannot read the configuration" in hang_up(relayer, NOT_READ)["fields"]["error"]
    assert relayer.chat("demo/small")[0] == status

    relayer.configure({})
    hang_up(relayer, READ)
    assert relayer.chat("demo/small")[0] == 200


def test_what_takes_a_restart_is_named(relayer):
    relayer.configure({})
    before = len(relayer.logged(RESTART))
    hang_up(relayer, READ)
    relayer.configure({"upstream.max_attempts": "2", "alerts.node_lag_blocks": "9"})
    told = hang_up(relayer, RESTART)
    assert told["level"] == "WARN" and set(told["fields"]["parts"].split(", ")) == {"upstream", "alerts"}, told
    assert len(relayer.logged(RESTART)) == before + 1, "an unchanged file needs no restart"
    relayer.configure({})
    hang_up(relayer, READ)


def test_a_filter_of_the_log_that_cannot_be_read_is_refused(relayer):
    environment = {**os.environ, "RUST_LOG": "steam=lout"}
    told = run(relayer.steam, "serve", relayer.config, env=environment, timeout=30)
    assert told.returncode != 0 and "RUST_LOG" in told.stderr, told.stderr
