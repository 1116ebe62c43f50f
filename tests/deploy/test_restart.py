"""What docs/OPERATIONS.md says of a restart, an upgrade and other keys: a stream under way ends whole, what was charged settles after the
next start, and both keypairs can be replaced."""

import json
import re
import shutil
import subprocess
import threading

import pytest

from lab import DEPLOY, Lab, calls_allowed, get, run, wait


@pytest.fixture(scope="module")
def lab(steam, folder):
    home = folder / "restart"
    home.mkdir()
    lab = Lab(steam, home)
    try:
        # Nothing is settled before the restart: that is for the next start.
        lab.configure({"settle.interval_ms": "600000"})
        begin(lab)
        yield lab
    finally:
        lab.stop(lab.serve)
        lab.stop(lab.dev)


def begin(lab):
    lab.start(calls_allowed((DEPLOY / "systemd/steam.service").read_text()))


def value(lab, metric):
    return float(re.search(rf"^{metric} (\S+)$", lab.metrics(), re.M)[1])


def settled(lab):
    """Whether everything is settled, and something was."""
    return value(lab, "steam_unsettled_receipts") == 0 and value(lab, "steam_settled_groups") > 0


def ledger(lab, *words):
    return run(lab.steam, "--output", "json", "ledger", *words, "--ledger", lab.home / "steam.db")


def test_a_stream_under_way_ends_whole_and_what_was_charged_settles_after_the_next_start(lab):
    streamed = []
    asking = threading.Thread(target=lambda: streamed.append(lab.chat(stream=True, max_tokens=600)))
    asking.start()
    wait("a stream is under way", lambda: value(lab, "steam_in_flight") >= 2, 20)
    assert lab.stop(lab.serve) == 0, lab.log.read_text()[-2000:]
    asking.join()
    status, text = streamed[0]
    assert status == 200 and text.rstrip().endswith("[DONE]"), text[-300:]
    with pytest.raises(OSError):
        get(f"{lab.url}/health", timeout=2)

    lab.configure({})
    begin(lab)
    wait("the charge of before settles", lambda: settled(lab), 60)
    assert value(lab, "steam_charge_failures_total") == 0
    assert ledger(lab, "check").returncode == 0


def keypair(lab, name):
    """A new keypair's file, as the Solana CLI makes it, and its address."""
    file = lab.folder / f"{name}-new.json"
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-outform", "DER"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=made, capture_output=True, check=True).stdout
    file.write_text(json.dumps(list(made[-32:] + public[-32:])))
    return file, base58(public[-32:])


def base58(key):
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(key, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return text


def test_both_keypairs_can_be_replaced(lab):
    assert lab.chat()[0] == 200
    groups = value(lab, "steam_settled_groups")
    (settler, settler_address), (receipts, receipts_address) = keypair(lab, "settler"), keypair(lab, "receipts")
    airdrop = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": [settler_address, 1_000_000_000]}
    assert "result" in json.loads(get(lab.info["rpc_url"], airdrop)[1])

    assert lab.stop(lab.serve) == 0
    told = run(
        lab.steam, "relayer", "update", "-u", lab.info["rpc_url"], "-k", lab.info["relayer_keypair"],
        "--settler", settler_address, "--receipt-key", receipts_address,
    )
    assert told.returncode == 0, told.stderr
    with pytest.raises(AssertionError, match="use that keypair"):
        begin(lab)  # the files still hold the old ones
    for new, name in ((settler, "settler"), (receipts, "receipts")):
        shutil.copyfile(new, lab.home / f"{name}.json")
    begin(lab)
    assert lab.chat()[0] == 200
    wait("what was charged under both settles", lambda: settled(lab) and value(lab, "steam_settled_groups") > groups, 60)
    assert not [line for line in lab.lines() if line["level"] == "ERROR"], lab.log.read_text()


def test_a_copy_of_the_ledger_is_made_while_it_runs_and_knows_what_it_is(lab):
    copy = lab.home / "copy.db"
    assert ledger(lab, "backup", copy).returncode == 0
    told = run(lab.steam, "ledger", "check", "--ledger", copy)
    wrong = re.findall(r"^copy: .*", told.stdout + told.stderr, re.M)
    assert told.returncode == 3 and len(wrong) == 1 and "1 things do not hold" in told.stderr, told.stdout + told.stderr
    refused = run(lab.steam, "serve", lab.config, "--ledger", copy)
    assert refused.returncode != 0 and "steam ledger reconcile" in refused.stderr, refused.stderr
