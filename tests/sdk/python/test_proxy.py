"""`steam proxy` before a running `steam dev`: stock SDKs with a key that is none, while the session key signs. And what the
command line says of it: `steam usage` and `steam statement`."""

import concurrent.futures
import csv
import decimal
import io
import json
import os
import signal
import subprocess
import time

import anthropic
import openai
import pytest

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL = INFO["models"][0]
HELLO = [{"role": "user", "content": "Say hello to the world in one sentence."}]
PICO = 10**12


class Key:
    """A session key of its own, and what is run with it."""

    def __init__(self, folder):
        self.folder, self.file, self.state = folder, folder / "key", folder / "state.json"
        created = self.owner("key", "create", "--limit", "20", "--out", self.file)
        self.vault = created["vault"]
        self.wait()

    def owner(self, *args):
        command = [os.environ["STEAM_BIN"], *args, "--output", "json", "--url", INFO["rpc_url"]]
        command += ["--keypair", INFO["owner_keypair"], "--relayer", INFO["relayer"]]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def command(self, *args):
        common = ["--url", INFO["rpc_url"], "--vault", self.vault, "--key-file", self.file, "--endpoint", INFO["base_url"]]
        return [os.environ["STEAM_BIN"], *args, *common]

    def says(self, *args):
        ran = subprocess.run(self.command(*args), capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def wait(self):
        """Until the relayer has seen the key at a finalized slot."""
        deadline = time.monotonic() + 60
        while subprocess.run(self.command("usage"), capture_output=True).returncode != 0:
            assert time.monotonic() < deadline, "the relayer never saw the key"
            time.sleep(0.3)

    def statement(self):
        return json.loads(self.says("statement", "--output", "json"))


class Proxy:
    def __init__(self, key, *args):
        command = key.command("proxy", "--listen", "127.0.0.1:0", "--state", key.state, "--output", "json", *args)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said, depth = "", 0
        while not said or depth:
            line = self.process.stdout.readline()
            assert line, "the proxy did not start"
            said, depth = said + line, depth + line.count("{") - line.count("}")
        self.listening = json.loads(said)

    def openai(self, **over):
        return openai.OpenAI(base_url=self.listening["base_url"], api_key="unused", max_retries=0, **over)

    def anthropic(self):
        return anthropic.Anthropic(base_url=self.listening["anthropic_base_url"], api_key="unused", max_retries=0)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return Key(tmp_path_factory.mktemp("proxy"))


@pytest.fixture
def proxy(key):
    proxy = Proxy(key)
    yield proxy
    assert proxy.stop() == 0


def kept(key):
    """What the key's file says is spent, in pico-USDC, and how many requests are open."""
    state = json.loads(key.state.read_text())
    return int(state["spent"]), len(state["unresolved"])


def charged(key):
    return int(key.statement()["total_pico"])


def test_stock_sdks_speak_to_it(key, proxy):
    client = proxy.openai()
    assert MODEL in [model.id for model in client.models.list()]
    assert client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64).choices[0].message.content
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    with client.responses.stream(model=MODEL, input="Say hello.") as stream:
        assert stream.get_final_response().output_text
    assert client.embeddings.create(model=MODEL, input=["a"]).data[0].embedding
    claude = proxy.anthropic()
    with claude.messages.stream(model=MODEL, max_tokens=64, messages=HELLO) as stream:
        assert stream.get_final_text()
    assert claude.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody/has-it", max_tokens=5, messages=HELLO)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=HELLO, temperature="hot")
    assert refused.value.param == "temperature"
    assert kept(key) == (charged(key), 0)


def test_many_at_once_on_one_key(key, proxy):
    before = len(key.statement()["receipts"])

    def ask(n):
        stream = proxy.openai().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16, stream=n % 2 == 0)
        return len(list(stream)) if n % 2 == 0 else stream.usage.completion_tokens

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert all(pool.map(ask, range(60)))
    assert len(key.statement()["receipts"]) == before + 60, "each once"
    assert kept(key) == (charged(key), 0)


def test_a_client_that_leaves_pays_for_what_came(key, proxy):
    stream = proxy.openai().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=4_000, stream=True)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 30
    while kept(key)[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert kept(key)[0] == charged(key)


def test_a_lost_file_and_a_restart_lose_nothing(key, proxy):
    key.state.unlink()
    assert proxy.openai().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16).id
    assert kept(key) == (charged(key), 0)
    key.state.write_text("")
    again = Proxy(key)
    assert again.openai().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16).id
    assert again.stop() == 0
    assert kept(key) == (charged(key), 0)


def test_it_does_not_start_where_more_is_unknown_than_allowed(key):
    proxy, refused = Proxy(key), None
    for attempt in range(5):
        # Until it is settled, the chain does not show it.
        proxy.openai().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64)
        lost = key.folder / f"lost-{attempt}.json"
        command = key.command("proxy", "--listen", "127.0.0.1:0", "--state", lost, "--output", "json", "--max-unknown", "0.000001")
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, said = other.communicate(timeout=5)
            refused = (other.returncode, json.loads(said)["error"]["code"])
            break
        except subprocess.TimeoutExpired:
            other.terminate()
            other.communicate()
    assert proxy.stop() == 0
    assert refused == (1, "unknown_spending")


def test_usage_and_statement_agree_to_the_pico_dollar(key):
    usage = json.loads(key.says("usage", "--by", "model", "--output", "json"))
    statement = key.statement()
    assert statement["verified"] and not statement["has_more"]
    assert usage["total"]["cost_pico"] == statement["total_pico"]
    assert usage["total"]["requests"] == len(statement["receipts"])
    assert sum(int(row["cost_pico"]) for row in usage["rows"]) == int(usage["total"]["cost_pico"])
    rows = list(csv.DictReader(io.StringIO(key.says("statement", "--output", "csv"))))
    assert [row["id"] for row in rows] == [line["id"] for line in statement["receipts"]]
    assert sum(decimal.Decimal(row["cost_usd"]) for row in rows) * PICO == int(statement["total_pico"])
    for said in key.says("usage"), key.says("usage", "--bearer"):
        assert f"{usage['total']['requests']} answers" in said and MODEL in said
    for said in key.says("statement"), key.says("statement", "--bearer"):
        assert said.count(" gen-") == len(rows)


def test_what_is_settled_is_told(key):
    deadline = time.monotonic() + 60
    while any(line["status"] != "settled" for line in key.statement()["receipts"]):
        assert time.monotonic() < deadline, "it never settled"
        time.sleep(0.5)
    assert key.statement()["unsettled_pico"] == "0"
