"""A relayer to check things against: `steam dev` gives network, providers and a funded key; `steam serve` runs with the maximal
configuration, as the user that the unit would give it, under a tracer that notes system calls which the unit forbids."""

import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
NOBODY = 65534
WITHIN = 120


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


def wait(what, done, within=WITHIN):
    """The first true answer of `done`."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := done():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {within} s: {what}")


def get(url, body=None, headers=None, timeout=30, context=None):
    """Status and text of an answer; a body makes it a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def with_values(text, values):
    """A configuration with other values: `values` has TOML by `section.name`; a setting behind `#` becomes one."""
    section, lines, left = "", [], dict(values)
    for line in text.splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section = heading[1]
        setting = re.match(r"#?(\w+) = ", line)
        key = f"{section}.{setting[1]}" if setting else None
        lines.append(f"{setting[1]} = {left.pop(key)}" if key in left else line)
    assert not left, f"no such settings: {', '.join(left)}"
    return "\n".join(lines) + "\n"


@functools.cache
def call_sets():
    """systemd's sets of system calls, each flat."""
    sets, name = {}, None
    for line in run("systemd-analyze", "syscall-filter", check=True).stdout.splitlines():
        line = re.sub(r"\x1b\[[0-9;]*m", "", line).split("#")[0].rstrip()
        if line.startswith("@"):
            name = line.strip()
            sets[name] = set()
        elif line.startswith(" ") and name:
            sets[name].add(line.strip())

    def flat(calls):
        return {name for call in calls for name in (flat(sets[call]) if call.startswith("@") else {call}) if name}

    return {name: flat(calls) for name, calls in sets.items()}


def calls_allowed(unit):
    """The system calls that a unit's `SystemCallFilter=` lines leave, as systemd.exec(5) says: a list that allows, then lists that forbid."""
    sets, allowed = call_sets(), set()
    for value in re.findall(r"^SystemCallFilter=(.+)$", unit, re.M):
        forbids = value.startswith("~")
        named = set()
        for name in value.lstrip("~").split():
            named |= sets[name] if name.startswith("@") else {name}
        allowed = allowed - named if forbids else allowed | named | sets["@default"]
    return allowed


class Lab:
    def __init__(self, steam, folder):
        self.steam, self.folder = steam, folder
        info = folder / "info.json"
        # No charge is made at this relayer, so that it settles nothing: two that settle with one key halt each other's vaults.
        command = [steam, "dev", "--port", "0", "--info", info, "--dir", folder / "dev", "--seed", "7"]
        self.dev = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
        wait("steam dev is ready", lambda: info.exists() or self.ended(self.dev, "steam dev"))
        self.info = json.loads(info.read_text())
        self.home = folder / "home"
        self.home.mkdir()
        for name in ("settler", "receipts"):
            shutil.copy(folder / f"dev/{name}.json", self.home / f"{name}.json")
        self.config = self.home / "steam.toml"
        self.configure({})
        if os.geteuid() == 0:
            for path in [self.home, *self.home.iterdir()]:
                os.chown(path, NOBODY, NOBODY)
        self.serve = None

    def configure(self, more):
        """Writes the relayer's file: the maximal example, with what differs on this network."""
        values = {
            "server.listen": '"127.0.0.1:0"',
            "chain.rpc_urls": json.dumps([self.info["rpc_url"]]),
            "chain.relayer": json.dumps(self.info["relayer"]),
            "chain.program": json.dumps(self.info["program"]),
            "chain.settler_keypair": json.dumps(str(self.home / "settler.json")),
            "chain.receipt_keypair": json.dumps(str(self.home / "receipts.json")),
            "chain.poll_ms": "200",
            "ledger.path": json.dumps(str(self.home / "steam.db")),
            "settle.interval_ms": "1000",
            "upstream.localnet": "true",
        }
        self.config.write_text(with_values((DEPLOY / "steam.maximal.toml").read_text(), values | more))

    def start(self, allowed):
        """Starts the relayer under the tracer, which notes every system call that is not `allowed`."""
        self.forbidden, self.log = self.home / "forbidden", self.folder / "serve.log"
        command = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "signal=none", "-o", self.forbidden]
        command += ["-e", "trace=!" + ",".join(f"?{call}" for call in sorted(allowed | {"execve"}))]
        if os.geteuid() == 0:
            user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            command = ["setpriv", *user, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]
        command += [self.steam, "--output", "json", "serve", self.config]
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "RUST_LOG": "info"}
        with open(self.log, "w") as log:
            self.serve = subprocess.Popen([str(part) for part in command], stderr=log, cwd=self.home, env=environment)
        serving = wait("the relayer serves", lambda: self.logged("serving") or self.ended(self.serve, "steam serve"))
        self.url = f"http://{serving[0]['fields']['address']}"
        self.port = int(self.url.rpartition(":")[2])

    def ended(self, process, name):
        if process.poll() is not None:
            text = self.log.read_text() if process is self.serve else ""
            raise AssertionError(f"{name} ended with {process.returncode}: {text}")
        return None

    def lines(self):
        """What the relayer has logged: one JSON document a line. The error that ends it is one too, of another form."""
        documents = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [document for document in documents if "fields" in document]

    def logged(self, message):
        return [line for line in self.lines() if line["fields"]["message"] == message]

    def chat(self, model="demo/large", url=None, **more):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 32, **more}
        return get(f"{url or self.url}/v1/chat/completions", body, {"Authorization": f"Bearer {self.info['api_key']}"})

    def metrics(self):
        return get(f"{self.url}/metrics")[1]

    def stop(self, process):
        if process and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            return process.wait(timeout=60)
        return process and process.returncode
