"""The example configurations are accepted, and the maximal one has every setting with its default."""

import re
import tomllib

import pytest

import settings
from lab import DEPLOY, run, with_values

MINIMAL, MAXIMAL = [(DEPLOY / f"steam.{name}.toml").read_text() for name in ("minimal", "maximal")]
# No default suits everybody; their values are examples.
EXAMPLES = {"ledger.path"}
# Refused where there is no local network.
LOCAL = "chain.faucet_keypair"


def uncommented(text):
    """The text with the settings that stand behind a `#`."""
    return re.sub(r"^#(\[\[[\w.]+\]\]|\w+ = )", r"\1", text, flags=re.M)


@pytest.fixture(scope="session")
def check(steam, folder):
    """Runs `steam config check` on a text, with keypairs that exist."""
    key = folder / "key.json"
    key.write_text(str([*range(32), *bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")]))

    sponsor, token, password = folder / "sponsor.json", folder / "operator.token", folder / "ledger.password"
    password.write_text("s3cret\n")
    assert run(steam, "keygen", "--out", sponsor).returncode == 0
    token.write_text("0123456789abcdef" * 4)

    def checked(text, more=None):
        file = folder / "checked.toml"
        keys = {f"chain.{name}": f'"{key}"' for name in ("settler_keypair", "receipt_keypair") if f"{name} = " in text}
        if re.search("^keypair = ", text, re.M):
            keys["sponsor.keypair"] = f'"{sponsor}"'
        if re.search("^password_file = ", text, re.M):
            keys["ledger.password_file"] = f'"{password}"'
        if re.search("^token_file = ", text, re.M):
            keys["operator.token_file"] = f'"{token}"'
        if re.search("^secret_file = ", text, re.M):
            keys["replicas.secret_file"] = f'"{token}"'
        if re.search("^path = ", text, re.M):
            keys["ledger.path"] = f'"{folder / "steam.db"}"'
        file.write_text(with_values(text, keys | (more or {})))
        return run(steam, "config", "check", file)

    return checked


def names(check, section):
    """What the relayer's own message lists: the settings of a section, or the sections."""
    heading = f"[[{section}]]\n" if section == "upstream.credentials" else f"[{section}]\n" if section else ""
    told = check(f"{heading}no_such_setting = 1\n").stderr
    return re.findall(r"`(\w+)`", told.split("expected")[1])


def missing(check, text):
    """Settings that the relayer has and `text` has not."""
    parsed = tomllib.loads(uncommented(text))
    parsed["upstream.credentials"] = parsed["upstream"]["credentials"][0]
    sections = names(check, "")
    assert len(sections) >= 10
    return [f"{s}.{name}" for s in [*sections, "upstream.credentials"] for name in names(check, s) if name not in parsed.get(s, {})]


def test_both_examples_are_accepted(check):
    for text in (MINIMAL, MAXIMAL):
        checked = check(text)
        assert checked.returncode == 0 and "is a valid configuration" in checked.stdout, checked.stderr
    broken = check(MAXIMAL, {"market.max_candidates": "0"})
    assert broken.returncode != 0 and "market.max_candidates" in broken.stderr


def optional():
    """The maximal example with what stands behind a mark, but for what only a local network takes and a key that is not there."""
    return re.sub(r"^(faucet_keypair|key_file)", r"#\1", uncommented(MAXIMAL), flags=re.M)


def test_what_stands_behind_a_mark_is_accepted_too(check):
    checked = check(optional())
    assert checked.returncode == 0, checked.stderr
    refused = check(uncommented(MAXIMAL))
    assert refused.returncode != 0 and LOCAL in refused.stderr


@pytest.mark.parametrize(
    ("setting", "content", "told"),
    [
        ("sponsor.keypair", None, "sponsor.keypair is the settler's or the one of receipts"),
        ("operator.token_file", "", "no-such, cannot be read"),
        ("probe.key_file", "", "no-such, cannot be read"),
        ("probe.key_file", "short", "holds no API key"),
        ("operator.token_file", "short", "holds no token"),
        ("ledger.password_file", "", "ledger.password_file: cannot read"),
        ("replicas.secret_file", "", "cannot read replicas.secret_file"),
        ("replicas.secret_file", "short", "holds no secret"),
    ],
)
def test_what_serve_would_refuse_is_refused_before(check, folder, setting, content, told):
    file = folder / ("key.json" if content is None else "no-such" if content == "" else "short.token")
    if content:
        file.write_text(content)
    checked = check(optional() if setting != "probe.key_file" else uncommented(MAXIMAL).replace("\nfaucet_keypair", "\n#faucet_keypair"), {setting: f'"{file}"'})
    assert checked.returncode == 3 and told in checked.stderr, checked.stderr


def test_the_maximal_example_has_every_setting(check):
    assert missing(check, MAXIMAL) == []
    assert missing(check, re.sub(r"^(poll_ms|#env) = .*\n", "", MAXIMAL, flags=re.M)) == ["chain.poll_ms", "upstream.credentials.env"]


def differing(text):
    """Settings of `text` whose value is not the default, and defaults that it does not show."""
    parsed, commented = tomllib.loads(text), tomllib.loads(uncommented(text))
    found = []
    for section, values in settings.defaults().items():
        for name, default in values.items():
            optional = name not in parsed[section] and name in commented[section]
            if not optional and parsed[section].get(name) != default:
                found.append(f"{section}.{name}")
    return set(found)


def test_the_maximal_example_shows_the_defaults():
    assert sum(map(len, settings.defaults().values())) >= 70
    assert differing(MAXIMAL) == EXAMPLES
    assert "settle.interval_ms" in differing(MAXIMAL.replace("interval_ms = 60_000", "interval_ms = 61_000"))
